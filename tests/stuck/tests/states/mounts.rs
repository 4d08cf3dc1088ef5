//! Waiting for permission to open a file, or for a mount.

use rustix::process::Signal;
use vigie_stuck::seen;

use crate::bed::{Verdict, made};

#[test]
fn fanotify() {
    let Some((world, stuck)) = made("fanotify", "fanotify") else { return };
    let (pid, listener) = (stuck.pid(), stuck.number("listener"));
    stuck.sleeps_in("DS", &["fanotify_handle_event"]);
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("fanotify", Some(true)).task(pid, "fanotify").blames("listener", listener);
    verdict.shows("file", stuck.fact("file")).offers_just(&["end", "end-listener"]);
    verdict.carry_out(&world, "end-listener");
    stuck.goes_on();
}

#[test]
fn fanotify_is_left_by_term() {
    let Some((_, stuck)) = made("fanotify_is_left_by_term", "fanotify") else { return };
    stuck.signal(Signal::TERM);
    stuck.gone();
}

#[test]
fn autofs() {
    let Some((world, stuck)) = made("autofs", "autofs") else { return };
    let pid = stuck.pid();
    stuck.sleeps_in("DS", &["autofs_wait"]);
    assert!(!seen::is_gone(stuck.number("daemon")));
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("autofs", Some(true)).task(pid, "autofs");
    verdict.shows("mount", "autofs").shows("mount", stuck.fact("mount")).offers_just(&["end"]);
    verdict.carry_out(&world, "end");
    stuck.gone();
}
