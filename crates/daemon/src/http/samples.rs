//! `GET /v1/samples`, `POST /v1/samples/flush` and `POST /v1/samples/watch`.

use std::path::Path;
use std::time::Duration;

use hyper::Response;

use vigie_api::SCHEMA;
use vigie_api::metrics::{Flushed, Report};
use vigie_api::source::{Watch, Watched};
use vigie_core::samples::{Metric, Moment, millis};
use vigie_core::target::Target;
use vigie_core::units::Span;
use vigie_os::clock;
use vigie_store::samples::{Known, Reader};

use super::Desk;
use super::answer::{Body, Refusal, json};
use super::query::Query;
use super::requests::Post;
use crate::aside::off_thread;
use crate::input::Input;
use crate::views::samples::{Asked, Chosen, report as collect};

/// A disk that takes longer is not waited for: what is stored can be read all the same.
const PATIENCE: Duration = Duration::from_secs(2);

/// The stretch of time that is shown when nobody says, in milliseconds.
const QUARTER: u64 = 15 * 60_000;

/// Nothing older is kept, in milliseconds: 90 days and a bucket.
const OLDEST: u64 = 91 * 86_400_000;

/// The most columns of one series.
const COLUMNS: u64 = 4_000;

/// The most columns of one answer: some megabytes of it.
const POINTS: u64 = 100_000;

/// Has stored what was measured until now.
pub(super) async fn flush(desk: &Desk, post: Post) -> Result<Response<Body>, Refusal> {
    post.limit()?;
    json(&Flushed { schema: SCHEMA, stored: stored(desk).await })
}

/// Where there is no room in the queue of the thread that writes, the answer does not come.
async fn stored(desk: &Desk) -> bool {
    matches!(tokio::time::timeout(PATIENCE, desk.ask(Input::Flush)).await, Ok(Ok(())))
}

/// What was measured.
pub(super) async fn report(desk: &Desk, query: &Query) -> Result<Response<Body>, Refusal> {
    let targets: Vec<Target> = query.all("target").map(measured).collect::<Result<_, _>>()?;
    let asked = asked(query)?;
    stored(desk).await;
    let state = desk.state.clone();
    let read = off_thread(move || read(&state, &targets, &asked));
    json(&read.await.map_err(Refusal::internal)??)
}

fn measured(text: &str) -> Result<Target, Refusal> {
    match text.parse::<Target>().map_err(Refusal::not_understood)? {
        target @ (Target::Service(_) | Target::Container { .. } | Target::Source(_)) => Ok(target),
        other => Err(Refusal::not_understood(format!("nothing is measured of {other}"))),
    }
}

fn asked(query: &Query) -> Result<Asked, Refusal> {
    let now = Moment::from(clock::now().wall);
    let until = query.time("until")?.map_or(now, Moment::from).min(now);
    let from = query.time("since")?.map_or(until.before(QUARTER), Moment::from).max(now.before(OLDEST));
    if from >= until {
        return Err(Refusal::not_understood("since is not before until"));
    }
    let step = query.one::<Step>("step", "duration, such as 10s")?.map(|Step(step)| millis(step.0).max(1));
    let columns = step.map_or(0, |step| from.distance(until) / step);
    if columns > COLUMNS {
        let message = format!("this would be {columns} columns, and at most {COLUMNS} are made: ask for a longer step");
        return Err(Refusal::not_understood(message));
    }
    let metric = |text: &str| {
        let all = Metric::ALL.into_iter();
        let names = || Metric::ALL.map(Metric::name).join(", ");
        all.into_iter()
            .find(|metric| metric.name() == text)
            .ok_or_else(|| Refusal::not_understood(format!("there is no metric {text:?}: {}", names())))
    };
    let mut metrics: Vec<Metric> = query.all("metric").map(metric).collect::<Result<_, _>>()?;
    metrics.sort_unstable();
    metrics.dedup();
    Ok(Asked { now, from, until, step, metrics })
}

struct Step(Span);

impl std::str::FromStr for Step {
    type Err = vigie_core::units::UnitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Span::try_from(text.to_owned()).map(Self)
    }
}

fn read(state: &Path, targets: &[Target], asked: &Asked) -> Result<Report, Refusal> {
    let reader = match Reader::open(state) {
        Ok(reader) => Some(reader),
        Err(vigie_store::Error::Absent { .. }) => None,
        Err(error) => return Err(Refusal::internal(error)),
    };
    let known = reader.as_ref().map(Reader::subjects).transpose().map_err(Refusal::internal)?.unwrap_or_default();
    let known =
        known.into_iter().filter(|known| targets.is_empty() || targets.iter().any(|target| is_meant(known, target)));
    let chosen = together(known, !targets.is_empty());
    // About 120 when nobody says (vigie_core::samples::step_for).
    let columns = asked.step.map_or(240, |step| asked.from.distance(asked.until) / step);
    let metrics = |chosen: &Chosen| match asked.metrics.len() {
        0 => Metric::of(&chosen.subject).len(),
        named => named,
    };
    let series = chosen.iter().map(metrics).sum::<usize>();
    let points = columns * series as u64;
    if points > POINTS {
        return Err(Refusal::not_understood(format!(
            "this would be about {points} columns of {series} series, and at most {POINTS} are made: name a target, a metric, \
             or a longer step"
        )));
    }
    collect(reader.as_ref(), &chosen, asked).map_err(Refusal::internal)
}

fn is_meant(known: &Known, target: &Target) -> bool {
    let subject = &known.subject;
    match target {
        Target::Service(target) => subject.as_service().is_some_and(|(project, service, mode)| {
            service == target.service
                && target.project.as_ref().is_none_or(|name| *name == project)
                && target.mode.as_ref().is_none_or(|name| Some(name) == mode.as_ref())
        }),
        Target::Container { source, name } => subject.as_container().is_some_and(|(of, id)| {
            source.as_ref().is_none_or(|source| *source == of) && (subject.key == *name || id == name.as_str())
        }),
        Target::Source(name) => subject.as_source().as_ref() == Some(name),
        Target::Pid(_) | Target::Port(_) => false,
    }
}

/// A container that was renamed is one, whatever it was called when it was measured; each of the others is one by itself.
fn together(known: impl Iterator<Item = Known>, always: bool) -> Vec<Chosen> {
    let mut chosen: Vec<Chosen> = Vec::new();
    for known in known {
        let same = chosen.iter_mut().find(|chosen| {
            known.subject.as_container().is_some() && chosen.subject.as_container() == known.subject.as_container()
        });
        match same {
            Some(chosen) => chosen.known.push(known),
            None => chosen.push(Chosen { subject: known.subject.clone(), known: vec![known], always }),
        }
    }
    chosen
}

/// Somebody looks at containers.
pub(super) async fn watch(desk: &Desk, post: Post) -> Result<Response<Body>, Refusal> {
    let watch: Watch = post.read().await?;
    desk.put(Input::WatchContainers(watch)).await?;
    json(&Watched { schema: SCHEMA })
}
