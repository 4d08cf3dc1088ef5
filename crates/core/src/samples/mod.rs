//! Samples: what was measured of whom and when, how it is condensed with age, and what answers a question about a
//! stretch of time (R10.2).
//!
//! # Theory of operation
//!
//! A *sample* is what was measured of one [`Subject`] at one moment: a value for each [`Metric`] that could be seen. What
//! could not is not in it, and is never 0; the CPU share needs two looks, so the first sample of a process has none. A
//! *series* is one metric of one subject. It knows nothing of processes: a service that is restarted goes on with its
//! series, and the time in which nothing of it ran is a gap.
//!
//! Samples lie on the wall clock, because that is what people ask by. It may jump, so time stands still or goes back now
//! and then: no order is assumed. A sample that comes late goes into the bucket of its time, and what was made of that
//! bucket is made again. What lies further from the present than [`LATE`], before or behind, is refused and counted; what
//! lies further from it than the age of its [`Level`], before or behind, is forgotten.
//!
//! With age, samples become [`Rollup`]s: minimum, maximum, sum, count, first and last of a bucket of time. They are made
//! from the rollups of the next finer level, which is the same as from the samples themselves, because all values are whole
//! numbers of a small unit. Nothing is interpolated: a bucket in which nothing was measured does not exist.

mod ladder;
mod metric;
mod pack;
mod range;
mod rollup;

use std::fmt;
use std::time::Duration;

use crate::clock::Wall;
use crate::launch::ServiceKey;
use crate::name::Name;
use crate::text::escaped;

pub use ladder::Level;
pub use metric::{Metric, Unit};
pub use pack::{Readings, Rollups, pack_readings, pack_rollups, reading, unpack_readings, unpack_rollups};
pub use range::{Gap, Pace, Point, Seen, Summary, columns, gaps, level_for, step_for};
pub use rollup::Rollup;

/// How far from the present a sample may lie. Batches wait for seconds; what lies further away comes from a clock that
/// jumped between the look and its storing.
pub const LATE: Duration = Duration::from_secs(120);

/// Whose series they are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// As people read it: a kind, a space, a name that the kind understands: `service demo/api:headless`,
    /// `container SOURCE/ID`, `source NAME`.
    pub name: String,
    /// What tells two of one name apart: for a service the name of its folder, which holds a hash of its key, because two
    /// projects may bear one name; for a container the name that it had. Empty where the name is enough.
    pub key: String,
}

/// The longest id and name of a container that are taken, in characters. Docker has ids of 64.
const LONGEST: usize = 128;

impl Subject {
    /// A service.
    pub fn service(project: &Name, service: &Name, mode: Option<&Name>, key: &ServiceKey) -> Self {
        let mode = mode.map_or_else(String::new, |mode| format!(":{mode}"));
        Self { name: format!("service {project}/{service}{mode}"), key: key.folder() }
    }

    /// A container, by its id, which is never given twice. Its name is what is to be found, and may change: each name begins
    /// another series. Absent when the id is none: engines give hexadecimal digits.
    pub fn container(source: &Name, id: &str, name: &str) -> Option<Self> {
        let sound = (1..=LONGEST).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        sound.then(|| Self { name: format!("container {source}/{id}"), key: Self::container_key(name) })
    }

    /// The key of a container of this name. Whatever an engine says, it is some characters that can be shown.
    pub fn container_key(name: &str) -> String {
        escaped(name.as_bytes()).chars().take(LONGEST).collect()
    }

    /// Source and id, when it is a container.
    pub fn as_container(&self) -> Option<(Name, &str)> {
        let (source, id) = self.name.strip_prefix("container ")?.split_once('/')?;
        Some((Name::new(source).ok()?, id))
    }

    /// A source: its containers together, its host, its disk.
    pub fn source(source: &Name) -> Self {
        Self { name: format!("source {source}"), key: String::new() }
    }

    /// How often it is measured.
    pub fn pace(&self) -> Pace {
        if self.as_service().is_some() { Pace::Fine } else { Pace::Any }
    }

    /// Its name, when it is a source.
    pub fn as_source(&self) -> Option<Name> {
        Name::new(self.name.strip_prefix("source ")?).ok()
    }

    /// Project, name and mode, when it is a service.
    pub fn as_service(&self) -> Option<(Name, Name, Option<Name>)> {
        let (project, rest) = self.name.strip_prefix("service ")?.split_once('/')?;
        let (service, mode) = match rest.split_once(':') {
            Some((service, mode)) => (service, Some(Name::new(mode).ok()?)),
            None => (rest, None),
        };
        Some((Name::new(project).ok()?, Name::new(service).ok()?, mode))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

/// Milliseconds since 1970, UTC: where a sample lies on the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub u64);

impl From<Wall> for Moment {
    fn from(wall: Wall) -> Self {
        Self(wall.0 / 1_000_000)
    }
}

impl From<Moment> for Wall {
    fn from(moment: Moment) -> Self {
        Self(moment.0.saturating_mul(1_000_000))
    }
}

impl Moment {
    /// So many milliseconds later.
    #[must_use]
    pub fn after(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// So many milliseconds earlier.
    #[must_use]
    pub fn before(self, millis: u64) -> Self {
        Self(self.0.saturating_sub(millis))
    }

    /// How many milliseconds lie between the two, whichever is the earlier.
    pub fn distance(self, other: Self) -> u64 {
        self.0.abs_diff(other.0)
    }

    /// Whether a sample of this moment is taken at the present `now`.
    pub fn is_taken(self, now: Self) -> bool {
        self.distance(now) <= millis(LATE)
    }
}

/// A duration in whole milliseconds.
pub const fn millis(duration: Duration) -> u64 {
    // No duration here is longer than some months.
    duration.as_millis() as u64
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
