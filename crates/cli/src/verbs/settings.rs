//! `vigie settings`: what can be set for the whole.

use std::io::Write as _;

use vigie_api::settings::{Change, Report};
use vigie_core::settings::{Key, Settings};
use vigie_daemon::views;
use vigie_os::place::Place;

use crate::failure::{Failure, Verdict};
use crate::out::{Align, Column, Screen, Table, style};
use crate::{context, settings};

/// List and change settings of the whole
#[derive(Debug, clap::Args)]
#[command(
    long_about = concat!(
        "List and change settings of the whole. They are kept in the database and hold for all projects and \
        sources of the user; what belongs to one source, rule or channel is set with that one. ",
        settings::needs_no_daemon!("Listing", "a setting"),
        " A change is heard of at once and holds from the next time on that \
        something is done.\n\n\
        Exit code 2: a key or a value that does not exist."
    ),
    after_help = "Examples:\n  \
        vigie settings\n  \
        vigie settings set metrics.interval=10s\n  \
        vigie settings set metrics.interval=2m disk.interval=15m\n  \
        vigie settings reset metrics.interval"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List all; what was changed is marked with a star
    Ls {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Change some, all or none
    Set {
        /// What to change, as key=value
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = settings::pair)]
        settings: Vec<(String, String)>,
    },
    /// Make some as they were before anybody changed them
    Reset {
        /// Which
        #[arg(value_name = "KEY", required = true, value_parser = key)]
        keys: Vec<Key>,
    },
}

fn key(text: &str) -> Result<Key, String> {
    text.parse().map_err(|error: vigie_core::settings::SettingError| error.to_string())
}

pub(crate) fn run(args: &Args) -> Verdict {
    let place = context::place()?;
    match &args.verb {
        None => list(&place, args.json),
        Some(Verb::Ls { json }) => list(&place, *json || args.json),
        Some(Verb::Set { settings }) => {
            // What does not fit is told without a daemon.
            let mut all = read(&place)?;
            all.set(settings).map_err(|error| Failure::usage(error.to_string()))?;
            settings::change(&place, &Change::Set { settings: settings.clone() })?;
            list(&place, args.json)
        }
        Some(Verb::Reset { keys }) => {
            settings::change(&place, &Change::Reset { keys: keys.clone() })?;
            list(&place, args.json)
        }
    }
}

fn read(place: &Place) -> Result<Settings, Failure> {
    Ok(Settings::kept(views::documents::<String>(&place.state, vigie_daemon::SETTING)?))
}

fn list(place: &Place, as_json: bool) -> Verdict {
    let report = Report::new(&read(place)?);
    if as_json {
        let text = serde_json::to_string(&report).map_err(|error| Failure::from(std::io::Error::from(error)))?;
        writeln!(std::io::stdout(), "{text}")?;
        return Ok(0);
    }
    let mut table = Table::new(&[
        Column::new("SETTING", Align::Left),
        Column::new("VALUE", Align::Left),
        Column::new("DEFAULT", Align::Left),
        Column::remark("WHAT IT IS"),
    ]);
    let plain = anstyle::Style::new();
    for setting in report.settings {
        let mark = if setting.changed { "*" } else { "" };
        table.row(vec![
            (style::HEAD, setting.key.to_string()),
            (plain, format!("{}{mark}", setting.value)),
            (style::DIM, setting.default),
            (style::DIM, setting.about),
        ]);
    }
    std::io::stdout().write_all(table.render(Screen::stdout()).as_bytes())?;
    Ok(0)
}
