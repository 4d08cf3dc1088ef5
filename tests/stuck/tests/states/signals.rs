//! Not moved by a signal: ignored, blocked, swallowed; and stopped.

use rustix::process::Signal;
use vigie_stuck::seen;

use crate::bed::{Verdict, made};

#[test]
fn term_ignored() {
    let Some((world, stuck)) = made("term_ignored", "term-ignored") else { return };
    let pid = stuck.pid();
    stuck.signal(Signal::TERM);
    assert!(seen::has_signal(pid, "SigIgn", Signal::TERM.as_raw()));
    assert!(!seen::has_signal(pid, "ShdPnd", Signal::TERM.as_raw()), "it is dropped at once");
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("signal-ignored", Some(true)).task(pid, "signal-ignored");
    verdict.shows("ignored", "TERM").offers_just(&["kill"]);
    verdict.carry_out(&world, "kill");
    stuck.gone();
}

#[test]
fn term_blocked() {
    let Some((world, stuck)) = made("term_blocked", "term-blocked") else { return };
    let pid = stuck.pid();
    // Nobody has sent one: there is nothing to say.
    Verdict::of(&world, &stuck).is("sleeping", Some(true));
    stuck.signal(Signal::TERM);
    assert!(seen::has_signal(pid, "SigBlk", Signal::TERM.as_raw()));
    assert!(seen::has_signal(pid, "ShdPnd", Signal::TERM.as_raw()), "it waits");
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("signal-blocked", Some(true)).task(pid, "signal-blocked");
    verdict.shows("blocked", "TERM").shows("pending", "TERM").offers_just(&["kill"]);
    verdict.carry_out(&world, "kill");
    stuck.gone();
}

/// The kernel does not remember signals that were taken. Who has sent one knows: this is told of a service only.
#[test]
fn term_swallowed() {
    let Some((world, stuck)) = made("term_swallowed", "term-swallowed") else { return };
    let pid = stuck.pid();
    stuck.signal(Signal::TERM);
    stuck.goes_on();
    assert!(seen::has_signal(pid, "SigCgt", Signal::TERM.as_raw()));
    assert_eq!(seen::signals(pid, "ShdPnd"), Some(0), "it was taken");
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("sleeping", Some(true)).offers_just(&["end"]);
    let said = world.vigie(&["end", &stuck.target(), "--timeout", "1s", "--yes"]).run().code(0);
    assert!(said.took >= std::time::Duration::from_secs(1), "TERM is no help: {said}");
    stuck.gone();
}

#[test]
fn stopped() {
    let Some((world, stuck)) = made("stopped", "stopped") else { return };
    let pid = stuck.pid();
    stuck.sleeps_in("T", &["do_signal_stop"]);
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("stopped", Some(true)).task(pid, "stopped");
    verdict.shows("state", "T (stopped").offers_just(&["continue", "end"]);
    verdict.carry_out(&world, "continue");
    stuck.goes_on();
}

/// TERM waits as long as it is stopped.
#[test]
fn stopped_takes_term_when_it_goes_on() {
    let Some((world, stuck)) = made("stopped_takes_term_when_it_goes_on", "stopped") else { return };
    let pid = stuck.pid();
    stuck.signal(Signal::TERM);
    assert!(seen::has_signal(pid, "ShdPnd", Signal::TERM.as_raw()));
    assert_eq!(seen::state(pid), Some('T'));
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("stopped", Some(true)).shows("pending", "TERM");
    verdict.carry_out(&world, "continue");
    stuck.gone();
}
