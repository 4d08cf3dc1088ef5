//! From what is stored of samples to the report.

use vigie_api::metrics::{Cut, Report, Series, Store, Subject};
use vigie_api::time::Millis;
use vigie_core::samples::{Level, Metric, Moment, Subject as Measured, level_for, step_for};
use vigie_core::units::Span;
use vigie_store::Error;
use vigie_store::samples::{Known, Reader, Row, joined, series};

use edge::{Edge, Edges};

mod edge;

/// A subject that is to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// It.
    pub subject: Measured,
    /// What was measured of it, one for each name that it had; none when nothing ever was.
    pub known: Vec<Known>,
    /// It is shown even if nothing was measured of it in the stretch of time.
    pub always: bool,
}

/// What is asked for.
#[derive(Debug)]
pub struct Asked {
    /// When it is asked.
    pub now: Moment,
    /// From when on.
    pub from: Moment,
    /// Until when.
    pub until: Moment,
    /// In columns of so many milliseconds; absent: as it fits.
    pub step: Option<u64>,
    /// What of each subject. None: what there is of each.
    pub metrics: Vec<Metric>,
}

/// The report. No reader: nothing was ever stored.
///
/// # Errors
/// When the samples cannot be read.
pub fn report(reader: Option<&Reader>, chosen: &[Chosen], asked: &Asked) -> Result<Report, Error> {
    let oldest = reader.map(Reader::oldest).transpose()?.unwrap_or_default();
    let level = level_for(asked.from, asked.now, asked.step, &oldest);
    let ids: Vec<i64> = chosen.iter().flat_map(|chosen| &chosen.known).map(|known| known.id).collect();
    let read = reader.map(|reader| reader.read(level, &ids, asked.from, asked.until)).transpose()?.unwrap_or_default();
    let every = every(read.iter().flatten(), &asked.metrics).unwrap_or(level.span());
    let step = step_for(asked.from, asked.until, level, every, asked.step);
    let cut = Cut { from: asked.from, until: asked.until, level, step };
    let mut read = read.into_iter();
    let mut subjects = Vec::with_capacity(chosen.len());
    for chosen in chosen {
        let rows = joined(read.by_ref().take(chosen.known.len()).collect());
        if !rows.is_empty() || chosen.always {
            let ids: Vec<i64> = chosen.known.iter().map(|known| known.id).collect();
            let mut edges = reader.filter(|_| level != Level::Raw).map(|reader| Edges::new(reader, ids, asked.now));
            subjects.push(subject(chosen, &rows, cut, &asked.metrics, edges.as_mut())?);
        }
    }
    let size = reader.map(Reader::size).transpose()?;
    Ok(Report {
        schema: vigie_api::SCHEMA,
        at: Millis(asked.now.into()),
        from: Millis(asked.from.into()),
        until: Millis(asked.until.into()),
        resolution: level.name().to_owned(),
        step: Span::millis(step),
        subjects,
        store: size.map(|size| Store { bytes: size.bytes, wal_bytes: size.log_bytes, lost_samples: size.lost }),
    })
}

fn subject(
    chosen: &Chosen,
    rows: &[Row],
    cut: Cut,
    metrics: &[Metric],
    mut edges: Option<&mut Edges<'_>>,
) -> Result<Subject, Error> {
    let born = chosen.known.iter().map(|known| known.born).min().unwrap_or(cut.from);
    // Before its birth there was nothing to measure; a bucket begins before what is in it.
    let born = if cut.level == Level::Raw { born } else { cut.level.bucket(born) };
    let service = chosen.subject.as_service();
    let container = chosen.subject.as_container();
    let source = container.as_ref().map(|(source, _)| source.clone()).or_else(|| chosen.subject.as_source());
    let metrics = if metrics.is_empty() { Metric::of(&chosen.subject) } else { metrics };
    let mut of_metric = |metric: &Metric| {
        let points = series(rows, *metric);
        let shown = Series::new(*metric, &points, cut, born, chosen.subject.pace());
        Ok(match (edges.as_mut(), points.first(), points.last()) {
            (Some(edges), Some(first), Some(last)) => shown.seen(
                Some(edges.seen(cut.level, first, *metric, Edge::First)?),
                Some(edges.seen(cut.level, last, *metric, Edge::Last)?),
            ),
            _ => shown,
        })
    };
    Ok(Subject {
        subject: chosen.subject.name.clone(),
        key: chosen.subject.key.clone(),
        project: service.as_ref().map(|(project, ..)| project.clone()),
        service: service.as_ref().map(|(_, service, _)| service.clone()),
        mode: service.and_then(|(.., mode)| mode),
        source,
        container: container.as_ref().map(|_| chosen.subject.key.clone()),
        container_id: container.map(|(_, id)| id.to_owned()),
        metrics: metrics.iter().map(&mut of_metric).collect::<Result<_, Error>>()?,
    })
}

/// The longest time between two looks, in milliseconds. Disks are asked seldom: columns are made for them only where nothing
/// else is shown.
fn every<'a>(rows: impl Iterator<Item = &'a Row>, metrics: &[Metric]) -> Option<u64> {
    let only_disks = !metrics.is_empty() && metrics.iter().all(|metric| metric.is_of_disk());
    let counts = |row: &&Row| only_disks || row.rollups.iter().any(|(metric, _)| !metric.is_of_disk());
    rows.filter(counts).map(|row| row.span).max()
}
