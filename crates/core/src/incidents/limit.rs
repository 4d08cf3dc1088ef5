//! A limit of what is measured: of whom, what, from where on it is too much or too little, and from where on it is well again.
//!
//! Two bounds, so that a value at the edge does not open and resolve again and again. What lies between them changes nothing.

use super::rule::RuleId;
use super::rules::{RuleError, did_you_mean, nearest};
use crate::samples::{Metric, Unit, reading};
use crate::units::{format_rounded, parse_size};
use std::time::Duration;

/// For what part of the time it must be measured to be beyond, in percent, when nobody says otherwise.
const COVERAGE: u32 = 80;

/// Of whom something is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Services.
    Service,
    /// Containers.
    Container,
    /// Sources: engines with all that they have.
    Source,
}

impl Kind {
    pub(super) const COUNT: usize = 3;

    const ALL: [Self; Self::COUNT] = [Self::Service, Self::Container, Self::Source];

    const fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Container => "container",
            Self::Source => "source",
        }
    }

    /// What is measured of it.
    fn measures(self) -> Vec<Measure> {
        let of = |metrics: &[Metric]| metrics.iter().copied().map(Measure::Metric).collect::<Vec<_>>();
        match self {
            Self::Service => of(&Metric::OF_RUNS),
            Self::Container => of(&Metric::OF_CONTAINERS).into_iter().chain([Measure::MemoryOfLimit]).collect(),
            Self::Source => of(&Metric::OF_SOURCES),
        }
    }

    /// Kind and name of a subject of samples.
    pub(super) fn of_subject(subject: &str) -> Option<(Self, &str)> {
        let (kind, name) = subject.split_once(' ')?;
        let kind = Self::ALL.into_iter().find(|known| known.name() == kind)?;
        Some((kind, name))
    }
}

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

/// What is held against a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// As it was measured.
    Metric(Metric),
    /// Memory, in percent of the limit that whoever uses it has. Without a limit it is not measured.
    MemoryOfLimit,
}

const MEMORY_OF_LIMIT: &str = "memory_percent_of_limit";

impl Measure {
    /// Its name, unit included.
    pub fn name(self) -> &'static str {
        match self {
            Self::Metric(metric) => metric.name(),
            Self::MemoryOfLimit => MEMORY_OF_LIMIT,
        }
    }

    fn unit(self) -> Unit {
        match self {
            Self::Metric(metric) => metric.unit(),
            Self::MemoryOfLimit => Unit::Percent,
        }
    }

    /// How many of what is compared make one of its unit.
    fn scale(self) -> u64 {
        match self {
            Self::Metric(metric) => metric.scale(),
            Self::MemoryOfLimit => Metric::CpuOfHost.scale(),
        }
    }

    /// The value in a row of samples; absent when it is not in it.
    pub(super) fn read(self, row: &[u8]) -> Option<u64> {
        match self {
            Self::Metric(metric) => reading(row, metric),
            Self::MemoryOfLimit => {
                let limit = reading(row, Metric::MemoryLimit).filter(|limit| *limit > 0)?;
                let used = u128::from(reading(row, Metric::Memory)?) * 100 * u128::from(self.scale());
                u64::try_from(used / u128::from(limit)).ok()
            }
        }
    }

    fn parse(self, text: &str) -> Result<u64, String> {
        let plain = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        let (value, hint) = match self.unit() {
            Unit::Percent => {
                let number = plain(text.strip_suffix('%').unwrap_or(text));
                (number.map(|number| number * self.scale() as f64), "a percentage, as 80 or 99.5")
            }
            Unit::Count => (plain(text), "a number, as 200"),
            Unit::Bytes | Unit::BytesPerSecond => {
                let size = parse_size(text.strip_suffix("/s").unwrap_or(text));
                return size.map_err(|error| error.to_string());
            }
        };
        // Above 2^53 a float has holes.
        let fits = value.map(f64::round).filter(|value| *value <= 9e15);
        fits.map(|value| value as u64).ok_or_else(|| hint.to_owned())
    }

    /// As it is written, so that it can be read back.
    fn written(self, value: u64) -> String {
        match self.unit() {
            Unit::Percent => trimmed(value as f64 / self.scale() as f64, 3),
            Unit::Count => value.to_string(),
            Unit::Bytes | Unit::BytesPerSecond => crate::units::format_size(value),
        }
    }

    /// For people: `93.1 %`, `1.2 GiB`.
    pub(super) fn said(self, value: u64) -> String {
        match self.unit() {
            Unit::Percent => format!("{} %", trimmed(value as f64 / self.scale() as f64, 1)),
            Unit::Count => value.to_string(),
            Unit::Bytes => size(value),
            Unit::BytesPerSecond => format!("{}/s", size(value)),
        }
    }
}

fn unmeasured(text: &str, kind: Kind, known: &[Measure]) -> String {
    let names = || known.iter().map(|measure| measure.name());
    let near = did_you_mean(nearest(text, names()).as_deref());
    format!("it is not measured of a {}{near}; measured are {}", kind.name(), names().collect::<Vec<_>>().join(", "))
}

fn trimmed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn size(bytes: u64) -> String {
    let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(size, _)| bytes >= *size);
    unit.map_or_else(
        || format!("{bytes} B"),
        |(size, name)| format!("{} {name}", trimmed(bytes as f64 / size as f64, 1)),
    )
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

    /// `memory_bytes is 800 MiB again`
    pub(super) fn well(&self, value: u64) -> String {
        format!("{} is {}", self.measure.name(), self.measure.said(value))
    }
}

/// A setting of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
