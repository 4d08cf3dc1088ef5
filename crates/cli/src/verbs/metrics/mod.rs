//! `vigie metrics`: what was measured, over time.

mod choose;
mod collect;
mod containers;
mod show;
mod spark;

use vigie_core::clock::Wall;
use vigie_core::manifest::Project;
use vigie_core::samples::{Metric, Moment, millis};
use vigie_core::target::Target;
use vigie_core::units::Span;
use vigie_store::samples::Reader;

use crate::args::{Manifest, duration, target};
use crate::failure::{Failure, Verdict};
use crate::out::time::when;
use crate::out::{Screen, style};
use crate::scene::Scene;
use crate::{context, daemon, watch};

/// Show what was measured, over time
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Show what was measured of services: CPU, memory, storage, processes, threads, descriptors; of the containers \
        of sources (container:NAME) and of sources themselves (source:NAME): their containers together, their host, their \
        disk. With a target everything about it, without one all services of the project here; of all projects outside of \
        one.\n\n\
        The daemon measures every five seconds what it runs, and every 30 what others run ('vigie settings'). Samples are kept as they are for an hour, then by the minute \
        for a day, by ten minutes for a week, by two hours for 90 days; the finest that reaches back far enough is shown. \
        Time in which nothing was measured is a gap: a dot in the line, null in JSON, never 0. It needs no daemon to be \
        shown. Points in time are written as for `logs`. Exit code 8 when the target is not known.",
    after_help = "Examples:\n  \
        vigie metrics\n  \
        vigie metrics api --since 2h\n  \
        vigie metrics api --metric memory --watch\n  \
        vigie metrics demo/api --since yesterday --until today --step 10m --json\n  \
        vigie metrics --containers\n  \
        vigie metrics container:web --watch\n  \
        vigie metrics source:nas --metric disk_used_percent --since 7d"
)]
pub(crate) struct Args {
    /// Everything about this one
    #[arg(value_name = "TARGET", value_parser = target)]
    pub(crate) target: Option<Target>,
    /// From then on; absent: for 15 minutes, with a target for an hour, but not from before its first sample
    #[arg(long, value_name = "TIME", value_parser = when)]
    pub(crate) since: Option<Wall>,
    /// Until then
    #[arg(long, value_name = "TIME", value_parser = when, conflicts_with = "watch")]
    pub(crate) until: Option<Wall>,
    /// In columns of this length
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) step: Option<Span>,
    /// Only this; cpu, host-cpu, memory, read, written, processes, threads, descriptors, or a name as in JSON
    #[arg(short, long = "metric", value_name = "NAME", value_parser = metric)]
    pub(crate) metrics: Vec<Metric>,
    /// Of all projects
    #[arg(short, long, conflicts_with = "target")]
    pub(crate) all: bool,
    /// Of the containers of all sources instead of services
    #[arg(long, conflicts_with_all = ["target", "all"])]
    pub(crate) containers: bool,
    /// For programs: schema 1; with --watch one object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Show it again every second, and measure every second meanwhile
    #[arg(short, long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) manifest: Manifest,
}

/// The short names of metrics.
const NAMES: [(&str, Metric); 11] = [
    ("cpu", Metric::CpuOfCore),
    ("host-cpu", Metric::CpuOfHost),
    ("memory", Metric::Memory),
    ("read", Metric::Read),
    ("written", Metric::Written),
    ("processes", Metric::Processes),
    ("threads", Metric::Threads),
    ("descriptors", Metric::Descriptors),
    ("received", Metric::Received),
    ("sent", Metric::Sent),
    ("memory-limit", Metric::MemoryLimit),
];

fn metric(text: &str) -> Result<Metric, String> {
    let short = NAMES.into_iter().find(|(name, _)| *name == text).map(|(_, metric)| metric);
    let long = || Metric::ALL.into_iter().find(|metric| metric.name() == text);
    short.or_else(long).ok_or_else(|| {
        let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        format!("there is no metric {text:?}: {}", names.join(", "))
    })
}

pub(crate) fn run(args: &Args) -> Verdict {
    if let (Some(since), Some(until)) = (args.since, args.until)
        && since >= until
    {
        return Err(Failure::usage("--since is not before --until"));
    }
    let mut view = View::new(args)?;
    watch::show(args.watch, args.json, |screen| view.picture(screen))?;
    Ok(0)
}

/// What is looked at, again and again.
struct View<'a> {
    args: &'a Args,
    scene: Scene,
    /// Absent when there is no manifest, or when something is wrong with it.
    project: Option<Project>,
    /// How long the stretch of time is, in milliseconds.
    length: u64,
}

/// Without a target; milliseconds.
const QUARTER: u64 = 15 * 60_000;

/// With one.
const HOUR: u64 = 60 * 60_000;

/// However young it is.
const LEAST: u64 = 60_000;

impl<'a> View<'a> {
    fn new(args: &'a Args) -> Result<Self, Failure> {
        let scene = Scene::new(args.manifest.file.as_deref())?;
        let project = match scene.here.manifest.as_ref().map(context::read).transpose()? {
            Some(Ok(project)) => Some(project),
            Some(Err(errors)) => {
                context::warn_of(&errors);
                None
            }
            None => None,
        };
        let end = Moment::from(args.until.unwrap_or(vigie_os::clock::now().wall));
        let usual = if args.target.is_some() { HOUR } else { QUARTER };
        let length = args.since.map_or(usual, |since| end.0.saturating_sub(Moment::from(since).0));
        Ok(Self { args, scene, project, length })
    }

    fn picture(&mut self, screen: Screen) -> Result<String, Failure> {
        // Runs are measured every second while somebody looks at them.
        let watches_runs = self.args.watch && !self.args.containers;
        let status = self.scene.report(watches_runs)?;
        if status.daemon.is_some() {
            self.scene.runtime.block_on(daemon::flush_samples(&self.scene.place));
        }
        let reader = match Reader::open(&self.scene.place.state) {
            Ok(reader) => Some(reader),
            Err(vigie_store::Error::Absent { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let now = vigie_os::clock::now().wall;
        let known = reader.as_ref().map(Reader::subjects).transpose()?.unwrap_or_default();
        let chosen = self.choose(&status, known)?;
        let born = chosen.iter().flat_map(|chosen| &chosen.known).map(|known| known.born).min();
        if self.args.watch && status.daemon.is_some() {
            self.watch_containers(&chosen);
        }
        let report = collect::report(reader.as_ref(), &chosen, &self.asked(now.into(), born))?;
        if self.args.json {
            let mut text = serde_json::to_string(&report)
                .map_err(|error| Failure::io("cannot write JSON", &std::io::Error::other(error)))?;
            text.push('\n');
            return Ok(text);
        }
        let mut text = match self.args.target {
            Some(_) => show::one(&report, screen),
            None => show::table(&report, screen),
        };
        if report.subjects.is_empty() {
            text = "nothing was measured in this time\n".to_owned();
        }
        if let Some(store) = report.store.filter(|store| store.lost_samples > 0) {
            let lost = format!("{} samples could not be stored; 'vigie events' tells why", store.lost_samples);
            text.push_str(&format!("{}\n", screen.paint(style::WARN, lost)));
        }
        if status.daemon.is_none() {
            let why = if self.scene.silent { "does not answer" } else { "not running, so nothing is measured" };
            text.push_str(&format!("{}\n", screen.paint(style::DIM, format!("daemon: {why}"))));
        }
        Ok(text)
    }

    /// `born`: the first sample of any of those that are meant.
    fn asked(&self, now: Moment, born: Option<Moment>) -> collect::Asked {
        let until = self.args.until.map_or(now, Moment::from);
        let mut from = until.before(self.length);
        if let (None, Some(born)) = (self.args.since, born) {
            // Nobody asked for the time before.
            from = from.max(born.min(until.before(LEAST)));
        }
        let usual: &[Metric] = match self.args.target {
            None if !self.args.json => &[Metric::CpuOfCore, Metric::Memory],
            _ => &[],
        };
        let mut metrics = if self.args.metrics.is_empty() { usual.to_vec() } else { self.args.metrics.clone() };
        metrics.dedup();
        collect::Asked { now, from, until, step: self.args.step.map(|step| millis(step.0)), metrics }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_short_names_and_those_of_json() {
        for (name, expected) in NAMES {
            assert_eq!(metric(name), Ok(expected));
            assert_eq!(metric(expected.name()), Ok(expected));
        }
        for metrics in [&Metric::OF_RUNS[..], &Metric::OF_CONTAINERS] {
            assert!(metrics.iter().all(|metric| NAMES.iter().any(|(_, named)| named == metric)), "{metrics:?}");
        }
        for expected in Metric::ALL {
            assert_eq!(metric(expected.name()), Ok(expected));
        }
        assert!(metric("heat").is_err_and(|error| error.contains("host-cpu")));
    }
}
