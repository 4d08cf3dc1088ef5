//! `vigie logs`: stored output.

use std::collections::VecDeque;
use std::io::Write as _;
use std::path::PathBuf;

use serde_json::json;

use vigie_api::time::Nanos;
use vigie_core::clock::{Mono, Wall};
use vigie_core::identity::RunId;
use vigie_core::launch::{Scope, ServiceKey};
use vigie_core::target::Target;
use vigie_os::place::Place;
use vigie_os::proc::Proc;
use vigie_os::watch::Watch;
use vigie_store::logs::{Amount, End, Filter, Item, Line, LogDir, Lost, Merged, Stream};

use crate::args::{ManifestLong, lines, target};
use crate::context::Here;
use crate::failure::{Failure, Verdict};
use crate::look::{self, Meters};
use crate::out::time::when;
use crate::out::{Screen, line, style, time};
use crate::pattern::Pattern;
use crate::{context, select};

/// What `-f` begins with.
const BEFORE_FOLLOWING: usize = 10;

/// Show stored output
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Show the stored output of services, merged by time; without targets of the whole project. It needs no \
        daemon. Points in time: 5m, \"10 min ago\", 12:00, yesterday, 2026-01-31, 2026-01-31T12:00:00Z.",
    after_help = "Examples:\n  \
        vigie logs -n 50 api\n  \
        vigie logs -f\n  \
        vigie logs --since '10 min ago' --grep 'error|panic'\n  \
        vigie logs --raw api > api.bin          exactly the bytes that it wrote"
)]
pub(crate) struct Args {
    /// Services; absent: all of the project
    #[arg(value_name = "TARGET", value_parser = target)]
    pub(crate) targets: Vec<Target>,
    /// Go on with what is written from now on, after the last 10 lines
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the last N lines
    #[arg(short = 'n', long = "lines", value_name = "N", value_parser = lines::<usize>)]
    pub(crate) lines: Option<usize>,
    /// Only what was written from then on
    #[arg(long, value_name = "TIME", value_parser = when)]
    pub(crate) since: Option<Wall>,
    /// Only what was written up to then
    #[arg(long, value_name = "TIME", value_parser = when, conflicts_with = "follow")]
    pub(crate) until: Option<Wall>,
    /// Only lines that match this regular expression
    #[arg(long, value_name = "RE")]
    pub(crate) grep: Option<Pattern>,
    /// Only of this run
    #[arg(long, value_name = "RUN", value_parser = run_id)]
    pub(crate) run: Option<RunId>,
    /// Exactly the bytes that were written, without times and names
    #[arg(long, conflicts_with_all = ["follow", "lines", "since", "until", "grep", "json"])]
    pub(crate) raw: bool,
    /// For programs: one object a line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) manifest: ManifestLong,
}

fn run_id(text: &str) -> Result<RunId, String> {
    text.parse()
        .map_err(|_| "a run is 16 hexadecimal digits; 'vigie status --json' and 'vigie events' show them".to_owned())
}

pub(crate) fn run(args: &Args) -> Verdict {
    let place = context::place()?;
    let here = context::here(args.manifest.file.as_deref())?;
    let sources = sources(args, &place, &here)?;
    if args.raw {
        return raw(args, &sources);
    }
    let filter = Filter { stream: None, run: args.run, since: args.since, until: args.until };
    let limit = match args.lines {
        None if args.follow && args.since.is_none() => Some(BEFORE_FOLLOWING),
        limit => limit,
    };
    // Watched before it is read, so that nothing falls between.
    let watch = if args.follow { Some(watch(&sources)?) } else { None };
    let mut wanted = |line: &Line<'_>| admits(args, line);
    let mut cursors = Vec::with_capacity(sources.len());
    for source in &sources {
        let dir = LogDir::new(&source.dir);
        cursors.push(match limit {
            Some(count) => dir.tail(count, filter, &mut wanted)?,
            None => dir.lines(filter)?,
        });
    }
    let mut merged = Merged::new(cursors);
    if !args.follow {
        merged.finish();
    }
    let mut printer = Printer::new(args, &sources);
    let mut last = limit.map(|limit| (limit, VecDeque::new()));
    while let Some(number) = merged.advance().map_err(|failed| Failure::from(failed.error))? {
        let Some(item) = merged.item() else { continue };
        if !printer.admits(&item) {
            continue;
        }
        match &mut last {
            None => printer.print(number, &item)?,
            Some((limit, kept)) => {
                kept.push_back(printer.render(number, &item));
                if kept.len() > *limit {
                    kept.pop_front();
                }
            }
        }
    }
    for text in last.into_iter().flat_map(|(_, kept)| kept) {
        printer.out.write_all(&text)?;
    }
    printer.out.flush()?;
    let Some(watch) = watch else { return Ok(0) };
    loop {
        while let Some(number) = merged.advance().map_err(|failed| Failure::from(failed.error))? {
            if let Some(item) = merged.item()
                && printer.admits(&item)
            {
                printer.print(number, &item)?;
            }
        }
        printer.out.flush()?;
        watch.wait(Mono(u64::MAX))?;
    }
}

/// The log of one service.
#[derive(Debug)]
struct Source {
    name: String,
    project: Option<String>,
    dir: PathBuf,
}

/// What an adopted process writes goes where it went before: what is shown is of earlier runs.
fn tell_of_adopted(service: &vigie_api::status::Service, proc: &Proc) {
    let Some(pid) = service.run.as_ref().filter(|run| run.adopted).and_then(|run| run.pid) else { return };
    let place = proc.link(pid, "fd/1").ok().flatten();
    let place = place.map(|place| format!(": {}", vigie_core::text::escaped(place.as_os_str().as_encoded_bytes())));
    let place = place.unwrap_or_default();
    eprintln!("{}: PID {pid} was adopted, and its output goes where it did{place}", service.service);
}

/// The logs that are meant: those of the targets, else those of the project here.
fn sources(args: &Args, place: &Place, here: &Here) -> Result<Vec<Source>, Failure> {
    let proc = context::proc()?;
    let remembered = look::remembered(place).unwrap_or_else(|failure| {
        crate::warn(&failure);
        Vec::new()
    });
    let report = look::report(remembered, place, &proc, &mut Meters::default(), vigie_os::clock::now())?;
    let known = |service: &vigie_api::status::Service| Source {
        name: service.service.to_string(),
        project: Some(service.project.to_string()),
        dir: place.logs_dir(&service.key),
    };
    let mut sources: Vec<Source> = Vec::new();
    for target in &args.targets {
        match select::services(&report, &here.dir, std::slice::from_ref(target), &proc) {
            Ok(services) => {
                services.iter().for_each(|service| tell_of_adopted(service, &proc));
                sources.extend(services.into_iter().map(known));
            }
            // Its record may be gone with the last boot; its output is not.
            Err(failure) => sources.push(by_name(target, place, here).ok_or(failure)?),
        }
    }
    if args.targets.is_empty() {
        sources = select::of_project(&report, &here.dir).into_iter().map(known).collect();
        if let Some(Ok(project)) = here.manifest.as_ref().map(context::read).transpose()? {
            for service in project.services.values() {
                let dir = place.logs_dir(&project.key(service));
                if !sources.iter().any(|source| source.dir == dir) {
                    let project = Some(project.name.to_string());
                    sources.push(Source { name: service.name.to_string(), project, dir });
                }
            }
        }
        if sources.is_empty() {
            return Err(Failure::not_found(format!("nothing is known to have run in {}", here.dir.display()))
                .hint("name a service: vigie logs PROJECT/SERVICE"));
        }
    }
    sources.sort_by(|a, b| a.dir.cmp(&b.dir));
    sources.dedup_by(|a, b| a.dir == b.dir);
    Ok(sources)
}

/// A name whose folder of logs exists, though nothing else knows it.
fn by_name(target: &Target, place: &Place, here: &Here) -> Option<Source> {
    let Target::Service(target) = target else { return None };
    if target.project.is_some() {
        return None;
    }
    [Scope::Project, Scope::User, Scope::Machine]
        .into_iter()
        .map(|scope| place.logs_dir(&ServiceKey::new(scope, &here.dir, target.service.clone())))
        .find(|dir| dir.is_dir())
        .map(|dir| Source { name: target.service.to_string(), project: None, dir })
}

fn watch(sources: &[Source]) -> Result<Watch, Failure> {
    let watch = Watch::new()?;
    for source in sources {
        // Whatever is written there first makes it; an empty folder can be watched.
        for dir in [source.dir.parent(), Some(source.dir.as_path())].into_iter().flatten() {
            vigie_os::place::private_dir(dir)?;
        }
        watch.folder(&source.dir)?;
    }
    Ok(watch)
}

fn raw(args: &Args, sources: &[Source]) -> Verdict {
    let [source] = sources else {
        let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        return Err(
            Failure::usage("--raw gives the bytes of one service").hint(format!("name one of: {}", names.join(", ")))
        );
    };
    let filter = Filter { run: args.run, ..Filter::default() };
    let mut out = std::io::stdout().lock();
    LogDir::new(&source.dir).copy_raw(filter, &mut out)?;
    out.flush()?;
    Ok(0)
}

fn admits(args: &Args, line: &Line<'_>) -> bool {
    args.grep.as_ref().is_none_or(|grep| grep.is_in(line.bytes))
}

/// Writes lines as they are asked for.
struct Printer<'a> {
    args: &'a Args,
    sources: &'a [Source],
    screen: Screen,
    /// Columns of the longest name; absent when there is only one.
    width: Option<usize>,
    out: std::io::BufWriter<std::io::StdoutLock<'static>>,
}

impl<'a> Printer<'a> {
    fn new(args: &'a Args, sources: &'a [Source]) -> Self {
        let width = sources.iter().map(|source| source.name.len()).max().filter(|_| sources.len() > 1);
        let out = std::io::BufWriter::with_capacity(64 << 10, std::io::stdout().lock());
        Self { args, sources, screen: Screen::stdout(), width, out }
    }

    fn admits(&self, item: &Item<'_>) -> bool {
        match item {
            Item::Line(line) => admits(self.args, line),
            Item::Lost(_) => self.args.grep.is_none(),
        }
    }

    fn print(&mut self, number: usize, item: &Item<'_>) -> Result<(), Failure> {
        let text = self.render(number, item);
        self.out.write_all(&text)?;
        Ok(())
    }

    fn render(&self, number: usize, item: &Item<'_>) -> Vec<u8> {
        let mut text = Vec::with_capacity(128);
        if self.args.json {
            text.extend(self.json(number, item).to_string().into_bytes());
            text.push(b'\n');
            return text;
        }
        let at = item.at().map_or_else(|| " ".repeat(23), time::local_millis);
        text.extend(self.screen.paint(style::DIM, at).to_string().into_bytes());
        text.push(b' ');
        if let Some(width) = self.width {
            let name = format!("{:width$}", self.sources[number].name);
            let colour = style::SERVICES[number % style::SERVICES.len()];
            text.extend(self.screen.paint(colour, name).to_string().into_bytes());
            text.extend(b" | ");
        }
        match item {
            Item::Line(line) => line::shown(line.bytes, self.screen, &mut text),
            Item::Lost(lost) => text.extend(self.screen.paint(style::WARN, hole(lost)).to_string().into_bytes()),
        }
        text.push(b'\n');
        text
    }

    fn json(&self, number: usize, item: &Item<'_>) -> serde_json::Value {
        let source = &self.sources[number];
        let mut value = json!({
            "schema": vigie_api::SCHEMA,
            "at": item.at().map(|at| Nanos(at).to_string()),
            "project": source.project,
            "service": source.name,
        });
        match item {
            Item::Line(line) => {
                value["run"] = json!(line.run.map(|run| run.to_string()));
                value["stream"] = json!(line.stream.map(|stream| match stream {
                    Stream::Out => "out",
                    Stream::Err => "err",
                }));
                value["text"] = json!(vigie_core::text::OsText(line.bytes.to_vec()));
                value["partial"] = json!(!line.first || line.end != End::Newline);
            }
            Item::Lost(lost) => {
                value["run"] = json!(lost.run.map(|run| run.to_string()));
                value["lost"] = match lost.amount {
                    Amount::Bytes(bytes) => json!({ "bytes": bytes }),
                    Amount::Segments(segments) => json!({ "segments": segments }),
                };
            }
        }
        value
    }
}

/// What stands in the place of what is not there.
pub(crate) fn hole(lost: &Lost) -> String {
    match lost.amount {
        Amount::Bytes(bytes) => format!("[{bytes} bytes of output were lost here]"),
        Amount::Segments(1) => "[an older part of the output was removed before it could be shown]".to_owned(),
        Amount::Segments(count) => {
            format!("[{count} older parts of the output were removed before they could be shown]")
        }
    }
}
