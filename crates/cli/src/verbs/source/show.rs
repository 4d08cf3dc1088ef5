//! Sources as a table.

use anstyle::Style;
use vigie_api::source::{Shown, Sources};
use vigie_core::clock::Wall;
use vigie_core::docker::source::{Mode, Source};
use vigie_core::docker::told::Stage;

use super::Told;
use crate::out::{Align, Column, Screen, Table, bytes, percent, style, time};

pub(super) fn table(sources: &Sources, told: Told) -> String {
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
            (style::DIM, note(shown, now)),
        ]);
    }
    let mut text = table.render(Screen::stdout());
    let any = |wants: fn(&Source) -> bool| sources.sources.iter().any(|shown| wants(&shown.source));
    let unfollowed = sources.worker.is_none() && any(Source::follows_events);
    let unmeasured = sources.metrics_worker.is_none() && any(Source::is_measured);
    let what = match (unfollowed, unmeasured) {
        (false, false) => return text,
        (true, false) => "follows",
        (false, true) => "measures",
        (true, true) => "follows or measures",
    };
    text.push_str(&match told {
        // A worker is a service: it needs a moment, and whoever waits longer wants to know why.
        Told::Daemon => {
            let worker = if unfollowed { "events" } else { "metrics" };
            format!("nobody {what} them yet: it is being started; 'vigie events vigie/{worker}' shows how that goes\n")
        }
        Told::Documents => format!("nobody {what} them now; 'vigie daemon start' does\n"),
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

fn note(shown: &Shown, now: Wall) -> String {
    let mut notes = Vec::new();
    notes.extend(shown.why.clone());
    if let Some(at) = shown.retry_at.filter(|at| at.0 > now) {
        notes.push(format!("asked again in {}", time::age(now, at.0)));
    }
    let is_news = |why: &&String| shown.why.as_deref() != Some(why.strip_prefix("disk: ").unwrap_or(why));
    let not_measured = shown.not_measured.as_ref().filter(is_news);
    // Beside "online" it needs a word of what that rests on.
    let come = if shown.online == Some(true) && shown.source.follows_events() { "its events come, but " } else { "" };
    notes.extend(not_measured.map(|why| format!("{come}not measured: {why}")));
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

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_api::time::Millis;
    use vigie_core::name::Name;

    fn shown() -> Shown {
        let endpoint = "unix:///run/docker.sock".parse().expect("an endpoint");
        super::super::unseen(Source::new(Name::new("nas").expect("a name"), endpoint))
    }

    #[test]
    fn what_does_not_answer_says_when_it_is_asked_again() {
        let now = Wall(1_800_000_000_000_000_000);
        let why = Some("connection refused".to_owned());
        let later = Some(Millis(Wall(now.0 + 12_000_000_000)));
        let away = Shown { online: Some(false), why, retry_at: later, ..shown() };
        assert_eq!(note(&away, now), "connection refused; asked again in 12s");
        let over = Shown { retry_at: Some(Millis(now)), ..away };
        assert_eq!(note(&over, now), "connection refused");
    }

    #[test]
    fn online_and_not_measured_are_no_contradiction() {
        let not_measured = Some("no answer to GET /info within 14s".to_owned());
        let mut half = Shown { online: Some(true), not_measured, ..shown() };
        assert_eq!(note(&half, Wall(0)), "its events come, but not measured: no answer to GET /info within 14s");
        half.source.events = false;
        assert_eq!(note(&half, Wall(0)), "not measured: no answer to GET /info within 14s");
    }

    #[test]
    fn who_follows_nobody_is_said_as_it_is() {
        let sources = Sources { schema: 1, sources: vec![shown()], worker: None, metrics_worker: None };
        let of_daemon = table(&sources, Told::Daemon);
        assert!(of_daemon.contains("nobody follows or measures them yet: it is being started"), "{of_daemon}");
        assert!(!of_daemon.contains("daemon start"), "{of_daemon}");
        let kept = table(&sources, Told::Documents);
        assert!(kept.contains("nobody follows or measures them now; 'vigie daemon start' does"), "{kept}");
    }
}
