//! Clients come and go (R6.7).

use std::io::{Read as _, Write as _};
use std::time::Duration;

use vigie_os::clock::mono;
use vigie_wire::keeper::{Answer, Phase, Request, What};

use crate::harness::{LONG, Service, pause};

/// A daemon that died is replaced by another: it learns everything that it missed, and steers.
#[test]
fn whoever_comes_back_misses_nothing() {
    let service = Service::new();
    let (mut keeper, main) = service.run(service.launch("trap 'exit 7' TERM; echo > $DIR/ready; sleep 600 & wait"));
    service.line_in("ready");
    let mut daemon = service.connect();
    daemon.send(&Request::Control);
    daemon.send(&Request::Watch { after: 0 });
    let Answer::State(state) = daemon.reply() else { panic!("no state") };
    assert_eq!((state.phase, state.holder.main, state.seq), (Phase::Running, Some(main), 2));
    keeper.socket.shutdown(std::net::Shutdown::Both).expect("the first one dies");
    daemon.stop();
    daemon.until_empty();
    assert!(daemon.story().starts_with("locked started stopping rung exited"), "{}", daemon.story());
    let numbers: Vec<u64> = daemon.events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "a hole, or an event told twice");
    let mut late = service.connect();
    late.send(&Request::Watch { after: 4 });
    late.until_empty();
    assert_eq!(late.events[0].seq, 5);
    drop(late);
    daemon.send(&Request::Release);
    assert_eq!(keeper.wait(), 0);
}

/// Nobody is there who could start it again: the keeper ends with its tree, and the record says how.
#[test]
fn without_anybody_in_control_the_keeper_ends_with_the_run() {
    let service = Service::new();
    let (mut keeper, _) = service.run(service.launch("while ! [ -e $DIR/go ]; do sleep 0.01; done; exit 7"));
    keeper.socket.shutdown(std::net::Shutdown::Both).expect("closes");
    let mut passer_by = service.connect();
    passer_by.send(&Request::Watch { after: 0 });
    assert!(matches!(passer_by.reply(), Answer::State(state) if state.phase == Phase::Running));
    std::fs::write(service.dir().join("go"), "").expect("writes");
    assert_eq!(keeper.wait(), 0);
    let record = service.record();
    assert_eq!((record.exit, record.phase), (Some(vigie_core::exit::Exit::Code(7)), Phase::Empty));
    let events = std::fs::read_to_string(service.folder().join("events.jsonl")).expect("events");
    assert_eq!(events.lines().count(), 4, "{events}");
}

/// A client that asks and never reads holds up nobody.
#[test]
fn a_client_that_never_reads_is_let_go() {
    let service = Service::new();
    let (mut keeper, _) = service.run(service.launch("exec sleep 600"));
    let deaf = service.connect();
    deaf.socket.set_write_timeout(Some(crate::harness::LONG)).expect("timeout");
    // Far more answers than any buffer holds.
    let line = b"{\"do\":\"watch\",\"after\":0}\n".repeat(1_000);
    let mut sent = Ok(());
    for _ in 0..100 {
        sent = { &deaf.socket }.write_all(&line);
        if sent.is_err() {
            break;
        }
    }
    assert!(sent.is_err(), "the keeper went on answering");
    keeper.stop();
    keeper.until_empty();
}

#[test]
fn nonsense_is_refused_and_the_connection_stays() {
    let service = Service::new();
    let (mut keeper, _) = service.run(service.launch("exec sleep 600"));
    let mut client = service.connect();
    client.socket.write_all(b"hello\n{\"do\":\"dance\"}\n\n").expect("writes");
    for _ in 0..3 {
        assert!(matches!(client.reply(), Answer::Failed { .. }));
    }
    client.send(&Request::Watch { after: 0 });
    assert!(matches!(client.reply(), Answer::State(_)));
    client.send(&Request::Launch(Box::new(service.launch("true"))));
    assert!(matches!(client.reply(), Answer::Failed { message, .. } if message.contains("launched already")));
    keeper.stop();
    keeper.until_empty();
}

#[test]
fn connections_are_bounded() {
    let service = Service::new();
    let (mut keeper, _) = service.run(service.launch("exec sleep 600"));
    let mut clients = Vec::new();
    let mut refused = None;
    for _ in 0..20 {
        let mut client = service.connect();
        // One that is refused may be gone before it can ask.
        let _ = client.socket.write_all(b"{\"do\":\"watch\",\"after\":9}\n");
        match client.answer() {
            Some(Answer::State(_)) => clients.push(client),
            other => {
                refused = other;
                break;
            }
        }
    }
    assert!(matches!(refused, Some(Answer::Failed { .. }) | None), "{refused:?}");
    assert_eq!(clients.len(), 15, "sixteen with the one that launched it");
    drop(clients.pop());
    keeper.stop();
    keeper.until_empty();
}

/// A request of a client that is gone before it is read still counts.
#[test]
fn last_words_are_heard() {
    let service = Service::new();
    let (mut keeper, _) = service.run(service.launch("exec sleep 600"));
    let mut client = service.connect();
    client.send(&Request::Watch { after: 0 });
    client.stop();
    drop(client);
    keeper.until(|what| *what == What::Empty);
}

/// While nothing happens the keeper does not run: its CPU time and its switches stay what they are.
#[test]
fn an_idle_keeper_sleeps() {
    let service = Service::new();
    let (mut keeper, _) = service.run(service.launch("exec sleep 600"));
    keeper.send(&Request::Skip);
    keeper.reply();
    let switches = || {
        let mut text = String::new();
        let path = format!("/proc/{}/status", keeper.child.id());
        std::fs::File::open(path).expect("alive").read_to_string(&mut text).expect("text");
        text.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).expect("line").to_owned()
    };
    // It may still be on its way to sleep after the answer, for as long as others have the processors.
    let deadline = mono() + LONG;
    let mut before = switches();
    loop {
        pause(Duration::from_millis(400));
        let after = switches();
        if after == before {
            break;
        }
        assert!(mono() < deadline, "it never sleeps: {before}, {after}");
        before = after;
    }
    keeper.stop();
    keeper.until_empty();
}
