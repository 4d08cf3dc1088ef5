//! `vigie free`: end what holds a port, or say why that would be wrong (R7.3).

mod act;
mod course;
mod known;
mod obstacle;
mod perform;
mod survey;
mod suspect;
mod tell;
mod verify;

use std::io::{IsTerminal as _, Write as _};

use vigie_api::status::Service;
use vigie_core::claim::PortClaim;
use vigie_core::exit_code::ExitCode;
use vigie_core::units::Span;

use crate::args::{Confirm, ManifestLong, duration};
use crate::confirm::{self, Consent};
use crate::failure::{Failure, Verdict};
use crate::out::safe;
use crate::plan::label;
use crate::scene::Scene;
use course::{Course, Planned, belongs_elsewhere};
use obstacle::{Port, Way, worst};
use survey::Survey;
use verify::After;

/// End what holds a port, or say why that would be wrong
#[derive(Debug, clap::Args)]
#[command(
    long_about = "End what holds a port, and see that it is free afterwards.\n\n\
        A process that holds it gets TERM, and KILL when it still has the port after --timeout. What would start it again, \
        such as nodemon, ends with it. A run of this project is stopped as by `vigie stop`, so that it stays stopped. For \
        a container, its engine stops the container; the proxy that holds the port for it is never touched. Who only is \
        a client of the port, or uses it as its own end of a connection, is never ended.\n\n\
        What belongs elsewhere, a run of another project or a holder in another network namespace, is asked about on its \
        own; without a terminal it takes --others beside --yes. Protected processes are refused, and a port of which not \
        every holder can be ended is left as it is.\n\n\
        All is free already: exit code 0. Somebody holds it afterwards: 5 or 6, with the name. Who holds it cannot be \
        seen, or may not be ended: 7.",
    after_help = "Examples:\n  \
        vigie free 8000\n  \
        vigie free 8000 5004/udp --yes\n  \
        vigie free 127.0.0.1:8000 --dry-run       who would end\n  \
        vigie free 8000 --yes --timeout 2s        KILL after two seconds\n  \
        vigie free 8000 --yes --others            runs of other projects, too"
)]
pub(crate) struct Args {
    /// Ports, as 8000, 5004/udp or 127.0.0.1:8000
    #[arg(value_name = "PORT", required = true, value_parser = port)]
    pub(crate) ports: Vec<PortClaim>,
    /// How long a process or container has to end before it is killed; absent: 10s. Runs have their own ladders
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Span>,
    /// Also end runs of other projects, and holders in other network namespaces
    #[arg(long)]
    pub(crate) others: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
    #[command(flatten)]
    pub(crate) manifest: ManifestLong,
}

fn port(text: &str) -> Result<PortClaim, String> {
    text.strip_prefix("port:").unwrap_or(text).parse().map_err(|error: vigie_core::claim::ClaimError| error.to_string())
}

pub(crate) fn run(args: &Args) -> Verdict {
    let mut claims: Vec<PortClaim> = Vec::new();
    for claim in &args.ports {
        if !claims.contains(claim) {
            claims.push(*claim);
        }
    }
    let mut scene = Scene::new(args.manifest.file.as_deref())?;
    let survey = survey::look(&mut scene, &claims)?;
    let mut plan: Vec<Planned<'_>> = survey.ports.iter().map(|port| Planned::new(port, args.others)).collect();
    let somebody = !args.confirm.yes && !args.confirm.dry_run && !args.json && std::io::stdin().is_terminal();
    let count = if args.json { 0 } else { tell::plan(&survey, &plan, args.confirm, somebody, &scene)? };
    if args.confirm.dry_run {
        return dry_run(args, &survey, &plan);
    }
    if somebody {
        ask_about_others(&survey, &mut plan)?;
    }
    // What was agreed to on its own is not asked about twice.
    let open: Vec<&Port> =
        plan.iter().filter(|one| one.course == Course::Act && !one.agreed).map(|one| one.port).collect();
    let unasked = !somebody && plan.iter().any(|one| one.course == Course::NeedsOthers);
    if !open.is_empty() || unasked && !args.confirm.yes {
        consent(args, &open, count)?;
    }
    let after = perform::perform(args, &survey, &plan, &scene)?;
    let mut codes = after.code;
    for (one, after) in plan.iter().zip(&after.ports) {
        codes = worst([codes, tell_port(one, after.as_ref(), somebody, args.json)?]);
    }
    if args.json {
        print(&tell::report(&survey, false, &plan, &after.ports))?;
    }
    Ok(codes.number())
}

/// Shows what would be done; what would not has its exit code all the same.
fn dry_run(args: &Args, survey: &Survey, plan: &[Planned<'_>]) -> Verdict {
    if args.json {
        let nothing: Vec<Option<After>> = plan.iter().map(|_| None).collect();
        print(&tell::report(survey, true, plan, &nothing))?;
    } else {
        writeln!(std::io::stdout(), "dry run: nothing was done")?;
    }
    let code = |one: &Planned<'_>| match one.course {
        Course::NeedsOthers => ExitCode::NeedsConfirmation,
        _ => one.verdict().unwrap_or(ExitCode::Done),
    };
    Ok(worst(plan.iter().map(code)).number())
}

/// Asks for what belongs elsewhere, port by port: a yes to one says nothing of another.
fn ask_about_others(survey: &Survey, plan: &mut [Planned<'_>]) -> Result<(), Failure> {
    for one in plan.iter_mut().filter(|one| one.course == Course::NeedsOthers) {
        let mut names: Vec<String> = Vec::new();
        for obstacle in one.port.here.iter().filter(|obstacle| belongs_elsewhere(obstacle)) {
            if let Way::StopOther(place) = obstacle.way {
                let service: &Service = &survey.services[place];
                names.push(format!("{} in {}", label(service), service.project_dir));
            }
        }
        names.dedup();
        let question = format!("{}: stop {}, of another project?", one.port.claim, safe(&names.join(", ")));
        match confirm::ask(Confirm::default(), &question) {
            // Of other network namespaces nobody was asked.
            Ok(_) => *one = Planned { agreed: true, beside: false, ..Planned::new(one.port, true) },
            Err(failure) if failure.code() == ExitCode::No => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

fn consent(args: &Args, open: &[&Port], count: usize) -> Result<(), Failure> {
    let names: Vec<String> = open.iter().map(|port| port.claim.to_string()).collect();
    let processes = match count {
        // Containers alone.
        0 => String::new(),
        1 => " (1 process)".to_owned(),
        count => format!(" ({count} processes)"),
    };
    // Who reads JSON is no person who could answer.
    if args.json && !args.confirm.yes {
        let why = "this needs a confirmation, and is not asked for with --json; nothing was done";
        return Err(
            Failure::new(ExitCode::NeedsConfirmation, why).hint("add --yes, or --dry-run to see what would be done")
        );
    }
    let consent = confirm::ask(args.confirm, &format!("Free {}{processes}?", names.join(", ")))?;
    debug_assert_eq!(consent, Consent::Given, "a dry run does not ask");
    Ok(())
}

/// Says what became of a port; its exit code.
fn tell_port(one: &Planned<'_>, after: Option<&After>, somebody: bool, quiet: bool) -> Result<ExitCode, Failure> {
    if let Some(after) = after {
        if !quiet || !after.is_free() {
            tell::after(one.port, after)?;
        }
        return Ok(if after.is_free() { ExitCode::Done } else { ExitCode::StillAlive });
    }
    if one.course == Course::NeedsOthers && !somebody {
        let claim = one.port.claim;
        eprintln!("{claim}: left as it is: what has it belongs to another project; --others beside --yes stops it");
    }
    Ok(match one.verdict() {
        Some(code) => code,
        None if one.course == Course::NeedsOthers && somebody => ExitCode::No,
        None => ExitCode::NeedsConfirmation,
    })
}

fn print(report: &vigie_api::free::Report) -> Result<(), Failure> {
    let text = serde_json::to_string(report).map_err(|error| Failure::new(ExitCode::Internal, error.to_string()))?;
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}
