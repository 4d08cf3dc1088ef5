use std::path::Path;

use super::*;

use crate::launch::{Scope, ServiceKey};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Far from 1970, at the beginning of a bucket of every level.
const T: Moment = Moment(1_700_006_400_000);

fn name(text: &str) -> Name {
    Name::new(text).expect("name")
}

#[test]
fn a_subject_says_whose_and_of_what_kind() {
    let key = ServiceKey::new(Scope::Project, Path::new("/srv/demo"), name("api"));
    let subject = Subject::service(&name("demo"), &name("api"), Some(&name("headless")), &key);
    assert_eq!((subject.to_string().as_str(), &subject.key), ("service demo/api:headless", &key.folder()));
    assert_eq!(subject.as_service(), Some((name("demo"), name("api"), Some(name("headless")))));
    let plain = Subject::service(&name("demo"), &name("api"), None, &key);
    assert_eq!(plain.as_service(), Some((name("demo"), name("api"), None)));
    for other in ["container local/0123", "service", "service demo", "service a b/c", ""] {
        assert_eq!(Subject { name: other.to_owned(), key: String::new() }.as_service(), None, "{other}");
    }
}

/// Whatever an engine says: an id that is none is nobody's, and a name is something that can be shown.
#[test]
fn containers_and_sources_are_subjects() {
    let nas = name("nas");
    let web = Subject::container(&nas, "0123abcd", "web").expect("an id");
    assert_eq!((web.name.as_str(), web.key.as_str()), ("container nas/0123abcd", "web"));
    assert_eq!(web.as_container(), Some((nas.clone(), "0123abcd")));
    assert_eq!((web.as_service(), web.as_source()), (None, None));
    for id in ["", "a/b", "a b", "a\nb", "ä", &"a".repeat(129)] {
        assert_eq!(Subject::container(&nas, id, "web"), None, "{id:?}");
    }
    let key = Subject::container_key(&format!("a\nb\u{1b}{}", "c".repeat(500)));
    assert!(key.len() <= 128 && !key.contains(char::is_control), "{key:?}");
    let source = Subject::source(&nas);
    assert_eq!((source.as_source(), source.as_container(), source.pace()), (Some(nas), None, Pace::Any));
}

#[test]
fn metrics_keep_their_numbers_and_say_their_units() {
    let numbers: Vec<(u8, &str)> = Metric::ALL.iter().map(|metric| (metric.number(), metric.name())).collect();
    assert_eq!(
        numbers,
        [
            (1, "cpu_percent_of_core"),
            (2, "cpu_percent_of_host"),
            (3, "memory_bytes"),
            (4, "read_bytes_per_second"),
            (5, "written_bytes_per_second"),
            (6, "processes"),
            (7, "threads"),
            (8, "descriptors"),
            (9, "network_received_bytes_per_second"),
            (10, "network_sent_bytes_per_second"),
            (11, "memory_limit_bytes"),
            (12, "containers"),
            (13, "containers_running"),
            (14, "containers_cpu_percent_of_core"),
            (15, "containers_cpu_percent_of_host"),
            (16, "containers_memory_bytes"),
            (17, "host_memory_bytes"),
            (18, "host_memory_total_bytes"),
            (19, "host_cpu_percent_of_host"),
            (20, "disk_used_bytes"),
            (21, "disk_total_bytes"),
            (22, "disk_used_percent"),
        ]
    );
    for metric in Metric::ALL {
        assert_eq!(Metric::of_number(metric.number()), Some(metric));
    }
    assert_eq!(Metric::of_number(0), None);
    assert_eq!(Metric::CpuOfCore.stored(99.9996), Some(100_000));
    assert_eq!(Metric::CpuOfCore.value(12_345), 12.345);
    assert_eq!(Metric::Memory.stored(4096.0), Some(4096));
    for odd in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
        assert_eq!(Metric::Memory.stored(odd), None, "{odd}");
    }
}

/// Each kind of subject has metrics of its own: who asks for everything about a service hears nothing of disks.
#[test]
fn what_is_measured_of_whom() {
    let of = |name: &str| Metric::of(&Subject { name: name.to_owned(), key: String::new() });
    assert_eq!(of("service demo/api"), Metric::OF_RUNS);
    assert_eq!(of("service container/source"), Metric::OF_RUNS);
    assert_eq!(of("container nas/0123"), Metric::OF_CONTAINERS);
    assert_eq!(of("source nas"), Metric::OF_SOURCES);
    let some = [&Metric::OF_RUNS[..], &Metric::OF_CONTAINERS, &Metric::OF_SOURCES].concat();
    assert!(Metric::ALL.iter().all(|metric| some.contains(metric)), "what nobody shows needs no number");
    for (one, other) in Metric::ALL.iter().zip(&Metric::ALL[1..]) {
        assert!(one.number() < other.number(), "rows are packed in this order");
    }
}

#[test]
fn the_ladder() {
    let table: Vec<(&str, u64, u64)> =
        Level::ALL.iter().map(|level| (level.name(), level.span(), level.age())).collect();
    assert_eq!(
        table,
        [("raw", 0, HOUR), ("1m", MINUTE, DAY), ("10m", 10 * MINUTE, 7 * DAY), ("2h", 2 * HOUR, 90 * DAY)]
    );
    for (level, at, bucket) in [
        (Level::Raw, 12_345, 12_345),
        (Level::Minute, 12_345, 0),
        (Level::Minute, MINUTE, MINUTE),
        (Level::Minute, 2 * MINUTE - 1, MINUTE),
        (Level::TenMinutes, HOUR + 1, HOUR),
        (Level::TwoHours, 3 * HOUR, 2 * HOUR),
    ] {
        assert_eq!(level.bucket(T.after(at)), T.after(bucket), "{level:?} {at}");
    }
    for level in Level::ALL {
        assert_eq!(level.coarser().and_then(Level::finer), level.coarser().map(|_| level));
        assert!(level.kept() > level.age());
    }
}

/// A bucket is over when its time has passed, or when the clock was set back to before it.
#[test]
fn when_a_bucket_is_over() {
    for (now, over) in [(T.before(1), true), (T, false), (T.after(MINUTE - 1), false), (T.after(MINUTE), true)] {
        assert_eq!(Level::Minute.is_over(T, now), over, "{now:?}");
    }
}

#[test]
fn what_is_far_from_the_present_is_no_sample_of_it() {
    for (at, taken) in [
        (T, true),
        (T.before(2 * MINUTE), true),
        (T.after(2 * MINUTE), true),
        (T.before(2 * MINUTE + 1), false),
        (T.after(2 * MINUTE + 1), false),
    ] {
        assert_eq!(at.is_taken(T), taken, "{at:?}");
    }
}

#[test]
fn rows_are_short_and_what_is_no_row_is_seen() {
    let readings = vec![(Metric::CpuOfCore, 0), (Metric::Memory, 4_096 * 5_000), (Metric::Threads, 12)];
    let mut bytes = Vec::new();
    pack_readings(&readings, &mut bytes);
    assert_eq!(bytes.len(), 2 + 5 + 2);
    assert_eq!(unpack_readings(&bytes), Some(readings));
    assert_eq!(unpack_readings(&bytes[..4]), None, "cut within a value");
    assert_eq!(unpack_readings(&[200, 5, 6, 3]), Some(vec![(Metric::Processes, 3)]), "a metric of a newer version");
    assert_eq!(unpack_readings(&[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), None, "too large");

    let mut rollup = Rollup::of(20_000_000);
    (0..11).for_each(|_| rollup.then(&Rollup::of(20_000_000)));
    let mut bytes = Vec::new();
    pack_rollups(&[(Metric::Memory, rollup)], &mut bytes);
    assert_eq!(bytes.len(), 10, "what does not change");
    assert_eq!(unpack_rollups(&bytes), Some(vec![(Metric::Memory, rollup)]));
    assert_eq!(unpack_rollups(&bytes[..9]), None);
    assert_eq!(unpack_rollups(&[99, 1, 2, 0, 0, 0, 0]), Some(vec![]), "a metric of a newer version");
}

fn sample(at: u64, value: u64) -> Point {
    Point { at: T.after(at), span: 5_000, bucket: false, begins: false, rollup: Rollup::of(value) }
}

fn minute(at: u64, value: u64) -> Point {
    Point { span: MINUTE, bucket: true, ..sample(at * MINUTE, value) }
}

/// R1, R10.2: gaps are shown as gaps.
#[test]
fn where_nothing_was_measured_is_a_gap() {
    let begins = |at| Point { begins: true, ..sample(at, 1) };
    let fast = |at| Point { span: 1_000, ..sample(at, 1) };
    let born = T;
    type Case = (&'static str, Vec<Point>, Vec<(u64, u64)>);
    #[rustfmt::skip]
    let table: Vec<Case> = vec![
        ("nothing at all", vec![], vec![(0, 60_000)]),
        ("one after the other", (0..=12).map(|n| sample(n * 5_000, 1)).collect(), vec![]),
        ("late, but not missing", vec![sample(10_000, 1), sample(23_000, 1), sample(36_000, 1), sample(49_000, 1)], vec![]),
        ("missing", vec![sample(5_000, 1), sample(18_001, 1), sample(31_000, 1), sample(44_000, 1), sample(57_000, 1)], vec![(5_000, 18_001)]),
        ("another began to measure", vec![sample(5_000, 1), sample(18_000, 1), begins(25_000), sample(38_000, 1), sample(51_000, 1)], vec![(18_000, 25_000)]),
        ("faster for a while", vec![sample(10_000, 1), fast(22_000), fast(27_000), fast(32_001), sample(45_000, 1), sample(58_000, 1)], vec![(27_000, 32_001)]),
        ("only in the middle", vec![sample(30_000, 1)], vec![(0, 30_000), (30_000, 60_000)]),
    ];
    for (what, points, expected) in table {
        let found = gaps(&points, T, T.after(60_000), born, Pace::Fine);
        let found: Vec<(u64, u64)> = found.iter().map(|gap| (gap.from.0 - T.0, gap.until.0 - T.0)).collect();
        assert_eq!(found, expected, "{what}");
    }
    let points = [sample(30_000, 1), sample(40_000, 1), sample(50_000, 1)];
    assert_eq!(
        gaps(&points, T, T.after(60_000), T.after(30_000), Pace::Any),
        [],
        "there was nothing to measure before its birth"
    );
    assert_eq!(gaps(&[], T, T.after(60_000), T.after(60_000), Pace::Any), []);
}

#[test]
fn buckets_that_are_not_there_are_gaps() {
    let points = [minute(1, 1), minute(2, 1), minute(5, 1)];
    let found = gaps(&points, T, T.after(8 * MINUTE), T, Pace::Fine);
    let found: Vec<(u64, u64)> =
        found.iter().map(|gap| ((gap.from.0 - T.0) / MINUTE, (gap.until.0 - T.0) / MINUTE)).collect();
    assert_eq!(found, [(0, 1), (3, 5), (6, 8)]);
}

/// What is measured every five minutes is in every fifth bucket of a minute, and that is no gap.
#[test]
fn what_is_measured_seldom_has_gaps_of_its_own_length() {
    let found = |minutes: &[u64], until: u64| -> Vec<(u64, u64)> {
        let points: Vec<Point> = minutes.iter().map(|at| minute(*at, 1)).collect();
        let found = gaps(&points, T, T.after(until * MINUTE), T, Pace::Any);
        found.iter().map(|gap| ((gap.from.0 - T.0) / MINUTE, (gap.until.0 - T.0) / MINUTE)).collect()
    };
    assert_eq!(found(&[2, 7, 12, 16, 22, 27], 33), []);
    assert_eq!(found(&[2, 7, 12, 17, 47, 52, 57, 62], 90), [(18, 47), (63, 90)]);
    assert_eq!(found(&[40, 45, 50], 52), [(0, 40)]);
    // Twice a minute, one look of which failed; then every five minutes, after somebody changed that.
    assert_eq!(found(&[0, 1, 2, 4, 5, 6, 7, 8, 13, 18, 23, 28], 30), []);
    assert_eq!(found(&[0, 1, 2, 3, 9, 10, 11, 12], 13), [(4, 9)]);
    // A young history: two looks, nobody there, two looks. And a pace that was changed where there are few.
    assert_eq!(found(&[0, 1, 9, 10], 11), [(2, 9)]);
    assert_eq!(found(&[0, 1, 2, 7, 12, 17], 21), []);
    assert_eq!(found(&[0, 5, 10, 15, 16, 17, 18], 19), []);
    assert_eq!(found(&[0, 1, 2, 9, 16, 17, 18], 19), [(3, 9), (10, 16)]);
}

#[test]
fn columns_hold_what_lies_in_them_and_nothing_is_invented() {
    let points = [sample(0, 1), sample(5_000, 3), sample(25_000, 7)];
    let found = columns(&points, T, T.after(35_000), 10_000);
    let mut first = Rollup::of(1);
    first.then(&Rollup::of(3));
    assert_eq!(found, [Some(first), None, Some(Rollup::of(7)), None]);
    assert_eq!(columns(&points, T, T, 10_000), []);
    assert_eq!(columns(&points, T.after(1), T.after(4), 1), [None; 3], "outside");
}

#[test]
fn a_summary_tells_of_everything() {
    assert_eq!(Summary::of(&[]), None);
    let summary = Summary::of(&[sample(0, 5), sample(5_000, 1), sample(10_000, 6)]).expect("points");
    assert_eq!(summary.all, Rollup { min: 1, max: 6, sum: 12, count: 3, first: 5, last: 6 });
    let exactly = |at| Seen { at, before: None };
    assert_eq!((summary.first, summary.last), (exactly(T), exactly(T.after(10_000))));
    assert_eq!(summary.all.mean(), 4.0);
}

#[test]
fn which_level_answers() {
    let now = T.after(100 * DAY);
    let ago = |millis: u64| Some(now.before(millis));
    let full = [ago(HOUR), ago(DAY), ago(7 * DAY), ago(90 * DAY)];
    let young = [ago(20 * MINUTE), ago(20 * MINUTE), ago(20 * MINUTE), ago(20 * MINUTE)];
    let shortened = [ago(5 * MINUTE), ago(2 * HOUR), ago(7 * DAY), ago(90 * DAY)];
    type Case<'a> = (u64, Option<u64>, &'a [Option<Moment>; 4], Level);
    #[rustfmt::skip]
    let table: Vec<Case<'_>> = vec![
        (15 * MINUTE, None, &full, Level::Raw),
        (HOUR, None, &full, Level::Raw),
        (HOUR + 1, None, &full, Level::Minute),
        (2 * DAY, None, &full, Level::TenMinutes),
        (8 * DAY, None, &full, Level::TwoHours),
        (400 * DAY, None, &full, Level::TwoHours),
        (HOUR, Some(MINUTE), &full, Level::Minute),
        (HOUR, Some(59_000), &full, Level::Raw),
        (HOUR, Some(5 * HOUR), &full, Level::TwoHours),
        (2 * DAY, Some(5_000), &full, Level::TenMinutes),
        (HOUR, None, &young, Level::Raw),
        (3 * DAY, None, &young, Level::TenMinutes),
        (HOUR, None, &shortened, Level::Minute),
        (5 * MINUTE, None, &shortened, Level::Raw),
        (DAY, None, &shortened, Level::TenMinutes),
        (HOUR, None, &[None; 4], Level::Raw),
    ];
    for (since, step, oldest, expected) in table {
        assert_eq!(level_for(now.before(since), now, step, oldest), expected, "{since} ms ago, step {step:?}");
    }
}

#[test]
fn how_long_a_column_is() {
    for (length, level, every, asked, expected) in [
        (15 * MINUTE, Level::Raw, 5_000, None, 10_000),
        (15 * MINUTE, Level::Raw, 1_000, None, 10_000),
        (2 * MINUTE, Level::Raw, 1_000, None, 2_000),
        (HOUR, Level::Raw, 5_000, None, 30_000),
        (HOUR, Level::Raw, 5_000, Some(1_000), 10_000),
        (HOUR, Level::Raw, 5_000, Some(25_000), 25_000),
        (DAY, Level::Minute, MINUTE, None, 1_800_000),
        (DAY, Level::Minute, MINUTE, Some(90_000), 2 * MINUTE),
        (7 * DAY, Level::TenMinutes, 10 * MINUTE, None, 7_200_000),
        (90 * DAY, Level::TwoHours, 2 * HOUR, None, DAY),
        (400 * DAY, Level::TwoHours, 2 * HOUR, None, 4 * DAY),
    ] {
        assert_eq!(step_for(T, T.after(length), level, every, asked), expected, "{length} {level:?} {asked:?}");
    }
}
