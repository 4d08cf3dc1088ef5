//! `vigie notify silence`

use std::io::Write as _;

use anstyle::Style;

use vigie_api::settings::Change;
use vigie_core::incidents::Scope;
use vigie_core::target::{ServiceTarget, Target};
use vigie_core::units::Span;
use vigie_daemon::views;

use super::json;
use crate::args::{duration, target};
use crate::failure::{Failure, Verdict};
use crate::out::{ABSENT, Align, Column, Screen, Table, style, time};
use crate::scene::Scene;
use crate::{context, settings};

/// Tell nothing for a while; list and end silences
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Tell nothing about a service, or about anything, for a while. Incidents are opened and resolved all the same \
        (vigie incidents); what is still true when the silence ends is told then, what came and went meanwhile is not. \
        Without --for and --end: list the silences.\n\n\
        Exit code 8: there is no such service, or no such silence.",
    after_help = "Examples:\n  \
        vigie notify silence api --for 2h --reason deploy\n  \
        vigie notify silence --for 30m          about anything\n  \
        vigie notify silence                    what is silent\n  \
        vigie notify silence --end 3"
)]
pub(crate) struct Args {
    /// The service; absent: everything
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
        None => Scope { project: None, service: None },
        Some(Target::Service(service)) => scope(service, &mut scene)?,
        Some(other) => return Err(Failure::usage(format!("{other}: a silence is about a service"))),
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

/// The service that is meant. One that nobody knows is a typing error.
fn scope(target: &ServiceTarget, scene: &mut Scene) -> Result<Scope, Failure> {
    let manifest = scene.here.manifest.as_ref().and_then(|manifest| context::read(manifest).ok()?.ok());
    let project = target.project.clone().or_else(|| manifest.as_ref().map(|project| project.name.clone()));
    let Some(project) = project else {
        return Err(Failure::usage(format!(
            "{target}: of which project? There is no vigie.toml here; write PROJECT/{target}"
        )));
    };
    let written = manifest.is_some_and(|here| here.name == project && here.services.contains_key(&target.service));
    let known = written || {
        let report = scene.report(false)?;
        report.services.iter().any(|known| known.project == project && known.service == target.service)
    };
    if !known {
        return Err(Failure::not_found(format!("there is no service {project}/{}", target.service)));
    }
    Ok(Scope { project: Some(project), service: Some(target.service.clone()) })
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
