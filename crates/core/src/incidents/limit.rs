//! A limit of what is measured: of whom, what, from where on it is too much or too little, and from where on it is well again.
//!
//! Two bounds, so that a value at the edge does not open and resolve again and again. What lies between them changes nothing.

use std::time::Duration;

use super::measure::{Kind, Measure, unmeasured};
use super::rule::RuleId;
use super::rules::RuleError;
use crate::samples::{Metric, Unit};
use crate::units::format_rounded;

/// For what part of the time it must be measured to be beyond, in percent, when nobody says otherwise.
const COVERAGE: u32 = 80;

/// Of whom: `service:demo/api`, `container:web`, `container:nas/*`, `source:*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The kind.
    pub kind: Kind,
    /// Project or source are part of the name.
    whole: bool,
    /// The name, or its beginning.
    name: String,
    begins: bool,
}

impl Pattern {
    /// Whether it means this one: `demo/api`, `nas/web`, `nas`.
    pub fn covers(&self, above: &str, name: &str) -> bool {
        if self.begins && self.name.is_empty() {
            return true;
        }
        let fits = |text: &str, wanted: &str| if self.begins { text.starts_with(wanted) } else { text == wanted };
        if !self.whole {
            return fits(name, &self.name);
        }
        match self.name.split_once('/') {
            Some((wanted, rest)) => above == wanted && fits(name, rest),
            None => fits(name, &self.name),
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}{}", self.kind.name(), self.name, if self.begins { "*" } else { "" })
    }
}

impl std::str::FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hint =
            || "write service:NAME, container:NAME or source:NAME; * at the end means all that begin so".to_owned();
        let (kind, name) = text.split_once(':').ok_or_else(hint)?;
        let kind = Kind::ALL.into_iter().find(|known| known.name() == kind).ok_or_else(hint)?;
        let (name, begins) = name.strip_suffix('*').map_or((name, false), |start| (start, true));
        let slashes = name.matches('/').count();
        let is_odd = name.is_empty() && !begins || name.contains('*') || name.starts_with('/');
        if is_odd || slashes > usize::from(kind != Kind::Source) || name.ends_with('/') && !begins {
            return Err(hint());
        }
        Ok(Self { kind, whole: slashes == 1, name: name.to_owned(), begins })
    }
}

/// On which side of the bound it is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Above.
    Above,
    /// Below.
    Below,
}

impl Side {
    const fn name(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
        }
    }
}

/// What is compared with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// What.
    pub measure: Measure,
    /// Where it is wrong.
    pub side: Side,
    /// Beyond this it is wrong.
    raise: u64,
    /// At this, and on the other side of it, it is well again.
    clear: u64,
}

/// What a bound is made of, as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Written {
    metric: Option<String>,
    of: Option<String>,
    above: Option<String>,
    below: Option<String>,
    clear: Option<String>,
    coverage: Option<String>,
}

impl Bound {
    /// From what is written. Without `clear` it is well again five points lower, or what is no percentage by a tenth.
    ///
    /// # Errors
    /// What is wrong, with the key that it is about.
    pub fn parse(
        measure: Measure,
        side: Side,
        raise: &str,
        clear: Option<&str>,
    ) -> Result<Self, (&'static str, String)> {
        let raise = measure.parse(raise).map_err(|hint| (side.name(), hint))?;
        let usual = match measure.unit() {
            Unit::Percent => (5 * measure.scale()).min(raise / 2),
            Unit::Bytes | Unit::BytesPerSecond | Unit::Count => raise / 10,
        };
        let default = match side {
            Side::Above => raise - usual,
            Side::Below => raise.saturating_add(usual),
        };
        let clear = match clear {
            Some(text) => measure.parse(text).map_err(|hint| ("clear", hint))?,
            None => default,
        };
        let (wrong, word) = match side {
            Side::Above => (clear > raise, "at most"),
            Side::Below => (clear < raise, "at least"),
        };
        if wrong {
            return Err(("clear", format!("{word} {}, where it begins", measure.written(raise))));
        }
        Ok(Self { measure, side, raise, clear })
    }

    pub(super) fn is_beyond(&self, value: u64) -> bool {
        match self.side {
            Side::Above => value > self.raise,
            Side::Below => value < self.raise,
        }
    }

    /// What is both beyond and clear, as a bound of 0 can make it, is beyond.
    pub(super) fn is_clear(&self, value: u64) -> bool {
        !self.is_beyond(value)
            && match self.side {
                Side::Above => value <= self.clear,
                Side::Below => value >= self.clear,
            }
    }

    /// `memory_bytes is 1.2 GiB, above 1 GiB for 10m`
    pub(super) fn wrong(&self, value: u64, hold: Duration) -> String {
        let Self { measure, side, raise, .. } = self;
        let long = if hold.is_zero() { String::new() } else { format!(" for {}", format_rounded(hold)) };
        format!("{} is {}, {} {}{long}", measure.name(), measure.said(value), side.name(), measure.said(*raise))
    }

    /// `memory_bytes is 900 MiB, not yet down to 800 MiB`: what is neither wrong any more nor well.
    pub(super) fn between(&self, value: u64) -> String {
        let Self { measure, side, clear, .. } = self;
        let way = match side {
            Side::Above => "down",
            Side::Below => "up",
        };
        format!("{} is {}, not yet {way} to {}", measure.name(), measure.said(value), measure.said(*clear))
    }

    /// `memory_bytes is 800 MiB`
    pub(super) fn well(&self, value: u64) -> String {
        format!("{} is {}", self.measure.name(), self.measure.said(value))
    }
}

/// A setting of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum LimitKey {
    /// `metric`
    Metric,
    /// `of`
    Of,
    /// `above`
    Above,
    /// `below`
    Below,
    /// `clear`
    Clear,
    /// `coverage`
    Coverage,
}

/// A limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    written: Written,
    /// Of whom.
    pub of: Pattern,
    /// What is compared with what.
    pub bound: Bound,
    /// For what part of the time it must be measured to be beyond, in percent.
    pub coverage: u32,
}

impl Limit {
    /// Nothing of it is said yet: [`Limit::settle`] refuses it like that.
    pub(super) fn unset() -> Self {
        Self { written: Written::default(), ..Self::disk_low() }
    }

    /// The one that there always is. Above 85 percent: what is full is near, and there is time; at 80, where others begin,
    /// half of the disks of this world are. Of engines that only tell how much they use there is no percentage, and how many
    /// bytes are many only their owner knows.
    pub(super) fn disk_low() -> Self {
        let text = |text: &str| Some(text.to_owned());
        let written = Written {
            metric: text("disk_used_percent"),
            of: text("source:*"),
            above: text("85"),
            ..Written::default()
        };
        let of = Pattern { kind: Kind::Source, whole: false, name: String::new(), begins: true };
        let measure = Measure::Metric(Metric::DiskUsedPercent);
        let scale = measure.scale();
        let bound = Bound { measure, side: Side::Above, raise: 85 * scale, clear: 80 * scale };
        Self { written, of, bound, coverage: COVERAGE }
    }

    pub(super) fn write(&mut self, key: LimitKey, value: &str) {
        let value = Some(value.to_owned());
        match key {
            LimitKey::Metric => self.written.metric = value,
            LimitKey::Of => self.written.of = value,
            LimitKey::Above => (self.written.above, self.written.below) = (value, None),
            LimitKey::Below => (self.written.above, self.written.below) = (None, value),
            LimitKey::Clear => self.written.clear = value.filter(|value| value != "default"),
            LimitKey::Coverage => self.written.coverage = value,
        }
    }

    /// Sees what follows from what is written.
    pub(super) fn settle(&mut self, id: &RuleId) -> Result<(), RuleError> {
        let Written { metric, of, above, below, clear, coverage } = &self.written;
        let missing = |hint: &str| RuleError::Incomplete { rule: id.clone(), hint: hint.to_owned() };
        let wrong = |key: &str, value: &str, hint: String| RuleError::Value {
            key: key.to_owned(),
            value: value.to_owned(),
            hint,
        };
        let metric = metric.as_deref().ok_or_else(|| missing("say what is measured: metric=memory_bytes"))?;
        let of =
            of.as_deref().ok_or_else(|| missing("say of whom: of=container:web, of=service:demo/*, of=source:nas"))?;
        let (side, raise) = match (above, below) {
            (Some(raise), None) => (Side::Above, raise),
            (None, Some(raise)) => (Side::Below, raise),
            (None, None) | (Some(_), Some(_)) => return Err(missing("say from where on: above=… or below=…")),
        };
        self.of = of.parse().map_err(|hint| wrong("of", of, hint))?;
        let measures = self.of.kind.measures();
        let measure = measures.iter().copied().find(|measure| measure.name() == metric);
        let measure = measure.ok_or_else(|| wrong("metric", metric, unmeasured(metric, self.of.kind, &measures)))?;
        self.bound = Bound::parse(measure, side, raise, clear.as_deref()).map_err(|(key, hint)| {
            let value = if key == "clear" { clear.as_deref().unwrap_or_default() } else { raise };
            wrong(key, value, hint)
        })?;
        self.coverage = match coverage {
            None => COVERAGE,
            Some(text) => match text.strip_suffix('%').unwrap_or(text).parse() {
                Ok(percent) if (1..=100).contains(&percent) => percent,
                _ => return Err(wrong("coverage", text, "a percentage from 1 to 100".to_owned())),
            },
        };
        Ok(())
    }

    pub(super) fn shown(&self, key: LimitKey) -> Option<String> {
        let Bound { measure, side, raise, clear } = self.bound;
        match key {
            LimitKey::Metric => Some(measure.name().to_owned()),
            LimitKey::Of => Some(self.of.to_string()),
            LimitKey::Above => (side == Side::Above).then(|| measure.written(raise)),
            LimitKey::Below => (side == Side::Below).then(|| measure.written(raise)),
            LimitKey::Clear => Some(measure.written(clear)),
            LimitKey::Coverage => Some(self.coverage.to_string()),
        }
    }

    /// For people: `cpu_percent_of_core of container:* is above 80 %`.
    pub fn about(&self) -> String {
        let Bound { measure, side, raise, .. } = self.bound;
        format!("{} of {} is {} {}", measure.name(), self.of, side.name(), measure.said(raise))
    }
}

/// A rule about a limit, as it is asked for with every sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Watched {
    pub(super) id: RuleId,
    pub(super) limit: Limit,
    pub(super) hold: Duration,
}
