//! The ladder (R5.1, R5.5).

use vigie_core::exit::Exit;
use vigie_core::ladder::{Audience, Ladder, Signal};
use vigie_core::launch::{Group, Input, Launch};
use vigie_wire::keeper::{Answer, Phase, Request, StopCause, What};

use crate::harness::{Keeper, Service, ladder};

fn killed_by(signal: i32) -> What {
    What::Exited { exit: Exit::Signal { signal, core_dumped: false } }
}

#[test]
fn an_obedient_service_is_stopped_by_the_first_rung() {
    let service = Service::new();
    let (mut keeper, _) = service.run(service.launch("exec sleep 600"));
    keeper.stop();
    keeper.stop();
    keeper.until_empty();
    assert_eq!(keeper.story(), "locked started stopping rung exited empty");
    assert_eq!(keeper.events[2].what, What::Stopping { cause: StopCause::Asked });
    assert_eq!(keeper.events[4].what, killed_by(15));
}

#[test]
fn whoever_ignores_term_is_killed_when_the_wait_is_over() {
    let service = Service::new();
    let script = "trap '' TERM; echo > $DIR/ready; while :; do sleep 600; done";
    let launch = Launch { ladder: ladder(&["TERM 200ms", "KILL 30s"]), ..service.launch(script) };
    let (mut keeper, _) = service.run(launch);
    service.line_in("ready");
    keeper.stop();
    keeper.until_empty();
    assert_eq!(keeper.story(), "locked started stopping rung rung exited empty");
    let rungs: Vec<_> = keeper.events[3..5].iter().map(|event| (&event.what, event.mono)).collect();
    assert!(matches!(rungs[0].0, What::Rung { index: 0, rung } if rung.to_string() == "TERM 200ms"));
    assert!(matches!(rungs[1].0, What::Rung { index: 1, .. }));
    assert!(rungs[1].1.since(rungs[0].1).as_millis() >= 190, "the wait of the rung was cut short");
    assert_eq!(keeper.events[5].what, killed_by(9));
}

#[test]
fn a_rung_can_be_skipped() {
    let service = Service::new();
    let launch = service.launch("trap '' TERM; echo > $DIR/ready; while :; do sleep 600; done");
    let (mut keeper, _) = service.run(launch);
    service.line_in("ready");
    keeper.send(&Request::Skip);
    assert!(matches!(keeper.reply(), Answer::Failed { .. }), "no stop is under way");
    keeper.stop();
    keeper.send(&Request::Skip);
    keeper.until_empty();
    assert!(keeper.story().ends_with("stopping rung rung exited empty"), "{}", keeper.story());
}

/// R5.1: somebody in a hurry names another ladder while the first is climbed.
#[test]
fn another_ladder_takes_the_place_of_the_first() {
    let service = Service::new();
    let launch = service.launch("trap '' TERM; echo > $DIR/ready; while :; do sleep 600; done");
    let (mut keeper, _) = service.run(launch);
    service.line_in("ready");
    keeper.stop();
    keeper.send(&Request::Stop { ladder: Some(Ladder::kill()), cause: StopCause::Asked });
    keeper.until_empty();
    assert!(keeper.story().ends_with("stopping rung stopping rung exited empty"), "{}", keeper.story());
}

/// R5.1: a stopped tree gets CONT after the signal.
#[test]
fn a_stopped_service_hears_it_too() {
    let service = Service::new();
    let script = "trap 'echo heard > $DIR/heard; exit 0' TERM; echo $$ > $DIR/pid; kill -STOP $$; sleep 600 & wait";
    let (mut keeper, main) = service.run(service.launch(script));
    service.line_in("pid");
    let proc = vigie_os::proc::Proc::system().expect("/proc");
    let stopped = || proc.stat(main.pid, &mut Vec::new()).ok().flatten().map(|stat| stat.state) == Some(b'T');
    // It stops itself right after the line: nothing tells of that but its state.
    let deadline = vigie_os::clock::mono() + crate::harness::LONG;
    while !stopped() {
        assert!(vigie_os::clock::mono() < deadline, "it does not stop itself");
        std::thread::yield_now();
    }
    keeper.stop();
    keeper.until_empty();
    assert_eq!(service.line_in("heard"), "heard");
}

#[test]
fn closing_standard_input_is_a_rung() {
    let service = Service::new();
    let launch = Launch {
        input: Input::Pipe,
        ladder: ladder(&["close-stdin 30s", "KILL 30s"]),
        ..service.launch("trap '' TERM; cat; exit 5")
    };
    let (mut keeper, _) = service.run(launch);
    keeper.stop();
    keeper.until_empty();
    assert_eq!(keeper.story(), "locked started stopping rung exited empty");
    assert_eq!(keeper.events[4].what, What::Exited { exit: Exit::Code(5) });
}

/// The group is that of the spawn; a child in another group does not hear it.
#[test]
fn a_group_is_signalled_as_one() {
    let service = Service::new();
    let script = "trap : USR1; setsid sh -c 'trap \"echo > $DIR/stranger\" USR1; echo > $DIR/a; sleep 600 & wait' & \
        sh -c 'trap \"echo > $DIR/heard; exit\" USR1; echo > $DIR/b; sleep 600 & wait' & \
        while :; do sleep 600; done";
    let (mut keeper, _) = service.run(service.launch(script));
    service.line_in("a");
    service.line_in("b");
    keeper.send(&Request::Signal { signal: Signal::Usr1, to: Audience::Group });
    service.line_in("heard");
    keeper.send(&Request::Stop { ladder: Some(Ladder::kill()), cause: StopCause::Asked });
    keeper.until_empty();
    assert!(!service.dir().join("stranger").exists());
}

/// `run` puts the service into the group of the user's command, which then must not be signalled as a whole.
#[test]
fn a_joined_group_is_not_signalled_as_a_whole() {
    let service = Service::new();
    let own = rustix::process::getpgrp().as_raw_nonzero().get().unsigned_abs();
    let launch = Launch {
        group: Group::Join { pgid: own },
        ladder: ladder(&["TERM group 30s"]),
        ..service.launch("exec sleep 600")
    };
    let (mut keeper, main) = service.run(launch);
    let proc = vigie_os::proc::Proc::system().expect("/proc");
    let mut buffer = Vec::new();
    let pgrp = |pid, buffer: &mut Vec<u8>| proc.stat(pid, buffer).expect("reads").expect("alive").pgrp;
    assert_eq!(pgrp(main.pid, &mut buffer), own);
    assert_eq!(
        pgrp(keeper.child.id(), &mut buffer),
        keeper.child.id(),
        "the terminal's keys must not reach the keeper"
    );
    keeper.stop();
    // Had the group been signalled, this test would be gone.
    keeper.until_empty();
    assert_eq!(keeper.story(), "locked started stopping rung exited empty");
}

/// R5.4: what the ladder does not end is named, and its end is told when it comes.
#[test]
fn the_end_of_the_ladder_names_who_is_left() {
    let service = Service::new();
    let script = "trap '' TERM; echo > $DIR/ready; while :; do sleep 600; done";
    let launch = Launch { ladder: ladder(&["TERM 50ms"]), ..service.launch(script) };
    let (mut keeper, main) = service.run(launch);
    service.line_in("ready");
    keeper.stop();
    let stuck = keeper.until(|what| matches!(what, What::Stuck { .. }));
    let What::Stuck { left, count } = stuck.what else { unreachable!("just matched") };
    assert!(count >= 1 && left.iter().any(|left| left.process == main && !left.kill_pending), "{left:?}");
    assert_eq!(service.record().phase, Phase::Stuck);
    keeper.send(&Request::Stop { ladder: Some(Ladder::kill()), cause: StopCause::Asked });
    keeper.until_empty();
}

/// R5.5
#[test]
fn a_run_that_is_tied_stops_when_the_connection_closes() {
    let service = Service::new();
    let (mut keeper, _) = service.run(service.launch("exec sleep 600"));
    let mut tied = service.connect();
    tied.send(&Request::Tie);
    tied.send(&Request::Watch { after: 0 });
    assert!(matches!(tied.reply(), Answer::State(_)));
    drop(tied);
    keeper.until_empty();
    assert_eq!(keeper.story(), "locked started stopping rung exited empty");
    assert_eq!(keeper.events[2].what, What::Stopping { cause: StopCause::Tie });
}

#[test]
fn a_keeper_that_is_told_to_end_stops_its_service_first() {
    let service = Service::new();
    let (mut keeper, _) = service.run(service.launch("exec sleep 600"));
    let pid = rustix::process::Pid::from_child(&keeper.child);
    // An own child that was not reaped.
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("signals");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signals");
    keeper.until_empty();
    assert_eq!(keeper.events[2].what, What::Stopping { cause: StopCause::KeeperSignalled });
    assert_eq!(keeper.wait(), 0);
}

/// A stop that comes while the child has not reached its program yet.
#[test]
fn a_stop_right_after_the_start() {
    let service = Service::new();
    for _ in 0..20 {
        let mut keeper = Keeper::spawn("best");
        keeper.launch(service.launch("exec sleep 600"));
        keeper.send(&Request::Go);
        keeper.stop();
        keeper.until_empty();
        assert_eq!(keeper.release(), 0);
    }
}
