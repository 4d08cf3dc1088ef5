//! What makes a process *this* process.
//!
//! A PID is a number that the kernel gives out again. A process is named by its boot, its PID and its start time
//! (field 22 of `/proc/PID/stat`, clock ticks since boot; proc_pid_stat(5)).

use std::fmt;

use serde::{Deserialize, Serialize};

/// One life of the kernel: `/proc/sys/kernel/random/boot_id` without its dashes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct BootId(pub Box<str>);

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identity of a process. Two that are equal are the same process; a record whose key is not alive blocks
/// nothing, whatever its PID has become (R4.7).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProcKey {
    /// The boot in which it lives or lived.
    pub boot_id: BootId,
    /// Its number in the PID namespace of the reader.
    pub pid: u32,
    /// Clock ticks from boot to its start.
    pub start_ticks: u64,
}

/// The identity of one run: 41 bits of wall milliseconds since 2024, 23 random bits. It names a cgroup and marks an
/// environment, so two runs must never share one: whoever makes many makes them with [`RunId::above`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

impl RunId {
    const RANDOM_BITS: u32 = 23;
    /// 2024-01-01T00:00:00Z in milliseconds since the Unix epoch. 41 bits last until 2093.
    const EPOCH_MILLIS: u64 = 1_704_067_200_000;

    /// Puts the parts together. Of `random` the lower 23 bits count.
    pub fn new(wall: crate::clock::Wall, random: u32) -> Self {
        let millis = (wall.0 / 1_000_000).saturating_sub(Self::EPOCH_MILLIS);
        let random = u64::from(random) & ((1 << Self::RANDOM_BITS) - 1);
        Self((millis << Self::RANDOM_BITS) | random)
    }

    /// As [`RunId::new`], and above `last`, wherever the clock has gone: never one that `last` is or came before.
    pub fn above(last: RunId, wall: crate::clock::Wall, random: u32) -> Self {
        Self::new(wall, random).max(Self(last.0.saturating_add(1)))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl std::str::FromStr for RunId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for RunId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RunId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^[0-9a-f]{1,16}$",
            "description": "A run: 64 bits in hexadecimal, ascending with time."
        })
    }
}

impl Serialize for RunId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_sort_by_time_and_survive_text() {
        let early = RunId::new(crate::clock::Wall(1_800_000_000_000_000_000), u32::MAX);
        let late = RunId::new(crate::clock::Wall(1_800_000_000_001_000_000), 0);
        assert!(early < late);
        assert_eq!(RunId::above(late, crate::clock::Wall(0), 5), RunId(late.0 + 1), "also when the clock jumps back");
        assert_eq!(early.to_string().len(), 16);
        assert_eq!(early.to_string().parse(), Ok(early));
    }
}
