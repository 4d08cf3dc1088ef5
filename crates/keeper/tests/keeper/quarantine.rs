//! Setting aside what no signal ends (R5.4): what is refused, and what decides when a keeper dies of it. That it is done,
//! the tests with the built programs show: what KILL does not end needs root.

use vigie_core::clock::{Mono, Wall};
use vigie_core::ghost::Ghost;
use vigie_core::ladder::Ladder;
use vigie_core::launch::Launch;
use vigie_core::run::Left;
use vigie_os::cgroup::Cgroup;
use vigie_os::clock::mono;
use vigie_os::ghosts;
use vigie_wire::keeper::{Phase, Request, StopCause, What};

use crate::harness::{LONG, Process, Service, ladder};

/// R8.4: only after KILL is pending, on all of them.
#[test]
fn what_may_still_end_is_not_set_aside() {
    let service = Service::new();
    let script = "trap '' TERM; echo > $DIR/ready; while :; do sleep 600; done";
    let launch = Launch { ladder: ladder(&["TERM 50ms"]), ..service.launch(script) };
    let (mut keeper, main) = service.run(launch);
    service.line_in("ready");
    let refused = |why: &What| matches!(why, What::QuarantineRefused { .. });
    keeper.send(&Request::Quarantine);
    let What::QuarantineRefused { why } = keeper.until(refused).what else { unreachable!("just matched") };
    assert!(why.contains("signals may still end it"), "{why}");
    keeper.stop();
    keeper.until(|what| matches!(what, What::Stuck { .. }));
    keeper.send(&Request::Quarantine);
    let What::QuarantineRefused { why } = keeper.until(refused).what else { unreachable!("just matched") };
    assert!(why.contains("KILL is not pending") && why.contains(&main.pid.to_string()), "{why}");
    assert_eq!((service.record().phase, ghosts::all(&ghosts::beside(&service.folder()))), (Phase::Stuck, vec![]));
    keeper.send(&Request::Stop { ladder: Some(Ladder::kill()), cause: StopCause::Asked });
    keeper.until_empty();
}

/// A keeper that is killed between the record of the ghost and everything else: the record decides, and what it names is
/// nobody's to end.
#[test]
fn the_record_of_a_ghost_decides() {
    let service = Service::new();
    let (mut keeper, main) = service.run(service.launch("exec sleep 600"));
    let process = Process::new(main.pid);
    keeper.child.kill().expect("own child");
    keeper.child.wait().expect("own child");
    let state = service.record();
    let cgroup = state.cgroup.as_ref().and_then(|folder| Cgroup::existing(folder.as_path()));
    let left = Left { process: main, name: "sleep".into(), state: 'D', kill_pending: true };
    let ghost = Ghost {
        version: vigie_core::ghost::VERSION,
        holder: state.holder,
        containment: state.containment,
        cgroup: state.cgroup,
        exit: None,
        left: vec![left],
        stuck: None,
        quarantined: (Wall(1), Mono(1)),
    };
    let dir = ghosts::beside(&service.folder());
    ghosts::write(&dir, &ghost).expect("written");
    let (mut successor, _) = service.run(service.launch("exec sleep 600"));
    assert!(!process.is_gone(), "it was set aside");
    assert_eq!(successor.story(), "locked started", "and nobody of it was ended");
    successor.stop();
    successor.until_empty();
    assert!(!process.is_gone(), "a stop of another run is none of its");
    // Without its record it is what a dead keeper left.
    ghosts::remove(&dir, ghost.run()).expect("removed");
    assert_eq!(successor.release(), 0);
    process.end();
    // No run comes after these two, and nobody else knows of it.
    if let Some(cgroup) = cgroup {
        cgroup.remove(mono() + LONG).expect("it is empty");
    }
}
