//! `vigie sweep`: end what `vigie strays` names.

use std::io::Write as _;

use vigie_api::strays::{Kind, Report, Swept};
use vigie_api::time::Millis;
use vigie_core::exit_code::ExitCode;
use vigie_core::target::Target;

use super::strays::{look, warn};
use crate::args::{Confirm, ManifestLong, target};
use crate::confirm::{self, Consent};
use crate::failure::{Failure, Verdict};
use crate::out::Screen;
use crate::scene::Scene;
use crate::strays::{Found, Known, act, show};

/// End strays and orphans, and remove what they left
#[derive(Debug, clap::Args)]
#[command(
    long_about = "End what `vigie strays` names: copies that vigie did not start, with all that they have started, and \
        processes of runs whose keepers are gone; remove sockets and PID files that nobody stands behind. Each is ended \
        by the ladder of its service, by its identity, and is seen to be gone.\n\n\
        What will be done is shown first, and asked. What lives in another namespace is named and left to whoever \
        started that. A process that ended meanwhile, or whose number is another's by now, is not touched.\n\n\
        Exit code 0: nothing is left; 1: declined; 4: there is nobody to ask; 5 or 6: something is still there; 7: not \
        permitted; 8: a target is not known.",
    after_help = "Examples:\n  \
        vigie sweep --dry-run\n  \
        vigie sweep --yes\n  \
        vigie sweep tests          only the strays of this service\n  \
        vigie sweep pid:4711       only this one"
)]
pub(crate) struct Args {
    /// Only of these services, or these processes
    #[arg(value_name = "TARGET", value_parser = target)]
    pub(crate) targets: Vec<Target>,
    /// Of all projects
    #[arg(short, long)]
    pub(crate) all: bool,
    /// For programs: schema 1
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
    #[command(flatten)]
    pub(crate) manifest: ManifestLong,
}

pub(crate) fn run(args: &Args) -> Verdict {
    let mut scene = Scene::new(args.manifest.file.as_deref())?;
    warn(&scene)?;
    let (known, found) = look(&mut scene, &args.targets, args.all)?;
    let report = show::report(&found, &known, &scene.proc);
    let removals = report.leftovers.iter().filter(|leftover| leftover.removable).count();
    if act::meant(&found).next().is_none() && found.orphans.is_empty() && removals == 0 {
        if args.json {
            return tell_json(args.confirm.dry_run, report, Vec::new(), ExitCode::Done);
        }
        explain(&report)?;
        writeln!(std::io::stdout(), "there is nothing to sweep")?;
        return Ok(0);
    }
    let question = ask(&found, &known, &report, removals, args, &scene)?;
    if confirm::ask(args.confirm, &question)? == Consent::DryRun {
        if args.json {
            return tell_json(true, report, Vec::new(), ExitCode::Done);
        }
        writeln!(std::io::stdout(), "dry run: nothing was done")?;
        return Ok(0);
    }
    let (outcomes, worst) = act::carry_out(&found, &known, None, &scene)?;
    if args.json {
        return tell_json(false, report, outcomes, worst);
    }
    show::outcomes(&outcomes)?;
    Ok(worst.number())
}

/// Shows what will be done, and says it as a question.
fn ask(
    found: &Found,
    known: &[Known],
    report: &Report,
    removals: usize,
    args: &Args,
    scene: &Scene,
) -> Result<String, Failure> {
    let mut plan = act::plan(found, known, scene)?;
    let count = plan.count();
    if !args.json {
        let screen = Screen::stdout();
        if screen.terminal && !args.confirm.yes {
            plan.measure(&scene.proc);
        }
        let mut out = std::io::stdout().lock();
        if !plan.is_empty() {
            write!(out, "{}", plan.render(screen, vigie_os::clock::now().wall))?;
        }
        for leftover in report.leftovers.iter().filter(|leftover| leftover.removable) {
            writeln!(out, "remove the {}", show::leftover_line(leftover))?;
        }
        out.flush()?;
        drop(out);
        explain(report)?;
    }
    let mut parts = Vec::new();
    match count {
        0 => {}
        1 => parts.push("end 1 process".to_owned()),
        count => parts.push(format!("end {count} processes")),
    }
    match removals {
        0 => {}
        1 => parts.push("remove 1 file".to_owned()),
        count => parts.push(format!("remove {count} files")),
    }
    let mut question = parts.join(" and ");
    if let Some(first) = question.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Ok(format!("{question}?"))
}

/// What is found and not swept, with the reason.
fn explain(report: &Report) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    for stray in report.strays.iter().filter(|stray| stray.kind == Kind::Elsewhere) {
        writeln!(out, "not ended: PID {}, {}", stray.pid, crate::out::safe(&show::why(stray)))?;
    }
    for leftover in report.leftovers.iter().filter(|leftover| !leftover.removable) {
        writeln!(out, "not touched: {}", show::leftover_line(leftover))?;
    }
    Ok(())
}

fn tell_json(dry_run: bool, found: Report, outcomes: Vec<vigie_api::strays::Outcome>, code: ExitCode) -> Verdict {
    let at = Millis(vigie_os::clock::now().wall);
    let swept = Swept { schema: vigie_api::SCHEMA, at, dry_run, found, outcomes };
    let text = serde_json::to_string(&swept)
        .map_err(|error| Failure::io("cannot write JSON", &std::io::Error::other(error)))?;
    writeln!(std::io::stdout(), "{text}")?;
    Ok(code.number())
}
