//! Waiting for another process: for room in a pipe, for a lock, for a page of memory.

use rustix::process::Signal;
use vigie_stuck::seen;

use crate::bed::{Verdict, made};

#[test]
fn pipe_full() {
    let Some((world, stuck)) = made("pipe_full", "pipe-full") else { return };
    let (pid, reader) = (stuck.pid(), stuck.number("reader"));
    stuck.sleeps_in("S", &["pipe_write"]);
    #[cfg(target_arch = "x86_64")]
    assert_eq!(seen::call(pid), Some((1, 1)), "write(2) to descriptor 1");
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("pipe-full", Some(true)).task(pid, "pipe-full").blames("reader", reader);
    verdict.shows("pipe", "at descriptor 1").offers_just(&["drain", "end", "end-reader"]);
    verdict.carry_out(&world, "drain");
    stuck.goes_on();
}

/// With nobody left who could read it, a write fails.
#[test]
fn pipe_full_without_its_reader() {
    let Some((world, stuck)) = made("pipe_full_without_its_reader", "pipe-full") else { return };
    Verdict::of(&world, &stuck).carry_out(&world, "end-reader");
    stuck.gone();
}

fn locked(test: &str, state: &'static str, kind: &str, functions: &[&str]) {
    let Some((world, stuck)) = made(test, state) else { return };
    let (pid, holder) = (stuck.pid(), stuck.number("holder"));
    stuck.sleeps_in("S", functions);
    let locks = std::fs::read_to_string("/proc/locks").expect("readable");
    assert!(locks.contains("->"), "{locks}");
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("file-lock", Some(true)).task(pid, "file-lock").blames("holder", holder);
    verdict.shows("lock", kind).offers_just(&["end", "end-holder"]);
    let because = verdict.0["because"].to_string();
    assert!(because.contains(stuck.fact("file")), "{because}");
    verdict.carry_out(&world, "end-holder");
    stuck.goes_on();
}

#[test]
fn flock() {
    locked("flock", "flock", "flock", &["locks_lock_inode_wait", "flock"]);
}

#[test]
fn posix_lock() {
    locked("posix_lock", "posix-lock", "posix", &["fcntl_setlk"]);
}

#[test]
fn ofd_lock() {
    locked("ofd_lock", "ofd-lock", "ofd", &["fcntl_setlk"]);
}

/// Who waits for a lock dies of TERM.
#[test]
fn file_lock_is_left_by_term() {
    let Some((world, stuck)) = made("file_lock_is_left_by_term", "flock") else { return };
    let verdict = Verdict::of(&world, &stuck);
    verdict.carry_out(&world, "end");
    stuck.gone();
    assert!(!seen::is_gone(stuck.number("holder")));
}

#[test]
fn userfault() {
    let Some((world, stuck)) = made("userfault", "userfault") else { return };
    let (pid, supplier) = (stuck.pid(), stuck.number("supplier"));
    stuck.sleeps_in("SD", &["handle_userfault"]);
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("userfault", Some(true)).task(pid, "userfault").blames("supplier", supplier);
    verdict.shows("sleeps in", "handle_userfault").offers_just(&["end", "end-supplier"]);
    // Everybody is named for whom a fault waits: the kernel does not tell whose it is. So ours is chosen.
    verdict.carry_out(&world, "end-supplier");
    // Without anybody who could supply it, the kernel does.
    stuck.goes_on();
}

#[test]
fn userfault_is_left_by_term() {
    let Some((_, stuck)) = made("userfault_is_left_by_term", "userfault") else { return };
    stuck.signal(Signal::TERM);
    stuck.gone();
}
