//! At their end, or without the part that people look at.

use std::net::{Ipv4Addr, TcpListener};

use rustix::process::Signal;
use vigie_stuck::seen;

use crate::bed::{Verdict, made};

#[test]
fn zombie() {
    let Some((world, stuck)) = made("zombie", "zombie") else { return };
    let (pid, parent) = (stuck.pid(), stuck.number("parent"));
    assert_eq!(seen::state(pid), Some('Z'));
    // How it ended, as for waitpid: 3 is in the second byte.
    assert_eq!(seen::field(pid, 52).as_deref(), Some("768"));
    stuck.signal(Signal::TERM);
    stuck.signal(Signal::KILL);
    assert_eq!(seen::state(pid), Some('Z'));
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("zombie", Some(false)).task(pid, "zombie").blames("parent", parent);
    verdict.shows("state", "Z (zombie").shows("ended with", "exit code 3").shows("parent", &parent.to_string());
    verdict.offers_just(&["tell-parent", "end-parent"]);
    // Its parent has no handler: being told changes nothing.
    verdict.carry_out(&world, "tell-parent");
    assert_eq!(seen::state(pid), Some('Z'));
    verdict.carry_out(&world, "end-parent");
    stuck.until("its number is free", || seen::state(pid).is_none());
}

#[test]
fn leader_exited() {
    let Some((world, stuck)) = made("leader_exited", "leader-exited") else { return };
    let (pid, port) = (stuck.pid(), stuck.fact("tcp").parse().expect("a port"));
    assert_eq!(seen::state(pid), Some('Z'));
    let tasks = seen::tasks(pid);
    assert_eq!(tasks.len(), 2);
    stuck.until("the other one sleeps", || seen::task_state(pid, tasks[1]) == Some('S'));
    assert_eq!(seen::file(pid, "cmdline").as_deref(), Some(""));
    assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err());
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("leader-exited", Some(true)).task(pid, "leader-exited").task(tasks[1], "sleeping");
    verdict.shows("state", "Z (zombie").shows("other threads", "1").offers_just(&["end"]);
    verdict.carry_out(&world, "end");
    stuck.gone();
    // Somebody else may be given it for a moment.
    stuck.until("its port is free", || TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
}

#[test]
fn exit_in_fuse() {
    let Some((world, stuck)) = made("exit_in_fuse", "exit-in-fuse") else { return };
    let pid = stuck.pid();
    let tasks = seen::tasks(pid);
    assert_eq!(seen::state(pid), Some('Z'));
    assert_eq!(seen::task_state(pid, tasks[1]), Some('D'));
    stuck.survives_kill();
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("fuse", Some(false)).task(pid, "leader-exited").task(tasks[1], "fuse");
    verdict
        .shows("sleeps in", "request_wait_answer")
        .shows("requests that wait", "1")
        .shows("mount", stuck.fact("mount"));
    verdict.blames("server", stuck.number("server")).offers_just(&["end-server", "abort"]);
    verdict.carry_out(&world, "abort");
    stuck.gone();
}

#[test]
fn namespace_init() {
    let Some((world, stuck)) = made("namespace_init", "namespace-init") else { return };
    let pid = stuck.pid();
    assert_eq!(seen::status(pid, "NSpid").as_deref(), Some(&*format!("{pid}\t1")));
    assert_eq!(seen::signals(pid, "SigCgt"), Some(0));
    // From outside, too, this one is dropped.
    stuck.signal(Signal::TERM);
    assert_eq!(seen::state(pid), Some('S'));
    assert!(!seen::has_signal(pid, "ShdPnd", Signal::TERM.as_raw()));
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("namespace-init", Some(true)).task(pid, "namespace-init");
    verdict.shows("PID namespace", "number 1").shows("caught", "none").offers_just(&["kill"]);
    verdict.carry_out(&world, "kill");
    stuck.gone();
}

/// The parent of a vfork is D, and dies of TERM all the same: see the traps. Here it is freed by the end of its child.
#[test]
fn vfork() {
    let Some((world, stuck)) = made("vfork", "vfork") else { return };
    let (pid, child) = (stuck.pid(), stuck.number("child"));
    assert_eq!(seen::state(pid), Some('D'));
    #[cfg(target_arch = "x86_64")]
    assert_eq!(seen::call(pid).map(|call| call.0), Some(58));
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("vfork-wait", Some(true)).task(pid, "vfork-wait").blames("child", child);
    verdict.shows("state", "D (disk sleep").shows("child", &child.to_string()).offers_just(&["end", "end-child"]);
    verdict.carry_out(&world, "end-child");
    stuck.goes_on();
}

#[test]
fn daemon() {
    let Some((world, stuck)) = made("daemon", "daemon") else { return };
    let pid = stuck.pid();
    assert_ne!(seen::field(pid, 4), Some(stuck.maker().to_string()));
    assert_ne!(seen::field(pid, 6), Some(pid.to_string()), "the leader of its session has ended");
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("sleeping", Some(true)).task(pid, "sleeping").offers_just(&["end"]);
    verdict.shows("session", "has ended").shows("terminal", "none");
    verdict.carry_out(&world, "end");
    stuck.gone();
}
