//! Runs of `vigie run`, which need no daemon: what their keepers wrote down is taken into the journal when a daemon begins
//! or ends its work, and when somebody asks it for events. Nothing wakes for it otherwise.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use vigie_core::identity::RunId;
use vigie_core::journal::{Entry, Subject};
use vigie_core::launch::Holder;
use vigie_core::run::Event;
use vigie_core::supervisor::plain;

use crate::record;

/// What was looked at already.
#[derive(Debug, Default)]
pub(crate) struct Imports(HashMap<PathBuf, (u64, i64, i64)>);

impl Imports {
    /// Entries of what was written down since the last look, without the runs of `present`, whose keepers tell the
    /// daemon themselves. Some of them the journal may have.
    pub(crate) fn look(&mut self, services: &Path, present: &HashSet<RunId>) -> Vec<Entry> {
        let mut entries = Vec::new();
        for folder in record::folders(services).unwrap_or_default() {
            let Some(mark) = record::events_mark(&folder) else { continue };
            if self.0.get(&folder) == Some(&mark) {
                continue;
            }
            let Some(state) = record::read(&folder) else { continue };
            let events = record::events(&folder);
            let foreign = events.iter().filter(|event| !present.contains(&event.run));
            entries.extend(foreign.map(|event| entry(&state.holder, event)));
            if events.iter().all(|event| !present.contains(&event.run)) {
                self.0.insert(folder, mark);
            }
        }
        entries
    }
}

/// Everything that keepers have written down and may not yet be in the journal, oldest first: for whoever looks without
/// a daemon.
pub fn written_down(services: &Path) -> Vec<Entry> {
    let mut entries = Imports::default().look(services, &HashSet::new());
    entries.sort_by_key(|entry| entry.at);
    entries
}

/// The entry of an event of a run of which nothing else is known.
pub(crate) fn entry(holder: &Holder, event: &Event) -> Entry {
    let subject = Subject::Service {
        project: holder.project.clone(),
        service: holder.key.service.clone(),
        mode: holder.mode.clone(),
    };
    let by = if holder.managed && holder.run == event.run { "a daemon" } else { "vigie run" };
    Entry::of_keeper(event.at, subject, event.run, event.seq, plain(&event.what, by))
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::clock::{Mono, Wall};
    use vigie_core::identity::{BootId, ProcKey};
    use vigie_core::launch::{Origin, Scope, ServiceKey};
    use vigie_core::name::Name;
    use vigie_core::run::{Phase, What};
    use vigie_wire::keeper::State;

    #[test]
    fn what_a_keeper_wrote_down_is_taken_once() {
        let services = tempfile::tempdir().expect("folder");
        let folder = services.path().join("x-1");
        std::fs::create_dir(&folder).expect("folder");
        let name = |text| Name::new(text).expect("name");
        let keeper = ProcKey { boot_id: BootId("b".into()), pid: 1, start_ticks: 1 };
        let holder = Holder {
            run: RunId(7),
            key: ServiceKey::new(Scope::User, Path::new("/"), name("x")),
            project: name("home"),
            mode: None,
            keeper,
            main: None,
            since: Wall(0),
            origin: Origin::default(),
            adopted: false,
            managed: false,
            attempt: 0,
        };
        let state = State {
            version: 1,
            program: String::new(),
            holder,
            seq: 1,
            phase: Phase::Empty,
            containment: None,
            cgroup: None,
            started: None,
            adopted: None,
            adopting: None,
            exit: None,
        };
        record::write(&folder, &state).expect("written");
        let event = |run, seq| {
            let event = Event { run: RunId(run), seq, at: Wall(1), mono: Mono(1), what: What::Empty };
            format!("{}\n", serde_json::to_string(&event).expect("encodes"))
        };
        let path = folder.join("events.jsonl");
        std::fs::write(&path, event(7, 1) + &event(8, 1) + "{\"torn").expect("written");
        let mut imports = Imports::default();
        let present = HashSet::from([RunId(8)]);
        let found = imports.look(services.path(), &present);
        assert_eq!(found.iter().map(|entry| entry.run).collect::<Vec<_>>(), [Some(RunId(7))]);
        assert_eq!(imports.look(services.path(), &HashSet::new()).len(), 2, "the other one is over");
        assert_eq!(imports.look(services.path(), &HashSet::new()), []);
        std::fs::write(&path, event(7, 1) + &event(7, 2) + &event(7, 3)).expect("written");
        assert_eq!(imports.look(services.path(), &HashSet::new()).len(), 3);
    }
}
