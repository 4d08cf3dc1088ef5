use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::claim::PortClaim;

const ANYBODY: Rights = Rights { lowest_port: 1024, privileged: false };

fn socket(address: &str, state: State) -> Socket {
    let address: SocketAddr = address.parse().expect("address");
    Socket {
        address: address.ip(),
        port: address.port(),
        proto: Proto::Tcp,
        state,
        v6_only: false,
        inode: 1,
        uid: 0,
        peer: None,
        cgroup: None,
        interface: None,
        ends_in: None,
        namespace: None,
    }
}

fn held(socket: Socket, pids: &[u32]) -> Entry {
    Entry { socket, holders: pids.iter().map(|&pid| Holder { pid, tid: None }).collect() }
}

fn listener(address: &str, pids: &[u32]) -> Entry {
    held(socket(address, State::Listening), pids)
}

fn v6_only(entry: Entry) -> Entry {
    Entry { socket: Socket { v6_only: true, ..entry.socket }, ..entry }
}

fn udp(entry: Entry) -> Entry {
    Entry { socket: Socket { proto: Proto::Udp, ..entry.socket }, ..entry }
}

fn of(claim: &str, entries: &[Entry]) -> (Verdict, Vec<usize>) {
    let claim: PortClaim = claim.parse().expect("claim");
    let judgement = judge(&claim, entries, &ANYBODY);
    (judgement.verdict, judgement.by)
}

/// R7.2: addresses count.
#[test]
fn only_what_meets_the_claim_uses_it() {
    let v4 = [listener("127.0.0.1:8000", &[9])];
    let other = [listener("127.0.0.2:8000", &[9])];
    let v6 = [v6_only(listener("[::1]:8000", &[9]))];
    let any4 = [listener("0.0.0.0:8000", &[9])];
    let dual = [listener("[::]:8000", &[9])];
    let any6 = [v6_only(listener("[::]:8000", &[9]))];
    for (claim, entries, expected) in [
        ("8000", &v4, Verdict::Used),
        ("8000", &v6, Verdict::Used),
        ("8000", &other, Verdict::Used),
        ("8000/udp", &v4, Verdict::Free),
        ("8001", &v4, Verdict::Free),
        ("127.0.0.1:8000", &v4, Verdict::Used),
        ("127.0.0.1:8000", &other, Verdict::Free),
        ("127.0.0.1:8000", &v6, Verdict::Free),
        ("127.0.0.1:8000", &any4, Verdict::Used),
        ("127.0.0.1:8000", &dual, Verdict::Used),
        ("127.0.0.1:8000", &any6, Verdict::Free),
        ("[::1]:8000", &v4, Verdict::Free),
        ("[::1]:8000", &v6, Verdict::Used),
        ("[::1]:8000", &any4, Verdict::Free),
        ("[::1]:8000", &dual, Verdict::Used),
        ("[::1]:8000", &any6, Verdict::Used),
        ("0.0.0.0:8000", &v4, Verdict::Used),
    ] {
        assert_eq!(of(claim, entries).0, expected, "{claim} against {entries:?}");
    }
}

/// R7.2: what stands in the way, the strongest first.
#[test]
fn every_verdict() {
    let bound = held(socket("127.0.0.1:8000", State::Bound), &[9]);
    let connected = held(socket("127.0.0.1:8000", State::Connected), &[8]);
    let mut left = held(socket("127.0.0.1:8000", State::Left), &[]);
    left.socket.ends_in = Some(Duration::from_secs(40));
    let server = listener("127.0.0.1:8000", &[7]);
    for (entries, verdict, by) in [
        (vec![], Verdict::Free, vec![]),
        (vec![left.clone()], Verdict::TimeWait, vec![0]),
        (vec![left.clone(), connected.clone()], Verdict::Ephemeral, vec![1]),
        (vec![left.clone(), connected.clone(), bound.clone()], Verdict::Bound, vec![2]),
        (vec![left.clone(), connected.clone(), bound.clone(), server.clone()], Verdict::Used, vec![2, 3]),
        (vec![udp(bound.clone())], Verdict::Free, vec![]),
    ] {
        assert_eq!(of("8000", &entries), (verdict, by), "{entries:?}");
    }
    assert_eq!(of("8000/udp", &[udp(bound)]).0, Verdict::Used);
    assert_eq!(of("8000/udp", &[udp(connected)]).0, Verdict::Ephemeral);
}

#[test]
fn closed_connections_end_with_the_last_of_them() {
    let left = |ends_in| {
        let mut entry = held(socket("127.0.0.1:8000", State::Left), &[]);
        entry.socket.ends_in = ends_in;
        entry
    };
    let claim: PortClaim = "8000".parse().expect("claim");
    let seconds = |count| Some(Duration::from_secs(count));
    let judgement = judge(&claim, &[left(seconds(5)), left(None), left(seconds(50))], &ANYBODY);
    assert_eq!((judgement.verdict, judgement.by.len(), judgement.ends_in), (Verdict::TimeWait, 3, seconds(50)));
}

#[test]
fn low_ports_take_a_privilege() {
    let claim: PortClaim = "80".parse().expect("claim");
    let left = [held(socket("0.0.0.0:80", State::Left), &[])];
    for (rights, entries, verdict) in [
        (ANYBODY, &[][..], Verdict::Reserved),
        (ANYBODY, &left, Verdict::Reserved),
        (Rights { privileged: true, ..ANYBODY }, &[], Verdict::Free),
        (Rights { lowest_port: 80, ..ANYBODY }, &[], Verdict::Free),
        (Rights { lowest_port: 0, ..ANYBODY }, &left, Verdict::TimeWait),
        (ANYBODY, &[listener("0.0.0.0:80", &[1])], Verdict::Used),
    ] {
        assert_eq!(judge(&claim, entries, &rights).verdict, verdict, "{rights:?}");
    }
}

/// R7.2: the silent duplicate, and what only looks like one.
#[test]
fn shared_means_several_servers() {
    let at = |address: &str, pids: &[u32]| listener(address, pids);
    let device = |entry: Entry, interface| Entry { socket: Socket { interface, ..entry.socket }, ..entry };
    for (entries, verdict) in [
        (vec![at("0.0.0.0:8000", &[1]), at("0.0.0.0:8000", &[2])], Verdict::Shared),
        (vec![at("[::]:8000", &[1]), at("0.0.0.0:8000", &[2])], Verdict::Shared),
        (vec![at("[::]:8000", &[1]), at("[::1]:8000", &[2])], Verdict::Shared),
        (vec![at("0.0.0.0:8000", &[]), at("0.0.0.0:8000", &[])], Verdict::Shared),
        // One master has the sockets of all workers.
        (vec![at("0.0.0.0:8000", &[1, 2]), at("0.0.0.0:8000", &[1, 3])], Verdict::Used),
        // One inherited socket.
        (vec![at("0.0.0.0:8000", &[1, 2, 3])], Verdict::Used),
        // Each has an address of its own.
        (vec![at("127.0.0.1:8000", &[1]), at("127.0.0.2:8000", &[2])], Verdict::Used),
        (vec![at("127.0.0.1:8000", &[1]), at("[::1]:8000", &[2])], Verdict::Used),
        (vec![v6_only(at("[::]:8000", &[1])), at("0.0.0.0:8000", &[2])], Verdict::Used),
        // Each has an interface of its own.
        (vec![device(at("0.0.0.0:8000", &[1]), Some(2)), device(at("0.0.0.0:8000", &[2]), Some(3))], Verdict::Used),
        (vec![device(at("0.0.0.0:8000", &[1]), Some(2)), device(at("0.0.0.0:8000", &[2]), None)], Verdict::Shared),
    ] {
        assert_eq!(of("8000", &entries).0, verdict, "{entries:?}");
    }
    let bound = |address: &str, pid| udp(held(socket(address, State::Bound), &[pid]));
    assert_eq!(of("8000/udp", &[bound("0.0.0.0:8000", 1), bound("0.0.0.0:8000", 2)]).0, Verdict::Shared);
    assert_eq!(of("8000/udp", &[bound("0.0.0.0:8000", 1), bound("10.0.0.1:8000", 2)]).0, Verdict::Used);
}

#[test]
fn another_network_namespace_is_another_machine() {
    let mut far = listener("0.0.0.0:8000", &[9]);
    far.socket.namespace = Some(77);
    let entries = [far];
    assert_eq!(of("8000", &entries), (Verdict::Free, vec![]));
    let claim: PortClaim = "8000".parse().expect("claim");
    assert_eq!(judge_in(&claim, Some(77), &entries, &ANYBODY).verdict, Verdict::Used);
    assert_eq!(judge_in(&claim, Some(78), &entries, &ANYBODY).verdict, Verdict::Free);
}

#[test]
fn what_is_free() {
    for (verdict, text, free) in [
        (Verdict::Free, "free", true),
        (Verdict::TimeWait, "time-wait", true),
        (Verdict::Used, "used", false),
        (Verdict::Shared, "shared", false),
        (Verdict::Ephemeral, "ephemeral", false),
        (Verdict::Bound, "bound", false),
        (Verdict::Reserved, "reserved", false),
        (Verdict::Unknown, "unknown", false),
    ] {
        assert_eq!((verdict.to_string().as_str(), verdict.is_free()), (text, free));
        assert_eq!(serde_json::to_value(verdict).expect("encodes"), text);
    }
}
