//! A process that ran before becomes the main process (R4.4).

use std::process::{Child, Command, Stdio};

use vigie_core::exit::Exit;
use vigie_core::identity::ProcKey;
use vigie_core::launch::{Containment, Launch};
use vigie_os::clock::mono;
use vigie_os::proc::Proc;
use vigie_wire::keeper::{Phase, Request, What};

use crate::harness::{Keeper, Service, ladder, marked};

/// A shell that no keeper has started, with its standard input as a leash.
struct Stray(Child);

impl Stray {
    fn new(service: &Service, script: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("DIR", service.dir()).current_dir(service.dir());
        Self(command.stdin(Stdio::piped()).spawn().expect("sh"))
    }

    fn key(&self) -> ProcKey {
        Proc::system().expect("/proc").key(self.0.id()).expect("reads").expect("alive")
    }

    /// Its own parent waits for it.
    fn reap(&mut self) {
        let _ = self.0.wait();
    }
}

impl Drop for Stray {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn launch(service: &Service, process: &ProcKey) -> Launch {
    Launch { adopt: Some(process.clone()), ladder: ladder(&["TERM 300ms", "KILL 30s"]), ..service.launch("exit 99") }
}

/// A keeper that has adopted the process, and how it holds it.
fn adopt(service: &Service, stray: &Stray, kind: &str) -> (Keeper, Containment) {
    let mut keeper = Keeper::spawn(kind);
    keeper.launch(launch(service, &stray.key()));
    keeper.until(|what| matches!(what, What::Locked { .. }));
    keeper.send(&Request::Go);
    let event = keeper.until(|what| matches!(what, What::Adopted { .. } | What::AdoptFailed { .. }));
    let What::Adopted { main, containment, started, .. } = event.what else { panic!("{:?}", event.what) };
    assert_eq!(main, stray.key());
    assert!(started.is_some_and(|(wall, at)| at <= mono() && wall <= event.at));
    (keeper, containment)
}

const KINDS: [&str; 3] = ["best", "v1", "none"];

#[test]
fn it_is_stopped_with_those_below_it() {
    for kind in KINDS {
        let service = Service::new();
        // Three generations; the middle one is deaf to TERM, and the last has left group and session.
        let script =
            "(trap '' TERM; setsid sh -c 'echo $$ > $DIR/far; exec sleep 600' & echo $$ > $DIR/near; wait) & wait";
        let mut stray = Stray::new(&service, script);
        let (near, far) = (service.line_in("near"), service.process_in("far"));
        assert!(!near.is_empty());
        let (mut keeper, containment) = adopt(&service, &stray, kind);
        if kind == "none" {
            assert_eq!(containment, Containment::Descent);
        }
        let record = service.record();
        assert_eq!((record.phase, record.holder.main), (Phase::Running, Some(stray.key())), "{kind}");
        assert!(record.adopted.is_some());
        keeper.stop();
        keeper.until(|what| matches!(what, What::Exited { .. }));
        stray.reap();
        keeper.until_empty();
        assert!(far.is_gone(), "{kind} ({containment:?}): {}", keeper.story());
        assert_eq!(keeper.release(), 0);
    }
}

#[test]
fn its_end_is_told_with_its_code() {
    for kind in KINDS {
        let service = Service::new();
        let mut stray = Stray::new(&service, "read line; exit 7");
        let (mut keeper, _) = adopt(&service, &stray, kind);
        drop(stray.0.stdin.take());
        // Not waited for before it was looked at: a zombie tells on every kernel.
        let event = keeper.until(|what| matches!(what, What::Exited { .. }));
        assert_eq!(event.what, What::Exited { exit: Exit::Code(7) }, "{kind}");
        keeper.until_empty();
        stray.reap();
        assert_eq!(service.record().exit, Some(Exit::Code(7)));
    }
}

/// Its parent is quicker than the keeper: what the kernel does not keep is unknown, and never 0.
#[test]
fn its_end_is_told_when_its_parent_has_waited() {
    let service = Service::new();
    let mut stray = Stray::new(&service, "read line; exit 7");
    let (mut keeper, _) = adopt(&service, &stray, "best");
    stray.reap_when_let_go();
    let event = keeper.until(|what| matches!(what, What::Exited { .. }));
    let What::Exited { exit } = event.what else { unreachable!("just matched") };
    assert!(matches!(exit, Exit::Code(7) | Exit::Unknown), "{exit:?}");
    keeper.until_empty();
}

impl Stray {
    fn reap_when_let_go(&mut self) {
        drop(self.0.stdin.take());
        self.reap();
    }
}

/// A signal reaches it, and only it: it shares its process group with this test.
#[test]
fn signals_for_its_group_reach_only_its_own() {
    let service = Service::new();
    let script = "trap 'echo > $DIR/heard' USR1; echo > $DIR/ready; while :; do sleep 0.01; done";
    let stray = Stray::new(&service, script);
    service.line_in("ready");
    let (mut keeper, _) = adopt(&service, &stray, "best");
    let to = vigie_core::ladder::Audience::Group;
    keeper.send(&Request::Signal { signal: vigie_core::ladder::Signal::Usr1, to });
    service.line_in("heard");
    keeper.stop();
    keeper.until_empty();
}

/// The next run under the same lock is spawned.
#[test]
fn the_next_run_is_a_real_one() {
    let service = Service::new();
    let mut stray = Stray::new(&service, "read line");
    let (mut keeper, _) = adopt(&service, &stray, "best");
    stray.reap_when_let_go();
    keeper.until_empty();
    keeper.send(&Request::Again(Box::new(service.launch("exec sleep 600"))));
    let main = keeper.started();
    assert_ne!(main, stray_key(&keeper));
    assert!(service.record().adopted.is_none());
    keeper.stop();
    keeper.until_empty();
}

fn stray_key(keeper: &Keeper) -> ProcKey {
    let adopted = keeper.events.iter().find_map(|event| match &event.what {
        What::Adopted { main, .. } => Some(main.clone()),
        _ => None,
    });
    adopted.expect("it was adopted")
}

/// Whoever must not be touched is not, and says why.
#[test]
fn what_must_not_be_adopted_is_left_alone() {
    let service = Service::new();
    let proc = Proc::system().expect("/proc");
    let mut gone = Stray::new(&service, "exit 0");
    let key = gone.key();
    gone.reap();
    let reused = Stray::new(&service, "read line");
    let reused = ProcKey { start_ticks: reused.key().start_ticks - 1, ..reused.key() };
    let init = proc.key(1).expect("reads").expect("init lives");
    let me = proc.key(std::process::id()).expect("reads").expect("alive");
    for (process, words) in [
        (key, &["ended"][..]),
        (reused, &["ended"]),
        (me, &["started from it"]),
        (init, &["part of the system", "belongs to user", "started from it"]),
    ] {
        let mut keeper = Keeper::spawn("best");
        keeper.launch(launch(&service, &process));
        keeper.until(|what| matches!(what, What::Locked { .. }));
        keeper.send(&Request::Go);
        let event = keeper.until(|what| matches!(what, What::AdoptFailed { .. }));
        let What::AdoptFailed { why, .. } = event.what else { unreachable!("just matched") };
        assert!(words.iter().any(|word| why.contains(word)), "{process:?}: {why}");
        keeper.until_empty();
        keeper.release();
    }
}

/// What another keeper holds is that one's, spawned or adopted.
#[test]
fn what_another_run_holds_is_not_taken_from_it() {
    let (service, other) = (Service::new(), Service::new());
    let services = service.folder().parent().expect("it lies in one").to_owned();
    let beside = |launch: Launch| Launch { folder: services.join("beside").into(), ..launch };
    let stray = Stray::new(&service, "read line");
    let (mut first, _) = adopt(&service, &stray, "best");
    let refused = |process: &ProcKey| {
        let mut keeper = Keeper::spawn("best");
        keeper.launch(beside(Launch { lock: other.dir().join("lock").into(), ..launch(&other, process) }));
        keeper.until(|what| matches!(what, What::Locked { .. }));
        keeper.send(&Request::Go);
        let event = keeper.until(|what| matches!(what, What::Adopted { .. } | What::AdoptFailed { .. }));
        let What::AdoptFailed { why, .. } = event.what else { panic!("it was taken away") };
        assert!(why.contains("belongs to run"), "{why}");
        keeper.release();
    };
    refused(&stray.key());
    first.stop();
    first.until_empty();
    let (mut second, main) = {
        first.send(&Request::Again(Box::new(service.launch("exec sleep 600"))));
        let main = first.started();
        (first, main)
    };
    refused(&main);
    second.stop();
    second.until_empty();
}

/// R6.7: the keeper is killed. The process lives; another keeper adopts it again, with what it has below it.
#[test]
fn another_keeper_adopts_what_a_dead_one_had() {
    for kind in KINDS {
        let service = Service::new();
        let mut stray = Stray::new(&service, "sleep 600 & echo $! > $DIR/child; wait");
        let child = service.process_in("child");
        let (mut first, _) = adopt(&service, &stray, kind);
        first.murder();
        assert!(Proc::system().expect("/proc").is_alive(&stray.key()).expect("reads"));
        let (mut second, _) = adopt(&service, &stray, kind);
        assert!(!second.story().contains("survivors"), "{kind}: {}", second.story());
        second.stop();
        second.until(|what| matches!(what, What::Exited { .. }));
        stray.reap();
        second.until_empty();
        assert!(child.is_gone(), "{kind}");
    }
}

/// R6.7, invariant 1: a spawn in its place ends it first, though it bears no mark.
#[test]
fn a_spawn_ends_what_a_dead_keeper_had_adopted() {
    for kind in KINDS {
        let service = Service::new();
        let mut stray = Stray::new(&service, "exec sleep 600");
        let (mut first, _) = adopt(&service, &stray, kind);
        first.murder();
        let reaper = std::thread::spawn(move || stray.reap());
        let launch = service.launch("exec sleep 600");
        let run = launch.run;
        let (mut second, _) = service.run(launch);
        assert!(second.story().contains("survivors"), "{kind}: {}", second.story());
        reaper.join().expect("it ended");
        second.stop();
        second.until_empty();
        assert!(marked(run).is_empty());
    }
}

/// A stop that comes before the deed leaves the process as it is.
#[test]
fn a_stop_before_the_adoption_ends_nothing() {
    let service = Service::new();
    let stray = Stray::new(&service, "read line");
    let mut keeper = Keeper::spawn("best");
    keeper.launch(launch(&service, &stray.key()));
    keeper.until(|what| matches!(what, What::Locked { .. }));
    keeper.stop();
    keeper.until_empty();
    assert!(Proc::system().expect("/proc").is_alive(&stray.key()).expect("reads"));
}
