//! `kill -9` of whoever writes samples, at random moments: what was stored is there, whole, and the rollups are those of
//! the samples.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use vigie_core::clock::Wall;
use vigie_core::samples::{Level, Metric, Moment, Subject, pack_readings};
use vigie_store::samples::{Batch, LIMIT, Reader, Round, Sample, Writer};

const FOLDER: &str = "VIGIE_TEST_SAMPLES_FOLDER";
const FROM: &str = "VIGIE_TEST_SAMPLES_FROM";

/// The beginning of a bucket of every level.
const T: u64 = 1_700_006_400_000;

/// Seven seconds, so that buckets hold different numbers of rounds.
const STEP: u64 = 7_000;

const SUBJECTS: u64 = 40;

fn batch(number: u64) -> Batch {
    let at = Moment(T + number * STEP);
    let sample = |n: u64| {
        let mut row = Vec::new();
        pack_readings(&[(Metric::Memory, number * n), (Metric::Threads, n)], &mut row);
        let subject = Arc::new(Subject { name: format!("service demo/s{n}"), key: String::new() });
        Sample { subject, row: row.into() }
    };
    let samples = (1..=SUBJECTS).map(sample).collect();
    Batch { now: Wall::from(at), rounds: vec![Round { at, every: STEP, begins: false, samples }] }
}

/// Not a test of its own: the writer that [`stored_samples_survive_kill_9`] kills.
#[test]
fn writer() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    let from: u64 = std::env::var(FROM).expect("set").parse().expect("a number");
    let on_told = Box::new(|told| panic!("a crash is no trouble: {told:?}"));
    let writer = Writer::spawn(Path::new(&dir), LIMIT, on_told).expect("thread");
    for number in from.. {
        assert!(writer.submit(batch(number)));
        let (done, heard) = sync_channel(1);
        writer.tell(Box::new(move || done.send(()).unwrap_or(())));
        heard.recv().expect("stored");
        let mut out = std::io::stdout().lock();
        if writeln!(out, "\nstored {number}").and_then(|()| out.flush()).is_err() {
            // The test that would kill this is gone.
            std::process::abort();
        }
    }
}

#[test]
fn stored_samples_survive_kill_9() {
    let dir = tempfile::tempdir().expect("folder");
    let mut next = 0;
    // A fixed sequence that looks random: how many answers are awaited before the kill.
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..12 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "writer", "--nocapture", "--test-threads=1"])
            .env(FOLDER, dir.path())
            .env(FROM, next.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("spawns");
        let mut awaited = random % 60;
        for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
            let line = line.expect("a line");
            if let Some(number) = line.strip_prefix("stored ").and_then(|number| number.parse::<u64>().ok()) {
                next = next.max(number + 1);
                if awaited == 0 {
                    child.kill().expect("killed");
                }
                awaited = awaited.saturating_sub(1);
            }
        }
        child.wait().expect("reaped");
        check(dir.path(), next, round);
    }
    assert!(next > 100, "the writer got somewhere: {next}");
}

/// Of every batch that was stored everything is there; of the one that was being written all or nothing.
fn check(dir: &Path, stored: u64, round: u32) {
    let reader = Reader::open(dir).expect("opens");
    assert_eq!(reader.subjects().expect("reads").len() as u64, SUBJECTS, "round {round}");
    let until = Moment(T + (stored + 1) * STEP);
    // What is younger than an hour is there as it was measured.
    let from = Moment(T).max(until.before(Level::Raw.age()));
    let ids: Vec<i64> = reader.subjects().expect("reads").iter().map(|known| known.id).collect();
    let raw = reader.read(Level::Raw, &ids, from, until).expect("reads");
    let moments: Vec<Moment> = raw[0].iter().map(|row| row.at).collect();
    assert!(raw.iter().all(|rows| rows.len() == moments.len()), "round {round}: a round is there as a whole");
    let last = moments.last().map_or(0, |at| (at.0 - T) / STEP + 1);
    assert!(last == stored || last == stored + 1, "round {round}: {last} are there, {stored} were stored");
    // Made or not, each bucket holds what its samples say.
    for level in Level::ROLLED {
        let rows = reader.read(level, &ids[..1], Moment(T), until).expect("reads").remove(0);
        let counted: u64 =
            rows.iter().filter_map(|row| row.point(Metric::Memory)).map(|point| point.rollup.count).sum();
        assert_eq!(counted, last, "round {round}, {level:?}");
    }
}
