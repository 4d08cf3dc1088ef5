//! Events of a container engine: read, deduplicated and stored, each stage and the whole.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Child;
use std::rc::Rc;
use std::time::Duration;

use vigie_core::clock::Wall;
use vigie_core::journal::{Entry, Subject, What};
use vigie_core::name::Name;
use vigie_store::journal::{Journal, Reader};
use vigie_store::state::DocumentChange;
use vigie_store::writer::{Batch, Writer};

use crate::command;
use crate::failure::{Failure, Result};
use crate::page::{Budget, Page, Table};
use crate::pour::Pour;
use crate::procs;
use crate::samples::{digits, size};
use crate::site::{Arena, Site};
use crate::supervisors::Peer;
use crate::supervisors::vigie::Vigie;
use crate::time::{Stopwatch, until};

/// Of the spec, a second.
const BUDGET: f64 = 50_000.0;

/// Offered to the whole, a second.
const RATES: [usize; 6] = [10_000, 25_000, 50_000, 75_000, 100_000, 150_000];

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(120);

/// What came of one stage.
struct Stage {
    name: String,
    events: usize,
    took: Duration,
    /// Time on a processor, of whom.
    cpu: Vec<(&'static str, Duration)>,
    /// The most resident memory, of whom.
    peak: Vec<(&'static str, u64)>,
    remark: String,
}

impl Stage {
    fn rate(&self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }

    fn row(&self) -> [String; 6] {
        let each = |time: &Duration| format!("{} µs", digits(time.as_secs_f64() * 1e6 / self.events as f64));
        let cpu: Vec<String> = self.cpu.iter().map(|(who, time)| format!("{who} {}", each(time))).collect();
        let peak: Vec<String> = self.peak.iter().map(|(who, bytes)| format!("{who} {}", size(*bytes))).collect();
        let or_dash = |parts: Vec<String>| if parts.is_empty() { "–".to_owned() } else { parts.join(", ") };
        [
            self.name.clone(),
            self.events.to_string(),
            format!("{} k", digits(self.rate() / 1e3)),
            or_dash(cpu),
            or_dash(peak),
            self.remark.clone(),
        ]
    }
}

pub(super) fn measure(site: &Rc<Site>, _: &[Peer]) -> Result<Page> {
    let count = site.pick(500_000, 50_000);
    let mut page = Page::new(
        "Docker events",
        &[
            "A fake engine (`tests/docker`) tells of 100 containers that start, get TERM, die and stop, over and over, in lines of \
             some 700 bytes as compose's labels make them. All of it is kept, and half of it changes what is known of a \
             container. *Floor*: somebody reads the engine's socket and counts lines. *Worker*: `vigie worker events` reads, \
             parses, filters and deduplicates; this program is in the daemon's place. *Journal*: the thread that writes gets \
             what the daemon would give it, one batch an event, with the place that was reached and the container. *Whole*: \
             engine, worker, daemon and journal, at the rate that is offered; *complete* is what has every event in the \
             journal and no gap, and the time is that until the last one was there.",
            "The engine, the worker and the two threads of the daemon share the processors of this machine.",
        ],
    );
    let mut stages = vec![floor(count)?, worker(site, count)?, journal(site, count)?];
    // The engine waits for whoever reads slower than it tells: what is complete was read, deduplicated and stored at its rate.
    let mut best: Option<(usize, f64)> = None;
    for rate in RATES {
        let (stage, complete) = whole(site, rate, rate * site.pick(8, 2))?;
        if complete && best.is_none_or(|(_, most)| stage.rate() > most) {
            best = Some((rate, stage.rate()));
        }
        stages.push(stage);
        if !complete {
            break;
        }
    }
    let mut table = Table::new(["stage", "events", "a second", "processor, an event", "memory at most", ""]);
    stages.iter().for_each(|stage| table.row(stage.row()));
    page.tables.push(table);
    let measured = match best {
        Some((rate, most)) => {
            format!("{} k/s at most, of {} k/s offered", digits(most / 1e3), digits(rate as f64 / 1e3))
        }
        None => "nothing was complete".to_owned(),
    };
    page.budgets.push(Budget::new(
        "Docker events, from the engine into the journal",
        "≥ 50,000/s read, deduplicated and stored",
        measured,
        best.is_some_and(|(_, most)| most >= BUDGET),
    ));
    Ok(page)
}

fn io(what: &str) -> impl FnOnce(std::io::Error) -> Failure + use<'_> {
    Failure::io(what)
}

/// What the engine can tell, and somebody who does nothing with it can read.
fn floor(count: usize) -> Result<Stage> {
    let mut pour = Pour::new();
    let socket = pour.engine.endpoint().trim_start_matches("unix://").to_owned();
    let mut stream = UnixStream::connect(socket).map_err(io("cannot connect"))?;
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n").map_err(io("cannot ask"))?;
    until("the engine listens", LIMIT, Duration::from_millis(1), || (pour.engine.listeners() > 0).then_some(()))?;
    let watch = Stopwatch::start();
    let reading = std::thread::spawn(move || {
        let mut buffer = vec![0; 256 << 10];
        let (mut lines, mut bytes, mut before) = (0, 0, 0);
        while lines < count {
            let Ok(read @ 1..) = stream.read(&mut buffer) else { break };
            // An end may be cut in two, and those of chunks do not count.
            for byte in &buffer[..read] {
                lines += usize::from(*byte == b'\n' && before == b'}');
                before = *byte;
            }
            bytes += read;
        }
        (lines, bytes)
    });
    for _ in 0..count.div_ceil(1000) {
        pour.tell(1000);
    }
    let (_, bytes) = reading.join().map_err(|_| Failure::new("the reader panicked"))?;
    Ok(Stage {
        name: "floor: read and counted".to_owned(),
        events: count,
        took: watch.elapsed(),
        cpu: Vec::new(),
        peak: Vec::new(),
        remark: format!("{} bytes a line", bytes / count),
    })
}

/// A child that is ended whatever happens.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        command::end(&mut self.0);
    }
}

fn worker(site: &Rc<Site>, count: usize) -> Result<Stage> {
    let arena = Arena::in_memory(site)?;
    let run = arena.dir.join("home/run");
    std::fs::create_dir_all(&run).map_err(io("cannot make a folder"))?;
    let listener = UnixListener::bind(run.join("worker.sock")).map_err(io("cannot listen"))?;
    let mut pour = Pour::new();
    let mut command = arena.command(&site.vigie);
    command.env("VIGIE_HOME", arena.dir.join("home")).args(["worker", "events"]);
    let child = Ended(command::stay(command, &arena.dir.join("worker.log"))?);
    let (stream, _) = listener.accept().map_err(io("no worker came"))?;
    let asked = serde_json::json!({ "do": "refresh_sources", "remove": [], "put": [{ "resume": { "cursor": null },
        "source": source(&pour.engine.endpoint()) }] });
    let mut asking = stream.try_clone().map_err(io("cannot write"))?;
    asking.write_all(format!("{asked}\n").as_bytes()).map_err(io("cannot write"))?;
    let mut reader = BufReader::with_capacity(256 << 10, stream);
    let mut line = Vec::new();
    let mut next = move || {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(io("the worker went"))?;
        if read == 0 { Err(Failure::new("the worker went")) } else { Ok(line.clone()) }
    };
    let holds = |line: &[u8], text: &[u8]| line.windows(text.len()).any(|part| part == text);
    while !holds(&next()?, b"\"stage\":\"live\"") {}
    let watch = Stopwatch::start();
    let before = procs::cost(&[child.0.id()])?.cpu;
    let reading = std::thread::spawn(move || {
        let mut seen = 0;
        while seen < count {
            let line = next()?;
            if holds(&line[..line.len().min(300)], b"gap") {
                return Err(Failure::new("the worker tells of a gap"));
            }
            seen += line.windows(11).filter(|part| part == b"\"inferred\":").count();
        }
        Ok(watch.elapsed())
    });
    // As fast as it is read: what the engine has told and nobody has read yet is what it holds in its own memory.
    for _ in 0..count.div_ceil(500) {
        pour.tell(500);
    }
    let took = reading.join().map_err(|_| Failure::new("the reader panicked"))??;
    let cpu = procs::cost(&[child.0.id()])?.cpu.saturating_sub(before);
    let peak = procs::peak_memory(child.0.id())?.unwrap_or(0);
    Ok(Stage {
        name: "worker".to_owned(),
        events: count,
        took,
        cpu: vec![("worker", cpu)],
        peak: vec![("worker", peak)],
        remark: String::new(),
    })
}

fn source(endpoint: &str) -> serde_json::Value {
    let mut actions = vec!["create", "start", "stop", "die", "kill", "restart", "pause", "unpause", "destroy"];
    actions.extend(["rename", "update", "oom", "health_status"]);
    serde_json::json!({ "name": "fake", "endpoint": endpoint, "tls": null, "events": true, "mode": "stream",
        "paused": false, "filters": { "actions": actions, "ignored_images": [], "ignored_names": [] } })
}

fn journal(site: &Rc<Site>, count: usize) -> Result<Stage> {
    let failed = |error: vigie_store::Error| Failure::new(error.to_string());
    let arena = Arena::new(site)?;
    let (journal, _) = Journal::open(&arena.dir.join("state"), Wall(1)).map_err(failed)?;
    let writer = Writer::spawn(journal).map_err(io("no thread"))?;
    let name = Name::new("fake").map_err(|error| Failure::new(error.to_string()))?;
    let batches: Vec<Batch> = (0..count as u64).map(|number| batch(&name, number)).collect();
    let own = std::process::id();
    let before = procs::cost(&[own])?.cpu;
    let watch = Stopwatch::start();
    let (sender, answers) = std::sync::mpsc::sync_channel(vigie_store::writer::QUEUE * 2);
    let (mut in_flight, mut stored) = (0, 0);
    let mut settle = |in_flight: &mut usize| match answers.recv() {
        Ok(true) => {
            *in_flight -= 1;
            stored += 1;
            Ok(())
        }
        Ok(false) | Err(_) => Err(Failure::new("a batch was not stored")),
    };
    for batch in batches {
        while in_flight >= vigie_store::writer::QUEUE {
            settle(&mut in_flight)?;
        }
        let sender = sender.clone();
        let done = Box::new(move |result: std::result::Result<_, _>| {
            // There is a place for each that is in flight.
            let _ = sender.try_send(result.is_ok());
        });
        writer.submit(batch, done).map_err(|_| Failure::new("the queue is full"))?;
        in_flight += 1;
    }
    while in_flight > 0 {
        settle(&mut in_flight)?;
    }
    let took = watch.elapsed();
    let cpu = procs::cost(&[own])?.cpu.saturating_sub(before);
    writer.close().map_err(failed)?;
    let bytes = std::fs::metadata(arena.dir.join("state/journal.db")).map_or(0, |file| file.len());
    Ok(Stage {
        name: "journal".to_owned(),
        events: stored,
        took,
        cpu: vec![("journal", cpu)],
        peak: Vec::new(),
        remark: format!("{} bytes an event on disk", bytes / stored.max(1) as u64),
    })
}

/// As the daemon makes them.
fn batch(source: &Name, number: u64) -> Batch {
    let id = format!("{:08x}c0ffee{:050x}", number % 100, 0);
    let at = 1_795_762_516_238_640_418 + number * 1_000;
    let what = What::ContainerEvent {
        action: ["start", "kill", "die", "stop"][(number / 100 % 4) as usize].to_owned(),
        id: id.clone(),
        image: "registry.lab/shop/web:4.2".to_owned(),
        time_nano: Some(at),
        exit_code: None,
        signal: None,
        oom: None,
        health: None,
        old_name: None,
        inferred: false,
    };
    let name = format!("shop-web-{}", number % 100);
    let subject = Subject::Container { source: source.clone(), name: name.clone(), id: id.clone() };
    let reached = format!(
        "{{\"cursor\":{{\"at\":{at},\"event\":{{\"at\":{at},\"kind\":\"container\",\"action\":\"stop\",\"id\":\"{id}\"}}}},\
         \"standing\":{{\"offline\":false,\"engine\":\"FAKE\",\"floor\":{at}}}}}"
    );
    let container = format!("{{\"name\":\"{name}\",\"image\":\"registry.lab/shop/web:4.2\",\"state\":\"running\"}}");
    let put = |kind: &str, key: String, json| DocumentChange::Put { kind: kind.to_owned(), key, json };
    let mut documents = vec![put("source_resume", "fake".to_owned(), reached)];
    if (number / 100).is_multiple_of(2) {
        documents.push(put("source_container", format!("fake/{id}"), container));
    }
    Batch { entries: vec![Entry::new(Wall(at), subject, None, what)], documents }
}

/// Whether the journal has all of it, and no gap.
fn whole(site: &Rc<Site>, rate: usize, count: usize) -> Result<(Stage, bool)> {
    let failed = |error: vigie_store::Error| Failure::new(error.to_string());
    let arena = Arena::new(site)?;
    let vigie = Vigie::new(Rc::clone(&arena));
    let mut pour = Pour::new();
    command::succeed(vigie.verb(&["source", "add", "fake", &pour.engine.endpoint()]))?;
    let listing = || command::output(vigie.verb(&["source", "ls", "--json"]));
    let pid = until("the source is followed", LIMIT, Duration::from_millis(20), || {
        let sources: serde_json::Value = serde_json::from_slice(&listing().ok()?).ok()?;
        let pid = sources["worker"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())?;
        (sources["sources"][0]["stage"] == "live").then_some(pid)
    })?;
    let daemon = vigie.daemon()?.ok_or_else(|| Failure::new("no daemon runs"))?;
    let state = arena.dir.join("home/state");
    let reader = Reader::open(&state).map_err(failed)?;
    let begin = reader.last_seq().map_err(failed)?;
    let before = [procs::cost(&[pid])?.cpu, procs::cost(&[daemon])?.cpu];
    let watch = Stopwatch::start();
    pour.at(rate, count);
    // Incidents may have entries of their own: counted is only once there are enough.
    let mut last = (begin, watch.elapsed());
    let complete = loop {
        let seq = reader.last_seq().map_err(failed)?;
        if seq > last.0 {
            last = (seq, watch.elapsed());
        }
        if seq >= begin + count as u64 && counted(&reader, begin)?.0 >= count {
            break true;
        }
        if watch.elapsed() - last.1 > Duration::from_secs(8) {
            break false;
        }
        crate::time::pass(Duration::from_millis(10));
    };
    let took = watch.elapsed();
    let cpu = [procs::cost(&[pid])?.cpu, procs::cost(&[daemon])?.cpu];
    let (events, gaps) = counted(&reader, begin)?;
    let complete = complete && events == count && gaps == 0;
    let remark = if complete {
        "complete".to_owned()
    } else {
        format!("**{} missing, {gaps} gaps**", count - events.min(count))
    };
    let stage = Stage {
        name: format!("whole, {} k/s offered", digits(rate as f64 / 1e3)),
        events: events.max(1),
        took: if complete { took } else { last.1 },
        cpu: vec![("worker", cpu[0].saturating_sub(before[0])), ("daemon", cpu[1].saturating_sub(before[1]))],
        peak: vec![
            ("worker", procs::peak_memory(pid)?.unwrap_or(0)),
            ("daemon", procs::peak_memory(daemon)?.unwrap_or(0)),
        ],
        remark,
    };
    drop(vigie);
    Ok((stage, complete))
}

/// Events of containers after this number, and gaps.
fn counted(reader: &Reader, after: u64) -> Result<(usize, usize)> {
    use vigie_store::journal::Query;
    let (mut events, mut gaps, mut last) = (0, 0, after);
    loop {
        let query = Query { after: last, limit: Some(10_000), ..Query::default() };
        let page = reader.read(&query).map_err(|error| Failure::new(error.to_string()))?;
        let Some(end) = page.last() else { return Ok((events, gaps)) };
        last = end.seq;
        events += page.iter().filter(|stored| matches!(stored.entry.what, What::ContainerEvent { .. })).count();
        gaps += page.iter().filter(|stored| matches!(stored.entry.what, What::Gap { .. })).count();
    }
}
