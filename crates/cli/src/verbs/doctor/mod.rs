//! `vigie doctor`: what is wrong on this machine, worst first, and what mends it.

mod collect;
mod fix;
mod show;
mod watching;

use std::io::Write as _;
use std::time::Duration;

use vigie_api::doctor::{Finding, Report, Unseen};
use vigie_api::time::Millis;
use vigie_core::doctor::facts::Facts;
use vigie_core::doctor::{Doctor, Finding as Found, Scope};
use vigie_core::exit_code::ExitCode;
use vigie_core::target::Target;
use vigie_os::poll::PollSet;

use crate::args::{Confirm, ManifestLong, target};
use crate::failure::{Failure, Verdict};
use crate::out::Screen;
use crate::scene::Scene;
use crate::select;
use collect::Collector;

/// Between the two looks at something that only two looks prove.
const SECOND_LOOK: Duration = Duration::from_millis(400);

/// Tell what is wrong on this machine, and mend it
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Tell what is wrong on this machine, worst first, each with its evidence and what mends it: processes that \
        no signal ends, file systems that do not answer, frozen cgroups, zombies by parent, services that crash again and \
        again or were given up, ports that others hold, strays and leftovers, little room, and vigie's own health. Without \
        a daemon and without a manifest, too.\n\n\
        Quiet when all is well. What looks wrong only for a moment is not told: a wait has to be the same one in two looks, \
        and to last longer than waits of its kind do. With a target only that is looked at, and a process that is named is \
        told about however short its wait is.\n\n\
        --fix does what vigie can do itself, the mildest first, and looks after each step whether it was enough: it lets \
        stopped ones go on, thaws, drains, aborts, removes what nobody stands behind. What may be so on \
        purpose and was not named - a container that was paused, a file system that is frozen for a snapshot, another's \
        process - is touched only after a question about that one, never by --yes, and so is a process ended; what keeps \
        the machine or the session going, never.\n\n\
        Exit code 0: nothing is wrong, or is any more; 1: there are findings; 4: --fix has nobody to ask; 7: what matters cannot be seen by this user; 8: the target is \
        not known.",
    after_help = "Examples:\n  \
        vigie doctor                   the whole machine\n  \
        vigie doctor api               one service\n  \
        vigie doctor --fix             shows what mends it, asks, does it, looks again\n  \
        vigie doctor pid:4711 --fix    what 'vigie why pid:4711' says that can be done\n  \
        vigie doctor --watch           only what opens and what is resolved\n  \
        vigie doctor --json            the same for programs"
)]
pub(crate) struct Args {
    /// Only this: a service or pid:N
    #[arg(value_name = "TARGET", value_parser = target)]
    pub(crate) target: Option<Target>,
    /// Look again every few seconds, and tell only what has changed
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// For programs: schema 1; with --watch one object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Do what vigie itself can do about it: shown, asked, done, and seen to have helped
    #[arg(long, conflicts_with = "watch")]
    pub(crate) fix: bool,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
    #[command(flatten)]
    pub(crate) manifest: ManifestLong,
}

pub(crate) fn run(args: &Args) -> Verdict {
    let mut scene = Scene::new(args.manifest.file.as_deref())?;
    let scope = scope(args.target.as_ref(), &mut scene)?;
    if !args.fix && (args.confirm.yes || args.confirm.dry_run) {
        return Err(Failure::usage("--yes and --dry-run are about what --fix does").hint("add --fix"));
    }
    if args.fix {
        return fix::fix(args, &scope, &mut scene);
    }
    if args.watch {
        return watching::watch(args, scope, &mut scene);
    }
    let examined = examine(&scope, &mut scene)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        let report = report(&examined);
        serde_json::to_writer(&mut out, &report).map_err(|error| Failure::from(std::io::Error::from(error)))?;
        writeln!(out)?;
    } else {
        out.write_all(show::text(&examined, &scope, Screen::stdout()).as_bytes())?;
    }
    out.flush()?;
    Ok(code(&examined.found, &examined.facts).number())
}

/// What the looks together say.
struct Examined {
    found: Vec<Found>,
    facts: Facts,
}

/// Looks, and once more where only that can tell.
fn examine(scope: &Scope, scene: &mut Scene) -> Result<Examined, Failure> {
    let mut doctor = Doctor::new(scope.clone());
    let mut collector = Collector::new(scope.clone());
    let facts = collector.look(scene)?;
    let found = doctor.look(&facts);
    if !doctor.is_in_doubt() {
        return Ok(Examined { found, facts });
    }
    let dying = facts.held.iter().any(|held| held.kill_pending);
    // Who is killed and has much memory needs longer than others.
    pause(if dying { 2 * SECOND_LOOK } else { SECOND_LOOK })?;
    let facts = collector.again(scene, &facts)?;
    let found = doctor.look(&facts);
    Ok(Examined { found, facts })
}

fn pause(span: Duration) -> Result<(), Failure> {
    PollSet::default().wait(Some(span)).map_err(|errno| Failure::io("cannot wait", &std::io::Error::from(errno)))
}

/// What a script learns.
fn code(found: &[Found], facts: &Facts) -> ExitCode {
    match () {
        () if !found.is_empty() => ExitCode::No,
        () if !facts.unseen.is_empty() => ExitCode::NotPermitted,
        () => ExitCode::Done,
    }
}

/// What a target means.
fn scope(target: Option<&Target>, scene: &mut Scene) -> Result<Scope, Failure> {
    match target {
        None => Ok(Scope::Machine),
        Some(Target::Pid(pid)) => {
            scene.process(*pid)?;
            Ok(Scope::Process(*pid))
        }
        Some(target @ Target::Service(wanted)) => {
            let report = collect::report(scene)?;
            let known = match select::services(&report, &scene.here.dir, std::slice::from_ref(target), &scene.proc) {
                Ok(services) => services.first().map(|one| (one.project.clone(), one.service.clone())),
                // One that only the manifest here names.
                Err(failure) => {
                    let all = crate::verbs::why::described::all(&report, scene);
                    let fits = |one: &&crate::verbs::why::described::Described| {
                        one.service.name == wanted.service
                            && wanted.project.as_ref().is_none_or(|project| *project == one.project)
                    };
                    let one = all.iter().find(fits).ok_or(failure)?;
                    Some((one.project.clone(), one.service.name.clone()))
                }
            };
            let (project, service) =
                known.ok_or_else(|| Failure::not_found(format!("no service {target} is known here")))?;
            Ok(Scope::Service(project, service))
        }
        Some(other) => Err(Failure::usage(format!("{other}: name a service or a process (pid:N)"))
            .hint(format!("'vigie why {other}' explains a port"))),
    }
}

fn report(examined: &Examined) -> Report {
    let unseen = examined.facts.unseen.iter();
    Report {
        schema: vigie_api::SCHEMA,
        at: Millis(vigie_os::clock::now().wall),
        findings: examined.found.iter().map(Finding::from).collect(),
        unseen: unseen.map(|(what, why)| Unseen { what: what.clone(), why: why.clone() }).collect(),
    }
}
