//! What of the engine outlives the daemon.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::containers::ContainerTrack;
use super::incident::{Cause, Clockwork, Incident};
use super::judge::Stretch;
use super::rule::RuleId;
use super::rules::{Edits, Rules};
use super::signs::Track;
use super::silence::Silence;
use super::{Engine, folded, key};
use crate::clock::{Mono, Now};
use crate::journal::Subject;

/// The engine as it is stored, beside its rules and silences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// When it was stored: points in time of another boot are measured from here.
    saved: Now,
    /// See [`Engine::cursor`].
    cursor: u64,
    next: u64,
    origin: u64,
    live: Vec<Incident>,
    tracks: Vec<(Subject, Track)>,
    cooldowns: Vec<(Subject, Cause, Mono)>,
    past: VecDeque<u64>,
    #[serde(default)]
    containers: Vec<(Subject, ContainerTrack)>,
    #[serde(default)]
    stretches: Vec<(RuleId, String, Stretch)>,
}

impl Engine {
    /// What is to be stored.
    pub fn kept(&self, now: Now) -> Kept {
        Kept {
            saved: now,
            cursor: self.cursor,
            next: self.next,
            origin: self.origin,
            live: self.live.values().cloned().collect(),
            tracks: self.tracks.iter().map(|(subject, track)| (subject.clone(), track.clone())).collect(),
            cooldowns: self
                .cooldowns
                .iter()
                .map(|((subject, cause), at)| (subject.clone(), cause.clone(), *at))
                .collect(),
            past: self.past.clone(),
            containers: self.containers.iter().map(|(subject, track)| (subject.clone(), track.clone())).collect(),
            stretches: self.kept_stretches(),
        }
    }

    /// From what was stored. In another boot the clock that never jumps began anew; then the wall clock says how much time
    /// has passed. Then the entries behind [`Engine::cursor`] are to be heard, and [`Engine::tick`] to be called.
    pub fn restore(
        kept: Kept,
        rules: impl IntoIterator<Item = (RuleId, Edits)>,
        silences: impl IntoIterator<Item = Silence>,
        now: Now,
        same_boot: bool,
    ) -> Self {
        let saved = kept.saved;
        let moved = |at: Mono| if same_boot { at } else { moved(at, saved, now) };
        let incident = |mut incident: Incident| {
            let clock = incident.clock;
            incident.clock = Clockwork {
                first: moved(clock.first),
                raise_at: clock.raise_at.map(moved),
                clear_at: clock.clear_at.map(moved),
                told_at: moved(clock.told_at),
                ..clock
            };
            (key(&incident), incident)
        };
        let track = |(subject, mut track): (Subject, Track)| {
            track.ends = track.ends.into_iter().map(moved).collect();
            (subject, track)
        };
        let container = |(subject, track): (Subject, ContainerTrack)| (subject, track.moved(moved));
        let mut stretches: BTreeMap<RuleId, BTreeMap<String, Stretch>> = BTreeMap::new();
        for (rule, subject, stretch) in kept.stretches {
            stretches.entry(rule).or_default().insert(subject, stretch.moved(moved));
        }
        let silences = silences.into_iter().map(|silence| {
            // What people were told decides: that long it lasts.
            let left = silence.ends.0.saturating_sub(now.wall.0);
            let until = if same_boot { silence.until } else { Mono(now.mono.0.saturating_add(left)) };
            (silence.id, Silence { until, ..silence })
        });
        Self {
            rules: Rules::new(rules),
            silences: silences.collect::<BTreeMap<_, _>>(),
            tracks: kept.tracks.into_iter().map(track).collect(),
            live: kept.live.into_iter().map(incident).collect(),
            cooldowns: kept
                .cooldowns
                .into_iter()
                .map(|(subject, cause, at)| ((folded(&subject), cause), moved(at)))
                .collect(),
            past: kept.past,
            next: kept.next,
            origin: kept.origin,
            cursor: kept.cursor,
            unstored: 0,
            flush_at: None,
            changed: BTreeSet::new(),
            containers: kept.containers.into_iter().map(container).collect(),
            stretches,
            grown: BTreeSet::new(),
        }
    }
}

/// A point in time of another boot, on the clock of this one.
fn moved(at: Mono, saved: Now, now: Now) -> Mono {
    let passed = i128::from(now.wall.0.saturating_sub(saved.wall.0));
    let moved = i128::from(now.mono.0) - passed + i128::from(at.0) - i128::from(saved.mono.0);
    Mono(u64::try_from(moved.max(0)).unwrap_or(u64::MAX))
}
