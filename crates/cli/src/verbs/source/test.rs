//! `vigie source test`: asks an engine, without the daemon.

use std::io::Write as _;
use std::time::Duration;

use serde_json::json;

use vigie_core::docker::source::{Mode, Source};
use vigie_core::name::Name;
use vigie_core::text::escaped;
use vigie_core::units::format_rounded;
use vigie_docker::watch::About;
use vigie_docker::{Dial, Engine, Error};
use vigie_os::clock;

use crate::failure::{Failure, Verdict};
use crate::{context, daemon};

/// How long the engine may take for each question.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  vigie source test nas\n  vigie source test ssh://ana@nas --json")]
pub(crate) struct Args {
    /// The name of a source, or an endpoint
    #[arg(value_name = "NAME|ENDPOINT")]
    what: String,
    #[command(flatten)]
    tls: super::add::TlsArgs,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// What came of asking.
struct Told {
    about: About,
    listed: usize,
    kept: usize,
    round_trip: Duration,
}

pub(super) fn run(args: &Args) -> Verdict {
    let source = meant(args)?;
    let dial = Dial::resolve(&source.endpoint, source.tls.as_ref(), &|name| std::env::var_os(name)).map_err(failure)?;
    let told = daemon::runtime()?.block_on(ask(&Engine::over(dial, PATIENCE), &source)).map_err(failure)?;
    let others = same_engine(&source, told.about.identity.id.as_deref());
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", shown(&source, &told, others.as_ref()))?;
        return Ok(0);
    }
    let identity = &told.about.identity;
    let text =
        |value: &Option<String>| value.as_deref().map_or_else(|| "–".to_owned(), |text| escaped(text.as_bytes()));
    let count = |value: Option<u64>| value.map_or_else(|| "–".to_owned(), |value| value.to_string());
    let kind = if identity.podman { "Podman" } else { "Docker" };
    writeln!(out, "endpoint     {}", source.endpoint)?;
    writeln!(out, "engine       {kind} {} on {}", text(&identity.version), text(&identity.name))?;
    writeln!(out, "id           {}", text(&identity.id))?;
    writeln!(out, "API          {}", text(&identity.api))?;
    writeln!(out, "round trip   {}", format_rounded(told.round_trip))?;
    writeln!(out, "containers   {}, {} running", count(told.about.containers), count(told.about.running))?;
    writeln!(out, "events       {}", collected(&source, &told))?;
    writeln!(out, "metrics      {}", measured(source.metrics, source.paused))?;
    writeln!(out, "disk         {}", measured(source.disk, source.paused))?;
    if let Some(other) = others {
        writeln!(out, "note         it is the same engine as the source {other}")?;
    }
    Ok(0)
}

/// A source of this name, or one that would be.
fn meant(args: &Args) -> Result<Source, Failure> {
    let place = context::place()?;
    if let Ok(name) = Name::new(&args.what)
        && let Some(source) = super::kept(&place)?.into_iter().find(|source| source.name == name)
    {
        return Ok(source);
    }
    let endpoint = super::add::endpoint(&args.what).map_err(|why| {
        Failure::not_found(format!("there is no source {:?}", args.what)).hint(format!("nor an endpoint: {why}"))
    })?;
    Ok(Source { tls: args.tls.read()?, ..Source::new(Name::lossy("new"), endpoint) })
}

async fn ask(engine: &Engine, source: &Source) -> Result<Told, Error> {
    let about = engine.about().await?;
    let before = clock::mono();
    engine.is_there().await?;
    let round_trip = clock::mono().since(before);
    let listed = engine.all().await?;
    let is_kept = |one: &&vigie_core::docker::known::Listed| {
        source.filters.keeps_container(&one.container.name, &one.container.image)
    };
    Ok(Told { about, kept: listed.iter().filter(is_kept).count(), listed: listed.len(), round_trip })
}

fn collected(source: &Source, told: &Told) -> String {
    let how = match source.mode {
        _ if !source.events => return "not followed".to_owned(),
        _ if source.paused => return "paused".to_owned(),
        Mode::Stream => "one connection that stays".to_owned(),
        Mode::Poll { every } => format!("asked every {every}"),
    };
    format!("{how}; {} actions of {} of {} containers", source.filters.actions.len(), told.kept, told.listed)
}

fn measured(is_on: bool, is_paused: bool) -> &'static str {
    match (is_on, is_paused) {
        (false, _) => "not measured",
        (true, true) => "paused",
        (true, false) => "measured",
    }
}

/// Another source that the daemon knows to be this engine. Nobody is asked when there is no daemon.
fn same_engine(source: &Source, id: Option<&str>) -> Option<Name> {
    let sources = super::look(&context::place().ok()?).ok()?.0.sources;
    let of = |shown: &vigie_api::source::Shown| shown.engine.as_ref().and_then(|engine| engine.id.clone());
    let same = |shown: &&vigie_api::source::Shown| shown.source.name != source.name && of(shown).as_deref() == id;
    id.and_then(|_| sources.iter().find(same)).map(|shown| shown.source.name.clone())
}

fn shown(source: &Source, told: &Told, other: Option<&Name>) -> serde_json::Value {
    json!({
        "schema": vigie_api::SCHEMA,
        "endpoint": source.endpoint,
        "engine": told.about.identity,
        "round_trip_ms": told.round_trip.as_secs_f64() * 1000.0,
        "containers": told.about.containers,
        "running": told.about.running,
        "same_engine_as": other,
        "would_collect": {
            "events": source.follows_events(),
            "mode": source.mode,
            "actions": source.filters.actions,
            "containers": told.kept,
            "metrics": source.measures_containers(),
            "disk": source.measures_disk(),
        },
    })
}

fn failure(error: Error) -> Failure {
    Failure::new(error.exit_code(), error.to_string())
}
