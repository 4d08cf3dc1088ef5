//! What can be held against a limit, of whom, and how it is written.

use super::rules::did_you_mean;
use crate::samples::{Metric, Unit, reading};
use crate::text::nearest;
use crate::units::parse_size_with_unit;

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

    pub(super) const ALL: [Self; Self::COUNT] = [Self::Service, Self::Container, Self::Source];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Container => "container",
            Self::Source => "source",
        }
    }

    /// What is measured of it.
    pub(super) fn measures(self) -> Vec<Measure> {
        let of = |metrics: &[Metric]| metrics.iter().copied().map(Measure::Metric).collect::<Vec<_>>();
        match self {
            Self::Service => of(&Metric::OF_RUNS),
            Self::Container => of(&Metric::OF_CONTAINERS).into_iter().chain([Measure::MemoryOfLimit]).collect(),
            Self::Source => of(&Metric::OF_SOURCES),
        }
    }

    /// Kind and name of a subject of samples.
    pub(super) fn of_subject(subject: &str) -> Option<(Self, &str)> {
        let of = |kind: Self| Some((kind, subject.strip_prefix(kind.name())?.strip_prefix(' ')?));
        // Most are containers where there are many.
        of(Self::Container).or_else(|| of(Self::Service)).or_else(|| of(Self::Source))
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

    pub(super) fn unit(self) -> Unit {
        match self {
            Self::Metric(metric) => metric.unit(),
            Self::MemoryOfLimit => Unit::Percent,
        }
    }

    /// How many of what is compared make one of its unit.
    pub(super) fn scale(self) -> u64 {
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

    pub(super) fn parse(self, text: &str) -> Result<u64, String> {
        let plain = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        let (value, hint) = match self.unit() {
            Unit::Percent => {
                let number = plain(text.strip_suffix('%').unwrap_or(text));
                (number.map(|number| number * self.scale() as f64), "a percentage, as 80 or 99.5")
            }
            Unit::Count => (plain(text), "a number, as 200"),
            Unit::Bytes | Unit::BytesPerSecond => {
                let size = parse_size_with_unit(text.strip_suffix("/s").unwrap_or(text));
                return size.map_err(|error| error.to_string());
            }
        };
        // Above 2^53 a float has holes.
        let fits = value.map(f64::round).filter(|value| *value <= 9e15);
        fits.map(|value| value as u64).ok_or_else(|| hint.to_owned())
    }

    /// As it is written, so that it can be read back.
    pub(super) fn written(self, value: u64) -> String {
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

pub(super) fn unmeasured(text: &str, kind: Kind, known: &[Measure]) -> String {
    let names = || known.iter().map(|measure| measure.name());
    let near = did_you_mean(nearest(text, names()));
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
