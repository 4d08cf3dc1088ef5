//! `vigie source set`

use std::io::Write as _;

use vigie_api::source::Change;
use vigie_core::docker::source::SWITCHES;
use vigie_core::name::Name;

use crate::failure::{Failure, Verdict};

#[derive(Debug, clap::Args)]
#[command(
    long_about = "Change some settings of a source, all or none. Only what is named changes, and only who is concerned is \
        disturbed: whoever follows its events goes on when nothing but its metrics are switched off. Everything else is set \
        by 'vigie source add NAME ENDPOINT … --replace'.",
    after_help = examples()
)]
pub(crate) struct Args {
    /// Its name
    #[arg(value_name = "NAME", value_parser = super::name)]
    name: Name,
    /// What to change, as key=value
    #[arg(value_name = "KEY=VALUE", required = true, value_parser = crate::settings::pair)]
    settings: Vec<(String, String)>,
}

fn examples() -> String {
    let mut text = String::from(
        "Examples:\n  \
            vigie source set nas metrics=off\n  \
            vigie source set nas disk=on disk-above=90%\n\n\
         Settings:\n",
    );
    for (key, about) in SWITCHES {
        text.push_str(&format!("  {key:<11} {about}\n"));
    }
    text.truncate(text.trim_end().len());
    text
}

pub(super) fn run(args: &Args) -> Verdict {
    // What does not fit is told without a daemon.
    let known = super::kept(&crate::context::place()?)?;
    if let Some(mut source) = known.into_iter().find(|source| source.name == args.name) {
        source.set(&args.settings).map_err(Failure::usage)?;
    }
    let change = Change::Set { name: args.name.clone(), settings: args.settings.clone() };
    let Some(shown) = super::ask(change)? else { return Ok(0) };
    let source = &shown.source;
    let switch = |on| if on { "on" } else { "off" };
    let above = source.disk_above.map_or_else(|| "default".to_owned(), |above| above.to_string());
    writeln!(
        std::io::stdout(),
        "{}: events={} metrics={} disk={} disk-above={above}",
        source.name,
        switch(source.events),
        switch(source.metrics),
        switch(source.disk),
    )?;
    Ok(0)
}
