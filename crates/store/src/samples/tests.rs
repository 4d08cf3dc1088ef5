use std::fs;
use std::sync::Arc;

use vigie_core::samples::{Level, Metric, Moment, Rollup, pack_readings};

use super::*;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// The beginning of a bucket of every level.
pub(super) const T: u64 = 1_700_006_400_000;

pub(super) fn wall(at: u64) -> Wall {
    Wall(at * 1_000_000)
}

pub(super) fn subject(name: &str) -> Arc<Subject> {
    Arc::new(Subject { name: format!("service demo/{name}"), key: format!("{name}-0") })
}

pub(super) fn sample(subject: &Arc<Subject>, readings: &[(Metric, u64)]) -> Sample {
    let mut row = Vec::new();
    pack_readings(readings, &mut row);
    Sample { subject: Arc::clone(subject), row: row.into() }
}

fn round(at: u64, samples: Vec<Sample>) -> Round {
    Round { at: Moment(at), every: 5 * SECOND, begins: false, samples }
}

/// A round at `at` of every subject with this memory, stored at once.
fn put(samples: &mut Samples, at: u64, subjects: &[Arc<Subject>], memory: u64) {
    let all = subjects.iter().map(|subject| sample(subject, &[(Metric::Memory, memory)])).collect();
    samples.write(&Batch { now: wall(at), rounds: vec![round(at, all)] }, 0).expect("stored");
}

fn tidy(samples: &mut Samples, now: u64) {
    while samples.tidy(wall(now)).expect("tidied") {}
}

fn open(dir: &Path) -> Samples {
    let (samples, damage) = Samples::open(dir, wall(T), LIMIT).expect("opens");
    assert_eq!(damage, None);
    samples
}

fn memory(reader: &Reader, level: Level, id: i64, from: u64, until: u64) -> Vec<(u64, Rollup)> {
    let rows = reader.read(level, &[id], Moment(from), Moment(until)).expect("reads").remove(0);
    let one = |row: &Row| Some((row.at.0 - T, row.point(Metric::Memory)?.rollup));
    rows.iter().filter_map(one).collect()
}

fn rollup(values: &[u64]) -> Rollup {
    let mut all = Rollup::of(values[0]);
    values[1..].iter().for_each(|value| all.then(&Rollup::of(*value)));
    all
}

fn count(samples: &Samples, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    samples.connection.query_row(&sql, [], |row| row.get(0)).expect("counts")
}

#[test]
fn what_is_written_is_read_by_subject_and_time() {
    let dir = tempfile::tempdir().expect("folder");
    let mut samples = open(dir.path());
    let (api, db) = (subject("api"), subject("db"));
    for n in 0..10 {
        let of_api = sample(&api, &[(Metric::CpuOfCore, 100 * n), (Metric::Memory, n)]);
        let mut all = vec![of_api];
        if n % 2 == 0 {
            all.push(sample(&db, &[(Metric::Threads, 3)]));
        }
        let mut one = round(T + n * 5 * SECOND, all);
        one.begins = n == 0;
        samples.write(&Batch { now: wall(T + n * 5 * SECOND), rounds: vec![one] }, 0).expect("stored");
    }
    let reader = Reader::open(dir.path()).expect("opens");
    let known = reader.subjects().expect("reads");
    let names: Vec<&str> = known.iter().map(|known| known.subject.name.as_str()).collect();
    assert_eq!(names, ["service demo/api", "service demo/db"]);
    assert_eq!(known[0].born, Moment(T));
    let ids: Vec<i64> = known.iter().map(|known| known.id).collect();
    let rows = reader.read(Level::Raw, &ids, Moment(T + 10 * SECOND), Moment(T + 30 * SECOND)).expect("reads");
    assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [4, 2]);
    let cpu = rows[0][0].point(Metric::CpuOfCore).expect("measured");
    assert_eq!((cpu.at, cpu.span, cpu.bucket, cpu.begins), (Moment(T + 10 * SECOND), 5 * SECOND, false, false));
    assert_eq!(cpu.rollup, Rollup::of(200));
    assert_eq!(rows[1][0].point(Metric::Memory), None, "what was not measured is not 0");
    let first = reader.read(Level::Raw, &ids, Moment(T), Moment(T + 1)).expect("reads");
    assert!(first[0][0].begins);
    assert_eq!(reader.oldest().expect("reads"), [Some(Moment(T)); 4]);
    let size = reader.size().expect("looks");
    assert!(size.bytes > 4096 && size.log_bytes > 0 && size.lost == 0, "{size:?}");
}

/// A daemon that begins has no CPU at first: the series of the CPU begins again all the same.
#[test]
fn a_series_begins_again_with_whoever_measures() {
    let row = |at, begins, metrics: &[Metric]| {
        let rollups = metrics.iter().map(|metric| (*metric, Rollup::of(1))).collect();
        Row { at: Moment(at), span: 5_000, bucket: false, begins, rollups }
    };
    let both = [Metric::CpuOfCore, Metric::Memory];
    let rows = [
        row(1, true, &both[1..]),
        row(2, false, &both),
        row(3, true, &both[1..]),
        row(4, false, &both),
        row(5, false, &both),
    ];
    let begun = |metric| series(&rows, metric).iter().map(|point| (point.at.0, point.begins)).collect::<Vec<_>>();
    assert_eq!(begun(Metric::CpuOfCore), [(2, true), (4, true), (5, false)]);
    assert_eq!(begun(Metric::Memory), [(1, true), (2, false), (3, true), (4, false), (5, false)]);
}

/// The disk of a source is looked at by itself: that its series begins says nothing of those of its containers.
#[test]
fn two_kinds_of_looks_begin_each_by_itself() {
    let row = |at, begins, metric| Row {
        at: Moment(at),
        span: 5_000,
        bucket: false,
        begins,
        rollups: vec![(metric, Rollup::of(1))],
    };
    let (memory, disk) = (Metric::HostMemory, Metric::DiskUsed);
    let rows =
        [row(1, true, memory), row(2, true, disk), row(3, false, memory), row(4, true, memory), row(5, false, disk)];
    let begun = |metric| series(&rows, metric).iter().map(|point| (point.at.0, point.begins)).collect::<Vec<_>>();
    assert_eq!(begun(memory), [(1, true), (3, false), (4, true)]);
    assert_eq!(begun(disk), [(2, true), (5, false)]);
}

/// The rollups are the same before their bucket is made, after it, and after a restart in between.
#[test]
fn buckets_are_the_same_open_and_made() {
    let dir = tempfile::tempdir().expect("folder");
    let mut samples = open(dir.path());
    let subjects = [subject("api")];
    let reader_of = || Reader::open(dir.path()).expect("opens");
    let mut expected = [vec![], vec![], vec![]];
    for n in 0..(3 * HOUR / (30 * SECOND)) {
        let at = T + n * 30 * SECOND;
        // Twenty minutes of nothing.
        if (HOUR..HOUR + 20 * MINUTE).contains(&(at - T)) {
            continue;
        }
        put(&mut samples, at, &subjects, n);
        for (level, buckets) in Level::ROLLED.iter().zip(&mut expected) {
            let bucket = level.bucket(Moment(at)).0 - T;
            match buckets.last_mut() {
                Some((last, values)) if *last == bucket => Vec::push(values, n),
                _ => buckets.push((bucket, vec![n])),
            }
        }
        if n % 50 == 0 {
            tidy(&mut samples, at);
        }
    }
    let expected = expected
        .map(|buckets| buckets.into_iter().map(|(at, values)| (at, rollup(&values))).collect::<Vec<(u64, Rollup)>>());
    let check = |what: &str| {
        for (level, expected) in Level::ROLLED.iter().zip(&expected) {
            assert_eq!(&memory(&reader_of(), *level, 1, T, T + 3 * HOUR), expected, "{level:?} {what}");
        }
    };
    check("while the last is open");
    samples.close().expect("closes");
    let mut samples = open(dir.path());
    tidy(&mut samples, T + 3 * HOUR);
    check("when all but the last two hours are made");
    assert_eq!(count(&samples, "open"), 1);
    tidy(&mut samples, T + 4 * HOUR);
    assert_eq!(count(&samples, "open"), 0);
    check("when all are made");
    assert_eq!(expected[0].len(), 160, "twenty minutes are not there");
}

/// R10.2, and what a clock does: what comes late goes where it belongs, and its bucket is made again.
#[test]
fn late_samples_are_counted_where_they_belong() {
    let dir = tempfile::tempdir().expect("folder");
    let mut samples = open(dir.path());
    let subjects = [subject("api")];
    put(&mut samples, T + 10 * SECOND, &subjects, 1);
    put(&mut samples, T + 50 * SECOND, &subjects, 3);
    tidy(&mut samples, T + MINUTE);
    let made = |samples: &Samples| {
        let sql = "SELECT count(*) FROM samples WHERE level = 1";
        samples.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("counts")
    };
    assert_eq!(made(&samples), 1);
    let late = round(T + 30 * SECOND, vec![sample(&subjects[0], &[(Metric::Memory, 9)])]);
    samples.write(&Batch { now: wall(T + 70 * SECOND), rounds: vec![late] }, 0).expect("stored");
    let reader = Reader::open(dir.path()).expect("opens");
    let expected = [(0, rollup(&[1, 9, 3]))];
    assert_eq!(memory(&reader, Level::Minute, 1, T, T + HOUR), expected, "before it is made again");
    tidy(&mut samples, T + 71 * SECOND);
    assert_eq!(memory(&reader, Level::Minute, 1, T, T + HOUR), expected);
    assert_eq!(made(&samples), 1);
}

/// A clock that is set leaves samples that are far away: they are refused and counted. What is ahead of a clock that was set
/// back stays until it is as far ahead as it would be kept behind, and hides nothing.
#[test]
fn a_clock_that_jumps_loses_nothing_silently() {
    let dir = tempfile::tempdir().expect("folder");
    let mut samples = open(dir.path());
    let subjects = [subject("api")];
    let one = || vec![sample(&subjects[0], &[(Metric::Memory, 1)])];
    let rounds = vec![round(T, one()), round(T + HOUR, one()), round(T + 2 * HOUR, one())];
    samples.write(&Batch { now: wall(T + HOUR), rounds }, 0).expect("stored");
    let reader = Reader::open(dir.path()).expect("opens");
    assert_eq!(memory(&reader, Level::Raw, 1, T, T + 3 * HOUR).len(), 1);
    assert_eq!(reader.size().expect("looks").lost, 2);
    // Back by half an hour: measuring goes on, and both stay.
    put(&mut samples, T + HOUR / 2, &subjects, 2);
    tidy(&mut samples, T + HOUR / 2 + MINUTE);
    let all = memory(&reader, Level::Minute, 1, T, T + 3 * HOUR);
    assert_eq!(all, [(HOUR / 2, Rollup::of(2)), (HOUR, Rollup::of(1))]);
    // Back by years.
    let then = T - 200 * 24 * HOUR;
    put(&mut samples, then, &subjects, 3);
    tidy(&mut samples, then + 3 * HOUR);
    assert_eq!(memory(&reader, Level::Minute, 1, T, T + 3 * HOUR), [], "nobody will see this time again soon");
    let far = reader.read(Level::Minute, &[1], Moment(then), Moment(then + HOUR)).expect("reads");
    assert_eq!(far[0].len(), 1, "the series goes on under its number");
}

#[test]
fn each_level_forgets_at_its_age() {
    let dir = tempfile::tempdir().expect("folder");
    let mut samples = open(dir.path());
    let (old, new) = ([subject("old")], [subject("new")]);
    put(&mut samples, T, &old, 1);
    tidy(&mut samples, T + MINUTE);
    let reader = Reader::open(dir.path()).expect("opens");
    let left = |now: u64, samples: &mut Samples| {
        put(samples, now, &new, 1);
        tidy(samples, now);
        Level::ALL.map(|level| memory(&reader, level, 1, T, T + 1).len())
    };
    assert_eq!(left(T + HOUR, &mut samples), [1, 1, 1, 1]);
    assert_eq!(left(T + 2 * HOUR, &mut samples), [0, 1, 1, 1]);
    assert_eq!(left(T + 26 * HOUR, &mut samples), [0, 0, 1, 1]);
    assert_eq!(left(T + 8 * 24 * HOUR, &mut samples), [0, 0, 0, 1]);
    assert_eq!(left(T + 90 * 24 * HOUR, &mut samples), [0, 0, 0, 1], "whoever asks for 90 days gets them");
    assert_eq!(reader.subjects().expect("reads").len(), 2);
    assert_eq!(left(T + 95 * 24 * HOUR, &mut samples), [0, 0, 0, 0]);
    let names: Vec<String> = reader.subjects().expect("reads").into_iter().map(|known| known.subject.name).collect();
    assert_eq!(names, ["service demo/new"], "whom nothing is kept of is forgotten");
    put(&mut samples, T + 95 * 24 * HOUR, &old, 1);
    let ids: Vec<i64> = reader.subjects().expect("reads").into_iter().map(|known| known.id).collect();
    assert_eq!(ids, [2, 3], "a number is not given twice");
}

/// Where it would grow beyond its limit, every level loses its beginning, and the newest stays.
#[test]
fn the_file_stays_within_its_limit() {
    let dir = tempfile::tempdir().expect("folder");
    let limit = 768 << 10;
    let (mut samples, _) = Samples::open(dir.path(), wall(T), limit).expect("opens");
    let subjects: Vec<Arc<Subject>> = (0..100).map(|n| subject(&format!("s{n}"))).collect();
    let last = T + 2 * HOUR;
    for at in (T..=last).step_by(20_000) {
        put(&mut samples, at, &subjects, at);
        tidy(&mut samples, at);
        let size = fs::metadata(dir.path().join("samples.db")).expect("file").len();
        assert!(size <= limit + limit / 4, "{size} at {}", at - T);
    }
    let reader = Reader::open(dir.path()).expect("opens");
    let raw = memory(&reader, Level::Raw, 7, T, last + 1);
    assert_eq!(raw.last(), Some(&(last - T, Rollup::of(last))));
    assert!(raw.len() >= 30, "ten minutes stay as they were measured: {}", raw.len());
    let minutes = memory(&reader, Level::Minute, 7, T, last + 1).len();
    assert!((10..120).contains(&minutes), "{minutes}");
    assert!(samples.connection.query_row("PRAGMA quick_check", [], |row| row.get::<_, String>(0)).expect("ok") == "ok");
}

#[test]
fn many_subjects_are_condensed_in_slices() {
    let dir = tempfile::tempdir().expect("folder");
    let mut samples = open(dir.path());
    let subjects: Vec<Arc<Subject>> = (0..2_500).map(|n| subject(&format!("s{n}"))).collect();
    put(&mut samples, T, &subjects[..1_200], 1);
    put(&mut samples, T + 5 * SECOND, &subjects, 3);
    let mut steps = 0;
    while samples.tidy(wall(T + MINUTE)).expect("tidied") {
        steps += 1;
        // Half made is as good as not made.
        let reader = Reader::open(dir.path()).expect("opens");
        for (id, values) in [(1, &[1, 3][..]), (2_400, &[3])] {
            assert_eq!(memory(&reader, Level::Minute, id, T, T + MINUTE), [(0, rollup(values))], "step {steps}");
        }
    }
    assert!(steps >= 3, "{steps}");
    let made: i64 = samples
        .connection
        .query_row("SELECT count(*) FROM samples WHERE level = 1", [], |row| row.get(0))
        .expect("counts");
    assert_eq!(made, 2_500);
}

/// R10.1, as for the journal: damage is set aside and told of, whatever it is.
#[test]
fn damage_is_set_aside_and_told_of() {
    type Harm = fn(&mut Vec<u8>);
    let cases: &[(&str, Harm)] = &[
        ("emptied", |bytes| bytes.clear()),
        ("cut within a page", |bytes| bytes.truncate(bytes.len() - 1_000)),
        ("garbage header", |bytes| bytes[..100].fill(0xa5)),
        ("a zeroed page", |bytes| {
            let last = bytes.len() - 4096;
            bytes[last..].fill(0);
        }),
        ("another program's database", |bytes| bytes[68..72].fill(0)),
    ];
    for (case, harm) in cases {
        let dir = tempfile::tempdir().expect("folder");
        let mut samples = open(dir.path());
        let subjects: Vec<Arc<Subject>> = (0..300).map(|n| subject(&format!("s{n}"))).collect();
        (0..5).for_each(|n| put(&mut samples, T + n, &subjects, n));
        samples.close().expect("closes");
        let path = dir.path().join("samples.db");
        let mut bytes = fs::read(&path).expect("bytes");
        harm(&mut bytes);
        fs::write(&path, &bytes).expect("harmed");
        let (mut samples, damage) = Samples::open(dir.path(), wall(T), LIMIT).expect(case);
        let damage = damage.expect(case);
        assert_eq!(fs::read(&damage.kept_as).expect(case), bytes, "{case}: kept as it was");
        assert_eq!(
            damage.kept_as.file_name().and_then(|name| name.to_str()),
            Some(&*format!("samples.damaged-{}", wall(T).0))
        );
        put(&mut samples, T, &subjects, 1);
        assert_eq!(Reader::open(dir.path()).expect(case).subjects().expect(case).len(), 300);
    }
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("folder");
    let samples = open(dir.path());
    samples.connection.pragma_update(None, "user_version", SCHEMA_VERSION + 1).expect("pragma");
    samples.close().expect("closes");
    let before = fs::read(dir.path().join("samples.db")).expect("bytes");
    assert!(matches!(Samples::open(dir.path(), wall(T), LIMIT), Err(Error::Newer { found: 2, known: 1, .. })));
    assert!(matches!(Reader::open(dir.path()), Err(Error::Newer { .. })));
    assert_eq!(fs::read(dir.path().join("samples.db")).expect("bytes"), before);
}

#[test]
fn a_full_disk_is_an_error_and_passes() {
    let dir = tempfile::tempdir().expect("folder");
    let mut samples = open(dir.path());
    let subjects: Vec<Arc<Subject>> = (0..2_000).map(|n| subject(&format!("s{n}"))).collect();
    put(&mut samples, T, &subjects[..1], 1);
    let pages = |samples: &Samples, pages: u32| {
        samples
            .connection
            .pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0))
            .expect("a pragma");
    };
    pages(&samples, 12);
    let all: Vec<Sample> = subjects.iter().map(|subject| sample(subject, &[(Metric::Memory, 1)])).collect();
    let batch = Batch { now: wall(T + 1), rounds: vec![round(T + 1, all)] };
    let error = samples.write(&batch, 0).expect_err("no room");
    assert!(matches!(error, Error::Full { .. }), "{error}");
    assert_eq!((count(&samples, "samples"), count(&samples, "subjects")), (1, 1), "all or nothing");
    put(&mut samples, T + 2, &subjects[1..2], 1);
    pages(&samples, 100_000);
    samples.write(&batch, 2_000).expect("room again");
    assert_eq!(Reader::open(dir.path()).expect("opens").size().expect("looks").lost, 2_000, "what was lost is told");
    assert_eq!(count(&samples, "samples"), 2_002);
}

#[test]
fn nothing_is_there_before_the_first_sample() {
    let dir = tempfile::tempdir().expect("folder");
    let error = Reader::open(dir.path()).err().expect("absent");
    assert!(error.to_string().starts_with("there is no sample at "), "{error}");
}

/// A container that got another name goes on with its series: before and after, and once in the bucket in between.
#[test]
fn who_bore_two_names_is_one() {
    let row = |at: u64, memory: u64| Row {
        at: Moment(T + at),
        span: MINUTE,
        bucket: true,
        begins: false,
        rollups: vec![(Metric::Memory, Rollup::of(memory))],
    };
    let rows =
        joined(vec![vec![row(2 * MINUTE, 7), row(3 * MINUTE, 9)], vec![row(0, 1), row(2 * MINUTE, 3)], Vec::new()]);
    let memory: Vec<(u64, u64, u64)> = rows
        .iter()
        .filter_map(|row| Some((row.at.0 - T, row.point(Metric::Memory)?.rollup)))
        .map(|(at, rollup)| (at / MINUTE, rollup.sum, rollup.count))
        .collect();
    assert_eq!(memory, [(0, 1, 1), (2, 10, 2), (3, 9, 1)]);
}
