//! For people.

use anstyle::Style;
use serde_json::Number;
use unicode_width::UnicodeWidthStr;

use vigie_api::metrics::{Gap, Report, Series, Subject};
use vigie_api::time::Millis;
use vigie_core::samples::{Metric, Unit};
use vigie_core::units::format_rounded;

use super::spark;
use crate::out::{ABSENT, Align, Column, Screen, Table, bytes, percent, style, time};

/// The widest line of blocks.
const WIDEST: usize = 60;

/// More gaps are not told one by one.
const GAPS: usize = 5;

/// A row for each metric of each subject.
pub(super) fn table(report: &Report, screen: Screen) -> String {
    let rows = report.subjects.iter().flat_map(|subject| {
        // The name once, at its first metric.
        let name = |place| if place == 0 { label(subject) } else { String::new() };
        subject.metrics.iter().enumerate().map(move |(place, series)| (Some(name(place)), series))
    });
    let rows: Vec<(Option<String>, &Series)> = rows.collect();
    let head = if report.subjects.iter().any(|subject| subject.container.is_some()) { "CONTAINER" } else { "SERVICE" };
    let mut text = lines(&rows, head, screen);
    text.push_str(&format!("{}\n", screen.paint(style::DIM, screen.folded(&foot(report), 0, 2))));
    text
}

/// Everything about each subject.
pub(super) fn one(report: &Report, screen: Screen) -> String {
    let mut text = String::new();
    for subject in &report.subjects {
        text.push_str(&format!("{}\n", screen.paint(style::HEAD, label(subject))));
        let rows: Vec<(Option<String>, &Series)> = subject.metrics.iter().map(|series| (None, series)).collect();
        text.push_str(&lines(&rows, "", screen));
        for line in remarks(subject, report) {
            text.push_str(&format!("{}\n", screen.folded(&line, 0, 2)));
        }
    }
    text.push_str(&format!("{}\n", screen.paint(style::DIM, screen.folded(&foot(report), 0, 2))));
    text
}

fn lines(rows: &[(Option<String>, &Series)], head: &'static str, screen: Screen) -> String {
    let named = rows.iter().any(|(name, _)| name.is_some());
    let mut columns = Vec::new();
    if named {
        columns.push(Column::new(head, Align::Left));
    }
    columns.extend([
        Column::new("METRIC", Align::Left),
        Column::new("LAST", Align::Right),
        Column::spare("MIN", Align::Right, 3),
        Column::spare("MEAN", Align::Right, 2),
        Column::spare("MAX", Align::Right, 1),
    ]);
    let plain = Style::new();
    let cells = |(name, series): &(Option<String>, &Series)| {
        let mut cells: Vec<(Style, String)> = name.iter().map(|name| (style::HEAD, name.clone())).collect();
        cells.push((plain, what(series)));
        for value in [&series.last, &series.min, &series.mean, &series.max] {
            cells.push((plain, shown(series, value.as_ref())));
        }
        cells
    };
    let table = |line: Option<usize>, screen: Screen| {
        let mut columns = columns.clone();
        columns.extend(line.map(|_| Column::new("", Align::Left)));
        let mut table = Table::new(&columns);
        for row in rows {
            let mut cells = cells(row);
            cells.extend(line.map(|width| (style::GOOD, spark::line(&row.1.points, width))));
            table.row(cells);
        }
        table.render(screen)
    };
    // Blocks are for people at a terminal (R3.5); they get what is left of its width.
    let Some(width) = screen.width.filter(|_| screen.terminal) else { return table(None, screen) };
    let bare = table(None, Screen { colour: false, ..screen });
    let used = bare.lines().map(UnicodeWidthStr::width).max().unwrap_or(0);
    match width.saturating_sub(used + 2).min(WIDEST) {
        room if room >= spark::NARROWEST => table(Some(room), screen),
        _ => table(None, screen),
    }
}

/// The digits of an id that people see, as the tools of the engines do.
const SHORT: usize = 12;

/// Project, name and mode; a container by source, name and the beginning of its id; what is neither as it is.
fn label(subject: &Subject) -> String {
    if let (Some(source), Some(name), Some(id)) = (&subject.source, &subject.container, &subject.container_id) {
        return format!("{source}/{name} ({})", id.get(..SHORT).unwrap_or(id));
    }
    subject.subject.strip_prefix("service ").unwrap_or(&subject.subject).to_owned()
}

/// What a row is about.
fn what(series: &Series) -> String {
    let name = match series.which() {
        Some(Metric::CpuOfCore) => "CPU of one core",
        Some(Metric::CpuOfHost) => "CPU of the host",
        Some(Metric::Memory) => "memory",
        Some(Metric::Read) => "read",
        Some(Metric::Written) => "written",
        Some(Metric::Processes) => "processes",
        Some(Metric::Threads) => "threads",
        Some(Metric::Descriptors) => "descriptors",
        Some(Metric::Received) => "received",
        Some(Metric::Sent) => "sent",
        Some(Metric::MemoryLimit) => "memory limit",
        Some(Metric::Containers) => "containers measured",
        Some(Metric::ContainersRunning) => "containers running",
        Some(Metric::ContainersCpuOfCore) => "CPU of containers, of one core",
        Some(Metric::ContainersCpuOfHost) => "CPU of containers, of the host",
        Some(Metric::ContainersMemory) => "memory of containers",
        Some(Metric::HostMemory) => "memory of the host",
        Some(Metric::HostMemoryTotal) => "memory that the host has",
        Some(Metric::HostCpu) => "CPU of the host, all programs",
        Some(Metric::DiskUsed) => "disk used",
        Some(Metric::DiskTotal) => "disk size",
        Some(Metric::DiskUsedPercent) => "disk used, as df tells it",
        None => &series.metric,
    };
    name.to_owned()
}

fn shown(series: &Series, value: Option<&Number>) -> String {
    let (Some(value), Some(metric)) = (value.and_then(Number::as_f64), series.which()) else {
        return ABSENT.to_owned();
    };
    match metric.unit() {
        Unit::Percent => percent(value),
        Unit::Bytes => bytes(value.round() as u64),
        Unit::BytesPerSecond => format!("{}/s", bytes(value.round() as u64)),
        Unit::Count if value.fract() == 0.0 => format!("{value:.0}"),
        Unit::Count => format!("{value:.1}"),
    }
}

/// Since when, and where nothing was measured.
fn remarks(subject: &Subject, report: &Report) -> Vec<String> {
    // The one that every sample has tells of all.
    let Some(fullest) = subject.metrics.iter().max_by_key(|series| series.count).filter(|series| series.count > 0)
    else {
        return vec!["nothing was measured in this time".to_owned()];
    };
    let mut lines = Vec::new();
    if let (Some(since), Some(last)) = (fullest.since, fullest.last_at) {
        let samples = if fullest.count == 1 { "1 sample".to_owned() } else { format!("{} samples", fullest.count) };
        let length = |from: Millis, until: Millis| {
            let seconds = until.0.0.saturating_sub(from.0.0) / 1_000_000_000;
            format_rounded(std::time::Duration::from_secs(seconds))
        };
        // Where only rollups are left, no more is known than in which of them it was.
        let later = fullest.since_before.map(|before| format!(", or up to {} later", length(since, before)));
        let least = fullest.last_before.map(|before| format!("{} to ", length(before, report.at)));
        lines.push(format!(
            "since {}{}; {samples}, the last {}{} ago",
            time::local(since.0),
            later.unwrap_or_default(),
            least.unwrap_or_default(),
            length(last, report.at)
        ));
    }
    let surplus = fullest.gaps.len().saturating_sub(GAPS);
    if surplus > 0 {
        lines.push(format!("gaps: {surplus} more before these"));
    }
    lines.extend(fullest.gaps[surplus..].iter().map(|gap| gap_line(gap, report)));
    for series in subject.metrics.iter().filter(|series| series.count == 0) {
        lines.push(format!("{}: not seen", what(series)));
    }
    lines
}

fn gap_line(gap: &Gap, report: &Report) -> String {
    let length = std::time::Duration::from_secs(gap.until.0.0.saturating_sub(gap.from.0.0) / 1_000_000_000);
    let until = if gap.until == report.until { "the end".to_owned() } else { time::local(gap.until.0) };
    format!("gap from {} to {until} ({}): nothing was measured", time::local(gap.from.0), format_rounded(length))
}

/// What the columns are.
fn foot(report: &Report) -> String {
    let source = match report.resolution.as_str() {
        "raw" => "as measured".to_owned(),
        span => format!("by rollups of {span}"),
    };
    format!(
        "{}, {source}; a column is {}, its highest value drawn",
        time::range(report.from.0, report.until.0),
        report.step
    )
}
