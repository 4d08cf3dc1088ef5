//! What the world says when a daemon begins its work (R6.7): which runs their keepers hold, which are over, which have
//! lost their keeper, and what happened while nobody listened.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vigie_core::launch::ServiceKey;
use vigie_core::run::{Event, Phase, What};
use vigie_core::supervisor::{Found, FoundRun};
use vigie_os::ghosts;
use vigie_os::proc::Proc;
use vigie_wire::keeper::State;

use crate::link::{Connection, Talk};
use crate::record;

/// How long a living keeper may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two tries to reach a keeper that has just been born.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What was found of one service that the daemon manages.
pub(crate) struct Discovery {
    pub(crate) found: Found,
    /// Its keeper, when one answers.
    pub(crate) connection: Option<Connection>,
    /// What its keepers wrote down and nobody has acknowledged, in order.
    pub(crate) events: Vec<Event>,
}

/// Looks at the folders of these services. All keepers are asked at once.
pub(crate) async fn take(services: &Path, managed: &HashSet<ServiceKey>, proc: &Proc) -> Vec<Discovery> {
    let looks: Vec<_> = managed
        .iter()
        .map(|key| {
            let folder = services.join(key.folder());
            let boot = proc.boot_id().clone();
            let key = key.clone();
            tokio::spawn(async move {
                let record = record::read(&folder).filter(|state| state.holder.keeper.boot_id == boot)?;
                Some(discover(key, folder, record).await)
            })
        })
        .collect();
    let mut discoveries = Vec::with_capacity(looks.len());
    for look in looks {
        if let Ok(Some(discovery)) = look.await {
            discoveries.push(discovery);
        }
    }
    discoveries
}

async fn discover(key: ServiceKey, folder: PathBuf, record: State) -> Discovery {
    let reached = reach(&folder, &record).await;
    let (state, connection) = match reached {
        Some((talk, state)) => {
            let connection = Connection::found(talk, &state);
            (state, Some(connection))
        }
        // It may have ended in this moment: what it wrote last counts.
        None => (record::read(&folder).unwrap_or(record), None),
    };
    let mut events = record::events(&folder);
    if !state.holder.managed {
        // A `vigie run` of the same name came after the last run of ours. It is nobody's to adopt, and its record has
        // taken the place of ours; what is left of that are its events.
        return Discovery { found: Found { key, run: over(&events, &state) }, connection: None, events };
    }
    let set_aside = ghosts::find(&ghosts::beside(&folder), state.holder.run).is_some();
    let found = Found { key, run: Some(found_run(&state, connection.is_some(), set_aside, &events)) };
    if connection.is_some() {
        // Its keeper tells them again.
        events.retain(|event| event.run != state.holder.run);
    }
    Discovery { found, connection, events }
}

/// Connects to a keeper and asks it where it stands, as long as it lives.
async fn reach(folder: &Path, record: &State) -> Option<(Talk, State)> {
    let asked = async {
        loop {
            if let Ok(mut talk) = Talk::connect(folder)
                && let Ok(state) = talk.introduce(0, PATIENCE).await
            {
                return Some((talk, state));
            }
            let alive = Proc::system().and_then(|proc| proc.is_alive(&record.holder.keeper)).unwrap_or(false);
            if !alive {
                return None;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.ok().flatten()
}

/// The last run before that of `other`, as far as its events tell: it is over, or the lock could not have been taken.
fn over(events: &[Event], other: &State) -> Option<FoundRun> {
    let last = events.iter().rev().find(|event| event.run != other.holder.run)?;
    let mut state =
        State { seq: last.seq, phase: Phase::Empty, started: None, adopted: None, exit: None, ..other.clone() };
    state.holder.run = last.run;
    state.holder.main = None;
    for event in events.iter().filter(|event| event.run == last.run) {
        match &event.what {
            What::Started { .. } => state.started = Some((event.at, event.mono)),
            What::Adopted { started, .. } => {
                (state.started, state.adopted) = (*started, Some((event.at, event.mono)));
            }
            What::Exited { exit } => state.exit = Some(*exit),
            _ => {}
        }
    }
    Some(found_run(&state, false, false, events))
}

fn found_run(state: &State, answers: bool, set_aside: bool, events: &[Event]) -> FoundRun {
    let run = state.holder.run;
    let stopped = events.iter().rev().find_map(|event| match event.what {
        What::Stopping { cause } if event.run == run => Some(cause),
        _ => None,
    });
    // The record forgets its main process with the end of the tree; the events remember.
    let main = state.holder.main.clone().or_else(|| {
        events.iter().find_map(|event| match &event.what {
            What::Started { main, .. } | What::Adopted { main, .. } if event.run == run => Some(main.clone()),
            _ => None,
        })
    });
    // The record of a ghost decides, should its keeper have been killed right after it wrote that.
    let phase = if set_aside && !answers { Phase::Quarantined } else { state.phase };
    let left = events.iter().rev().find_map(|event| match &event.what {
        What::Stuck { left, .. } if event.run == run => Some(left.clone()),
        _ => None,
    });
    let exited = events.iter().find_map(|event| match event.what {
        What::Exited { .. } if event.run == run => Some(event.at),
        _ => None,
    });
    FoundRun {
        id: run,
        keeper: answers.then(|| state.holder.keeper.clone()),
        phase,
        main: if phase.is_over() { None } else { main },
        started: state.started,
        adopted: state.adopted,
        containment: state.containment,
        cgroup: state.cgroup.clone(),
        exit: state.exit,
        exited,
        left: left.filter(|_| phase == Phase::Stuck).unwrap_or_default(),
        stopped,
        seq: state.seq,
        attempt: state.holder.attempt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::clock::{Mono, Wall};
    use vigie_core::exit::Exit;
    use vigie_core::identity::{BootId, ProcKey, RunId};
    use vigie_core::launch::{Holder, Origin, Scope};
    use vigie_core::name::Name;
    use vigie_core::run::StopCause;

    use crate::test::run;

    fn key(name: &str) -> ServiceKey {
        ServiceKey::new(Scope::User, Path::new("/"), Name::new(name).expect("name"))
    }

    /// A record as a keeper that is dead left it.
    fn record(key: &ServiceKey, boot: &BootId, phase: Phase) -> State {
        // A number that was never given: its start lies before the boot.
        let keeper = ProcKey { boot_id: boot.clone(), pid: 1, start_ticks: 0 };
        let holder = Holder {
            run: RunId(9),
            key: key.clone(),
            project: Name::new("demo").expect("name"),
            mode: None,
            main: Some(ProcKey { pid: 2, ..keeper.clone() }),
            keeper,
            since: Wall(1),
            origin: Origin::default(),
            adopted: false,
            managed: true,
            attempt: 4,
        };
        State {
            version: 1,
            program: String::new(),
            holder,
            seq: 5,
            phase,
            containment: None,
            cgroup: None,
            started: Some((Wall(2), Mono(3))),
            adopted: None,
            adopting: None,
            exit: Some(Exit::Code(7)),
        }
    }

    /// R6.7, R4.7: what keepers wrote down counts; what another boot wrote down does not.
    #[test]
    fn records_of_this_boot_are_found() {
        let services = tempfile::tempdir().expect("folder");
        let proc = Proc::system().expect("/proc");
        let boot = proc.boot_id().clone();
        let other = BootId("0".into());
        for (name, boot, phase) in
            [("over", &boot, Phase::Empty), ("lost", &boot, Phase::Running), ("old", &other, Phase::Running)]
        {
            let folder = services.path().join(key(name).folder());
            std::fs::create_dir(&folder).expect("folder");
            record::write(&folder, &record(&key(name), boot, phase)).expect("written");
            let event = |run, seq, what| {
                let event = Event { run: RunId(run), seq, at: Wall(1), mono: Mono(1), what };
                serde_json::to_string(&event).expect("encodes") + "\n"
            };
            let text = event(8, 9, What::Stopping { cause: StopCause::Tie })
                + &event(9, 4, What::Stopping { cause: StopCause::Asked })
                + &event(9, 5, What::Empty);
            std::fs::write(folder.join("events.jsonl"), text).expect("written");
        }
        let managed = ["over", "lost", "old", "never"].map(key).into();
        run(async {
            let mut found = take(services.path(), &managed, &proc).await;
            found.sort_by(|a, b| a.found.key.cmp(&b.found.key));
            let names: Vec<_> = found.iter().map(|discovery| discovery.found.key.service.as_str().to_owned()).collect();
            assert_eq!(names, ["lost", "over"]);
            for discovery in &found {
                assert!(discovery.connection.is_none());
                assert_eq!(discovery.events.len(), 3);
                let run = discovery.found.run.as_ref().expect("a run");
                assert_eq!((run.id, run.seq, run.attempt, run.keeper.as_ref()), (RunId(9), 5, 4, None));
                assert_eq!((run.exit, run.stopped), (Some(Exit::Code(7)), Some(StopCause::Asked)));
            }
        });
    }

    /// The record of a `vigie run` has taken the place of ours: it is not adopted, and how ours ended is still known.
    #[test]
    fn a_run_from_elsewhere_hides_nothing() {
        let services = tempfile::tempdir().expect("folder");
        let proc = Proc::system().expect("/proc");
        let key = key("web");
        let folder = services.path().join(key.folder());
        std::fs::create_dir(&folder).expect("folder");
        let mut foreign = record(&key, proc.boot_id(), Phase::Running);
        foreign.holder.managed = false;
        record::write(&folder, &foreign).expect("written");
        let event = |run, seq, what| {
            let event = Event { run: RunId(run), seq, at: Wall(seq), mono: Mono(seq), what };
            serde_json::to_string(&event).expect("encodes") + "\n"
        };
        let text = event(8, 1, What::Stopping { cause: StopCause::Tie })
            + &event(8, 2, What::Exited { exit: Exit::Code(3) })
            + &event(8, 3, What::Empty)
            + &event(9, 1, What::Locked { keeper: foreign.holder.keeper.clone() });
        std::fs::write(folder.join("events.jsonl"), text).expect("written");
        run(async {
            let found = take(services.path(), &[key.clone()].into(), &proc).await;
            assert!(found[0].connection.is_none());
            let run = found[0].found.run.as_ref().expect("the last run of ours");
            assert_eq!((run.id, run.seq, run.phase, run.keeper.as_ref()), (RunId(8), 3, Phase::Empty, None));
            let end = (run.exit, run.exited, run.stopped);
            assert_eq!(end, (Some(Exit::Code(3)), Some(Wall(2)), Some(StopCause::Tie)));
        });
    }
}
