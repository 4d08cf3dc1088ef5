//! One holder, whatever happens (R4.1, R4.2, R4.7, R6.7).

use vigie_core::launch::{Launch, Output};
use vigie_wire::keeper::{Answer, Phase, Request, What};

use crate::harness::{Keeper, Process, Service, ladder, marked, pause};

/// R4.2: N simultaneous starts.
#[test]
fn of_sixteen_one_wins_and_the_others_name_it() {
    let service = Service::new();
    let mut keepers: Vec<Keeper> = (0..16).map(|_| Keeper::spawn("best")).collect();
    for keeper in &mut keepers {
        keeper.launch(service.launch("echo x >> $DIR/starts; exec sleep 600"));
        keeper.send_unless_gone(&Request::Go);
    }
    let mut winner = None;
    let mut named = Vec::new();
    for (number, keeper) in keepers.iter_mut().enumerate() {
        match keeper.answer() {
            Some(Answer::Refused { holder }) => {
                named.push(holder.expect("the holder is named").main);
                assert_eq!(keeper.wait(), 3);
            }
            Some(Answer::Event(event)) => {
                assert!(matches!(event.what, What::Locked { .. }));
                assert_eq!(winner.replace(number), None, "two winners");
            }
            other => panic!("{other:?}"),
        }
    }
    let winner = &mut keepers[winner.expect("a winner")];
    let main = winner.started();
    assert_eq!(named, vec![Some(main); 15]);
    winner.stop();
    winner.until_empty();
    assert_eq!(std::fs::read_to_string(service.dir().join("starts")).expect("starts"), "x\n");
}

#[test]
fn a_deleted_lock_file_lets_nobody_in() {
    let service = Service::new();
    let (mut keeper, main) = service.run(service.launch("exec sleep 600"));
    std::fs::remove_file(service.folder().join("lock")).expect("removes");
    let mut rival = Keeper::spawn("best");
    rival.launch(service.launch("true"));
    match rival.answer() {
        Some(Answer::Refused { holder: Some(holder) }) => assert_eq!(holder.main, Some(main)),
        other => panic!("{other:?}"),
    }
    assert_eq!(rival.wait(), 3);
    keeper.stop();
    keeper.until_empty();
}

/// A starter that comes while the last run is just being released need not be turned away.
#[test]
fn a_lock_that_becomes_free_is_taken() {
    let service = Service::new();
    let (mut keeper, _) = service.run(service.launch("true"));
    keeper.until_empty();
    let mut next = Keeper::spawn("best");
    next.launch(service.launch("true"));
    keeper.send(&Request::Release);
    next.until(|what| matches!(what, What::Locked { .. }));
    next.send(&Request::Go);
    next.until_empty();
}

/// R6.7: the keeper is killed. What it held is found and ended before the next run starts, even when it hides.
#[test]
fn survivors_of_a_killed_keeper_are_ended_first() {
    for containment in ["best", "v1", "none"] {
        let service = Service::new();
        let script =
            "setsid sh -c 'trap \"\" TERM; echo $$ > $DIR/child; while :; do sleep 600; done' & exec sleep 600";
        let mut first = Keeper::spawn(containment);
        let launch = service.launch(script);
        let run = launch.run;
        first.launch(launch);
        first.send(&Request::Go);
        let main = Process::new(first.started().pid);
        let child = service.process_in("child");
        first.murder();
        assert!(!main.is_gone() && !child.is_gone(), "a keeper's death ends nobody");
        assert_eq!(service.record().phase, Phase::Running);

        let mut second = Keeper::spawn(containment);
        second.launch(service.launch("true"));
        second.until(|what| matches!(what, What::Locked { .. }));
        assert!(main.is_gone() && child.is_gone(), "two runs of one service");
        let told = second.until(|what| matches!(what, What::Survivors { .. }));
        // The shell's own `sleep` counts too, when it was there at that moment.
        assert!(matches!(told.what, What::Survivors { of, count: 2 | 3 } if of == run), "{told:?}");
        assert!(service.record().cgroup.is_none_or(|cgroup| !cgroup.to_string().contains(&run.to_string())));
        second.send(&Request::Go);
        second.until_empty();
        // What the killed one had told is still there for the daemon.
        let mut late = service.connect();
        late.send(&Request::Watch { after: 0 });
        assert!(matches!(late.reply(), Answer::State(_)));
        let events = std::fs::read_to_string(service.folder().join("events.jsonl")).expect("events");
        assert!(events.lines().any(|line| line.contains(&run.to_string()) && line.contains("\"started\"")));
    }
}

/// The keeper is killed somewhere between its launch and the first output of its service: the next run is alone all the
/// same.
#[test]
fn a_keeper_may_be_killed_at_any_moment_of_a_start() {
    let service = Service::new();
    let own = vigie_os::cgroup::own(std::path::Path::new("/proc"));
    for round in 0..40_u64 {
        let mut first = Keeper::spawn(["best", "none"][round as usize % 2]);
        let launch = service.launch("exec sleep 600");
        let run = launch.run;
        first.launch(launch);
        first.send(&Request::Go);
        pause(std::time::Duration::from_micros(round * 97 % 4_000));
        first.murder();
        let mut second = Keeper::spawn("best");
        second.launch(service.launch("true"));
        second.until(|what| matches!(what, What::Locked { .. }));
        assert_eq!(marked(run), [] as [u32; 0], "two runs of one service in round {round}");
        for parent in [&own.v2, &own.freezer].into_iter().flatten() {
            assert!(!parent.join(format!("vigie-{run}")).exists(), "a cgroup was left behind in round {round}");
        }
        second.send(&Request::Go);
        second.until_empty();
        assert_eq!(second.release(), 0);
    }
}

/// R4.7, R4.8: a record that names a living stranger neither blocks a start nor gets the stranger signalled.
#[test]
fn a_stranger_with_the_recorded_number_is_left_alone() {
    let service = Service::new();
    let (mut first, _) = service.run(service.launch("true"));
    first.until_empty();
    assert_eq!(first.release(), 0);
    let mut record = service.record();
    let mut stranger = std::process::Command::new("sleep").arg("600").spawn().expect("sleep");
    record.phase = Phase::Running;
    record.holder.keeper.pid = stranger.id();
    record.holder.keeper.start_ticks = 1;
    record.holder.main = Some(record.holder.keeper.clone());
    let text = serde_json::to_string(&record).expect("json");
    std::fs::write(service.folder().join("record.json"), text).expect("writes");
    let (mut second, _) = service.run(service.launch("true"));
    second.until_empty();
    assert_eq!(second.story(), "locked started exited empty");
    assert!(stranger.try_wait().expect("own child").is_none(), "the stranger was ended");
    stranger.kill().expect("own child");
    stranger.wait().expect("own child");
}

/// A record of another boot, or one that is no record, tells of nobody.
#[test]
fn old_and_broken_records_block_nothing() {
    let service = Service::new();
    let (mut first, _) = service.run(service.launch("true"));
    first.until_empty();
    assert_eq!(first.release(), 0);
    let mut record = service.record();
    record.phase = Phase::Running;
    record.holder.keeper.boot_id = vigie_core::identity::BootId("0123".into());
    for text in [serde_json::to_string(&record).expect("json"), "{".to_owned(), "\0\0".to_owned()] {
        std::fs::write(service.folder().join("record.json"), text).expect("writes");
        let (mut keeper, _) = service.run(service.launch("true"));
        keeper.until_empty();
        assert_eq!(keeper.story(), "locked started exited empty");
        assert_eq!(keeper.release(), 0);
    }
}

#[test]
fn what_cannot_be_used_is_said_and_nothing_starts() {
    let service = Service::new();
    let mut keeper = Keeper::spawn("best");
    keeper.launch(Launch { lock: "/proc/version/lock".into(), ..service.launch("true") });
    assert!(matches!(keeper.answer(), Some(Answer::Failed { message, .. }) if message.contains("/proc/version")));
    assert_eq!(keeper.wait(), 125);
    let (mut first, _) = service.run(service.launch("true"));
    first.until_empty();
    let run = first.events[0].run;
    assert_eq!(first.release(), 0);
    let mut twin = Keeper::spawn("best");
    twin.launch(Launch { run, ..service.launch("true") });
    assert!(matches!(twin.answer(), Some(Answer::Failed { message, .. }) if message.contains(&run.to_string())));
    let mut rude = Keeper::spawn("best");
    rude.send(&Request::Go);
    assert!(matches!(rude.answer(), Some(Answer::Failed { .. })));
    rude.launch(Launch { output: Output::Inherit, ladder: ladder(&["KILL 1s"]), ..service.launch("true") });
    rude.send(&Request::Go);
    rude.until_empty();
}
