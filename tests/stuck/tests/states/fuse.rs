//! Waiting for a server of FUSE.

use std::time::Duration;

use rustix::process::Signal;
use vigie_stuck::seen;

use crate::bed::{Stuck, Verdict, made};

#[test]
fn fuse_getattr() {
    let Some((world, stuck)) = made("fuse_getattr", "fuse-getattr") else { return };
    let (pid, server) = (stuck.pid(), stuck.number("server"));
    stuck.sleeps_in("S", &["request_wait_answer"]);
    // Until it was tried nobody can tell: the server may not have taken the request.
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("fuse", None).task(pid, "fuse").blames("server", server);
    verdict.offers_just(&["end", "end-server", "abort"]);
    stuck.survives_kill();
    stuck.sleeps_in("D", &["request_wait_answer"]);
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("fuse", Some(false)).task(pid, "fuse").blames("server", server);
    verdict.shows("state", "D (disk sleep").shows("pending", "KILL").shows("mount", stuck.fact("mount"));
    verdict.shows("sleeps in", "request_wait_answer").shows("requests that wait", "1");
    verdict.offers_just(&["end-server", "abort"]);
    let answer = verdict.0["answer"].as_str().expect("a text");
    assert!(answer.contains(&format!("connection {}", stuck.fact("connection"))), "{answer}");
    verdict.carry_out(&world, "abort");
    stuck.gone();
}

/// The end of the server is the end of the connection, when nobody else has it open.
#[test]
fn fuse_without_its_server() {
    let Some((world, stuck)) = made("fuse_without_its_server", "fuse-getattr") else { return };
    stuck.survives_kill();
    Verdict::of(&world, &stuck).carry_out(&world, "end-server");
    stuck.gone();
}

#[test]
fn fuse_behind() {
    let Some((world, stuck)) = made("fuse_behind", "fuse-behind") else { return };
    let (pid, owner) = (stuck.pid(), stuck.number("owner"));
    stuck.sleeps_in("D", &["fuse_lock_inode", "mutex"]);
    stuck.survives_kill();
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("fuse", Some(false)).task(pid, "fuse").blames("server", stuck.number("server"));
    verdict.shows("sleeps in", "mutex").shows("requests that wait", "1");
    // Only a program in the kernel sees who has the mutex.
    let sees_owner = verdict.has_blamed("owner", owner);
    verdict.offers_just(if sees_owner { &["end-server", "abort", "end-owner"] } else { &["end-server", "abort"] });
    assert!(!seen::is_gone(owner));
    verdict.carry_out(&world, "abort");
    // Both are free.
    stuck.gone();
    stuck.until("the other one is gone", || seen::is_gone(owner));
}

#[test]
fn fuse_flush() {
    let Some((world, stuck)) = made("fuse_flush", "fuse-flush") else { return };
    let pid = stuck.pid();
    stuck.sleeps_in("S", &["request_wait_answer"]);
    // It is at its end: the kernel drops every further signal, and it stays as it is.
    stuck.signal(Signal::KILL);
    assert!(!vigie_stuck::wait::within(Duration::from_millis(200), || seen::state(pid) != Some('S')));
    assert!(!seen::has_signal(pid, "ShdPnd", Signal::KILL.as_raw()));
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("fuse", Some(false)).task(pid, "fuse").blames("server", stuck.number("server"));
    verdict.shows("stack", "fuse_flush").shows("mount", stuck.fact("mount")).shows("requests that wait", "1");
    verdict.offers_just(&["end-server", "abort"]);
    verdict.carry_out(&world, "abort");
    stuck.gone();
}

/// What nothing ends holds much: two ports and memory.
#[test]
fn fuse_holder() {
    let args = ["--memory", "64MB", "--tcp", "0", "--udp", "0"];
    let Some(stuck) = Stuck::with("fuse_holder", "fuse-holder", &args, None) else { return };
    let world = vigie_real_tests::World::new();
    let pid = stuck.pid();
    let rss = || seen::status(pid, "VmRSS").and_then(|text| text.trim_end_matches(" kB").parse::<u64>().ok());
    assert!(rss().is_some_and(|rss| rss >= 64 << 10), "{:?}", rss());
    stuck.survives_kill();
    let (tcp, udp): (u16, u16) =
        (stuck.fact("tcp").parse().expect("a port"), stuck.fact("udp").parse().expect("a port"));
    assert!(std::net::TcpListener::bind(("127.0.0.1", tcp)).is_err());
    assert!(std::net::UdpSocket::bind(("127.0.0.1", udp)).is_err());
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("fuse", Some(false)).task(pid, "fuse").shows("system call", "write(");
    verdict.shows("file", &format!("{}/write", stuck.fact("mount"))).offers_just(&["end-server", "abort"]);
    verdict.carry_out(&world, "abort");
    stuck.gone();
    // Somebody else may be given one for a moment.
    stuck.until("its TCP port is free", || std::net::TcpListener::bind(("127.0.0.1", tcp)).is_ok());
    stuck.until("its UDP port is free", || std::net::UdpSocket::bind(("127.0.0.1", udp)).is_ok());
}

/// A read through the cache is one of the traps; here it is aborted.
#[test]
fn fuse_read() {
    let Some((world, stuck)) = made("fuse_read", "fuse-read") else { return };
    let pid = stuck.pid();
    assert_eq!(seen::state(pid), Some('D'));
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("fuse", Some(true)).task(pid, "fuse").shows("system call", "read(");
    verdict.shows("file", &format!("{}/read", stuck.fact("mount"))).shows("requests that wait", "1");
    verdict.offers_just(&["end", "end-server", "abort"]);
    verdict.carry_out(&world, "end-server");
    stuck.gone();
}
