//! Sources as a table.

use anstyle::Style;
use vigie_api::source::{Shown, Sources};
use vigie_core::docker::source::Mode;
use vigie_core::docker::told::Stage;

use crate::out::{Align, Column, Table};
use crate::out::{Screen, style, time};

pub(super) fn table(sources: &Sources) -> String {
    if sources.sources.is_empty() {
        return "no sources; 'vigie source add NAME ENDPOINT' adds one\n".to_owned();
    }
    let mut table = Table::new(&[
        Column::new("SOURCE", Align::Left),
        Column::new("STATE", Align::Left),
        Column::new("EVENTS", Align::Left),
        Column::new("CONTAINERS", Align::Right),
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
            (plain, last),
            (plain, shown.source.endpoint.to_string()),
            (style::DIM, note(shown)),
        ]);
    }
    let mut text = table.render(Screen::stdout());
    if sources.worker.is_none() && sources.sources.iter().any(|shown| shown.source.follows_events()) {
        text.push_str("nobody follows them now; 'vigie daemon start' does\n");
    }
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

fn note(shown: &Shown) -> String {
    let mut notes = Vec::new();
    notes.extend(shown.why.clone());
    notes.extend(shown.same_engine_as.as_ref().map(|other| format!("the same engine as {other}")));
    if let Some(bad) = shown.bad_lines.filter(|bad| *bad > 0) {
        notes.push(format!("{bad} lines not understood"));
    }
    if let Some(dropped) = shown.dropped.filter(|dropped| *dropped > 0) {
        notes.push(format!("{dropped} messages asked for again"));
    }
    crate::out::safe(&notes.join("; "))
}
