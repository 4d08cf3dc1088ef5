//! `vigie source add`

use std::io::Write as _;
use std::path::{Path, PathBuf};

use vigie_api::source::Change;
use vigie_core::docker::endpoint::Endpoint;
use vigie_core::docker::filter::Filters;
use vigie_core::docker::source::{ClientCertificate, Full, Mode, POLL_DEFAULT, Source, Tls};
use vigie_core::name::Name;
use vigie_core::units::Span;

use crate::args::duration;
use crate::failure::{Failure, Verdict};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vigie source add local unix:///var/run/docker.sock\n  \
    vigie source add nas context:nas --ignore-name 'ci-*' --ignore-image aquasec/trivy\n  \
    vigie source add nas context:nas --poll 2m --replace")]
pub(crate) struct Args {
    /// Its name
    #[arg(value_name = "NAME", value_parser = super::name)]
    name: Name,
    /// unix:///PATH, tcp://HOST:PORT, ssh://USER@HOST or context:NAME
    #[arg(value_name = "ENDPOINT", value_parser = endpoint)]
    endpoint: Endpoint,
    #[command(flatten)]
    tls: TlsArgs,
    /// Do not follow what happens to its containers
    #[arg(long, conflicts_with_all = ["poll", "actions", "ignore_images", "ignore_names"])]
    no_events: bool,
    /// Ask now and then (30s to 5m) instead of keeping a connection
    #[arg(long, value_name = "INTERVAL", value_parser = duration, num_args = 0..=1, require_equals = false)]
    poll: Option<Option<Span>>,
    /// Keep only these actions; may be repeated
    #[arg(long = "action", value_name = "ACTION", value_parser = action)]
    actions: Vec<String>,
    /// Leave out containers of this image, whatever its tag; may be repeated. None: --ignore-image ''
    #[arg(long = "ignore-image", value_name = "IMAGE")]
    ignore_images: Vec<String>,
    /// Leave out containers of this name; 'ci-*': of all that begin so; may be repeated
    #[arg(long = "ignore-name", value_name = "NAME")]
    ignore_names: Vec<String>,
    /// Do not measure what its containers use
    #[arg(long)]
    no_metrics: bool,
    /// Measure how full its disk is; on for a socket of this machine, off for others, whose engines have to count
    #[arg(long, value_name = "SWITCH")]
    disk: Option<Switch>,
    /// From where on its disk is too full: 90%, 200GB; else as for all
    #[arg(long, value_name = "LIMIT", value_parser = full)]
    disk_above: Option<Full>,
    /// Give a source of this name these settings
    #[arg(long)]
    replace: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

fn full(text: &str) -> Result<Full, String> {
    text.parse()
}

/// Files for TLS.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct TlsArgs {
    /// Speak TLS; the certificates of whoever signs for the engine
    #[arg(long, value_name = "PEM")]
    tls_ca: Option<PathBuf>,
    /// Our certificate, for an engine that asks who we are
    #[arg(long, value_name = "PEM", requires_all = ["tls_ca", "tls_key"])]
    tls_cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "PEM", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl TlsArgs {
    /// With absolute paths: the daemon has another folder.
    pub(super) fn read(&self) -> Result<Option<Tls>, Failure> {
        let absolute = |path: &Path| {
            path.canonicalize().map_err(|error| Failure::io(format_args!("cannot use {}", path.display()), &error))
        };
        let Some(ca) = &self.tls_ca else { return Ok(None) };
        let client = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => {
                Some(ClientCertificate { cert: absolute(cert)?.into(), key: absolute(key)?.into() })
            }
            _ => None,
        };
        Ok(Some(Tls { ca: absolute(ca)?.into(), client }))
    }
}

pub(super) fn endpoint(text: &str) -> Result<Endpoint, String> {
    text.parse().map_err(|error: vigie_core::docker::endpoint::EndpointError| error.to_string())
}

fn action(text: &str) -> Result<String, String> {
    if Filters::known_actions().contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is no action; known: {}", Filters::known_actions().join(", ")))
}

pub(super) fn run(args: &Args) -> Verdict {
    let source = Box::new(settings(args)?);
    let shown = super::ask(Change::Add { source, replace: args.replace })?;
    let mut out = std::io::stdout().lock();
    let Some(shown) = shown else { return Ok(0) };
    writeln!(out, "{}: added: {}", shown.source.name, shown.source.endpoint)?;
    if let Some(other) = &shown.same_engine_as {
        writeln!(out, "{}: it is the same engine as {other}", shown.source.name)?;
    }
    writeln!(out, "'vigie source test {0}' asks it, 'vigie events -f source:{0}' follows it", shown.source.name)?;
    Ok(0)
}

fn settings(args: &Args) -> Result<Source, Failure> {
    let tls = args.tls.read()?;
    if tls.is_some() && !matches!(args.endpoint, Endpoint::Tcp { .. } | Endpoint::Context(_)) {
        return Err(Failure::usage(format!("{} is not spoken with over TLS", args.endpoint)));
    }
    let mode = match args.poll {
        None => Mode::Stream,
        Some(every) => Mode::poll(every.unwrap_or(Span::secs(POLL_DEFAULT))).map_err(Failure::usage)?,
    };
    let defaults = Filters::default();
    let named = |list: &[String]| list.iter().filter(|text| !text.is_empty()).cloned().collect();
    let filters = Filters {
        actions: if args.actions.is_empty() { defaults.actions } else { args.actions.clone() },
        ignored_images: if args.ignore_images.is_empty() {
            defaults.ignored_images
        } else {
            named(&args.ignore_images)
        },
        ignored_names: named(&args.ignore_names),
    };
    let usual = Source::new(args.name.clone(), args.endpoint.clone());
    Ok(Source {
        tls,
        events: !args.no_events,
        mode,
        filters,
        metrics: !args.no_metrics,
        disk: args.disk.map_or(usual.disk, |switch| switch == Switch::On),
        disk_above: args.disk_above,
        ..usual
    })
}
