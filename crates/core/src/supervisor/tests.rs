use std::collections::BTreeMap;

use super::*;
use crate::clock::{Mono, Wall};
use crate::exit::Exit;
use crate::exit_code::ExitCode;
use crate::identity::{BootId, ProcKey};
use crate::launch::{Containment, Origin, Tie};
use crate::manifest::{Condition, Kind, Project};
use crate::plan::tests::{name, project, service};
use crate::run;
use crate::service::{State, Wanted};

/// A supervisor with keepers that do what they are told at once.
struct Bench {
    supervisor: Supervisor,
    mono: u64,
    /// The runs that are up, with the number of their last event.
    live: BTreeMap<ServiceKey, (crate::identity::RunId, u64)>,
    done: Vec<String>,
    replies: BTreeMap<OpId, Outcome>,
    /// Keepers answer only when asked to.
    slow: bool,
}

impl Bench {
    fn new() -> Self {
        let live = BTreeMap::new();
        Self {
            supervisor: Supervisor::new(1),
            mono: 1_000_000_000,
            live,
            done: vec![],
            replies: BTreeMap::new(),
            slow: false,
        }
    }

    fn now(&self) -> Now {
        Now { mono: Mono(self.mono), wall: Wall(1_700_000_000_000_000_000 + self.mono) }
    }

    fn step(&mut self, event: Event) {
        let step = self.supervisor.step(self.now(), event);
        for action in step.actions {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Launch { key, run } => {
                self.done.push(format!("launch {}", key.service));
                self.live.insert(key.clone(), (run, 0));
                if !self.slow {
                    self.start(&key);
                }
            }
            Action::Stop { key, .. } => {
                self.done.push(format!("stop {}", key.service));
                if !self.slow {
                    self.exit(&key, Exit::Signal { signal: 15, core_dumped: false });
                }
            }
            Action::Release { key } => self.done.push(format!("release {}", key.service)),
            Action::Reply { op, outcome } => {
                self.replies.insert(op, outcome);
            }
            other => self.done.push(format!("{other:?}").chars().take_while(|c| c.is_alphanumeric()).collect()),
        }
    }

    fn tell(&mut self, key: &ServiceKey, what: run::What) {
        let now = self.now();
        let Some((run, seq)) = self.live.get_mut(key) else { return };
        *seq += 1;
        let event = run::Event { run: *run, seq: *seq, at: now.wall, mono: now.mono, what };
        self.step(Event::Keeper { key: key.clone(), event });
    }

    fn start(&mut self, key: &ServiceKey) {
        self.tell(key, run::What::Locked { keeper: process(1) });
        let (containment, cgroup) = (Containment::Subreaper, None);
        self.tell(key, run::What::Started { main: process(2), containment, cgroup });
    }

    fn exit(&mut self, key: &ServiceKey, exit: Exit) {
        self.tell(key, run::What::Exited { exit });
        self.tell(key, run::What::Empty);
    }

    fn up(&mut self, op: u64, project: &Project, targets: &[&str]) {
        self.up_in(op, project, targets, None);
    }

    fn up_in(&mut self, op: u64, project: &Project, targets: &[&str], session: Option<SessionId>) {
        let up = Up {
            project: project.clone(),
            targets: targets.iter().map(|target| (name(target), None)).collect(),
            profiles: vec![],
            env: vec![],
            origin: Origin { user: Some("ana".to_owned()), ..Origin::default() },
            session,
            duration: None,
            wait: true,
            timeout: None,
            adopt: vec![],
            keep: false,
        };
        self.step(Event::Request { op: OpId(op), request: Request::Up(Box::new(up)) });
    }

    fn down(&mut self, op: u64, project: &Project, names: &[&str]) {
        let keys = names.iter().map(|name| key(project, name)).collect();
        let request = Request::Down { keys, origin: Origin::default(), timeout: None, ladder: None };
        self.step(Event::Request { op: OpId(op), request });
    }

    fn code(&self, op: u64) -> Option<ExitCode> {
        self.replies.get(&OpId(op)).map(|outcome| outcome.code)
    }

    fn state(&self, project: &Project, name: &str) -> State {
        self.supervisor.view(&key(project, name)).map_or(State::Stopped, |view| view.state)
    }

    fn took(&mut self) -> String {
        std::mem::take(&mut self.done).join(", ")
    }
}

mod adopt;

fn process(pid: u32) -> ProcKey {
    ProcKey { boot_id: BootId("test".into()), pid, start_ticks: 1 }
}

fn key(project: &Project, name: &str) -> ServiceKey {
    project.key(&project.services[name])
}

fn chain() -> Project {
    project([
        service("db", &[]),
        service("api", &[("db", Condition::Ready)]),
        service("web", &[("api", Condition::Ready)]),
        service("aside", &[]),
    ])
}

/// R6.4, R5.6: start in the order of `after`, stop in reverse.
#[test]
fn order() {
    let (mut bench, project) = (Bench::new(), chain());
    bench.up(1, &project, &["web"]);
    assert_eq!(bench.took(), "launch db, launch api, launch web");
    assert_eq!(bench.code(1), Some(ExitCode::Done));
    bench.down(2, &project, &["db", "api", "web"]);
    assert_eq!(bench.took(), "stop web, release web, stop api, release api, stop db, release db");
    assert_eq!(bench.code(2), Some(ExitCode::Done));
}

/// R5.6: independent branches stop in parallel; what depends on nothing that stops does not wait.
#[test]
fn branches_stop_in_parallel() {
    let (mut bench, project) = (Bench::new(), chain());
    bench.up(1, &project, &[]);
    bench.took();
    bench.slow = true;
    bench.down(2, &project, &["db", "api", "web", "aside"]);
    assert_eq!(bench.took(), "stop aside, stop web");
    bench.exit(&key(&project, "web"), Exit::Code(0));
    assert_eq!(bench.took(), "release web, stop api");
}

/// R4.2: what runs already is refused, with its holder; what does not is started all the same.
#[test]
fn running_already() {
    let (mut bench, project) = (Bench::new(), chain());
    bench.up(1, &project, &["api"]);
    bench.up(2, &project, &["api"]);
    assert_eq!(bench.code(2), Some(ExitCode::AlreadyRunning));
    let answer = &bench.replies[&OpId(2)].services[0];
    let holder = answer.holder.as_ref().expect("a holder");
    assert_eq!(holder.main, Some(process(2)));
    assert_eq!(holder.origin.user.as_deref(), Some("ana"));
    bench.up(3, &project, &[]);
    assert_eq!(bench.code(3), Some(ExitCode::Done), "web and aside were started by it");
    bench.up(4, &project, &[]);
    assert_eq!(bench.code(4), Some(ExitCode::AlreadyRunning));
}

/// R6.4: a failed dependency stops the chain with the reason.
#[test]
fn a_failed_dependency_stops_the_chain() {
    let mut bench = Bench::new();
    let mut seed = service("seed", &[]);
    seed.kind = Kind::Task;
    seed.restart.when = crate::manifest::When::Never;
    let project = project([seed, service("api", &[("seed", Condition::Done)])]);
    bench.up(1, &project, &["api"]);
    assert_eq!(bench.state(&project, "api"), State::Waiting);
    bench.exit(&key(&project, "seed"), Exit::Code(3));
    assert_eq!(bench.state(&project, "api"), State::Failed);
    assert_eq!(bench.code(1), Some(ExitCode::No));
    let why = bench.supervisor.view(&key(&project, "api")).and_then(|view| view.why).unwrap_or_default();
    assert!(why.contains("needs seed") && why.contains("exit code 3"), "{why}");
}

/// A session that is gone ends what is tied to it, once; nothing is tied to it afterwards.
#[test]
fn sessions_end_for_good() {
    let (mut bench, mut project) = (Bench::new(), chain());
    project.services.get_mut("aside").expect("aside").tie = Some(Tie::None);
    bench.up_in(1, &project, &["api", "aside"], Some(SessionId(7)));
    bench.took();
    bench.step(Event::SessionEnded(SessionId(7)));
    assert_eq!(bench.took(), "stop api, release api, stop db, release db");
    assert_eq!(bench.state(&project, "aside"), State::Running);
    let request =
        Request::Restart { keys: vec![key(&project, "db")], origin: Origin::default(), timeout: None, project: None };
    bench.step(Event::Request { op: OpId(2), request });
    assert_eq!(bench.took(), "launch db");
    bench.step(Event::SessionEnded(SessionId(7)));
    assert_eq!(bench.took(), "");
    assert_eq!(bench.supervisor.stored(&key(&project, "db")).and_then(|stored| stored.definition.session), None);
}

/// A restart follows the manifest as it is now.
#[test]
fn a_restart_takes_the_new_manifest() {
    let (mut bench, mut project) = (Bench::new(), chain());
    bench.up(1, &project, &["db"]);
    project.services.get_mut("db").expect("db").command = vec!["newer".to_owned()];
    let newer = Some(Box::new(project.clone()));
    let request =
        Request::Restart { keys: vec![key(&project, "db")], origin: Origin::default(), timeout: None, project: newer };
    bench.step(Event::Request { op: OpId(2), request });
    assert_eq!(bench.code(2), Some(ExitCode::Done));
    let (run, _) = bench.live[&key(&project, "db")];
    let place = LaunchPlace { lock: "l".into(), folder: "f".into(), logs: "o".into() };
    let launch = bench.supervisor.launch(&key(&project, "db"), run, place).expect("a launch");
    assert_eq!(launch.argv, ["newer".into()]);
}

/// A time limit answers for what is not there yet, and touches nothing.
#[test]
fn time_limits() {
    let (mut bench, project) = (Bench::new(), chain());
    bench.up(1, &project, &["db"]);
    bench.slow = true;
    let timeout = Some(crate::units::Span::secs(2));
    let keys = vec![key(&project, "db")];
    let request = Request::Down { keys, origin: Origin::default(), timeout, ladder: None };
    bench.step(Event::Request { op: OpId(2), request });
    bench.mono += 1_900_000_000;
    bench.step(Event::Tick);
    assert_eq!(bench.code(2), None);
    bench.mono += 100_000_000;
    bench.step(Event::Tick);
    assert_eq!(bench.code(2), Some(ExitCode::StillAlive));
    assert_eq!(bench.state(&project, "db"), State::Stopping);
}

/// R6.7: a daemon that comes back adopts, counts on, and does not start behind anybody's back.
#[test]
fn coming_back() {
    let (mut bench, project) = (Bench::new(), chain());
    bench.up(1, &project, &["db"]);
    let db = key(&project, "db");
    let stored = bench.supervisor.stored(&db).expect("stored");
    let (run, seq) = bench.live[&db];
    let found = |keeper, phase, exit| FoundRun {
        id: run,
        keeper,
        phase,
        // As keepers write it down: an empty tree has no main process.
        main: (phase != run::Phase::Empty).then(|| process(2)),
        started: Some((Wall(5), Mono(5))),
        adopted: None,
        containment: Some(Containment::Subreaper),
        cgroup: None,
        exit,
        exited: Some(Wall(77)),
        left: vec![],
        stopped: None,
        seq,
        attempt: 4,
    };
    let back = |same_boot, found: Option<FoundRun>| {
        let mut supervisor = Supervisor::new(2);
        let found = vec![Found { key: db.clone(), run: found }];
        let step = supervisor.restore(bench.now(), same_boot, vec![stored.clone()], found);
        let view = supervisor.view(&db).expect("known");
        let kinds: Vec<String> = step.entries.iter().map(|entry| entry.what.kind().to_owned()).collect();
        (view, kinds.join(" "), step.actions)
    };
    let (view, kinds, actions) = back(true, Some(found(Some(process(1)), run::Phase::Running, None)));
    assert_eq!((view.state, view.wanted, kinds.as_str(), actions.len()), (State::Running, Wanted::Up, "adopted", 0));
    assert_eq!(view.run.map(|view| view.id), Some(run), "the same run");

    let (view, kinds, _) = back(true, Some(found(None, run::Phase::Empty, Some(Exit::Code(7)))));
    assert_eq!((view.state, kinds.as_str()), (State::Backoff, "restart_scheduled"));
    assert_eq!(view.last_exit.map(|last| (last.exit, last.at)), Some((Exit::Code(7), Wall(77))));

    let (view, _, actions) = back(true, Some(found(None, run::Phase::Running, None)));
    assert_eq!(view.state, State::Stopping, "its keeper was killed: first the tree is ended");
    assert!(matches!(actions[..], [Action::Recover { .. }]));

    let (view, _, actions) = back(false, None);
    assert_eq!(
        (view.state, view.wanted, actions.len()),
        (State::Stopped, Wanted::Down, 0),
        "the machine was restarted"
    );
}

/// R5.4, R4.7: what was set aside is told to be gone once, whoever sees it; a new boot closes it.
#[test]
fn a_ghost_on_record_is_told_once() {
    let mut bench = Bench::new();
    let ghost = |run: u64| crate::ghost::Ghost {
        version: crate::ghost::VERSION,
        holder: crate::launch::Holder {
            run: RunId(run),
            key: crate::launch::ServiceKey::new(
                crate::launch::Scope::User,
                std::path::Path::new("/"),
                crate::name::Name::lossy("api"),
            ),
            project: crate::name::Name::lossy("demo"),
            mode: None,
            keeper: process(1),
            main: None,
            since: Wall(1),
            origin: crate::launch::Origin::default(),
            managed: true,
            attempt: 0,
            adopted: false,
        },
        containment: None,
        cgroup: Some("/sys/fs/cgroup/x".into()),
        exit: None,
        left: vec![],
        stuck: Some((Wall(1), Mono(1_000_000_000))),
        quarantined: (Wall(2), Mono(5_000_000_000)),
    };
    let now = Now { mono: Mono(61_000_000_000), wall: Wall(9) };
    for run in [1, 2] {
        let found = Event::GhostFound(Box::new(ghost(run)));
        let step = bench.supervisor.step(now, found.clone());
        assert_eq!((step.ghosts, step.entries.len()), (vec![RunId(run)], 0), "it is to be stored");
        let again = bench.supervisor.step(now, found);
        assert_eq!(again.ghosts, [], "known already");
    }
    for (run, reboot, line) in [
        (1, false, "the stuck processes are gone, 1m late"),
        (2, true, "the stuck processes are gone: the machine was restarted"),
    ] {
        let step = bench.supervisor.step(now, Event::GhostGone { run: RunId(run), reboot });
        assert!(matches!(&step.actions[..], [Action::ForgetGhost { run: of, cgroup: Some(_) }] if of.0 == run));
        assert_eq!(step.ghosts, [RunId(run)]);
        let entry = &step.entries[0];
        assert!(entry.run_seq.is_some(), "the journal takes it once");
        assert_eq!(crate::journal::describe(entry), line);
        let step = bench.supervisor.step(now, Event::GhostGone { run: RunId(run), reboot });
        assert!(step.actions.is_empty() && step.entries.is_empty(), "told once");
    }
    assert_eq!(bench.supervisor.ghosts().count(), 0);
}
