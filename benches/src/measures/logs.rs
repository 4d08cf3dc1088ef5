//! Output: how fast it is taken, what that costs, whether every byte is there, how fast it is searched.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use crate::command;
use crate::failure::{Failure, Result};
use crate::page::{Budget, Page, Table};
use crate::peers;
use crate::procs;
use crate::samples::{Samples, digits, ratio, size, time};
use crate::site::{Arena, Site};
use crate::supervisors::vigie::Vigie;
use crate::supervisors::{Job, Peer, Supervisor};
use crate::time::{Stopwatch, until};

/// How long a line is, its newline included.
const LINE: usize = 100;

/// One flood without a newline.
const BLOB: usize = 60_000_000;

/// Room for all of it: what is measured is not rotated away.
const POLICY: &str = "log = { max_size = \"64MiB\", keep = 20 }\n";

const LIMIT: Duration = Duration::from_secs(180);

/// One flood.
#[derive(Debug, Clone, Copy)]
struct Flood {
    /// From the first write until the reader had taken the last byte.
    wall: Duration,
    /// What the reader spent on a processor.
    cpu: Duration,
    /// The most memory that the reader ever had, in bytes.
    peak: u64,
}

/// All floods of one subject.
#[derive(Debug, Default)]
struct Floods {
    walls: Samples,
    cpus: Samples,
    peak: u64,
    blob_peak: u64,
}

/// A program that reads its standard input into files.
struct Reader {
    name: String,
    program: std::path::PathBuf,
    args: &'static [&'static str],
    file: bool,
}

pub(super) fn measure(site: &Rc<Site>, _: &[Peer]) -> Result<Page> {
    let lines = site.pick(2_000_000, 400_000);
    let rounds = site.pick(7, 3);
    let mut page = Page::new(
        "Output",
        &[&format!(
            "One service writes {lines} lines of {LINE} bytes to its standard output as fast as it is taken. The writer \
             itself measures, from its first write until the pipe is empty. All write into files of one folder, with a UTC \
             time for each line or, with vigie, for each chunk that was read; `cat` into a file is the floor. *Peak* is the \
             largest resident memory of the reading process (with vigie the keeper), at the end of this flood and of one of \
             {} MB without a newline.",
            BLOB / 1_000_000
        )],
    );
    let readers = readers(site, &mut page);
    let mut all: Vec<Floods> = (0..=readers.len()).map(|_| Floods::default()).collect();
    // The first round warms up.
    for round in 0..=rounds {
        for (place, floods) in all.iter_mut().enumerate() {
            let flood = match readers.get(place) {
                Some(reader) => pipe(site, reader, "lines", lines)?,
                None => vigie_flood(site, "lines", lines)?.0,
            };
            floods.peak = floods.peak.max(flood.peak);
            if round > 0 {
                floods.walls.add(flood.wall);
                floods.cpus.add(flood.cpu);
            }
        }
    }
    for (place, floods) in all.iter_mut().enumerate() {
        floods.blob_peak = match readers.get(place) {
            Some(reader) => pipe(site, reader, "blob", BLOB)?.peak,
            None => vigie_flood(site, "blob", BLOB)?.0.peak,
        };
    }
    let mut table =
        Table::new(["subject", "wall: min", "median", "lines/s", "to `cat`", "processor", "peak", "peak, no newline"]);
    let rate = |floods: &Floods| lines as f64 / floods.walls.median().as_secs_f64();
    let names = readers.iter().map(|reader| reader.name.clone()).chain(["vigie".to_owned()]);
    for (name, floods) in names.zip(&all) {
        table.row([
            name,
            time(floods.walls.min()),
            time(floods.walls.median()),
            format!("{} M", digits(rate(floods) / 1e6)),
            ratio(rate(floods), rate(&all[0])),
            time(floods.cpus.median()),
            size(floods.peak),
            size(floods.blob_peak),
        ]);
    }
    page.tables.push(table);
    let (floor, vigie) = (&all[0], &all[readers.len()]);
    let share = rate(vigie) / rate(floor);
    page.budgets.push(Budget::new(
        "log capture with timestamps: beside `cat` into a file",
        "≥ 0.6 × its lines a second",
        format!("{share:.2} × ({} M/s, `cat` {} M/s)", digits(rate(vigie) / 1e6), digits(rate(floor) / 1e6)),
        share >= 0.6,
    ));
    if let Some(place) = readers.iter().position(|reader| reader.name.starts_with("s6-log")) {
        let times = rate(vigie) / rate(&all[place]);
        page.budgets.push(Budget::new(
            "log capture with timestamps: beside s6-log with timestamps",
            "≥ 3 × its lines a second",
            format!("{times:.2} ×"),
            times >= 3.0,
        ));
    }
    page.budgets.push(Budget::new(
        "60 MB without a newline",
        "bounded memory",
        format!("keeper at most {} (after lines {})", size(vigie.blob_peak), size(vigie.peak)),
        vigie.blob_peak < 8 << 20,
    ));
    page.notes.extend(vigie_flood(site, "lines", lines)?.1);
    Ok(page)
}

/// The floor first, then what is installed.
fn readers(site: &Site, page: &mut Page) -> Vec<Reader> {
    let mut readers = vec![Reader { name: "cat > file".to_owned(), program: "/bin/cat".into(), args: &[], file: true }];
    let tools: [(&str, &str, &'static [&'static str]); 3] = [
        ("s6-log t", "s6-log", &["-b", "n20", "s67108864", "t", "./out"]),
        ("svlogd -tt", "svlogd", &["-tt", "out"]),
        ("multilog t", "multilog", &["t", "n20", "s16777215", "./out"]),
    ];
    for (name, program, args) in tools {
        match peers::debian_program(site, program) {
            Some(program) => readers.push(Reader { name: name.to_owned(), program, args, file: false }),
            None => page.notes.push(format!("{program} is not there; cargo xtask bench --install-peers")),
        }
    }
    readers
}

/// `emit | READER`.
fn pipe(site: &Rc<Site>, reader: &Reader, kind: &str, count: usize) -> Result<Flood> {
    let arena = Arena::new(site)?;
    let report = arena.dir.join("report");
    // svlogd: file size and number.
    arena.write("out/config", "s67108864\nn20\n")?;
    let bin = reader.program.parent().unwrap_or(Path::new("/"));
    let mut command = peers::debian(arena.command(&reader.program), bin);
    command.args(reader.args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    if reader.file {
        let path = arena.dir.join("out/file");
        command.stdout(File::create(&path).map_err(Failure::io(format!("cannot make {}", path.display())))?);
    }
    let failed = |error| Failure::io(format!("cannot start {}", reader.program.display()))(error);
    let mut consumer = Ends(command.spawn().map_err(failed)?);
    let input = consumer.0.stdin.take().ok_or_else(|| Failure::new("the reader has an input"))?;
    let mut producer = arena.command(&site.emit);
    producer.args([kind, &count.to_string()]).arg(&report).stdin(Stdio::null()).stdout(input);
    let _producer = Ends(producer.spawn().map_err(Failure::io("cannot start emit"))?);
    flood(&report, consumer.0.id())
}

/// A child that is killed when it is not needed any more.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        command::end(&mut self.0);
    }
}

/// Waits for the writer's report, and looks at the reader then.
fn flood(report: &Path, reader: u32) -> Result<Flood> {
    let wall = until("the end of the flood", LIMIT, Duration::from_millis(2), || {
        std::fs::read_to_string(report).ok()?.parse().ok().map(Duration::from_nanos)
    })?;
    let peak = procs::peak_memory(reader)?.unwrap_or(0);
    Ok(Flood { wall, cpu: procs::processor_time(reader)?, peak })
}

/// The same as a service; then every byte is compared, and searched.
fn vigie_flood(site: &Rc<Site>, kind: &str, count: usize) -> Result<(Flood, Vec<String>)> {
    let arena = Arena::new(site)?;
    let report = arena.dir.join("report");
    let mut vigie = Vigie::with(Rc::clone(&arena), POLICY);
    vigie.configure(&[Job::new("s0", &site.emit, &[kind, &count.to_string(), &report.display().to_string()])])?;
    vigie.bring_up()?;
    let keeper = *vigie.keepers()?.first().ok_or_else(|| Failure::new("no keeper runs"))?;
    let flood = flood(&report, keeper)?;
    let notes = if kind == "lines" { read_back(&vigie, count)? } else { Vec::new() };
    vigie.shut_down()?;
    Ok((flood, notes))
}

/// Compares what is stored with what was written, and times the search.
fn read_back(vigie: &Vigie, count: usize) -> Result<Vec<String>> {
    let raw = vigie.arena().dir.join("raw");
    let file = File::create(&raw).map_err(Failure::io(format!("cannot make {}", raw.display())))?;
    let mut command = vigie.verb(&["logs", "--raw", "s0"]);
    let watch = Stopwatch::start();
    let status = command.stdout(file).status().map_err(Failure::io("cannot run vigie logs"))?;
    let took = watch.elapsed();
    if !status.success() {
        return Err(Failure::new(format!("vigie logs --raw s0: {status}")));
    }
    let verdict = match compare(&raw, count)? {
        None => "every byte is as it was written".to_owned(),
        Some(place) => format!("**it differs from what was written at byte {place}**"),
    };
    let megabytes = (count * LINE) as f64 / 1e6;
    let mut notes = vec![format!("`vigie logs --raw`: {megabytes:.0} MB in {}: {verdict}", time(took))];
    let needle = format!("{:012}", count - 1);
    let grep = search(Command::new("grep"), &["-c", &needle, &raw.display().to_string()])?;
    let ours = search(vigie.verb(&["logs", "s0"]), &["--grep", &needle])?;
    notes.push(format!(
        "`vigie logs --grep` for one line of {count}: {} ({:.0} MB/s); `grep -c` in the raw file: {}",
        time(ours),
        megabytes / ours.as_secs_f64(),
        time(grep)
    ));
    Ok(notes)
}

/// The shortest of three searches, each of which must find one line.
fn search(mut command: Command, args: &[&str]) -> Result<Duration> {
    command.args(args);
    let mut times = Samples::default();
    for _ in 0..3 {
        let watch = Stopwatch::start();
        let output = command.output().map_err(Failure::io("cannot search"))?;
        times.add(watch.elapsed());
        if output.stdout.iter().filter(|&&byte| byte == b'\n').count() != 1 {
            return Err(Failure::new(format!("{command:?} did not find one line: {}", output.status)));
        }
    }
    Ok(times.min())
}

/// Where the file differs from what `emit lines COUNT` writes.
fn compare(path: &Path, count: usize) -> Result<Option<usize>> {
    let failed = |error| Failure::io(format!("cannot read {}", path.display()))(error);
    let mut file = std::io::BufReader::with_capacity(1 << 20, File::open(path).map_err(failed)?);
    let mut read = [0; LINE];
    for number in 0..count {
        let expected = format!("{number:012} {}\n", ".".repeat(LINE - 14));
        match file.read_exact(&mut read) {
            Ok(()) if read == expected.as_bytes() => {}
            Ok(()) => return Ok(Some(number * LINE)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(Some(number * LINE)),
            Err(error) => return Err(failed(error)),
        }
    }
    let more = file.read(&mut read).map_err(failed)?;
    Ok((more > 0).then_some(count * LINE))
}
