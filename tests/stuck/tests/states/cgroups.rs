//! Frozen with their cgroup. What version 1 shows of it is one of the traps.

use rustix::process::Signal;
use vigie_stuck::seen;

use crate::bed::{Verdict, made};

#[test]
fn frozen_v2() {
    let Some((world, stuck)) = made("frozen_v2", "frozen-v2") else { return };
    let pid = stuck.pid();
    assert_eq!(seen::state(pid), Some('S'));
    let events = format!("{}/cgroup.events", stuck.fact("cgroup"));
    assert!(std::fs::read_to_string(events).expect("readable").contains("frozen 1"));
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("frozen", Some(true)).task(pid, "frozen").shows("frozen", "itself");
    verdict.offers_just(&["thaw", "end"]);
    verdict.carry_out(&world, "thaw");
    stuck.goes_on();
}

/// In version 2 what is frozen can be ended.
#[test]
fn frozen_v2_dies_of_term() {
    let Some((_, stuck)) = made("frozen_v2_dies_of_term", "frozen-v2") else { return };
    stuck.signal(Signal::TERM);
    stuck.gone();
}

/// One above it is frozen: the deed is to thaw that one.
#[test]
fn frozen_by_one_above() {
    let Some((world, stuck)) = made("frozen_by_one_above", "frozen-v1") else { return };
    let folder = stuck.fact("cgroup");
    let below = std::path::Path::new(folder).join("below");
    std::fs::create_dir(&below).expect("a cgroup");
    // What is frozen cannot be moved.
    std::fs::write(format!("{folder}/freezer.state"), "THAWED").expect("root");
    std::fs::write(below.join("cgroup.procs"), stuck.pid().to_string()).expect("root");
    std::fs::write(format!("{folder}/freezer.state"), "FROZEN").expect("root");
    stuck.until("it is frozen", || seen::state(stuck.pid()) == Some('D'));
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("frozen", Some(false)).shows("frozen", "itself").offers_just(&["thaw"]);
    verdict.carry_out(&world, "thaw");
    stuck.goes_on();
    stuck.signal(Signal::KILL);
    stuck.gone();
    let _ = vigie_stuck::wait::within(vigie_real_tests::LONG, || std::fs::remove_dir(&below).is_ok());
}
