//! `vigie ignore`: leave strays alone.

use std::io::Write as _;

use anstyle::Style;

use vigie_core::target::Target;

use super::strays::look;
use crate::args::{Manifest, target};
use crate::failure::{Failure, Verdict};
use crate::out::{Align, Column, Screen, Table, command, style, time};
use crate::scene::Scene;
use crate::strays::ignored::{Entry, Ignored, What};

/// Leave strays alone, or list what is left alone
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Leave strays alone: `strays`, `status` and `sweep` do not name them any more. A process (pid:N) is \
        left alone until it ends, a service's strays for good, as long as they run the same command in the same folder. \
        Without a target: list what is left alone. `vigie forget` undoes it.\n\n\
        Exit code 8: the target is no stray.",
    after_help = "Examples:\n  \
        vigie ignore pid:4711           this process, until it ends\n  \
        vigie ignore pid:4711 --always  whatever runs the same command\n  \
        vigie ignore api                the strays of api that run now, by their commands\n  \
        vigie ignore                    what is ignored"
)]
pub(crate) struct Args {
    /// Strays (pid:N), or services
    #[arg(value_name = "TARGET", value_parser = target)]
    pub(crate) targets: Vec<Target>,
    /// Not the process, but whatever runs the same command in the same folder
    #[arg(long, requires = "targets")]
    pub(crate) always: bool,
    #[command(flatten)]
    pub(crate) manifest: Manifest,
}

pub(crate) fn run(args: &Args) -> Verdict {
    let mut scene = Scene::new(args.manifest.file.as_deref())?;
    let mut ignored = Ignored::read(&scene.place)?;
    if args.targets.is_empty() {
        return list(&ignored, &scene);
    }
    let (known, found) = look(&mut scene, &args.targets, true)?;
    if found.strays.is_empty() {
        let targets: Vec<String> = args.targets.iter().map(Target::to_string).collect();
        return Err(Failure::not_found(format!("{} has no strays now", targets.join(", "))));
    }
    let since = vigie_os::clock::now().wall;
    let mut out = std::io::stdout().lock();
    for one in &found.strays {
        let (stray, of) = (&one.stray, &known[one.stray.of]);
        let named = args.targets.contains(&Target::Pid(stray.key.pid));
        let (what, scope) = if named && !args.always {
            (What::Process(stray.key.clone()), "until it ends")
        } else {
            (What::command_of(stray), "and whatever runs the same command there")
        };
        let line = command(stray.argv.iter().map(|word| &word.0[..]));
        writeln!(out, "{}: PID {} ({line}) is ignored, {scope}", of.label(), stray.key.pid)?;
        let (key, project, command) = (of.key.clone(), of.project.clone(), stray.argv.clone());
        ignored.add(Entry { key, project, what, command, since });
    }
    ignored.write(&scene.place, &scene.proc)?;
    Ok(0)
}

fn list(ignored: &Ignored, scene: &Scene) -> Verdict {
    let mut table = Table::new(&[
        Column::new("SERVICE", Align::Left),
        Column::new("PID", Align::Right),
        Column::spare("SINCE", Align::Right, 1),
        Column::text("COMMAND"),
        Column::remark("UNTIL"),
    ]);
    let plain = Style::new();
    let now = vigie_os::clock::now().wall;
    let mut any = false;
    for entry in &ignored.entries {
        let (pid, until) = match &entry.what {
            What::Process(key) if !scene.proc.is_alive(key)? => continue,
            What::Process(key) => (key.pid.to_string(), "it ends"),
            What::Command { .. } => ("any".to_owned(), "it is forgotten"),
        };
        any = true;
        table.row(vec![
            (style::HEAD, format!("{}/{}", entry.project, entry.key.service)),
            (plain, pid),
            (plain, time::age(entry.since, now)),
            (plain, command(entry.command.iter().map(|word| &word.0[..]))),
            (style::DIM, until.to_owned()),
        ]);
    }
    let text = if any { table.render(Screen::stdout()) } else { "nothing is ignored\n".to_owned() };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(0)
}
