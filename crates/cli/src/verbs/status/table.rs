//! The table for people.

use anstyle::Style;

use vigie_api::status::{Ghost, Report, Service};
use vigie_core::exit::Exit;
use vigie_core::service::State;

use crate::out::{ABSENT, Align, Column, Screen, Table, bytes, or_absent, percent, style, time};
use crate::plan::label;

pub(super) fn render(report: &Report, with_project: bool, screen: Screen) -> String {
    let mut table = Table::new(&[
        Column::new("SERVICE", Align::Left),
        Column::new("STATE", Align::Left),
        Column::new("PID", Align::Right),
        Column::spare("SINCE", Align::Right, 1),
        Column::spare("CPU", Align::Right, 3),
        Column::spare("MEMORY", Align::Right, 2),
        Column::spare("PROC", Align::Right, 5),
        Column::spare("RESTARTS", Align::Right, 4),
        Column::text("PORTS"),
        Column::remark("NOTE"),
    ]);
    for service in &report.services {
        table.row(row(service, report, with_project));
    }
    // Room for the others: most services claim no port, most have nothing to be noted.
    table.drop_if_all("PORTS", ABSENT);
    table.drop_if_all("NOTE", "");
    table.render(screen)
}

fn row(service: &Service, report: &Report, with_project: bool) -> Vec<(Style, String)> {
    let plain = Style::new();
    let run = service.run.as_ref();
    let name = if with_project { label(service) } else { without_project(service) };
    let since = service.since.map_or_else(|| ABSENT.to_owned(), |since| time::age(since.0, report.at.0));
    let ports = run.and_then(|run| run.ports.as_ref()).map(|ports| ports.join(" ")).filter(|ports| !ports.is_empty());
    vec![
        (style::HEAD, name),
        (colour(service.state), service.state.to_string()),
        (plain, or_absent(run.and_then(|run| run.pid))),
        (plain, since),
        (plain, run.and_then(|run| run.cpu_percent_of_core).map_or_else(|| ABSENT.to_owned(), percent)),
        (plain, run.and_then(|run| run.memory_bytes).map_or_else(|| ABSENT.to_owned(), bytes)),
        (plain, or_absent(run.and_then(|run| run.processes))),
        (plain, service.restarts.to_string()),
        (plain, or_absent(ports)),
        (style::DIM, note(service, report)),
    ]
}

/// What no signal ends and was set aside, one line each.
pub(super) fn ghosts(report: &Report) -> Vec<String> {
    let all = report.services.iter().flat_map(|service| service.ghosts.iter().map(move |ghost| (service, ghost)));
    let line = |(service, ghost): (&Service, &Ghost)| {
        let first = ghost.processes.first();
        let who =
            first.map_or_else(String::new, |first| format!(": {} (PID {}, {})", first.name, first.pid, first.state));
        let more = ghost.processes.len().saturating_sub(1);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let ago = time::age(ghost.quarantined_at.0, report.at.0);
        format!("ghost of {}, which no signal ends{who}{more}; set aside {ago} ago", label(service))
    };
    all.map(line).collect()
}

fn without_project(service: &Service) -> String {
    match &service.mode {
        Some(mode) => format!("{}:{mode}", service.service),
        None => service.service.to_string(),
    }
}

/// Why it stands there; else how its last run ended, when nothing runs.
fn note(service: &Service, report: &Report) -> String {
    if let Some(why) = &service.why {
        return why.clone();
    }
    match (&service.run, &service.last_exit) {
        (None, Some(last)) if service.state != State::Done => {
            let exit = match (last.code, last.signal) {
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) => Exit::Signal { signal, core_dumped: last.core_dumped.unwrap_or(false) },
                (None, None) => Exit::Unknown,
            };
            match last.at {
                Some(at) => format!("last run: {exit}, {} ago", time::age(at.0, report.at.0)),
                None => format!("last run: {exit}"),
            }
        }
        (Some(run), _) if run.adopted => "adopted".to_owned(),
        _ if service.wanted.is_none() => "by vigie run".to_owned(),
        _ => String::new(),
    }
}

/// Green is well, yellow is on its way, red needs somebody.
pub(crate) fn colour(state: State) -> Style {
    match state {
        State::Running | State::Ready | State::Done => style::GOOD,
        State::Waiting | State::Starting | State::Stopping | State::Backoff | State::Degraded => style::WARN,
        State::Failed | State::Conflict | State::Ghost => style::BAD,
        State::Stopped => style::DIM,
    }
}
