//! `vigie config`: the manifest, checked, resolved, described.

use std::io::Write as _;

use vigie_core::exit_code::ExitCode;
use vigie_core::manifest::{Project, Secrets, looks_secret, schema, show};

use crate::args::Manifest;
use crate::context;
use crate::failure::{Failure, Verdict};

/// Check or show the manifest
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vigie config check\n  \
    vigie config show -f other/vigie.toml\n  \
    vigie config schema > vigie.schema.json")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show every error with its line and column: exit code 0 when there is none, else 2
    Check {
        #[command(flatten)]
        manifest: Manifest,
    },
    /// Show the manifest with every default and variable filled in
    Show {
        /// Show environment values that look like secrets
        #[arg(long)]
        reveal: bool,
        /// For programs
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        manifest: Manifest,
    },
    /// Write the JSON schema of vigie.toml, for editors
    Schema,
}

/// What stands in the place of a secret.
const MASK: &str = "***";

pub(crate) fn run(args: &Args) -> Verdict {
    let text = match &args.verb {
        Verb::Check { manifest } => {
            let found = context::here(manifest.file.as_deref())?.manifest.ok_or_else(context::no_manifest)?;
            let project = match context::read(&found)? {
                Ok(project) => project,
                Err(errors) => {
                    context::print_errors(&errors);
                    return Err(Failure::Told(ExitCode::Usage));
                }
            };
            let count = project.services.len();
            let services = if count == 1 { "service" } else { "services" };
            format!("{}: no errors; project {}, {count} {services}\n", project.manifest, project.name)
        }
        Verb::Show { reveal, json, manifest } => {
            let project = context::project(manifest.file.as_deref())?;
            let secrets = if *reveal { Secrets::Shown } else { Secrets::Masked };
            if *json { pretty(&json_of(project, secrets))? } else { show(&project, secrets) }
        }
        Verb::Schema => pretty(&schema())?,
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(0)
}

fn json_of(mut project: Project, secrets: Secrets) -> serde_json::Value {
    if secrets == Secrets::Masked {
        let services = project.services.values_mut();
        for env in services.flat_map(|service| {
            std::iter::once(&mut service.env).chain(service.modes.iter_mut().map(|mode| &mut mode.env))
        }) {
            for (name, value) in env.iter_mut() {
                if looks_secret(name, value) {
                    MASK.clone_into(value);
                }
            }
        }
    }
    serde_json::json!({ "schema": vigie_api::SCHEMA, "project": project })
}

fn pretty(value: &serde_json::Value) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(ExitCode::Internal, format!("cannot write JSON: {error}")))?;
    Ok(text + "\n")
}
