//! What an engine does wrong, and of what kind it is.

use std::time::Duration;

/// Whose answers it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Docker on Linux with cgroup v1.
    DockerV1,
    /// Docker on Linux with cgroup v2.
    #[default]
    DockerV2,
    /// Docker on Windows.
    Windows,
    /// Podman's compatible API (`pkg/api/handlers/compat`): it keeps every event, says `remove` for `destroy`, and tells of
    /// health in an attribute, after each check.
    Podman,
    /// The same, so old that it says `died` for `die`.
    OldPodman,
}

impl Kind {
    /// It is one of Podman's.
    pub fn is_podman(self) -> bool {
        matches!(self, Self::Podman | Self::OldPodman)
    }
}

/// What is wrong with the counters of `stats`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wrong {
    /// Nothing.
    #[default]
    Nothing,
    /// Processor time is lower each time than it was before.
    Backwards,
    /// They begin anew with each answer.
    Reset,
    /// `system_cpu_usage` is 0.
    NoSystem,
    /// Memory is 0 throughout, as where its controller is off.
    NoMemory,
}

/// What it does wrong. Everything may be changed while it runs.
#[derive(Debug, Clone)]
pub struct Faults {
    /// The version of the API that it names; `""`: none.
    pub api: String,
    /// Whose answers it gives.
    pub kind: Kind,
    /// Events bear type, action and actor a second time, as those before 29 do.
    pub repeats_fields: bool,
    /// Every answer takes so long.
    pub slow: Duration,
    /// Bodies of streams arrive in chunks of so many bytes, wherever that cuts them; 0: as they come.
    pub split: usize,
    /// Each event comes twice.
    pub doubles: bool,
    /// Events that wait are delivered in reverse order, so many at a time; 0: in order.
    pub reorders: usize,
    /// Between events come lines that nobody understands, events of types that nobody knows, and fields that nobody knows.
    pub babbles: bool,
    /// Streams stay open, and nothing comes any more.
    pub is_deaf: bool,
    /// Its clock, in seconds beside ours.
    pub skew: i64,
    /// Lists are followed by so many bytes of white space.
    pub bloat: usize,
    /// What is wrong with counters.
    pub counters: Wrong,
    /// It has so many containers more than it has, which are listed and are gone when they are asked for.
    pub vanishing: usize,
    /// The status of the answer about one that vanished: 404, or 409 as for one that is being removed.
    pub vanished: u16,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            api: "1.41".to_owned(),
            kind: Kind::default(),
            repeats_fields: true,
            slow: Duration::ZERO,
            split: 0,
            doubles: false,
            reorders: 0,
            babbles: false,
            is_deaf: false,
            skew: 0,
            bloat: 0,
            counters: Wrong::default(),
            vanishing: 0,
            vanished: 404,
        }
    }
}

impl Faults {
    /// Nothing wrong, in this version of the API.
    pub fn of(api: &str) -> Self {
        // Moby 29, which speaks 1.52, is the first without the fields of old.
        let repeats_fields = version(api) < (1, 52);
        Self { api: api.to_owned(), repeats_fields, ..Self::default() }
    }

    /// As Podman answers.
    pub fn podman() -> Self {
        Self { kind: Kind::Podman, ..Self::of("1.41") }
    }

    /// The version as numbers.
    pub(crate) fn version(&self) -> (u16, u16) {
        version(&self.api)
    }
}

fn version(api: &str) -> (u16, u16) {
    let parsed = api.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    parsed.unwrap_or((1, 41))
}
