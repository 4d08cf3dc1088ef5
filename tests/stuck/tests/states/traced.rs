//! Held by a tracer.

use rustix::process::Signal;
use vigie_stuck::seen;

use crate::bed::{Verdict, made};

#[test]
fn traced() {
    let Some((world, stuck)) = made("traced", "traced") else { return };
    let (pid, tracer) = (stuck.pid(), stuck.number("tracer"));
    assert_eq!(seen::state(pid), Some('t'));
    assert_eq!(seen::status(pid, "TracerPid"), Some(tracer.to_string()));
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("traced", Some(true)).task(pid, "traced").blames("tracer", tracer);
    verdict.shows("state", "t (tracing stop").shows("tracer", &tracer.to_string());
    verdict.offers_just(&["end-tracer", "end"]);
    verdict.carry_out(&world, "end-tracer");
    stuck.goes_on();
}

/// What was sent meanwhile is delivered when the tracer is gone.
#[test]
fn traced_takes_term_without_its_tracer() {
    let Some((world, stuck)) = made("traced_takes_term_without_its_tracer", "traced") else { return };
    stuck.signal(Signal::TERM);
    assert_eq!(seen::state(stuck.pid()), Some('t'));
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("traced", Some(true)).shows("pending", "TERM");
    verdict.carry_out(&world, "end-tracer");
    stuck.gone();
}
