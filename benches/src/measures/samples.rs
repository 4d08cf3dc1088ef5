//! Samples: how fast they are stored, what a batch waits for, and how long a stretch of time takes to be read.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use vigie_core::clock::Wall;
use vigie_core::samples::{Level, Metric, Moment, Subject, pack_readings};
use vigie_store::samples::{Batch, Reader, Round, Sample, Samples as Store};

use crate::failure::{Failure, Result};
use crate::page::{Budget, Page, Table};
use crate::samples::{Samples, digits, size, time};
use crate::site::{Arena, Site};
use crate::supervisors::Peer;
use crate::time::Stopwatch;

/// Of the spec: 1,000 containers on each of 50 hosts, each every ten seconds.
const SUBJECTS: u64 = 50_000;
const PER_SECOND: u64 = 5_000;
const EVERY: u64 = SUBJECTS / PER_SECOND;

/// The beginning of a bucket of every level, in milliseconds.
const BEGIN: u64 = 1_700_006_400_000;

/// Nothing is forgotten meanwhile.
const LIMIT: u64 = 64 << 30;

/// How many subjects are asked for, one after the other.
const ASKED: u64 = 50;

pub(super) fn measure(site: &Rc<Site>, _: &[Peer]) -> Result<Page> {
    let seconds = site.pick(1_800, 240);
    let mut page = Page::new(
        "Samples",
        &[&format!(
            "{SUBJECTS} subjects of eight metrics, which are {} series. Each is measured every {EVERY} s of a clock that does \
             not wait: a batch holds the {PER_SECOND} samples of one second and is one transaction; {} of them, one after the \
             other. Between two batches the rollups of what is over are made, step by step, as the thread that writes does \
             it: *step* is what a batch may have to wait for. Read is through a connection of its own, one subject after the \
             other, each for the first time.",
            SUBJECTS * 8,
            seconds
        )],
    );
    let arena = Arena::new(site)?;
    let dir = arena.dir.join("samples");
    let written = write(&dir, seconds as u64)?;
    let mut table = Table::new(["what", "min", "p50", "p99", "most", "times"]);
    for (name, samples) in
        [("batch of 5,000 samples: commit", &written.commits), ("step of tidying up", &written.steps)]
    {
        table.row(row(name, samples));
    }
    let until = BEGIN + seconds as u64 * 1_000;
    let minutes = seconds / 60;
    let reads = [
        ("one subject, raw, 5 minutes", Level::Raw, 300),
        ("one subject, raw, everything", Level::Raw, seconds as u64),
        ("one subject, by the minute, everything", Level::Minute, seconds as u64),
    ];
    let mut slowest = Duration::ZERO;
    for (name, level, length) in reads {
        let times = read(&dir, level, until - length * 1_000, until)?;
        slowest = slowest.max(times.p99());
        table.row(row(name, &times));
    }
    table.row(row("the names of all subjects", &names(&dir)?));
    page.tables.push(table);
    let rate = (PER_SECOND * seconds as u64) as f64 / written.took.as_secs_f64();
    page.budgets.push(Budget::new(
        "samples of 50,000 subjects: 5,000 a second, rollups included",
        "stored as fast as they come, p99 of a commit < 100 ms",
        format!("{} k a second, p99 {}", digits(rate / 1e3), time(written.commits.p99())),
        rate > PER_SECOND as f64 && written.commits.p99() < Duration::from_millis(100),
    ));
    page.budgets.push(Budget::new(
        "a stretch of time of one of 50,000 subjects",
        "stays fast: p99 < 100 ms",
        format!("p99 at most {}", time(slowest)),
        slowest < Duration::from_millis(100),
    ));
    page.notes.push(format!(
        "{minutes} minutes of {PER_SECOND} samples a second take {} of disk, {} bytes a sample with its rollups; the log beside it \
         was never larger than {}",
        size(written.bytes),
        digits(written.bytes as f64 / (PER_SECOND * seconds as u64) as f64),
        size(written.log),
    ));
    Ok(page)
}

fn row(name: &str, samples: &Samples) -> [String; 6] {
    [
        name.to_owned(),
        time(samples.min()),
        time(samples.median()),
        time(samples.p99()),
        time(samples.max()),
        samples.len().to_string(),
    ]
}

struct Written {
    commits: Samples,
    steps: Samples,
    took: Duration,
    bytes: u64,
    log: u64,
}

fn failed(error: vigie_store::Error) -> Failure {
    Failure::new(error.to_string())
}

fn wall(second: u64) -> Wall {
    Wall((BEGIN + second * 1_000) * 1_000_000)
}

fn write(dir: &Path, seconds: u64) -> Result<Written> {
    let subjects: Vec<Arc<Subject>> = (0..SUBJECTS)
        .map(|n| Arc::new(Subject { name: format!("container host{}/{n:012x}", n % 50), key: String::new() }))
        .collect();
    let (mut store, _) = Store::open(dir, wall(0), LIMIT).map_err(failed)?;
    let (mut commits, mut steps) = (Samples::default(), Samples::default());
    let (mut busy, mut log) = (Duration::ZERO, 0);
    for second in 0..seconds {
        let batch = batch(&subjects, second);
        let watch = Stopwatch::start();
        store.write(&batch, 0).map_err(failed)?;
        commits.add(watch.elapsed());
        busy += watch.elapsed();
        loop {
            let watch = Stopwatch::start();
            let more = store.tidy(batch.now).map_err(failed)?;
            busy += watch.elapsed();
            if !more {
                break;
            }
            steps.add(watch.elapsed());
        }
        log = log.max(length(&dir.join("samples.db-wal")));
    }
    store.close().map_err(failed)?;
    Ok(Written { commits, steps, took: busy, bytes: length(&dir.join("samples.db")), log })
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

/// What is measured in one second: a tenth of all, as from hosts that take turns.
fn batch(subjects: &[Arc<Subject>], second: u64) -> Batch {
    let turn = second % EVERY;
    let of_turn = subjects.iter().enumerate().filter(|(n, _)| *n as u64 % EVERY == turn);
    let samples =
        of_turn.map(|(n, subject)| Sample { subject: Arc::clone(subject), row: values(n as u64, second) }).collect();
    let round = Round { at: Moment(BEGIN + second * 1_000), every: EVERY * 1_000, begins: false, samples };
    Batch { now: wall(second), rounds: vec![round] }
}

/// Values that move as those of a process do.
fn values(n: u64, second: u64) -> Box<[u8]> {
    let noise = (n ^ second.wrapping_mul(0x9e37_79b9)).wrapping_mul(0xd1b5_4a32_d192_ed03) >> 20;
    let readings = Metric::OF_RUNS.map(|metric| {
        let value = match metric {
            Metric::CpuOfCore => noise % 40_000,
            Metric::CpuOfHost => noise % 40_000 / 8,
            Metric::Memory => (20 << 20) + n * 4_096 + noise % 512 * 4_096,
            Metric::Read => noise % 7 * 4_096,
            Metric::Written => noise % 100 * 4_096,
            Metric::Processes => 1 + n % 5,
            Metric::Threads => 4 + n % 30,
            Metric::Descriptors => 20 + noise % 50,
            _ => 0,
        };
        (metric, value)
    });
    let mut row = Vec::with_capacity(32);
    pack_readings(&readings, &mut row);
    row.into()
}

fn read(dir: &Path, level: Level, from: u64, until: u64) -> Result<Samples> {
    let reader = Reader::open(dir).map_err(failed)?;
    let mut times = Samples::default();
    for n in 0..ASKED {
        let id = 1 + n as i64 * (SUBJECTS / ASKED) as i64;
        let watch = Stopwatch::start();
        let rows = reader.read(level, &[id], Moment(from), Moment(until)).map_err(failed)?;
        times.add(watch.elapsed());
        if rows.first().is_none_or(Vec::is_empty) {
            return Err(Failure::new(format!("nothing is there of subject {id}")));
        }
    }
    Ok(times)
}

fn names(dir: &Path) -> Result<Samples> {
    let mut times = Samples::default();
    for _ in 0..10 {
        let reader = Reader::open(dir).map_err(failed)?;
        let watch = Stopwatch::start();
        let count = reader.subjects().map_err(failed)?.len() as u64;
        times.add(watch.elapsed());
        if count != SUBJECTS {
            return Err(Failure::new(format!("{count} subjects are there")));
        }
    }
    Ok(times)
}
