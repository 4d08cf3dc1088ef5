use super::*;

use proptest::prelude::*;

const S: u64 = 1_000_000_000;

fn at(seconds: u64) -> Mono {
    Mono(seconds * S)
}

/// One that begins at 0, at once.
fn pace(seconds: u64) -> Pace {
    let rhythm = Rhythm { soon: Duration::ZERO, ..CONTAINERS };
    Pace::new(rhythm, Duration::from_secs(seconds), at(0), 1)
}

#[test]
fn it_beats_from_its_first_beat_on() {
    let mut pace = pace(30);
    for beat in 0..5 {
        assert_eq!(pace.due(), at(beat * 30));
        assert_eq!(pace.step(at(beat * 30)), Some(Do::Measure));
        assert_eq!(pace.step(at(beat * 30)), None);
        assert_eq!(pace.due(), at(beat * 30 + 15), "its deadline");
        pace.over(true, at(beat * 30 + 7));
    }
    assert_eq!((pace.cycles(), pace.skipped(), pace.failures()), (5, 0, 0));
}

#[test]
fn a_hurried_beat_is_now() {
    let mut pace = pace(300);
    assert_eq!(pace.step(at(0)), Some(Do::Measure));
    pace.hurry(at(1));
    assert_eq!((pace.due(), pace.step(at(1))), (at(15), None), "one goes on");
    pace.over(true, at(2));
    pace.hurry(at(3));
    assert_eq!((pace.due(), pace.step(at(3))), (at(3), Some(Do::Measure)));
    pace.over(false, at(4));
    let due = pace.due();
    pace.hurry(at(5));
    assert_eq!(pace.due(), due, "one that does not answer is knocked at when it is time");
    assert_eq!(pace.skipped(), 0);
}

/// A cycle that goes on is followed by none before it is over.
#[test]
fn beats_are_skipped_and_counted() {
    let mut pace = pace(10);
    assert_eq!(pace.step(at(0)), Some(Do::Measure));
    assert_eq!(pace.due(), at(10));
    assert_eq!(pace.step(at(10)), None, "there is one already");
    assert_eq!((pace.skipped(), pace.due()), (1, at(15)));
    pace.over(true, at(14));
    assert_eq!(pace.due(), at(20));
    // Nobody looked at the clock: three beats were missed, the fourth is now.
    assert_eq!(pace.step(at(53)), Some(Do::Measure));
    assert_eq!((pace.skipped(), pace.cycles()), (4, 2));
    pace.over(true, at(54));
    assert_eq!(pace.due(), at(60), "still on its beat");
}

#[test]
fn what_takes_too_long_is_given_up_and_knocked_at() {
    let mut pace = pace(30);
    assert_eq!(pace.step(at(0)), Some(Do::Measure));
    assert_eq!(pace.step(at(15)), Some(Do::GiveUp));
    pace.over(true, at(16));
    assert_eq!(pace.failures(), 1, "what comes after its end does not count");
    let mut now = Mono(15 * S);
    for (failures, least, most) in [(2, 24, 36), (3, 48, 72), (4, 48, 72), (5, 48, 72)] {
        let waits = pace.due().since(now);
        assert!((least..=most).contains(&waits.as_secs()), "after {} failures {waits:?}", failures - 1);
        now = pace.due();
        assert_eq!(pace.step(now), Some(Do::Knock));
        pace.over(false, now);
        assert_eq!((pace.failures(), pace.skipped()), (failures, 0));
    }
    now = pace.due();
    assert_eq!(pace.step(now), Some(Do::Knock));
    pace.over(true, now + Duration::from_secs(1));
    assert_eq!((pace.failures(), pace.due()), (0, now + Duration::from_secs(30)));
    assert_eq!(pace.step(pace.due()), Some(Do::Measure));
}

/// An engine that needs long to count is asked half as often, and again, down to once an hour.
#[test]
fn disks_that_take_long_are_asked_seldom() {
    let mut pace = Pace::new(DISKS, Duration::from_secs(300), at(0), 1);
    assert!(pace.due() <= at(5));
    assert!(!is_slow(Duration::from_secs(15)) && is_slow(Duration::from_secs(16)));
    let mut now = pace.due();
    for minutes in [10, 20, 40, 60, 60] {
        assert!(matches!(pace.step(now), Some(Do::Measure | Do::Knock)));
        pace.over(false, now);
        let waits = pace.due().since(now).as_secs_f64() / 60.0;
        assert!((minutes as f64 * 0.8..=minutes as f64 * 1.2).contains(&waits), "{waits} for {minutes}");
        now = pace.due();
    }
}

/// R11.3: changed at run time, applied to the next cycle.
#[test]
fn another_interval() {
    for (every, due) in [(10, 17), (300, 30), (30, 30)] {
        let mut pace = pace(30);
        assert_eq!(pace.step(at(0)), Some(Do::Measure));
        pace.over(true, at(1));
        pace.set_interval(Duration::from_secs(every), at(7));
        assert_eq!(pace.due(), at(due), "{every}");
        assert_eq!(pace.step(at(due)), Some(Do::Measure));
        pace.over(true, at(due));
        assert_eq!(pace.due(), at(due + every), "{every}");
    }
    let mut pace = pace(300);
    assert_eq!(pace.step(at(0)), Some(Do::Measure));
    pace.set_interval(Duration::from_secs(10), at(3));
    assert_eq!(pace.due(), at(13), "what goes on goes on, and has its deadline");
    pace.over(true, at(4));
    assert_eq!(pace.step(at(13)), Some(Do::Measure));
}

#[test]
fn sources_that_begin_together_do_not_ask_together() {
    let first = |seed| Pace::new(CONTAINERS, Duration::from_secs(30), at(0), seed).due();
    assert!((0..20).all(|seed| first(seed) <= at(2)));
    assert!((1..20).any(|seed| first(seed) != first(0)));
}

/// What may happen to a clockwork.
#[derive(Debug, Clone)]
enum Happens {
    Passes(u64),
    Over(bool),
    Interval(u64),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => (0..400_u64).prop_map(Happens::Passes),
        3 => any::<bool>().prop_map(Happens::Over),
        1 => (10..300_u64).prop_map(Happens::Interval),
    ]
}

proptest! {
    /// Never two at a time, never one without end, never silence; beats and cycles add up.
    #[test]
    fn whatever_happens(seed: u64, story in prop::collection::vec(happens(), 1..120)) {
        let mut pace = Pace::new(CONTAINERS, Duration::from_secs(30), at(0), seed);
        let (mut now, mut began, mut begun) = (0_u64, None, 0);
        for happens in story {
            match happens {
                Happens::Passes(seconds) => now += seconds,
                Happens::Over(good) => {
                    pace.over(good, at(now));
                    began = None;
                }
                Happens::Interval(seconds) => pace.set_interval(Duration::from_secs(seconds), at(now)),
            }
            let skipped = pace.skipped();
            while let Some(what) = pace.step(at(now)) {
                match what {
                    Do::Measure | Do::Knock => {
                        prop_assert_eq!(began, None, "one at a time");
                        prop_assert_eq!(what == Do::Knock, pace.failures() > 0);
                        began = Some(now);
                        begun += 1;
                    }
                    Do::GiveUp => {
                        let since = began.take();
                        prop_assert!(since.is_some_and(|since| now >= since + 15), "not before its deadline");
                    }
                }
            }
            prop_assert!(pace.skipped() >= skipped && pace.cycles() == begun);
            prop_assert!(began.is_none_or(|since| now < since + 15), "it is given up at its deadline");
            // However long it is away, it is looked for.
            let longest = CONTAINERS.longest.max(pace.every()).mul_f64(1.0 + JITTER);
            prop_assert!(pace.due() > at(now), "nothing is due any more");
            prop_assert!(pace.due().since(at(now)) <= longest.max(Duration::from_secs(360)));
        }
    }
}
