//! Asking the daemon to do something, and saying what came of it.

use vigie_api::journal::JournalLine;
use vigie_api::stream::Line;
use vigie_api::{Client, Lines, path};
use vigie_core::exit_code::ExitCode;
use vigie_core::supervisor::{Outcome, Request, ServiceOutcome};
use vigie_os::place::Place;

use crate::daemon::patiently;
use crate::failure::Failure;
use crate::holder;
use crate::out::{Screen, event_style, safe, style};
use crate::{ghosts, judged};

/// How often a request is repeated when the daemon goes away during it. Only for requests that can be repeated.
const TRIES: u32 = 3;

/// Shows what happens, as dim lines on standard error; for people only.
#[derive(Debug)]
pub(crate) struct Progress {
    screen: Screen,
    shown: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let screen = Screen::stderr();
        Self { screen, shown: screen.terminal }
    }

    /// One thing that happened.
    pub(crate) fn show(&self, line: &JournalLine) {
        if self.shown {
            eprintln!("{}", event(line, self.screen));
        }
    }
}

/// `api: ready after 1.2s`, dim unless it is worth a colour.
pub(crate) fn event(line: &JournalLine, screen: Screen) -> String {
    let style = match event_style(&line.kind) {
        plain if plain == anstyle::Style::new() => style::DIM,
        colour => colour,
    };
    let name = match (&line.service, &line.mode) {
        (Some(service), Some(mode)) => format!("{service}:{mode}"),
        (Some(service), None) => service.to_string(),
        (None, _) => line.project.as_ref().map_or_else(|| "vigie".to_owned(), ToString::to_string),
    };
    screen.paint(style, format!("{name}: {}", line.text)).to_string()
}

/// Sends a request and waits for its outcome.
///
/// # Errors
/// When the daemon refuses it or goes away.
pub(crate) async fn request(
    place: &Place,
    client: &Client,
    request: &Request,
    progress: &Progress,
) -> Result<Outcome, Failure> {
    let mut lines: Lines<Line> = patiently(place, client, client.post_stream(path::REQUESTS, request)).await??;
    while let Some(line) = patiently(place, client, lines.next()).await?? {
        match line {
            Line::Entry(entry) => progress.show(&entry),
            Line::Outcome(outcome) => return Ok(outcome),
            Line::Error(error) => return Err(Failure::new(error.code, error.message)),
            Line::Session(_) => {}
        }
    }
    Err(Failure::new(ExitCode::Unreachable, "the daemon ended its answer without an outcome"))
}

/// [`request`], and once more with a new daemon when the old one goes away: for what may be asked twice.
///
/// # Errors
/// As of [`request`].
pub(crate) async fn persistent(place: &Place, request: &Request, progress: &Progress) -> Result<Outcome, Failure> {
    let mut tries = 1;
    loop {
        let client = crate::daemon::connect(place).await?;
        match self::request(place, &client, request, progress).await {
            Err(failure) if failure.code() == ExitCode::Unreachable && tries < TRIES => tries += 1,
            result => return result,
        }
    }
}

/// Says what came of a request, one line a service; the exit code of the program.
pub(crate) fn tell(outcome: &Outcome) -> Result<u8, Failure> {
    if let Some(why) = &outcome.why {
        return Err(Failure::new(outcome.code, why.clone()));
    }
    let screen = Screen::stdout();
    let now = vigie_os::clock::now().wall;
    for service in &outcome.services {
        let name = format!("{}/{}", service.project, service.key.service);
        match service.code {
            ExitCode::Done => {
                use std::io::Write as _;
                let state = screen.paint(crate::verbs::status::colour(service.state), service.state);
                writeln!(std::io::stdout(), "{name}: {state}")?;
            }
            ExitCode::AlreadyRunning if service.holder.is_some() => {
                eprintln!("{}", holder::line(&name, service.holder.as_deref(), now));
            }
            code => {
                eprintln!("{}", problem(&name, service));
                if matches!(code, ExitCode::StillAlive | ExitCode::Stuck) {
                    judged::explain_service(&service.project, &service.key);
                }
                if code == ExitCode::Stuck {
                    ghosts::hint(&name);
                }
            }
        }
    }
    Ok(outcome.code.number())
}

/// `demo/api: failed: it exited with code 7`
fn problem(name: &str, service: &ServiceOutcome) -> String {
    let state = Screen::stderr().paint(crate::verbs::status::colour(service.state), service.state);
    match &service.why {
        Some(why) => format!("{name}: {state}: {}", safe(why)),
        None => format!("{name}: {state}"),
    }
}
