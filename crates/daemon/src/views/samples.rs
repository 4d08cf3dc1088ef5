//! From what is stored of samples to the report.

use vigie_api::metrics::{Cut, Report, Series, Store, Subject};
use vigie_api::time::Millis;
use vigie_core::samples::{Level, Metric, Moment, Subject as Measured, level_for, step_for};
use vigie_core::units::Span;
use vigie_store::Error;
use vigie_store::samples::{Known, Reader, Row, series};

/// A subject that is to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// It.
    pub subject: Measured,
    /// Absent when nothing was ever measured of it.
    pub known: Option<Known>,
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
    /// What of each subject.
    pub metrics: Vec<Metric>,
}

/// The report. No reader: nothing was ever stored.
///
/// # Errors
/// When the samples cannot be read.
pub fn report(reader: Option<&Reader>, chosen: &[Chosen], asked: &Asked) -> Result<Report, Error> {
    let oldest = reader.map(Reader::oldest).transpose()?.unwrap_or_default();
    let level = level_for(asked.from, asked.now, asked.step, &oldest);
    let ids: Vec<i64> = chosen.iter().filter_map(|chosen| chosen.known.as_ref()).map(|known| known.id).collect();
    let read = reader.map(|reader| reader.read(level, &ids, asked.from, asked.until)).transpose()?.unwrap_or_default();
    let every = read.iter().flatten().map(|row| row.span).max().unwrap_or(level.span());
    let step = step_for(asked.from, asked.until, level, every, asked.step);
    let cut = Cut { from: asked.from, until: asked.until, level, step };
    let mut read = read.into_iter();
    let mut subjects = Vec::with_capacity(chosen.len());
    for chosen in chosen {
        let rows = if chosen.known.is_some() { read.next().unwrap_or_default() } else { Vec::new() };
        if !rows.is_empty() || chosen.always {
            subjects.push(subject(chosen, &rows, cut, &asked.metrics));
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

fn subject(chosen: &Chosen, rows: &[Row], cut: Cut, metrics: &[Metric]) -> Subject {
    let born = chosen.known.as_ref().map_or(cut.from, |known| known.born);
    // Before its birth there was nothing to measure; a bucket begins before what is in it.
    let born = if cut.level == Level::Raw { born } else { cut.level.bucket(born) };
    let service = chosen.subject.as_service();
    let of_metric = |metric: &Metric| Series::new(*metric, &series(rows, *metric), cut, born);
    Subject {
        subject: chosen.subject.name.clone(),
        key: chosen.subject.key.clone(),
        project: service.as_ref().map(|(project, ..)| project.clone()),
        service: service.as_ref().map(|(_, service, _)| service.clone()),
        mode: service.and_then(|(.., mode)| mode),
        metrics: metrics.iter().map(of_metric).collect(),
    }
}
