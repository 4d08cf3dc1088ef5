//! A process that ran already becomes a run (R4.4), and stays one when those who hold it die (R6.7).

use super::*;

use crate::run::Phase;
use crate::units::Span;

impl Bench {
    fn adopt(&mut self, op: u64, project: &Project, name_: &str, pid: u32) {
        let up = Up {
            project: project.clone(),
            targets: vec![],
            profiles: vec![],
            env: vec![],
            origin: Origin { user: Some("ana".to_owned()), ..Origin::default() },
            session: None,
            duration: None,
            wait: true,
            timeout: None,
            adopt: vec![(name(name_), process(pid))],
            keep: false,
        };
        self.step(Event::Request { op: OpId(op), request: Request::Adopt(Box::new(up)) });
    }

    /// What the launch that is under way would tell its keeper to adopt.
    fn adopts(&self, key: &ServiceKey) -> Option<ProcKey> {
        let run = self.supervisor.view(key)?.run?.id;
        let place = LaunchPlace { lock: "/".into(), folder: "/".into(), logs: "/".into() };
        self.supervisor.launch(key, run, place)?.adopt
    }

    /// Its keeper tells that it holds the process.
    fn adopted(&mut self, key: &ServiceKey, pid: u32) {
        self.tell(key, run::What::Locked { keeper: process(1) });
        let (containment, cgroup) = (Containment::Cgroup2, None);
        let started = Some((Wall(1), Mono(1)));
        self.tell(key, run::What::Adopted { main: process(pid), containment, cgroup, started });
    }
}

/// Keepers that say nothing by themselves.
fn quiet() -> Bench {
    Bench { slow: true, ..Bench::new() }
}

/// `db`, ready within 30 seconds when `probe` is answered.
fn probed(probe: crate::manifest::Probe) -> (Bench, Project) {
    let mut project = chain();
    let service = project.services.get_mut("db").expect("db");
    let (every, timeout, within) = (Span::millis(200), Span::secs(2), Span::secs(30));
    service.ready = Some(crate::manifest::Ready { probe, every, timeout, within });
    (quiet(), project)
}

fn tcp() -> crate::manifest::Probe {
    crate::manifest::Probe::Tcp { address: "127.0.0.1:1".to_owned() }
}

/// What it depends on is not there; it runs all the same, and is not started anew when asked for.
#[test]
fn what_runs_waits_for_nobody() {
    let (mut bench, project) = (quiet(), chain());
    let api = key(&project, "api");
    bench.adopt(1, &project, "api", 77);
    assert_eq!(bench.adopts(&api), Some(process(77)));
    assert_eq!(bench.state(&project, "db"), State::Stopped, "nothing else was touched");
    bench.adopted(&api, 77);
    let view = bench.supervisor.view(&api).expect("known");
    let run = view.run.expect("it runs");
    assert!(run.adopted);
    assert_eq!((run.main, run.started), (Some(process(77)), Some(Wall(1))));
    assert_eq!(bench.adopts(&api), None, "the next run is a real one");
    bench.adopt(2, &project, "api", 78);
    assert_eq!(bench.code(2), Some(ExitCode::AlreadyRunning));
}

/// The time that it had before it was ours counts for nothing.
#[test]
fn the_deadline_for_readiness_counts_from_the_adoption() {
    let (mut bench, project) = probed(tcp());
    let db = key(&project, "db");
    bench.adopt(1, &project, "db", 77);
    bench.mono += 3_600_000_000_000;
    bench.adopted(&db, 77);
    bench.step(Event::Tick);
    let why = bench.supervisor.view(&db).and_then(|view| view.why);
    assert_eq!((bench.state(&project, "db"), why), (State::Running, None));
}

/// To be held must not be its end: one that is not found ready goes on, and that is said.
#[test]
fn an_adopted_process_is_not_ended_because_it_is_not_ready() {
    let (mut bench, project) = probed(tcp());
    let db = key(&project, "db");
    bench.adopt(1, &project, "db", 77);
    bench.adopted(&db, 77);
    bench.mono += 30_000_000_000;
    bench.step(Event::Tick);
    assert_eq!((bench.state(&project, "db"), bench.code(1)), (State::Running, Some(ExitCode::No)));
    assert!(!bench.took().contains("stop"), "it is not ended");
    let run = bench.live[&db].0;
    let (purpose, outcome) = (Purpose::Ready, ProbeOutcome::Good);
    bench.step(Event::Probed { key: db, run, purpose, outcome });
    assert_eq!(bench.state(&project, "db"), State::Ready, "late is not never");
}

/// What it writes is not seen: a readiness that is read from it is not asked for.
#[test]
fn readiness_by_output_is_not_asked_of_an_adopted_process() {
    let (mut bench, project) = probed(crate::manifest::Probe::Log { pattern: "^ready".to_owned() });
    let db = key(&project, "db");
    bench.adopt(1, &project, "db", 77);
    bench.adopted(&db, 77);
    assert_eq!((bench.state(&project, "db"), bench.code(1)), (State::Running, Some(ExitCode::Done)));
}

/// Its end is followed by the policy: by a run that is spawned.
#[test]
fn its_end_is_followed_by_the_policy() {
    let (mut bench, project) = (quiet(), chain());
    let db = key(&project, "db");
    bench.adopt(1, &project, "db", 77);
    bench.adopted(&db, 77);
    bench.exit(&db, Exit::Unknown);
    assert_eq!(bench.state(&project, "db"), State::Backoff, "an end that nobody saw counts as a failure");
    let last = bench.supervisor.view(&db).and_then(|view| view.last_exit).expect("it ended");
    assert_eq!(last.exit, Exit::Unknown);
    assert_eq!(bench.adopts(&db), None);
}

/// What could not be adopted lives: nothing is spawned beside it, whatever the policy says.
#[test]
fn what_is_not_adopted_is_left_alone() {
    let failed = |tell: &dyn Fn(&mut Bench, &ServiceKey)| {
        let (mut bench, project) = (quiet(), chain());
        let db = key(&project, "db");
        bench.adopt(1, &project, "db", 77);
        tell(&mut bench, &db);
        assert_eq!(bench.state(&project, "db"), State::Failed);
        assert_eq!(bench.code(1), Some(ExitCode::No));
        let why = bench.supervisor.view(&db).and_then(|view| view.why);
        bench.mono += 600_000_000_000;
        bench.step(Event::Tick);
        assert_eq!(bench.state(&project, "db"), State::Failed, "nothing follows");
        bench.up(2, &project, &["db"]);
        assert_eq!(bench.adopts(&db), None, "a start is a start");
        why.expect("it says why")
    };
    let refused = failed(&|bench, db| {
        bench.tell(db, run::What::Locked { keeper: process(1) });
        bench.tell(db, run::What::AdoptFailed { process: process(77), why: "it has ended".to_owned() });
        bench.tell(db, run::What::Empty);
    });
    assert_eq!(refused, "PID 77 could not be adopted: it has ended");
    let unlaunched = failed(&|bench, db| {
        let run = bench.live[db].0;
        bench.step(Event::LaunchFailed { key: db.clone(), run, why: "no keeper".to_owned() });
    });
    assert_eq!(unlaunched, "no keeper");
}

/// R6.7: the keeper is killed; the process is had again, by another run that holds the same one. When it is gone by then,
/// its run is over.
#[test]
fn the_keeper_dies_and_the_process_stays() {
    let (mut bench, project) = (quiet(), chain());
    let db = key(&project, "db");
    bench.adopt(1, &project, "db", 77);
    bench.adopted(&db, 77);
    let before = bench.live[&db].0;
    bench.took();
    bench.step(Event::KeeperLost { key: db.clone(), run: before });
    assert_eq!((bench.state(&project, "db"), bench.adopts(&db)), (State::Starting, Some(process(77))));
    assert!(!bench.took().contains("Recover"), "nothing is ended");
    bench.adopted(&db, 77);
    assert_eq!(bench.state(&project, "db"), State::Running);
    let again = bench.live[&db].0;
    assert_ne!(before, again);
    bench.step(Event::KeeperLost { key: db.clone(), run: again });
    bench.tell(&db, run::What::Locked { keeper: process(1) });
    bench.tell(&db, run::What::AdoptFailed { process: process(77), why: "it has ended".to_owned() });
    bench.tell(&db, run::What::Empty);
    assert_eq!(bench.state(&project, "db"), State::Backoff, "it was ours, and is over");
}

/// The daemon dies between the intent and the deed, or with the keeper: the next one adopts, and spawns nothing.
#[test]
fn an_adoption_outlives_the_daemon() {
    let (mut bench, project) = (quiet(), chain());
    let db = key(&project, "db");
    bench.adopt(1, &project, "db", 77);
    let intended = bench.supervisor.stored(&db).expect("stored");
    let (run, _) = bench.live[&db];
    bench.adopted(&db, 77);
    let done = bench.supervisor.stored(&db).expect("stored");
    let found = |keeper: Option<ProcKey>, phase, adopted: bool| FoundRun {
        id: run,
        keeper,
        phase,
        main: adopted.then(|| process(77)),
        started: adopted.then_some((Wall(1), Mono(1))),
        adopted: adopted.then_some((Wall(5), Mono(5))),
        containment: None,
        cgroup: None,
        exit: None,
        exited: None,
        left: vec![],
        stopped: None,
        seq: 2,
        attempt: 0,
    };
    let back = |stored: &Stored, found: Option<FoundRun>| {
        let mut bench = Bench { supervisor: Supervisor::new(3), ..quiet() };
        let found = vec![Found { key: db.clone(), run: found }];
        let step = bench.supervisor.restore(bench.now(), true, vec![stored.clone()], found);
        let launches = step.actions.iter().any(|action| matches!(action, Action::Launch { .. }));
        let recovers = step.actions.iter().any(|action| matches!(action, Action::Recover { .. }));
        assert!(!recovers, "nothing is ended");
        (bench.state(&project, "db"), launches, bench.adopts(&db))
    };
    let again = (State::Starting, true, Some(process(77)));
    assert_eq!(back(&intended, None), again, "never launched");
    assert_eq!(back(&intended, Some(found(Some(process(1)), Phase::Locked, false))), again, "locked, not adopted");
    assert_eq!(back(&intended, Some(found(None, Phase::Locked, false))), again, "its keeper died before");
    assert_eq!(back(&done, Some(found(None, Phase::Running, true))), again, "its keeper died after");
    let running = (State::Running, false, None);
    assert_eq!(back(&intended, Some(found(Some(process(1)), Phase::Running, true))), running, "it was adopted");
    assert_eq!(back(&done, Some(found(Some(process(1)), Phase::Running, true))), running);
    let failed = (State::Failed, false, None);
    assert_eq!(back(&intended, Some(found(None, Phase::Empty, false))), failed, "it was left as it is");
}

/// R4.4: who has the port is part of why it failed.
#[test]
fn an_end_is_explained_by_who_has_the_port() {
    let (mut bench, project) = (quiet(), chain());
    let db = key(&project, "db");
    bench.up(1, &project, &["db"]);
    bench.start(&db);
    let run = bench.live[&db].0;
    bench.tell(&db, run::What::Exited { exit: Exit::Code(1) });
    let what = "port 5432/tcp is held by PID 9 (x)".to_owned();
    bench.step(Event::ClaimHeld { key: db.clone(), run, what });
    bench.tell(&db, run::What::Empty);
    let why = bench.supervisor.view(&db).and_then(|view| view.why).expect("it says why");
    assert_eq!(why, "exit code 1; port 5432/tcp is held by PID 9 (x)");
}
