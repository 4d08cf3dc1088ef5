//! Limits that a source brings with it.

use vigie_core::docker::source::Full;
use vigie_core::incidents::{Bound, Measure, RuleId, RuleName, Side, Standards};
use vigie_core::name::Name;
use vigie_core::samples::{Metric, Subject};

use super::Sources;

impl Standards for Sources {
    fn bound(&self, rule: &RuleId, subject: &Subject) -> Option<Bound> {
        let source: &Name = &subject.as_source().filter(|_| *rule == RuleName::DiskLow)?;
        let (metric, raise) = match self.held.get(source)?.source.disk_above? {
            Full::Percent(percent) => (Metric::DiskUsedPercent, percent.to_string()),
            Full::Bytes(bytes) => (Metric::DiskUsed, bytes.to_string()),
        };
        Bound::parse(Measure::Metric(metric), Side::Above, &raise, None).ok()
    }
}
