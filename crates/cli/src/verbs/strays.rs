//! `vigie strays`: what is one too many, or was left behind.

use vigie_core::exit_code::ExitCode;
use vigie_core::target::Target;

use crate::args::{Manifest, target};
use crate::context;
use crate::failure::{Failure, Verdict};
use crate::out::{Screen, style};
use crate::scene::Scene;
use crate::strays::{self, Found, Known, show};
use crate::watch;

/// List copies of services that vigie did not start, and what was left behind
#[derive(Debug, clap::Args)]
#[command(
    long_about = "List what is one too many or was left behind: copies of services that vigie did not start (strays, and \
        duplicates when the service itself runs), processes of runs whose keepers are gone (orphans), sockets and PID \
        files that nobody stands behind, and runs whose executable was replaced.\n\n\
        A process is a stray by what it is, never by what it mentions: the executable or interpreter, the script, the \
        folder or project, and the user are the same, or what `match` in the manifest says. An editor, a grep, a shell \
        or another user's copy is none.\n\n\
        In a project its own services are looked at, elsewhere all that are known. Exit code 0: there is nothing; 1: \
        there is something; 8: a target is not known.",
    after_help = "Examples:\n  \
        vigie strays\n  \
        vigie strays api --json\n  \
        vigie strays --all --watch"
)]
pub(crate) struct Args {
    /// Only of these services
    #[arg(value_name = "TARGET", value_parser = target)]
    pub(crate) targets: Vec<Target>,
    /// Of all projects
    #[arg(short, long)]
    pub(crate) all: bool,
    /// For programs: schema 1; with --watch one object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Show it again every second
    #[arg(short, long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) manifest: Manifest,
}

pub(crate) fn run(args: &Args) -> Verdict {
    let mut scene = Scene::new(args.manifest.file.as_deref())?;
    warn(&scene)?;
    let mut found_any = false;
    watch::show(args.watch, args.json, |screen| picture(args, &mut scene, screen, &mut found_any))?;
    Ok(if found_any { ExitCode::No.number() } else { ExitCode::Done.number() })
}

/// Copies of services that only a faulty manifest names are not looked for: that is said, or nothing would look like
/// nothing.
pub(crate) fn warn(scene: &Scene) -> Result<(), Failure> {
    if let Some(Err(errors)) = scene.here.manifest.as_ref().map(context::read).transpose()? {
        context::warn_of(&errors);
    }
    Ok(())
}

fn picture(args: &Args, scene: &mut Scene, screen: Screen, found_any: &mut bool) -> Result<String, Failure> {
    let (known, found) = look(scene, &args.targets, args.all)?;
    *found_any = !found.is_empty();
    let report = show::report(&found, &known, &scene.proc);
    if args.json {
        let text = serde_json::to_string(&report);
        return text
            .map(|text| format!("{text}\n"))
            .map_err(|error| Failure::io("cannot write JSON", &std::io::Error::other(error)));
    }
    let mut text = show::render(&report, screen, vigie_os::clock::now().wall);
    if let Some(note) = crate::ghosts::note(&scene.place, &scene.proc)? {
        text.push_str(&format!("{}\n", screen.paint(style::DIM, note)));
    }
    Ok(text)
}

/// Looks for what the targets mean; without targets: what belongs to the project here, else everything.
///
/// # Errors
/// Exit code 8 for a target that means nothing.
pub(crate) fn look(scene: &mut Scene, targets: &[Target], everywhere: bool) -> Result<(Vec<Known>, Found), Failure> {
    let report = scene.report(false)?;
    let known = strays::all(&report, scene);
    let here = scene.here.dir.clone();
    if targets.is_empty() {
        let everywhere = everywhere || scene.here.manifest.is_none();
        let only = |known: &Known| everywhere || known.root.as_path() == here;
        let found = strays::survey(&known, &report, scene, only)?;
        return Ok((known, found));
    }
    let named = |known: &Known| {
        targets.iter().any(|target| matches!(target, Target::Service(service) if known.is(service, &here)))
    };
    for target in targets {
        if let Target::Service(service) = target
            && !known.iter().any(|known| known.is(service, &here))
        {
            let failure = Failure::not_found(format!("no service {target} is known here"));
            let names: Vec<String> = known.iter().map(Known::label).collect();
            return Err(if names.is_empty() { failure } else { failure.hint(format!("known: {}", names.join(", "))) });
        }
    }
    let pids: Vec<u32> = targets
        .iter()
        .map(|target| match target {
            Target::Pid(pid) => Ok(Some(*pid)),
            Target::Service(_) => Ok(None),
            other => Err(Failure::usage(format!("{other}: name a service or a process (pid:N)"))),
        })
        .collect::<Result<Vec<_>, Failure>>()?
        .into_iter()
        .flatten()
        .collect();
    let mut found = strays::survey(&known, &report, scene, |_| true)?;
    for pid in &pids {
        let stray = found.strays.iter().any(|one| one.stray.key.pid == *pid);
        let orphan = found.orphans.iter().any(|orphaned| orphaned.processes.iter().any(|key| key.pid == *pid));
        if !stray && !orphan {
            return Err(Failure::not_found(format!(
                "pid:{pid} is no stray and no orphan of any service that is known"
            ))
            .hint(format!("'vigie why pid:{pid}' tells what it is")));
        }
    }
    found.strays.retain(|one| pids.contains(&one.stray.key.pid) || named(&known[one.stray.of]));
    found.orphans.retain(|orphaned| {
        let key = &orphaned.record.state.holder.key;
        orphaned.processes.iter().any(|process| pids.contains(&process.pid))
            || known.iter().any(|known| known.key == *key && named(known))
    });
    found.leftovers.retain(|leftover| {
        known
            .iter()
            .any(|known| known.key.service == leftover.service && known.project == leftover.project && named(known))
    });
    Ok((known, found))
}
