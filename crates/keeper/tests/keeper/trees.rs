//! Nobody escapes (R5.2), with each kind of containment that this machine has.

use vigie_core::exit::Exit;
use vigie_core::launch::{Containment, Launch, Orphans};
use vigie_wire::keeper::{Phase, Request, StopCause, What};

use crate::harness::{Keeper, Service, ladder, marked};

/// Runs a test once for each containment. One that the machine does not have falls to the next.
fn each(test: impl Fn(&Service, &mut dyn FnMut(Launch) -> Keeper)) {
    for wanted in ["best", "v1", "none"] {
        let service = Service::new();
        test(&service, &mut |launch| {
            let mut keeper = Keeper::spawn(wanted);
            keeper.launch(launch);
            keeper.send(&Request::Go);
            let started = keeper.until(|what| matches!(what, What::Started { .. }));
            let What::Started { containment, cgroup, .. } = started.what else { unreachable!("just matched") };
            match wanted {
                "none" => assert_eq!((containment, cgroup), (Containment::Subreaper, None)),
                "v1" => assert_ne!(containment, Containment::Cgroup2),
                _ => {}
            }
            keeper
        });
        let record = service.record();
        assert_eq!(record.phase, Phase::Empty);
        if let Some(cgroup) = record.cgroup {
            assert!(!cgroup.as_path().exists(), "{cgroup} was left behind ({wanted})");
        }
    }
}

const DAEMON: &str = "(setsid sh -c 'trap \"\" TERM HUP INT; echo $$ > $DIR/daemon; while :; do sleep 600; done' &) ; ";

#[test]
fn a_daemonised_child_that_ignores_term_is_gone_after_a_stop() {
    each(|service, start| {
        let script = format!("{DAEMON} exec sleep 600");
        let mut keeper = start(service.launch(&script));
        let daemon = service.process_in("daemon");
        keeper.stop();
        // Not by the clock: the next rung may come only when the main process is gone, however long that takes.
        keeper.until(|what| matches!(what, What::Orphans { .. }));
        keeper.send(&Request::Skip);
        keeper.until_empty();
        assert!(daemon.is_gone(), "process {} is left", daemon.pid());
        // Named once, and ended by the stop that was under way.
        assert_eq!(keeper.story(), "locked started stopping rung exited orphans rung empty");
    });
}

#[test]
fn who_outlives_the_main_process_is_ended() {
    each(|service, start| {
        let script = format!("{DAEMON} while ! [ -e $DIR/go ]; do sleep 0.01; done; exit 4");
        let mut keeper = start(Launch { ladder: ladder(&["TERM 100ms", "KILL 30s"]), ..service.launch(&script) });
        // It must be held before the main process may end: it is ended soon after that.
        let daemon = service.process_in("daemon");
        std::fs::write(service.dir().join("go"), "").expect("writes");
        keeper.until_empty();
        assert!(daemon.is_gone());
        assert_eq!(keeper.story(), "locked started exited orphans stopping rung rung empty");
        assert_eq!(keeper.events[2].what, What::Exited { exit: Exit::Code(4) });
        let What::Orphans { left, count } = &keeper.events[3].what else { panic!("{}", keeper.story()) };
        assert!(*count >= 1 && left.iter().any(|left| left.process.pid == daemon.pid()), "{left:?}");
        assert_eq!(keeper.events[4].what, What::Stopping { cause: StopCause::Orphans });
    });
}

/// The case on which others fail: the main process obeys, a child in its group does not.
#[test]
fn a_child_in_the_group_that_ignores_term_is_gone() {
    each(|service, start| {
        let script = "sh -c 'trap \"\" TERM; echo $$ > $DIR/child; while :; do sleep 600; done' & \
            trap 'exit 0' TERM; wait; wait";
        let mut keeper = start(Launch { ladder: ladder(&["TERM 100ms", "KILL 30s"]), ..service.launch(script) });
        let child = service.process_in("child");
        keeper.stop();
        keeper.until_empty();
        assert!(child.is_gone());
    });
}

/// While the main process was there it alone was meant; its end hands the rung to the others at once, not after the wait.
#[test]
fn orphans_hear_what_the_main_process_heard() {
    each(|service, start| {
        let script = "setsid sh -c 'echo $$ > $DIR/child; exec sleep 600' & trap 'exit 0' TERM; wait; wait";
        let mut keeper = start(service.launch(script));
        let child = service.process_in("child");
        keeper.stop();
        keeper.until_empty();
        assert!(child.is_gone());
        assert_eq!(keeper.story(), "locked started stopping rung exited orphans empty");
    });
}

#[test]
fn orphans_are_kept_where_that_is_wanted() {
    each(|service, start| {
        let script =
            "(setsid sh -c 'echo $$ > $DIR/child; exec sleep 600' &); while ! [ -s $DIR/child ]; do sleep 0.01; done";
        let mut keeper = start(Launch { orphans: Orphans::Keep, ..service.launch(script) });
        keeper.until(|what| matches!(what, What::Orphans { .. }));
        let child = service.process_in("child");
        // Anything that is answered shows that the event was dealt with.
        keeper.send(&Request::Skip);
        keeper.reply();
        assert!(!child.is_gone());
        keeper.stop();
        keeper.until_empty();
        assert!(child.is_gone());
        assert_eq!(keeper.story(), "locked started exited orphans stopping rung empty");
    });
}

/// Forks, and its parent ends, as fast as it can: no PID lives long enough to be looked at twice.
#[test]
fn a_hydra_is_beaten() {
    each(|service, start| {
        let script = "trap '' TERM; h() { echo x >> $DIR/heads; h & }; h; exec sleep 600";
        let launch = Launch { ladder: ladder(&["TERM 20ms", "KILL 30s"]), ..service.launch(script) };
        let run = launch.run;
        let mut keeper = start(launch);
        service.line_in("heads");
        keeper.stop();
        keeper.until_empty();
        assert_eq!(marked(run), [] as [u32; 0], "heads are left");
    });
}
