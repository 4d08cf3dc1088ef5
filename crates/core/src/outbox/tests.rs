use super::*;
use proptest::prelude::*;

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn at(seconds: u64) -> Now {
    Now { mono: Mono(seconds * 1_000_000_000), wall: Wall(seconds * 1_000_000_000) }
}

fn message(key: &str) -> Message {
    Message {
        key: key.to_owned(),
        occasion: Occasion::Opened,
        severity: Severity::Warning,
        subject: None,
        incident: Some(1),
        rule: None,
        text: format!("about {key}"),
        count: 1,
        opened: None,
        at: Wall(1),
        run: None,
        wants_lines: 0,
        lines: Vec::new(),
    }
}

fn delivered() -> Verdict {
    Verdict::Delivered { answer: "200".to_owned() }
}

fn later(after_seconds: Option<u64>) -> Verdict {
    Verdict::Later { why: "500".to_owned(), after_seconds }
}

fn keys(parcels: &[Parcel]) -> Vec<&str> {
    parcels.iter().map(|parcel| parcel.message.key.as_str()).collect()
}

#[test]
fn one_at_a_time_in_their_order() {
    let (mut outbox, a) = (Outbox::default(), name("a"));
    for key in ["1", "2"] {
        assert_eq!(outbox.push(at(0), &message(key), std::slice::from_ref(&a)).put.len(), 1);
    }
    assert_eq!(keys(&outbox.pump(Mono(0))), ["1"]);
    assert!(outbox.pump(Mono(0)).is_empty(), "one is under way");
    let changes = outbox.done(at(1), &a, delivered(), 0.5);
    assert_eq!((changes.gone, changes.entries.len()), (vec![1], 0));
    assert_eq!(keys(&outbox.pump(at(1).mono)), ["2"]);
    let changes = outbox.done(at(2), &a, delivered(), 0.5);
    assert_eq!((changes.gone, changes.health[0].1.delivered), (vec![2], 2));
    assert_eq!(outbox.deadline(), None);
}

#[test]
fn pauses_grow_and_come_to_an_end() {
    let (mut outbox, a) = (Outbox::default(), name("a"));
    let _ = outbox.push(at(0), &message("1"), std::slice::from_ref(&a));
    let _ = outbox.push(at(0), &message("2"), std::slice::from_ref(&a));
    let mut now = at(0);
    let mut pauses = Vec::new();
    for attempt in 1..=ATTEMPTS {
        assert_eq!(keys(&outbox.pump(now.mono)), ["1"], "attempt {attempt}");
        let changes = outbox.done(now, &a, later(None), 0.5);
        if attempt < ATTEMPTS {
            assert_eq!(changes.put[0].attempts, attempt);
            let due = outbox.deadline().expect("tried again");
            assert!(outbox.pump(Mono(due.0 - 1)).is_empty(), "before its time");
            pauses.push(due.since(now.mono).as_secs());
            now = Now { mono: due, wall: Wall(due.0) };
        } else {
            assert_eq!(changes.gone, [1]);
            assert!(matches!(&changes.entries[0].what, What::NotifyFailed { channel, messages: 1, why }
                if channel == "a" && why.contains("12 times")));
        }
    }
    assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 600, 600, 600, 600]);
    assert_eq!(keys(&outbox.pump(now.mono)), ["2"], "the next one gets its turn");
}

#[test]
fn a_receiver_may_ask_for_more_time_and_not_for_ever() {
    for (asked, seconds) in [(Some(60), 60), (Some(1), 5), (Some(1_000_000), 3600)] {
        let (mut outbox, a) = (Outbox::default(), name("a"));
        let _ = outbox.push(at(0), &message("1"), std::slice::from_ref(&a));
        assert_eq!(outbox.pump(Mono(0)).len(), 1);
        let _ = outbox.done(at(0), &a, later(asked), 0.5);
        assert_eq!(outbox.deadline(), Some(at(seconds).mono), "{asked:?}");
    }
}

#[test]
fn who_refuses_is_not_asked_twice() {
    let (mut outbox, a) = (Outbox::default(), name("a"));
    let _ = outbox.push(at(0), &message("1"), std::slice::from_ref(&a));
    assert_eq!(outbox.pump(Mono(0)).len(), 1);
    let changes = outbox.done(at(0), &a, Verdict::Refused { why: "401".to_owned() }, 0.5);
    assert_eq!((changes.gone, changes.entries.len(), changes.health[0].1.dropped), (vec![1], 1, 1));
    assert_eq!(outbox.deadline(), None);
}

#[test]
fn one_channel_holds_up_no_other() {
    let (mut outbox, a, b) = (Outbox::default(), name("a"), name("b"));
    let _ = outbox.push(at(0), &message("1"), &[a.clone(), b.clone()]);
    assert_eq!(outbox.pump(Mono(0)).len(), 2);
    let _ = outbox.done(at(0), &a, later(None), 0.5);
    let _ = outbox.done(at(0), &b, delivered(), 0.5);
    let _ = outbox.push(at(1), &message("2"), &[a, b.clone()]);
    let next = outbox.pump(at(1).mono);
    assert_eq!(next.iter().map(|parcel| &parcel.channel).collect::<Vec<_>>(), [&b]);
}

#[test]
fn what_is_too_much_goes_out_together() {
    let (mut outbox, a) = (Outbox::default(), name("a"));
    let channels = std::slice::from_ref(&a);
    for key in 1..=BURST {
        let _ = outbox.push(at(0), &message(&key.to_string()), channels);
        assert_eq!(outbox.pump(Mono(0)).len(), 1);
        let _ = outbox.done(at(0), &a, delivered(), 0.5);
    }
    for key in 100..150 {
        let _ = outbox.push(at(1), &message(&key.to_string()), channels);
        assert!(outbox.pump(at(1).mono).is_empty(), "the bucket is empty");
    }
    assert_eq!(outbox.deadline(), Some(Mono(0) + EVERY));
    let parcels = outbox.pump(Mono(0) + EVERY);
    let [parcel] = &parcels[..] else { panic!("{parcels:?}") };
    assert_eq!((parcel.message.occasion, parcel.message.count), (Occasion::Digest, 50));
    assert_eq!(parcel.message.key, "100..149");
    assert_eq!(parcel.message.lines.len(), LINES + 1);
    // What comes meanwhile does not slip into what is tried again.
    let _ = outbox.done(at(30), &a, later(None), 0.5);
    let _ = outbox.push(at(31), &message("late"), channels);
    let again = outbox.pump(at(35).mono);
    assert_eq!(again, parcels);
    let changes = outbox.done(at(35), &a, delivered(), 0.5);
    assert_eq!(changes.gone.len(), 50);
    assert_eq!(outbox.items().count(), 1);
}

#[test]
fn a_queue_is_bounded_and_says_what_it_dropped() {
    let (mut outbox, a) = (Outbox::default(), name("a"));
    let channels = std::slice::from_ref(&a);
    let _ = outbox.push(at(0), &message("first"), channels);
    assert_eq!(keys(&outbox.pump(Mono(0))), ["first"]);
    let mut dropped = 0;
    for key in 0..WAITING + 5 {
        let changes = outbox.push(at(0), &message(&key.to_string()), channels);
        dropped += changes.gone.len();
        assert_eq!(changes.gone.len(), changes.entries.len());
        assert!(!changes.gone.contains(&1), "it is under way");
    }
    assert_eq!((dropped, outbox.items().count()), (6, WAITING));
}

#[test]
fn what_was_stored_goes_on() {
    let (mut outbox, a) = (Outbox::default(), name("a"));
    let mut stored = BTreeMap::new();
    for key in ["1", "2", "3"] {
        for item in outbox.push(at(0), &message(key), std::slice::from_ref(&a)).put {
            stored.insert(item.id, item);
        }
    }
    assert_eq!(outbox.pump(Mono(0)).len(), 1);
    for item in outbox.done(at(0), &a, later(None), 0.5).put {
        stored.insert(item.id, item);
    }
    let items: Vec<Item> = stored.into_values().rev().collect();
    let json = serde_json::to_string(&items).expect("encodes");
    let mut next = Outbox::restore(serde_json::from_str(&json).expect("reads"), Vec::new());
    assert_eq!(keys(&next.pump(Mono(0))), ["1"], "in their order");
    assert_eq!(next.items().map(|item| item.attempts).max(), Some(1));
    assert_eq!(next.push(at(1), &message("4"), &[a]).put[0].id, 4);
}

proptest! {
    /// Whatever a receiver does: nothing is lost without a word, nothing is sent twice at once, order is kept, and never are
    /// there more parcels than the bucket lets through.
    #[test]
    fn every_message_is_delivered_or_dropped(steps in proptest::collection::vec((0..6_u8, 0..40_u64), 1..400)) {
        let (mut outbox, a) = (Outbox::default(), name("a"));
        let (mut second, mut pushed, mut gone, mut fresh) = (0, 0_u64, Vec::new(), 0_u64);
        let mut flying: Option<Parcel> = None;
        let mut last = None;
        for (what, pause) in steps {
            second += pause;
            let now = at(second);
            match what {
                0..=2 => {
                    pushed += 1;
                    gone.extend(outbox.push(now, &message(&pushed.to_string()), std::slice::from_ref(&a)).gone);
                }
                _ => if let Some(parcel) = flying.take() {
                    let verdict = match what { 3 => delivered(), 4 => later(Some(pause)), _ => Verdict::Refused { why: String::new() } };
                    gone.extend(outbox.done(now, &a, verdict, 0.1).gone);
                    last = Some(parcel);
                }
            }
            let mut parcels = outbox.pump(now.mono);
            prop_assert!(parcels.len() <= 1 && (parcels.is_empty() || flying.is_none()));
            if let Some(parcel) = parcels.pop() {
                fresh += u64::from(last.as_ref().is_none_or(|last| last.message.key != parcel.message.key));
                flying = Some(parcel);
            }
        }
        prop_assert!(fresh <= u64::from(BURST) + second / EVERY.as_secs() + 1, "{} in {}s", fresh, second);
        prop_assert!(gone.is_sorted() || pushed as usize > WAITING);
        let mut all: Vec<u64> = gone.iter().copied().chain(outbox.items().map(|item| item.id)).collect();
        all.sort_unstable();
        prop_assert_eq!(all, (1..=pushed).collect::<Vec<_>>());
    }
}
