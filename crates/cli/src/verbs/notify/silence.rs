//! `vigie notify silence`

use std::io::Write as _;

use anstyle::Style;

use vigie_api::settings::Change;
use vigie_core::incidents::Scope;
use vigie_core::name::Name;
use vigie_core::target::{ServiceTarget, Target};
use vigie_core::units::Span;
use vigie_daemon::views;

use super::json;
use crate::args::{duration, target};
use crate::failure::{Failure, Verdict};
use crate::out::{ABSENT, Align, Column, Screen, Table, style, time};
use crate::scene::Scene;
use crate::watched::Watched;
use crate::{context, settings};

/// Tell nothing for a while; list and end silences
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Tell nothing about a service, a project, a container or a source with its containers, or about anything, for a while. \
        Incidents are opened and resolved all the same (vigie incidents); what is still true when the silence ends is told then, what came and went meanwhile is not. \
        Without --for and --end: list the silences.\n\n\
        Exit code 8: there is no such service, container or source, or no such silence.",
    after_help = "Examples:\n  \
        vigie notify silence api --for 2h --reason deploy\n  \
        vigie notify silence container:nas/web --for 1h\n  \
        vigie notify silence source:nas --for 8h       with its containers\n  \
        vigie notify silence --for 30m                 about anything\n  \
        vigie notify silence                    what is silent\n  \
        vigie notify silence --end 3"
)]
pub(crate) struct Args {
    /// A service, a project, container:NAME, container:SOURCE/NAME, source:NAME; absent: everything
    #[arg(value_name = "TARGET", value_parser = target, requires = "length", conflicts_with = "end")]
    target: Option<Target>,
    /// For how long
    #[arg(long = "for", id = "length", value_name = "D", value_parser = duration, conflicts_with = "end")]
    length: Option<Span>,
    /// Why, for others who look
    #[arg(long, value_name = "TEXT", requires = "length")]
    reason: Option<String>,
    /// End this silence
    #[arg(long, value_name = "ID")]
    end: Option<u64>,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Verdict {
    let mut scene = Scene::new(None)?;
    if let Some(id) = args.end {
        settings::change(&scene.place, &Change::EndSilence { id })?;
        if args.json {
            return list(&scene, true);
        }
        writeln!(std::io::stdout(), "silence {id}: ended")?;
        return Ok(0);
    }
    let Some(length) = args.length else { return list(&scene, args.json) };
    let scope = match &args.target {
        None => Scope::default(),
        Some(Target::Service(service)) => of_project(service, &mut scene)?,
        Some(Target::Container { source, name }) => {
            let (source, container) = Watched::read(&scene.place.state)?.container(source.as_ref(), name)?;
            Scope { source, container: Some(container), ..Scope::default() }
        }
        Some(Target::Source(name)) => {
            Watched::read(&scene.place.state)?.source(name)?;
            Scope { source: Some(name.clone()), ..Scope::default() }
        }
        Some(other) => {
            return Err(Failure::usage(format!("{other}: a silence is about a service, a container or a source")));
        }
    };
    let by = vigie_core::journal::origin(&scene.origin()?);
    let change = Change::Silence { scope, length, by, reason: args.reason.clone() };
    let changed = settings::change(&scene.place, &change)?;
    if args.json {
        json(&views::shown_silences(changed.silence.as_slice()))?;
        return Ok(0);
    }
    if let Some(silence) = &changed.silence {
        let ends = time::local(silence.ends);
        writeln!(std::io::stdout(), "silence {}: nothing is told about {} until {ends}", silence.id, silence.scope)?;
    }
    Ok(0)
}

/// The service that is meant, or the project. One that nobody knows is a typing error.
fn of_project(target: &ServiceTarget, scene: &mut Scene) -> Result<Scope, Failure> {
    let manifest = scene.here.manifest.as_ref().and_then(|manifest| context::read(manifest).ok()?.ok());
    let here = manifest.as_ref().map(|project| project.name.clone());
    let report = scene.report(false)?;
    let known = |project: &Name| {
        let written = manifest.as_ref().filter(|here| here.name == *project);
        let written = written.is_some_and(|here| here.services.contains_key(&target.service));
        let mut services = report.services.iter();
        written || services.any(|known| known.project == *project && known.service == target.service)
    };
    let project = target.project.clone().or_else(|| here.clone());
    if let Some(project) = project.as_ref().filter(|project| known(project)) {
        return Ok(Scope { project: Some(project.clone()), service: Some(target.service.clone()), ..Scope::default() });
    }
    let is_project = here.as_ref() == Some(&target.service)
        || report.services.iter().any(|service| service.project == target.service);
    if target.project.is_none() && target.mode.is_none() && is_project {
        return Ok(Scope { project: Some(target.service.clone()), ..Scope::default() });
    }
    match project {
        Some(project) => Err(Failure::not_found(format!("there is no service {project}/{}", target.service))),
        None => Err(Failure::usage(format!(
            "{target}: of which project? There is no vigie.toml here; write PROJECT/{target}"
        ))),
    }
}

fn list(scene: &Scene, as_json: bool) -> Verdict {
    let now = vigie_os::clock::now().wall;
    let all = views::silences(&scene.place.state, now)?;
    if as_json {
        json(&views::shown_silences(&all))?;
        return Ok(0);
    }
    let mut table = Table::new(&[
        Column::new("ID", Align::Right),
        Column::new("ABOUT", Align::Left),
        Column::new("UNTIL", Align::Left),
        Column::new("LEFT", Align::Right),
        Column::text("REASON"),
        Column::remark("BY"),
    ]);
    for silence in &all {
        table.row(vec![
            (Style::new(), silence.id.to_string()),
            (style::HEAD, silence.scope.to_string()),
            (Style::new(), time::local(silence.ends)),
            (Style::new(), time::age(now, silence.ends)),
            (Style::new(), silence.reason.clone().unwrap_or_else(|| ABSENT.to_owned())),
            (style::DIM, silence.by.clone()),
        ]);
    }
    let text = if all.is_empty() { "nothing is silent\n".to_owned() } else { table.render(Screen::stdout()) };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(0)
}
