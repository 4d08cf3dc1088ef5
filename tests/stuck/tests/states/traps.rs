//! What everybody gets wrong who looks at the letter of the state.

use rustix::process::Signal;
use vigie_stuck::seen;

use crate::bed::{Verdict, made};

/// The kernel shows `D` and where the thread slept before the frost came. Nothing is wrong there; nothing that happens
/// there ends it; no signal reaches it.
#[test]
fn a_frozen_thread_of_v1_lies_about_where_it_sleeps() {
    let test = "a_frozen_thread_of_v1_lies_about_where_it_sleeps";
    let Some((world, stuck)) = made(test, "frozen-v1") else { return };
    let pid = stuck.pid();
    stuck.sleeps_in("D", &["nanosleep"]);
    assert_eq!(std::fs::read_to_string(format!("{}/freezer.state", stuck.fact("cgroup"))).unwrap().trim(), "FROZEN");
    stuck.survives_kill();
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("frozen", Some(false)).task(pid, "frozen").shows("frozen", "itself").shows("pending", "KILL");
    verdict.offers_just(&["thaw"]);
    assert_eq!(verdict.0["sure"], true);
    verdict.carry_out(&world, "thaw");
    stuck.gone();
}

/// At its very end, where KILL has brought it, it waits for its tracer, and no further KILL is heard.
#[test]
fn a_tracee_at_its_exit_survives_kill() {
    let Some((world, stuck)) = made("a_tracee_at_its_exit_survives_kill", "traced-at-exit") else { return };
    let (pid, tracer) = (stuck.pid(), stuck.number("tracer"));
    assert_eq!(seen::state(pid), Some('t'));
    assert!(seen::has_signal(pid, "ShdPnd", Signal::KILL.as_raw()) || seen::has_signal(pid, "SigPnd", 9));
    stuck.survives_kill();
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("traced", Some(false)).task(pid, "traced").blames("tracer", tracer);
    verdict.shows("pending", "KILL").shows("tracer", &tracer.to_string()).offers_just(&["end-tracer"]);
    verdict.carry_out(&world, "end-tracer");
    stuck.gone();
}

/// `D`, and TERM is enough: what the letter does not say is that the wait is one which a deadly signal ends.
#[test]
fn a_parent_of_vfork_is_d_and_dies_of_term() {
    let Some((world, stuck)) = made("a_parent_of_vfork_is_d_and_dies_of_term", "vfork") else { return };
    assert_eq!(seen::state(stuck.pid()), Some('D'));
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("vfork-wait", Some(true));
    assert_eq!(verdict.offers()[0], "end");
    stuck.signal(Signal::TERM);
    stuck.gone();
}

/// The same, on a file system whose server never answers.
#[test]
fn a_reader_of_fuse_is_d_and_dies_of_term() {
    let Some((world, stuck)) = made("a_reader_of_fuse_is_d_and_dies_of_term", "fuse-read") else { return };
    assert_eq!(seen::state(stuck.pid()), Some('D'));
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("fuse", Some(true));
    assert_eq!(verdict.offers()[0], "end");
    stuck.signal(Signal::TERM);
    stuck.gone();
}
