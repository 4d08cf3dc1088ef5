//! Limits that a source brings with it.

use vigie_core::incidents::{Bound, RuleId, Standards};
use vigie_core::samples::Subject;

use super::Sources;

impl Standards for Sources {
    fn bound(&self, _: &RuleId, _: &Subject) -> Option<Bound> {
        None
    }
}
