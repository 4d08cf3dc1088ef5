//! `vigie incidents`: what is wrong, and what was.

use anstyle::Style;

use vigie_api::incidents::{Report, Shown};
use vigie_core::clock::Wall;
use vigie_core::exit_code::ExitCode;
use vigie_core::incidents::{Severity, Standing};
use vigie_daemon::views;
use vigie_os::place::Place;

use crate::failure::{Failure, Verdict};
use crate::out::time::when;
use crate::out::{Align, Column, Screen, Table, safe, style, time};
use crate::{context, daemon, watch};

/// So many of the last lines of output are shown of each that is open.
const LINES: usize = 5;

/// Show what is wrong: one line for each story, not for each event
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Show incidents: what the rules found in the journal (vigie rules), one for each cause at each service, with \
        a count, open ones first, the worst first. It needs no daemon; only a daemon finds new ones.\n\n\
        Exit code 0: none is open, 1: some are.",
    after_help = "Examples:\n  \
        vigie incidents\n  \
        vigie incidents --all           also those that are over\n  \
        vigie incidents --since 1d      that were open since then\n  \
        vigie incidents --watch --json"
)]
pub(crate) struct Args {
    /// Also those that are over
    #[arg(long)]
    all: bool,
    /// Also those that were over since then
    #[arg(long, value_name = "TIME", value_parser = when)]
    since: Option<Wall>,
    /// Show it again every second
    #[arg(long)]
    watch: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Verdict {
    let place = context::place()?;
    let mut open = false;
    watch::show(args.watch, args.json, |screen| {
        let report = report(args, &place)?;
        open = report.incidents.iter().any(|incident| incident.standing == Standing::Open);
        if args.json {
            let text = serde_json::to_string(&report).map_err(|error| Failure::from(std::io::Error::from(error)))?;
            return Ok(text + "\n");
        }
        Ok(text(&report, screen))
    })?;
    Ok(if open { ExitCode::No } else { ExitCode::Done }.number())
}

fn report(args: &Args, place: &Place) -> Result<Report, Failure> {
    // Whether it answers does not matter here, only whether it is there.
    let daemon = daemon::runtime()?.block_on(daemon::status(place, false)).is_ok_and(|report| report.is_some());
    Ok(views::incidents(&place.state, args.all, args.since, daemon)?)
}

fn text(report: &Report, screen: Screen) -> String {
    let now = vigie_os::clock::now().wall;
    let mut table = Table::new(&[
        Column::new("ID", Align::Right),
        Column::new("STATE", Align::Left),
        Column::new("SEVERITY", Align::Left),
        Column::spare("SINCE", Align::Right, 1),
        Column::new("COUNT", Align::Right),
        Column::new("WHO", Align::Left),
        Column::text("WHAT"),
    ]);
    let plain = Style::new();
    for one in &report.incidents {
        let over = one.standing != Standing::Open;
        let colour = match one.severity {
            _ if over => style::DIM,
            Severity::Critical => style::BAD,
            Severity::Warning => style::WARN,
            Severity::Notice => plain,
        };
        let what = match &one.outcome {
            Some(outcome) if over => format!("{} ({outcome})", one.text),
            _ => one.text.clone(),
        };
        table.row(vec![
            (plain, one.id.to_string()),
            (colour, if over { "resolved" } else { "open" }.to_owned()),
            (colour, one.severity.name().to_owned()),
            (plain, time::age(one.opened.unwrap_or(one.since).0, now)),
            (plain, one.count.to_string()),
            (style::HEAD, who(one)),
            (if over { style::DIM } else { plain }, what),
        ]);
    }
    let mut text = if report.incidents.is_empty() { "no incident is open\n".to_owned() } else { table.render(screen) };
    for one in report.incidents.iter().filter(|one| one.standing == Standing::Open && !one.output.is_empty()) {
        text.push_str(&format!("{}\n", screen.paint(style::DIM, format!("last output of {}:", who(one)))));
        for line in &one.output[one.output.len().saturating_sub(LINES)..] {
            text.push_str(&format!("  {}\n", screen.folded(&safe(line), 2, 4)));
        }
    }
    if !report.daemon {
        text.push_str("daemon: not running; nobody looks for incidents\n");
    }
    text
}

fn who(one: &Shown) -> String {
    match (&one.project, &one.service, &one.source, &one.container) {
        (Some(project), Some(service), ..) => format!("{project}/{service}"),
        (Some(project), None, ..) => project.to_string(),
        (None, _, Some(source), Some(container)) => format!("container:{source}/{container}"),
        (None, _, Some(source), None) => format!("source:{source}"),
        (None, _, None, _) => "vigie".to_owned(),
    }
}
