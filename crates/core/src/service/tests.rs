use super::*;
use crate::clock::{Mono, Now, Wall};
use crate::exit::Exit;
use crate::identity::{BootId, ProcKey, RunId};
use crate::launch::{Containment, Scope, ServiceKey};
use crate::manifest::{Alive, Probe, Ready};
use crate::name::Name;
use crate::plan::tests::{name, service as described};
use crate::policy::Draws;
use crate::run::StopCause;
use crate::supervisor::Action;
use crate::units::Span;

fn process(pid: u32) -> ProcKey {
    ProcKey { boot_id: BootId("test".into()), pid, start_ticks: u64::from(pid) }
}

fn now() -> Now {
    Now { mono: Mono(1_000_000_000), wall: Wall(1_700_000_000_000_000_000) }
}

/// A service with both probes, in `state`, with all that belongs to it.
fn service_in(state: State) -> Service {
    let mut manifest = described("api", &[]);
    let probe = Probe::Tcp { address: "127.0.0.1:1".to_owned() };
    manifest.ready =
        Some(Ready { probe: probe.clone(), every: Span::millis(200), timeout: Span::secs(2), within: Span::secs(30) });
    manifest.alive = Some(Alive { probe, every: Span::secs(10), timeout: Span::secs(2), failures: 3 });
    let definition = Definition {
        project: name("demo"),
        dir: "/demo".into(),
        service: manifest,
        mode: None,
        env: std::sync::Arc::default(),
        origin: crate::launch::Origin::default(),
        session: None,
        duration: None,
        keep: false,
    };
    let key = ServiceKey::new(Scope::Project, std::path::Path::new("/demo"), Name::lossy("api"));
    let mut service = Service::new(key, definition, now());
    service.state = state;
    service.wanted = if state == State::Stopped { Wanted::Down } else { Wanted::Up };
    if state.may_live() {
        let mut run = Run::new(RunId(1));
        if state != State::Starting {
            run.keeper = Some(process(1));
            run.main = Some(process(2));
            run.started = Some(now());
        }
        service.run = Some(run);
        service.held = true;
    }
    service
}

fn left() -> crate::run::Left {
    crate::run::Left { process: process(9), name: "dd".into(), state: 'D', kill_pending: true }
}

fn inputs() -> Vec<Input> {
    let due = StopDue { cause: StopCause::Asked, ladder: None };
    vec![
        Input::Start,
        Input::Adopt(process(7)),
        Input::Down(due),
        Input::StopNow,
        Input::Restart,
        Input::Reset,
        Input::Unblocked,
        Input::Blocked { on: name("db"), why: "is failed".to_owned() },
        Input::Refused(None),
        Input::Occupied { what: "port 8000/tcp is held by x (PID 9)".to_owned(), pid: Some(9) },
        Input::LaunchFailed("no keeper".to_owned()),
        Input::Locked(process(1)),
        Input::Started { main: process(2), containment: Containment::Subreaper, cgroup: None, at: now() },
        Input::Adopted { main: process(7), containment: Containment::Cgroup2, cgroup: None, started: None, at: now() },
        Input::AdoptFailed("it has ended".to_owned()),
        Input::SpawnFailed("exec: no such file".to_owned()),
        Input::ProbedReady,
        Input::ProbedUnready("refused".to_owned()),
        Input::ProbedWell,
        Input::ProbedIll("refused".to_owned()),
        Input::ReadyLate,
        Input::Stable,
        Input::DurationOver,
        Input::BackoffOver,
        Input::KeeperStops(StopCause::Tie),
        Input::Exited(Exit::Code(1)),
        Input::Stuck(vec![left()]),
        Input::Quarantine,
        Input::Quarantined,
        Input::QuarantineRefused("KILL is not pending".to_owned()),
        Input::StillHeld("port 8000/tcp is held by PID 9 (x)".to_owned()),
        Input::ClaimHeld("port 8000/tcp is held by PID 9 (x)".to_owned()),
        Input::Empty,
        Input::KeeperLost,
        Input::Recovered,
    ]
}

fn apply(service: &mut Service, input: Input) -> (Result<(), Fault>, Vec<Action>, Vec<String>) {
    let (mut actions, mut entries) = (Vec::new(), Vec::new());
    let mut draws = Draws::new(1);
    let mut reaction = Reaction { now: now(), draws: &mut draws, actions: &mut actions, entries: &mut entries };
    let result = service.apply(input, &mut reaction);
    (result, actions, entries.iter().map(|entry| entry.what.kind().to_owned()).collect())
}

/// R6.1: every pair of state and input, written down. `docs/states.md` is this table; `VIGIE_BLESS=1` writes it anew.
#[test]
fn the_table_is_written_down() {
    let mut page = String::from(
        "# Every state, every input\n\n\
         What each input makes of a service in each state (R6.1), for one with readiness and health probes that is\n\
         restarted on failure. Written by the tests of `vigie-core`; `–` is a pair that cannot happen: it changes\n\
         nothing and is journalled as `internal_fault`. *Italic*: the state stays, but something is noted or done.\n\n",
    );
    page.push_str(&format!("| input | {} |\n", State::ALL.map(State::name).join(" | ")));
    page.push_str(&format!("|---|{}\n", "---|".repeat(State::ALL.len())));
    for input in inputs() {
        page.push_str(&format!("| {} |", input.name()));
        for state in State::ALL {
            let mut service = service_in(state);
            let before = format!("{service:?}");
            let (result, actions, entries) = apply(&mut service, input.clone());
            let unchanged = before == format!("{service:?}") && actions.is_empty() && entries.is_empty();
            let cell = match result {
                Err(fault) => {
                    assert_eq!(fault, Fault { state, input: input.name() });
                    assert!(unchanged, "a fault changes nothing: {fault}");
                    "–".to_owned()
                }
                Ok(()) if service.state != state => service.state.to_string(),
                Ok(()) if unchanged => "·".to_owned(),
                Ok(()) => format!("*{state}*"),
            };
            page.push_str(&format!(" {cell} |"));
        }
        page.push('\n');
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/states.md");
    if std::env::var_os("VIGIE_BLESS").is_some() {
        std::fs::write(&path, &page).expect("docs/states.md can be written");
    }
    let written = std::fs::read_to_string(&path).expect("docs/states.md is there");
    assert_eq!(written, page, "VIGIE_BLESS=1 cargo test -p vigie-core writes it anew");
}

/// The keeper is told to stop exactly when the state leaves for `stopping` by a decision, not when it stops by itself.
#[test]
fn stops_are_ordered_once() {
    for (input, ordered) in [
        (Input::StopNow, true),
        (Input::Restart, true),
        (Input::ReadyLate, true),
        (Input::DurationOver, true),
        (Input::Exited(Exit::Code(0)), false),
        (Input::KeeperStops(StopCause::Tie), false),
        (Input::KeeperLost, false),
    ] {
        let mut service = service_in(State::Running);
        let (result, actions, _) = apply(&mut service, input.clone());
        assert_eq!(result, Ok(()));
        assert_eq!(service.state, State::Stopping);
        let stops = actions.iter().filter(|action| matches!(action, Action::Stop { .. })).count();
        assert_eq!(stops, usize::from(ordered), "{}", input.name());
    }
}

/// R6.2: a spawn does not reset the counter, and giving up is told.
#[test]
fn giving_up_is_a_state_and_an_event() {
    let mut service = service_in(State::Running);
    service.definition.service.restart.attempts = 2;
    let mut kinds = Vec::new();
    for _ in 0..3 {
        for input in [Input::Exited(Exit::Code(1)), Input::Empty] {
            kinds.extend(apply(&mut service, input).2);
        }
        if service.state == State::Backoff {
            for input in [Input::BackoffOver, Input::Unblocked, Input::Locked(process(1))] {
                kinds.extend(apply(&mut service, input).2);
            }
            let main = process(2);
            let started = Input::Started { main, containment: Containment::Subreaper, cgroup: None, at: now() };
            kinds.extend(apply(&mut service, started).2);
        }
    }
    assert_eq!(service.state, State::Failed);
    assert_eq!(kinds, ["restart_scheduled", "restart_scheduled", "gave_up"]);
    assert_eq!(service.restarts, 2);
    let (result, ..) = apply(&mut service, Input::Start);
    assert_eq!((result, service.state, service.attempt), (Ok(()), State::Waiting, 0));
}

/// R5.4: exit code 6 needs a KILL that is pending.
#[test]
fn a_ghost_is_kept_until_it_is_gone() {
    let mut service = service_in(State::Stopping);
    service.wanted = Wanted::Down;
    let (result, ..) = apply(&mut service, Input::Stuck(vec![left()]));
    assert_eq!((result, service.state), (Ok(()), State::Ghost));
    assert_eq!(service.why.as_deref(), Some("dd (PID 9, D, KILL pending)"));
    assert!(service.run.as_ref().is_some_and(Run::kill_pending));
    let (result, actions, kinds) = apply(&mut service, Input::Empty);
    assert_eq!((result, service.state), (Ok(()), State::Stopped));
    assert_eq!(kinds, ["ghost_gone"]);
    assert!(matches!(actions[..], [Action::Release { .. }]));
}

/// R5.4: a quarantine gives the service free for a successor, and a refusal changes nothing but what is said.
#[test]
fn a_quarantine_ends_the_run_and_not_the_ghost() {
    for (wanted, next, after) in
        [(Wanted::Down, Next::Policy, State::Stopped), (Wanted::Up, Next::Restart, State::Waiting)]
    {
        let mut service = service_in(State::Stopping);
        (service.wanted, service.next) = (wanted, next);
        let (result, ..) = apply(&mut service, Input::Stuck(vec![left()]));
        assert_eq!(result, Ok(()));
        let (result, actions, _) = apply(&mut service, Input::Quarantine);
        assert_eq!((result, service.state), (Ok(()), State::Ghost), "asked for, and not yet done");
        assert!(matches!(actions[..], [Action::Quarantine { held: true, run: RunId(1), .. }]));
        let (result, ..) = apply(&mut service, Input::QuarantineRefused("no".to_owned()));
        assert_eq!((result, service.state), (Ok(()), State::Ghost));
        assert_eq!(service.run.as_ref().and_then(|run| run.refused.as_deref()), Some("no"));
        let (result, actions, kinds) = apply(&mut service, Input::Quarantined);
        assert_eq!((result, service.state), (Ok(()), after));
        assert_eq!(
            (actions, kinds),
            (vec![], vec![]),
            "its keeper ends by itself; nobody is told that the ghost is gone"
        );
        assert!(service.run.is_none() && !service.held);
    }
}

/// Whoever names a ladder of his own for a ghost gets it climbed: the manifest's may never have come to KILL.
#[test]
fn a_ghost_can_be_stopped_by_another_ladder() {
    for held in [true, false] {
        let mut service = service_in(State::Stopping);
        service.held = held;
        let (result, ..) = apply(&mut service, Input::Stuck(vec![left()]));
        assert_eq!(result, Ok(()));
        let due = |ladder| Input::Down(StopDue { cause: StopCause::Asked, ladder });
        let (result, actions, _) = apply(&mut service, due(None));
        assert_eq!((result, service.state, actions), (Ok(()), State::Ghost, vec![]), "that one was climbed");
        let (result, actions, _) = apply(&mut service, due(Some(crate::ladder::Ladder::kill())));
        assert_eq!((result, service.state), (Ok(()), State::Stopping));
        let told = actions.iter().filter(|action| match action {
            Action::Stop { ladder, .. } => held && *ladder == Some(crate::ladder::Ladder::kill()),
            Action::Recover { ladder, .. } => !held && *ladder == crate::ladder::Ladder::kill(),
            _ => false,
        });
        assert_eq!(told.count(), 1, "{actions:?}");
    }
}

/// R5.4: a ghost whose keeper dies is looked for once more, and its end is told all the same.
#[test]
fn the_end_of_a_ghost_without_a_keeper_is_told() {
    let mut service = service_in(State::Stopping);
    for input in [Input::Stuck(vec![left()]), Input::KeeperLost] {
        let (result, ..) = apply(&mut service, input);
        assert_eq!(result, Ok(()));
    }
    let (result, _, kinds) = apply(&mut service, Input::Recovered);
    assert_eq!(result, Ok(()));
    assert_eq!(kinds.first().map(String::as_str), Some("ghost_gone"));
    // A run that was none is only over.
    let mut service = service_in(State::Stopping);
    service.held = false;
    let (result, _, kinds) = apply(&mut service, Input::Recovered);
    assert_eq!(result, Ok(()));
    assert!(!kinds.iter().any(|kind| kind == "ghost_gone"), "{kinds:?}");
}

/// Nobody waits for the answer of a keeper that is dead.
#[test]
fn a_quarantine_whose_keeper_dies_is_answered() {
    let mut service = service_in(State::Stopping);
    for input in [Input::Stuck(vec![left()]), Input::Quarantine, Input::KeeperLost, Input::Stuck(vec![left()])] {
        let (result, ..) = apply(&mut service, input);
        assert_eq!(result, Ok(()));
    }
    assert_eq!(service.state, State::Ghost);
    assert!(service.run.as_ref().is_some_and(|run| run.refused.is_some()));
    let (result, actions, _) = apply(&mut service, Input::Quarantine);
    assert_eq!(result, Ok(()));
    assert!(matches!(actions[..], [Action::Quarantine { held: false, .. }]), "somebody else is to do it");
    assert!(service.run.as_ref().is_some_and(|run| run.refused.is_none()));
}
