//! `vigie events`: the journal.

mod known;

use std::collections::{BTreeMap, btree_map};
use std::io::Write as _;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use unicode_width::UnicodeWidthStr as _;
use vigie_api::journal::JournalLine;
use vigie_core::clock::Wall;
use vigie_core::identity::RunId;
use vigie_core::journal::{Entry, KINDS};
use vigie_core::target::Target;
use vigie_os::place::Place;
use vigie_os::watch::Watch;
use vigie_store::journal::{Called, Query, Reader, SubjectFilter};

use crate::args::{lines, target};
use crate::context;
use crate::failure::{Failure, Verdict};
use crate::out::time::when;
use crate::out::{Screen, style, time};

/// How many are shown when nobody says.
const LAST: u32 = 100;

/// A change of the journal's files is seen before its commit can be read: the disk lies between (SQLite, WAL mode). So
/// after each change it is looked again, first soon, then later and later.
const SOON: Duration = Duration::from_millis(5);

/// The longest time between two looks.
const LATE: Duration = Duration::from_secs(2);

/// Show what happened
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Show the journal: starts, readiness, stops with every rung, exits, restarts, what happens to the containers \
        of sources, and stretches of time about which nothing is known. It needs no daemon: what keepers wrote down and \
        no daemon has journalled yet is shown in its place in time, without a number. Points in time are written as for `logs`. \
        A container is found by its name, by one that it had until it was renamed, and by its id.\n\n\
        Exit code 8: nothing is known of a target, and nobody follows.\n\n\
        Kinds are those of the JSON: exited, ready, gap, container_event, incident_opened and so on. A wrong one lists all.",
    after_help = "Examples:\n  \
        vigie events --since 1h\n  \
        vigie events api --kind exited,stuck --since yesterday --until today\n  \
        vigie events container:web source:nas\n  \
        vigie events -f --json"
)]
pub(crate) struct Args {
    /// Only about these: a service, container:NAME or :ID, container:SOURCE/NAME, source:NAME
    #[arg(value_name = "TARGET", value_parser = target)]
    pub(crate) targets: Vec<Target>,
    /// Go on with what happens from now on
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the last N; absent: 100, or all with --since or --until
    #[arg(short = 'n', long = "lines", value_name = "N", value_parser = lines::<u32>)]
    pub(crate) lines: Option<u32>,
    /// Only from then on
    #[arg(long, value_name = "TIME", value_parser = when)]
    pub(crate) since: Option<Wall>,
    /// Only until then
    #[arg(long, value_name = "TIME", value_parser = when, conflicts_with = "follow")]
    pub(crate) until: Option<Wall>,
    /// Only of these kinds, separated by commas
    #[arg(long = "kind", value_name = "KIND", value_delimiter = ',', hide_possible_values = true,
          value_parser = PossibleValuesParser::new(KINDS))]
    pub(crate) kinds: Vec<String>,
    /// For programs: one object a line
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(args: &Args) -> Verdict {
    let place = context::place()?;
    let watch = if args.follow { Some(watch(&place)?) } else { None };
    let limit = match (args.lines, args.since.or(args.until)) {
        (None, None) => Some(LAST),
        (lines, _) => lines,
    };
    let subjects: Vec<SubjectFilter> = args.targets.iter().map(subject).collect::<Result<_, _>>()?;
    let all = Query { kinds: args.kinds.clone(), subjects: subjects.clone(), ..Query::default() };
    let mut query = Query { since: args.since, until: args.until, limit, newest: true, ..all.clone() };
    let mut reader = None;
    let mut first = true;
    let mut pause = SOON;
    let mut printer = Printer { json: args.json, screen: Screen::stdout() };
    loop {
        if reader.is_none() {
            reader = open(&place)?;
        }
        let mut lines = Vec::new();
        match &reader {
            Some(reader) => {
                let known = reader.last_seq()?;
                let found = reader.read(&query)?;
                // Also where nothing was found, or nothing asked for: what comes is behind it.
                let after = found.last().map_or(known, |last| last.seq.max(known));
                query = Query { after, ..all.clone() };
                lines.extend(found.iter().map(|stored| JournalLine::new(stored.seq, &stored.entry)));
            }
            None if !args.follow && !place.services_dir().exists() => {
                known::check(&args.targets, &place, None, &[])?;
                eprintln!("nothing has happened yet");
                return Ok(0);
            }
            // Whatever will be there is new.
            None => query = all.clone(),
        }
        if std::mem::take(&mut first) {
            let unjournalled = unjournalled(&place, reader.as_ref(), args.since)?;
            // Who follows may wait for somebody who is to come.
            if !args.follow && (lines.is_empty() || args.targets.len() > 1) {
                known::check(&args.targets, &place, reader.as_ref(), &unjournalled)?;
            }
            for entry in unjournalled {
                if !is_wanted(&entry, args, &subjects) {
                    continue;
                }
                insert(&mut lines, JournalLine::new(None, &entry));
            }
            let surplus = limit.map_or(0, |limit| lines.len().saturating_sub(limit as usize));
            lines.drain(..surplus);
        }
        for line in &lines {
            printer.print(line)?;
        }
        std::io::stdout().flush()?;
        match &watch {
            None => return Ok(0),
            Some(watch) if watch.wait(vigie_os::clock::mono() + pause)? => pause = SOON,
            Some(_) => pause = (pause * 2).min(LATE),
        };
    }
}

/// What a target means for the journal.
fn subject(target: &Target) -> Result<SubjectFilter, Failure> {
    SubjectFilter::of(target).ok_or_else(|| {
        Failure::usage(format!("the journal knows no {target}")).hint("name the service that it belongs to")
    })
}

/// As the journal would choose.
fn is_wanted(entry: &Entry, args: &Args, subjects: &[SubjectFilter]) -> bool {
    args.until.is_none_or(|until| entry.at <= until)
        && (args.kinds.is_empty() || args.kinds.iter().any(|kind| kind == entry.what.kind()))
        && (subjects.is_empty()
            || subjects.iter().any(|subject| subject.matches(&entry.subject, Called::of(&entry.what))))
}

/// Puts what no daemon has journalled behind whatever is not younger. The journal keeps its own order, which is that in
/// which the daemon heard of things.
fn insert(lines: &mut Vec<JournalLine>, line: JournalLine) {
    let place = lines.iter().rposition(|other| other.at.0 <= line.at.0).map_or(0, |place| place + 1);
    lines.insert(place, line);
}

/// Every change of the journal is a change of a file in its folder.
fn watch(place: &Place) -> Result<Watch, Failure> {
    vigie_os::place::private_dir(&place.state)?;
    let watch = Watch::new()?;
    watch.folder(&place.state)?;
    Ok(watch)
}

/// What keepers wrote down and no daemon has journalled yet.
pub(crate) fn unjournalled(place: &Place, reader: Option<&Reader>, since: Option<Wall>) -> Result<Vec<Entry>, Failure> {
    let mut entries = vigie_daemon::written_down(&place.services_dir());
    entries.retain(|entry| since.is_none_or(|since| entry.at >= since));
    let mut known: BTreeMap<RunId, u64> = BTreeMap::new();
    if let Some(reader) = reader {
        for run in entries.iter().filter_map(|entry| entry.run) {
            if let btree_map::Entry::Vacant(vacant) = known.entry(run) {
                vacant.insert(reader.last_of_run(run)?);
            }
        }
    }
    let is_new = |entry: &Entry| {
        let journalled = entry.run.and_then(|run| known.get(&run).copied()).unwrap_or(0);
        entry.run_seq.is_none_or(|seq| seq > journalled)
    };
    entries.retain(is_new);
    Ok(entries)
}

fn open(place: &Place) -> Result<Option<Reader>, Failure> {
    match Reader::open(&place.state) {
        Ok(reader) => Ok(Some(reader)),
        Err(vigie_store::Error::Absent { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

struct Printer {
    json: bool,
    screen: Screen,
}

impl Printer {
    fn print(&mut self, line: &JournalLine) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut out, line).map_err(|error| Failure::from(std::io::Error::from(error)))?;
            writeln!(out)?;
            return Ok(());
        }
        let at = time::local_millis(line.at.0);
        let style = crate::out::event_style(&line.kind);
        let subject = line.subject().to_string();
        let before = at.width() + subject.width() + 4;
        let text = self.screen.folded(&line.text, before, 4);
        writeln!(out, "{}  {subject}  {}", self.screen.paint(style::DIM, at), self.screen.paint(style, text))?;
        Ok(())
    }
}
