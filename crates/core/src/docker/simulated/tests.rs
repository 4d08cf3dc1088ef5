//! The schedules.

use super::{Weather, World};

fn run(seeds: std::ops::Range<u64>, weather: Weather) -> (usize, u32, usize, u32) {
    let (mut gaps, mut inferred, mut events, mut offlines) = (0, 0, 0, 0);
    // Plays one schedule again, and prints it.
    let only = std::env::var("VIGIE_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in seeds.filter(|seed| only.is_none_or(|only: u64| only == *seed)) {
        let mut world = World::new(seed, weather);
        world.begin();
        for _ in 0..1500 {
            world.stir();
            world.advance();
        }
        world.check();
        gaps += world.gaps.len();
        inferred += world.inferred;
        events += world.store.len();
        offlines += world.offlines;
    }
    (gaps, inferred, events, offlines)
}

fn schedules() -> u64 {
    std::env::var("VIGIE_FOLLOWER_SCHEDULES").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

/// Nothing is ever lost where the engine loses nothing, whoever is killed when.
#[test]
fn crashes_and_broken_connections_lose_nothing() {
    for poll in [false, true] {
        let (_, _, events, _) = run(0..schedules(), Weather { rough: false, crashes: true, poll });
        assert!(events > 500, "{events}: the schedules are too quiet to show anything");
    }
}

/// What an engine does lose is a gap, and the state is right all the same.
#[test]
fn every_hole_is_a_gap() {
    for poll in [false, true] {
        let weather = Weather { rough: true, crashes: true, poll };
        let (gaps, inferred, events, offlines) = run(1000..1000 + schedules(), weather);
        assert!(gaps > 0 && inferred > 0 && events > 500, "{gaps} gaps, {inferred} inferred, {events} events");
        assert!(offlines > 0, "no engine was away for long");
    }
}

/// A quiet life: everything arrives, once.
#[test]
fn a_quiet_life() {
    let calm = Weather { rough: false, crashes: false, poll: false };
    let (gaps, inferred, events, offlines) = run(5000..5000 + 5, calm);
    assert_eq!((gaps, inferred, offlines), (0, 0, 0));
    assert!(events > 100);
}
