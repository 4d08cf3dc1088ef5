//! What was measured: `vigie metrics --json` (R10.2).
//!
//! A series is one metric of one subject in a stretch of time. What was not measured is `null`, never 0: in a column in which
//! nothing lies, and of a series of which there is nothing at all.

use serde::{Deserialize, Serialize};
use serde_json::Number;

use vigie_core::name::Name;
use vigie_core::samples::{Level, Metric, Moment, Pace, Point as Row, Seen, Summary, columns, gaps};
use vigie_core::units::Span;

use crate::time::Millis;

/// The samples that were taken were to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Flushed {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// They are. If not, the disk takes long or takes none; `vigie events` tells which.
    pub stored: bool,
}

/// A stretch of time of some series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Samples"))]
pub struct Report {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// When it was looked.
    pub at: Millis,
    /// The beginning of the stretch of time.
    pub from: Millis,
    /// Its end.
    pub until: Millis,
    /// From which rung of the ladder it comes: `raw` as it was measured, `1m`, `10m`, `2h` from rollups of so long.
    pub resolution: String,
    /// How long a column is.
    pub step: Span,
    /// Of whom, by name.
    pub subjects: Vec<Subject>,
    /// What is stored; absent when nothing ever was.
    pub store: Option<Store>,
}

/// Whose series they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "SampledSubject"))]
pub struct Subject {
    /// A kind, a space, a name: `service demo/api:headless`, `container SOURCE/ID`, `source NAME`.
    pub subject: String,
    /// What tells two of one name apart; of a container its name.
    pub key: String,
    /// The project, when it is a service.
    pub project: Option<Name>,
    /// The service.
    pub service: Option<Name>,
    /// Its mode, if it had one.
    pub mode: Option<Name>,
    /// The source, when it is one, or a container.
    #[serde(default)]
    pub source: Option<Name>,
    /// The name of the container, as it was last known.
    #[serde(default)]
    pub container: Option<String>,
    /// Its id.
    #[serde(default)]
    pub container_id: Option<String>,
    /// The metrics that were asked for.
    pub metrics: Vec<Series>,
}

/// One metric of one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Series {
    /// Its name, unit included: one of [`vigie_core::samples::Metric::name`].
    pub metric: String,
    /// `percent`, `bytes`, `bytes_per_second` or `count`.
    pub unit: String,
    /// The first moment in this stretch of time at which it was measured, or not before that.
    pub since: Option<Millis>,
    /// Only rollups are left of the first sample: it was before this. Absent: `since` is the moment.
    #[serde(default)]
    pub since_before: Option<Millis>,
    /// The last moment, or not before that.
    pub last_at: Option<Millis>,
    /// Only rollups are left of the last sample: it was before this. Absent: `last_at` is the moment.
    #[serde(default)]
    pub last_before: Option<Millis>,
    /// The value then.
    pub last: Option<Number>,
    /// The smallest value.
    pub min: Option<Number>,
    /// Sum by count.
    pub mean: Option<Number>,
    /// The largest value.
    pub max: Option<Number>,
    /// How many samples that are.
    pub count: u64,
    /// When nothing was measured.
    pub gaps: Vec<Gap>,
    /// Column by column.
    pub points: Vec<Point>,
}

/// A stretch of time in which nothing was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Gap {
    /// The last sample before it, or the beginning of what was asked for.
    pub from: Millis,
    /// The first sample behind it, or the end of what was asked for.
    pub until: Millis,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Point {
    /// Where it begins.
    pub at: Millis,
    /// The smallest value in it.
    pub min: Option<Number>,
    /// Sum by count.
    pub mean: Option<Number>,
    /// The largest.
    pub max: Option<Number>,
    /// How many samples.
    pub count: u64,
}

/// What is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "SampleStore"))]
pub struct Store {
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of the log beside it.
    pub wal_bytes: u64,
    /// Samples that were measured and could not be stored, of the last 90 days.
    pub lost_samples: u64,
}

/// A stretch of time, and how it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Its beginning.
    pub from: Moment,
    /// Its end.
    pub until: Moment,
    /// Where its rows come from.
    pub level: Level,
    /// How long a column is, in milliseconds.
    pub step: u64,
}

impl Series {
    /// From the rows of a series, ascending. `born`: the first sample that the subject ever had; `pace`: how often it is
    /// measured.
    pub fn new(metric: Metric, rows: &[Row], cut: Cut, born: Moment, pace: Pace) -> Self {
        let summary = Summary::of(rows);
        let value = |value: Option<u64>| value.and_then(|value| number(metric, value as f64));
        // Columns begin at round times, so that two calls cut alike.
        let start = Moment(cut.from.0 - cut.from.0 % cut.step.max(1));
        let points = columns(rows, start, cut.until, cut.step).into_iter().enumerate().map(|(place, column)| Point {
            at: time(start.after(place as u64 * cut.step)),
            min: value(column.map(|column| column.min)),
            mean: column.and_then(|column| number(metric, column.mean())),
            max: value(column.map(|column| column.max)),
            count: column.map_or(0, |column| column.count),
        });
        Self {
            metric: metric.name().to_owned(),
            unit: metric.unit().name().to_owned(),
            since: summary.map(|summary| time(summary.first.at)),
            since_before: summary.and_then(|summary| summary.first.before).map(time),
            last_at: summary.map(|summary| time(summary.last.at)),
            last_before: summary.and_then(|summary| summary.last.before).map(time),
            last: value(summary.map(|summary| summary.all.last)),
            min: value(summary.map(|summary| summary.all.min)),
            mean: summary.and_then(|summary| number(metric, summary.all.mean())),
            max: value(summary.map(|summary| summary.all.max)),
            count: summary.map_or(0, |summary| summary.all.count),
            gaps: gaps(rows, cut.from, cut.until, born, pace)
                .into_iter()
                .map(|gap| Gap { from: time(gap.from), until: time(gap.until) })
                .collect(),
            points: points.collect(),
        }
    }

    /// With when it was measured first and last, where somebody knows more of it than the rows do.
    #[must_use]
    pub fn seen(mut self, first: Option<Seen>, last: Option<Seen>) -> Self {
        if let Some(first) = first {
            (self.since, self.since_before) = (Some(time(first.at)), first.before.map(time));
        }
        if let Some(last) = last {
            (self.last_at, self.last_before) = (Some(time(last.at)), last.before.map(time));
        }
        self
    }

    /// Which metric it is; absent for one of a newer version.
    pub fn which(&self) -> Option<Metric> {
        Metric::ALL.into_iter().find(|metric| metric.name() == self.metric)
    }
}

/// What is stored in the unit of the metric: whole where it is a number of things or bytes, else to a thousandth.
fn number(metric: Metric, stored: f64) -> Option<Number> {
    let value = stored / metric.scale() as f64;
    let rounded = (value * 1_000.0).round() / 1_000.0;
    if rounded.fract() == 0.0 && metric.scale() == 1 && rounded <= 9e15 {
        return Some(Number::from(rounded as u64));
    }
    Number::from_f64(rounded)
}

fn time(moment: Moment) -> Millis {
    Millis(moment.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::clock::Wall;
    use vigie_core::samples::Rollup;

    const T: Moment = Moment(1_767_225_600_000);

    fn sample(at: u64, value: u64) -> Row {
        Row { at: T.after(at), span: 5_000, bucket: false, begins: false, rollup: Rollup::of(value) }
    }

    /// R1, R10.2: the names are fixed, and what was not measured is null.
    #[test]
    fn the_shape_of_metrics() {
        let cut = Cut { from: T, until: T.after(40_000), level: Level::Raw, step: 10_000 };
        let rows = [sample(0, 12_345), sample(5_000, 100_000), sample(30_000, 1_000)];
        let cpu = Series::new(Metric::CpuOfCore, &rows, cut, T, Pace::Fine);
        let report = Report {
            schema: crate::SCHEMA,
            at: Millis(Wall(0)),
            from: time(cut.from),
            until: time(cut.until),
            resolution: cut.level.name().to_owned(),
            step: Span::millis(cut.step),
            subjects: vec![Subject {
                subject: "service demo/api".to_owned(),
                key: "api-0".to_owned(),
                project: Name::new("demo").ok(),
                service: Name::new("api").ok(),
                mode: None,
                source: None,
                container: None,
                container_id: None,
                metrics: vec![cpu, Series::new(Metric::Memory, &[], cut, T, Pace::Fine)],
            }],
            store: Some(Store { bytes: 1, wal_bytes: 2, lost_samples: 3 }),
        };
        let json = serde_json::to_value(&report).expect("encodes");
        assert_eq!((&json["resolution"], &json["step"]), (&"raw".into(), &"10s".into()));
        assert_eq!(
            (&json["from"], &json["until"]),
            (&"2026-01-01T00:00:00.000Z".into(), &"2026-01-01T00:00:40.000Z".into())
        );
        let [cpu, memory] = [&json["subjects"][0]["metrics"][0], &json["subjects"][0]["metrics"][1]];
        assert_eq!((&cpu["metric"], &cpu["unit"]), (&"cpu_percent_of_core".into(), &"percent".into()));
        for (field, value) in [("last", 1.0), ("min", 1.0), ("mean", 37.782), ("max", 100.0)] {
            assert_eq!(cpu[field], value, "{field}");
        }
        assert_eq!(
            (&cpu["since"], &cpu["last_at"]),
            (&"2026-01-01T00:00:00.000Z".into(), &"2026-01-01T00:00:30.000Z".into())
        );
        assert_eq!(
            cpu["gaps"],
            serde_json::json!([{"from": "2026-01-01T00:00:05.000Z", "until": "2026-01-01T00:00:30.000Z"}])
        );
        let points = cpu["points"].as_array().expect("points");
        assert_eq!(points.len(), 4);
        assert_eq!(
            points[0],
            serde_json::json!({"at": "2026-01-01T00:00:00.000Z", "min": 12.345, "mean": 56.173, "max": 100.0, "count": 2})
        );
        assert_eq!(
            points[1],
            serde_json::json!({"at": "2026-01-01T00:00:10.000Z", "min": null, "mean": null, "max": null, "count": 0})
        );
        for absent in ["since", "last_at", "last", "min", "mean", "max"] {
            assert!(memory.get(absent).is_some_and(serde_json::Value::is_null), "{absent}");
        }
        assert_eq!((&memory["unit"], &memory["count"]), (&"bytes".into(), &0.into()));
        assert_eq!(serde_json::from_value::<Report>(json).expect("reads"), report);
    }

    #[test]
    fn whole_things_are_whole_numbers() {
        let text = |metric, stored| number(metric, stored).map(|number| number.to_string());
        assert_eq!(text(Metric::Memory, 4096.0).as_deref(), Some("4096"));
        assert_eq!(text(Metric::Processes, 1.5).as_deref(), Some("1.5"));
        assert_eq!(text(Metric::CpuOfCore, 0.0).as_deref(), Some("0.0"));
    }
}
