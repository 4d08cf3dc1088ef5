//! Sources as vigie shows them, and what its journal has of them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::recording::Told;
use crate::wait::until;
use crate::world::World;

/// What is kept when nobody says otherwise.
const KEPT: [&str; 13] = [
    "create",
    "start",
    "stop",
    "die",
    "kill",
    "restart",
    "pause",
    "unpause",
    "destroy",
    "rename",
    "update",
    "oom",
    "health_status",
];

/// `since` lies so much before the cursor: so far a gap may reach beyond what it says.
const OVERLAP: u64 = 2_000_000_000;

impl World {
    /// `vigie source ls --json`
    #[track_caller]
    pub fn sources(&self) -> Value {
        let done = self.vigie(&["source", "ls", "--json"]).run().code(0);
        serde_json::from_slice(&done.out).unwrap_or_else(|error| panic!("{error}: {done}"))
    }

    /// One of them.
    #[track_caller]
    pub fn source(&self, name: &str) -> Value {
        let sources = self.sources();
        let found = sources["sources"].as_array().into_iter().flatten().find(|source| source["name"] == name);
        found.cloned().unwrap_or_else(|| panic!("no source {name}: {sources:#}"))
    }

    /// Waits until nothing of it is missed.
    #[track_caller]
    pub fn wait_live(&self, name: &str) {
        until(&format!("{name} is followed"), || {
            let source = self.source(name);
            (source["stage"] == "live" && source["online"] == true).then_some(())
        });
    }

    /// What the journal has about these targets.
    #[track_caller]
    pub fn told(&self, targets: &[&str]) -> Vec<Value> {
        let done = self.vigie(&[&["events", "--json", "-n", "1000000"], targets].concat()).run();
        // 8: nothing is known of it yet.
        assert!(matches!(done.status.code(), Some(0 | 8)), "{done}");
        let lines = done.out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error}: {done}"))).collect()
    }

    /// Waits until the last thing that happened to a container is this.
    #[track_caller]
    pub fn wait_last(&self, target: &str, action: &str) -> Vec<Value> {
        until(&format!("{action} of {target} is told"), || {
            let events = self.told(&[target]);
            (actions(&events).last().map(String::as_str) == Some(action)).then_some(events)
        })
    }

    /// Waits until so many events of this kind are told of a source.
    #[track_caller]
    pub fn wait_kind(&self, source: &str, kind: &str, count: usize) -> Vec<Value> {
        let target = format!("source:{source}");
        until(&format!("{kind} of {source} is told"), || {
            let events: Vec<Value> = of_kind(&self.told(&[&target]), kind).into_iter().cloned().collect();
            (events.len() >= count).then_some(events)
        })
    }
}

/// The actions of those that are about containers.
pub fn actions(events: &[Value]) -> Vec<String> {
    events.iter().filter_map(|event| Some(event["detail"]["action"].as_str()?.to_owned())).collect()
}

/// Those of this kind.
pub fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["kind"] == kind).collect()
}

/// What the journal and what happened have to do with each other.
#[derive(Debug, Default)]
pub struct Compared {
    /// Happened, is not in the journal, and no gap tells of it.
    pub missing: Vec<Told>,
    /// Happened, is not in the journal, and lies in a gap.
    pub in_gaps: usize,
    /// Is in the journal more than once.
    pub doubled: Vec<Told>,
    /// Is in the journal and did not happen.
    pub invented: Vec<Told>,
    /// Is there because a list showed it.
    pub inferred: usize,
}

impl Compared {
    /// Each once, each hole a gap, nothing else.
    ///
    /// # Panics
    /// When that is not so.
    #[track_caller]
    pub fn assert_right(&self) {
        assert!(self.missing.is_empty(), "missing without a gap: {:?}", self.missing);
        assert!(self.doubled.is_empty(), "told twice: {:?}", self.doubled);
        assert!(self.invented.is_empty(), "never happened: {:?}", self.invented);
    }
}

/// Compares what happened with what a journal has of one source.
pub fn compare(truth: &BTreeSet<Told>, events: &[Value]) -> Compared {
    let mut compared = Compared::default();
    let mut journal = BTreeSet::new();
    let gaps: Vec<(u64, u64)> = of_kind(events, "gap")
        .iter()
        .filter_map(|gap| Some((gap["detail"]["from"].as_u64()?, gap["detail"]["to"].as_u64()?)))
        .collect();
    for event in of_kind(events, "container_event") {
        let detail = &event["detail"];
        let text = |name: &str| detail[name].as_str().unwrap_or_default().to_owned();
        let Some(at) = detail["time_nano"].as_u64() else {
            compared.inferred += 1;
            continue;
        };
        let told = (at, text("action"), text("id"));
        if !truth.contains(&told) {
            compared.invented.push(told.clone());
        }
        if !journal.insert(told.clone()) {
            compared.doubled.push(told);
        }
    }
    for told in truth.iter().filter(|(_, action, _)| KEPT.contains(&action.as_str())) {
        if journal.contains(told) {
            continue;
        }
        if gaps.iter().any(|(from, to)| from.saturating_sub(OVERLAP) <= told.0 && told.0 <= to + OVERLAP) {
            compared.in_gaps += 1;
        } else {
            compared.missing.push(told.clone());
        }
    }
    compared
}
