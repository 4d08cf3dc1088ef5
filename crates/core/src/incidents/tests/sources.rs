//! Engines that are watched, and their containers.

use super::*;

pub(super) fn nas() -> Subject {
    Subject::Source(name("nas"))
}

pub(super) fn offline() -> What {
    What::SourceOffline { why: "connection refused".to_owned() }
}

/// R10.3: an engine that is away for a moment alarms nobody; one that stays away is told once, and once when it is back.
#[test]
fn an_engine_that_stays_away() {
    let mut bench = Bench::new();
    for _ in 0..10 {
        bench.hear_about(nas(), offline());
        bench.pass(50.0);
        bench.hear_about(nas(), What::SourceOnline { after: None });
        bench.pass(70.0);
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
    bench.pass(59.0);
    assert_eq!(bench.told().len(), 1, "it may go away again at once");
    bench.restart(true);
    bench.pass(2.0);
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

/// R11.4: an engine that comes and goes for an hour is one story with a count, and few messages.
#[test]
fn an_engine_that_flaps() {
    // Seconds away and back, how long all of it goes on, what is told until half an hour after.
    for (away, back, hours, opened, resolved) in [
        // The follower tells that it is away after 30 of 40 seconds.
        (10.0, 40.0, 1.0, 1, 1),
        (40.0, 10.0, 1.0, 1, 1),
        (50.0, 5.0, 1.0, 1, 1),
        (5.0, 300.0, 4.0, 0, 0),
        (59.0, 61.0, 4.0, 0, 0),
        // Each time for long enough, and back for long enough: told as often as the cooldown lets it.
        (90.0, 90.0, 1.0, 10, 10),
    ] {
        let mut bench = Bench::new();
        let begun = bench.second;
        while bench.second - begun < hours * 3600.0 {
            bench.hear_about(nas(), offline());
            bench.pass(away);
            bench.hear_about(nas(), What::SourceOnline { after: None });
            bench.pass(back);
        }
        bench.pass(1800.0);
        let told = |wanted| bench.messages.iter().filter(|one| one.occasion == wanted).count();
        assert_eq!((told(Occasion::Opened), told(Occasion::Resolved)), (opened, resolved), "{away} {back}");
        assert_eq!(bench.engine.live().count(), 0, "{away} {back}");
    }
}
