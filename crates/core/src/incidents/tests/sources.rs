//! Engines that are watched, and their containers.

use super::*;

fn nas() -> Subject {
    Subject::Source(name("nas"))
}

fn offline() -> What {
    What::SourceOffline { why: "connection refused".to_owned() }
}

fn web() -> Subject {
    Subject::Container { source: name("nas"), name: "web".to_owned(), id: "3f".to_owned() }
}

fn event(action: &str, exit_code: Option<i32>, oom: Option<bool>) -> What {
    What::ContainerEvent {
        action: action.to_owned(),
        id: "3f".to_owned(),
        image: "web:1".to_owned(),
        time_nano: Some(1),
        exit_code,
        signal: None,
        oom,
        health: None,
        old_name: None,
        inferred: false,
    }
}

/// R10.3: an engine that is away for a moment alarms nobody; one that stays away is told once, and once when it is back.
#[test]
fn an_engine_that_stays_away() {
    let mut bench = Bench::new();
    for _ in 0..10 {
        bench.hear_about(nas(), offline());
        bench.pass(50.0);
        bench.hear_about(nas(), What::SourceOnline { after: None });
        bench.pass(5.0);
    }
    assert_eq!((bench.messages.len(), bench.entries.len()), (0, 0));
    bench.hear_about(nas(), offline());
    bench.pass(59.0);
    // A daemon that dies meanwhile does not begin to count anew.
    bench.restart(true);
    bench.pass(2.0);
    assert_eq!(bench.told(), [(Occasion::Opened, 1)]);
    assert_eq!(bench.messages[0].subject, Some(nas()));
    bench.hear_about(nas(), What::SourceOnline { after: None });
    bench.pass(1.0);
    assert_eq!(bench.told(), [(Occasion::Opened, 1), (Occasion::Resolved, 1)]);
    assert_eq!(bench.engine.live().count(), 0);
}

/// Whoever pauses or removes a source does not want to be told of it.
#[test]
fn a_source_that_is_not_watched_any_longer() {
    let mut bench = Bench::new();
    bench.hear_about(nas(), offline());
    bench.pass(30.0);
    bench.hear_about(nas(), What::SourceChanged { how: "paused".to_owned(), by: "anna".to_owned() });
    bench.pass(1e5);
    assert_eq!((bench.messages.len(), bench.engine.live().count()), (0, 0));
}

/// R10.3, R11.4: only memory that ran out is an incident, however often; ordinary ends of containers are none.
#[test]
fn a_container_without_memory() {
    let mut bench = Bench::new();
    for (action, code) in [("start", None), ("kill", None), ("die", Some(137)), ("stop", None), ("die", Some(0))] {
        bench.hear_about(web(), event(action, code, (action == "die").then_some(false)));
    }
    assert_eq!(bench.messages.len(), 0);
    for _ in 0..20 {
        bench.hear_about(web(), event("die", Some(137), Some(true)));
        bench.pass(60.0);
    }
    assert_eq!(bench.told(), [(Occasion::Opened, 1)]);
    bench.pass(601.0);
    assert_eq!(bench.told(), [(Occasion::Opened, 1), (Occasion::Resolved, 20)]);
}
