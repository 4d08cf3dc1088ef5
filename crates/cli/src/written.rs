//! What keepers wrote down of their runs and nobody has acknowledged yet.

use vigie_api::status::Ended;
use vigie_core::exit::Exit;
use vigie_core::run::{Event, Left, What};
use vigie_core::supervisor::LastExit;
use vigie_os::place::Place;
use vigie_wire::keeper;

/// What its keeper wrote down of a run and nobody has acknowledged.
fn events(place: &Place, state: &keeper::State) -> Vec<Event> {
    let bytes = std::fs::read(place.service_dir(&state.holder.key).join("events.jsonl")).unwrap_or_default();
    let events = bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Event>(line).ok());
    events.filter(|event| event.run == state.holder.run).collect()
}

/// Those that no signal ended, as they were named last.
pub(crate) fn left(place: &Place, state: &keeper::State) -> Vec<Left> {
    let stuck = events(place, state).into_iter().rev().find_map(|event| match event.what {
        What::Stuck { left, .. } => Some(left),
        _ => None,
    });
    stuck.unwrap_or_default()
}

/// How the run of a record ended; when, only its events know.
pub(crate) fn ended(place: &Place, state: &keeper::State, exit: Exit) -> Ended {
    let exits = |event: &Event| matches!(event.what, What::Exited { .. });
    let at = events(place, state).into_iter().find(exits).map(|event| event.at);
    match at {
        Some(at) => Ended::from(&LastExit { run: state.holder.run, exit, at }),
        None => Ended { at: None, ..Ended::from(&LastExit { run: state.holder.run, exit, at: state.holder.since }) },
    }
}
