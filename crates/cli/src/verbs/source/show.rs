//! Sources as a table.

use anstyle::Style;
use vigie_api::source::{Shown, Sources};
use vigie_core::docker::source::{Mode, Source};
use vigie_core::docker::told::Stage;

use crate::out::{Align, Column, Screen, Table, bytes, percent, style, time};

pub(super) fn table(sources: &Sources) -> String {
    if sources.sources.is_empty() {
        return "no sources; 'vigie source add NAME ENDPOINT' adds one\n".to_owned();
    }
    let mut table = Table::new(&[
        Column::new("SOURCE", Align::Left),
        Column::new("STATE", Align::Left),
        Column::new("EVENTS", Align::Left),
        Column::new("CONTAINERS", Align::Right),
        Column::spare("MEASURED", Align::Right, 3),
        Column::spare("LAST CYCLE", Align::Right, 2),
        Column::spare("DISK", Align::Right, 4),
        Column::spare("LAST EVENT", Align::Right, 1),
        Column::text("ENDPOINT"),
        Column::remark("NOTE"),
    ]);
    let now = vigie_os::clock::now().wall;
    for shown in &sources.sources {
        let plain = Style::new();
        let count = shown.containers.map_or_else(|| "–".to_owned(), |count| count.to_string());
        let last = shown.last_event.map_or_else(|| "–".to_owned(), |at| time::age(at.0, now));
        let (state, colour) = state(shown);
        table.row(vec![
            (style::HEAD, shown.source.name.to_string()),
            (colour, state.to_owned()),
            (plain, events(shown)),
            (plain, count),
            (plain, measured(shown)),
            (plain, shown.last_cycle.as_ref().map_or_else(|| "–".to_owned(), |cycle| time::age(cycle.at.0, now))),
            (plain, disk(shown)),
            (plain, last),
            (plain, shown.source.endpoint.to_string()),
            (style::DIM, note(shown)),
        ]);
    }
    let mut text = table.render(Screen::stdout());
    let any = |wants: fn(&Source) -> bool| sources.sources.iter().any(|shown| wants(&shown.source));
    let unfollowed = sources.worker.is_none() && any(Source::follows_events);
    let unmeasured = sources.metrics_worker.is_none() && any(Source::is_measured);
    text.push_str(match (unfollowed, unmeasured) {
        (false, false) => "",
        (true, false) => "nobody follows them now; 'vigie daemon start' does\n",
        (false, true) => "nobody measures them now; 'vigie daemon start' does\n",
        (true, true) => "nobody follows or measures them now; 'vigie daemon start' does\n",
    });
    text
}

fn state(shown: &Shown) -> (&'static str, Style) {
    match (shown.source.paused, shown.online, shown.stage) {
        (true, ..) => ("paused", style::DIM),
        (_, Some(false), _) => ("offline", style::BAD),
        (_, Some(true), Some(Stage::Connecting | Stage::Syncing | Stage::Gap)) => ("syncing", style::WARN),
        (_, Some(true), Some(Stage::Backoff)) if shown.source.mode == Mode::Stream => ("reconnecting", style::WARN),
        (_, Some(true), _) => ("online", style::GOOD),
        (_, None, Some(_)) => ("connecting", style::WARN),
        (_, None, None) => ("–", style::DIM),
    }
}

fn events(shown: &Shown) -> String {
    match (shown.source.events, shown.source.mode) {
        (false, _) => "off".to_owned(),
        (true, Mode::Stream) => "stream".to_owned(),
        (true, Mode::Poll { every }) => format!("every {every}"),
    }
}

/// `11 of 12, one-shot API`
fn measured(shown: &Shown) -> String {
    match &shown.last_cycle {
        _ if !shown.source.metrics => "off".to_owned(),
        None => "–".to_owned(),
        Some(cycle) => {
            let how = cycle.how.map(|how| format!(", {}", how.name())).unwrap_or_default();
            format!("{} of {}{how}", cycle.measured, cycle.running)
        }
    }
}

fn disk(shown: &Shown) -> String {
    match &shown.last_disk {
        _ if !shown.source.disk => "off".to_owned(),
        None => "–".to_owned(),
        Some(disk) => match (disk.used_percent, disk.used_bytes) {
            (Some(used), _) => percent(used),
            (None, Some(used)) => bytes(used),
            (None, None) => "–".to_owned(),
        },
    }
}

fn note(shown: &Shown) -> String {
    let mut notes = Vec::new();
    notes.extend(shown.why.clone());
    let is_news = |why: &&String| shown.why.as_deref() != Some(why.strip_prefix("disk: ").unwrap_or(why));
    let not_measured = shown.not_measured.as_ref().filter(is_news);
    notes.extend(not_measured.map(|why| format!("not measured: {why}")));
    if let Some(cycle) = &shown.last_cycle {
        notes.extend(cycle.remark.clone());
        if cycle.skipped > 0 {
            notes.push(format!("{} beats skipped", cycle.skipped));
        }
        if cycle.dropped > 0 {
            notes.push(format!("{} samples lost", cycle.dropped));
        }
    }
    notes.extend(shown.same_engine_as.as_ref().map(|other| format!("the same engine as {other}")));
    if let Some(bad) = shown.bad_lines.filter(|bad| *bad > 0) {
        notes.push(format!("{bad} lines not understood"));
    }
    if let Some(dropped) = shown.dropped.filter(|dropped| *dropped > 0) {
        notes.push(format!("{dropped} messages asked for again"));
    }
    crate::out::safe(&notes.join("; "))
}
