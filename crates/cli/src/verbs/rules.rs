//! `vigie rules`: what opens an incident, and when of it is told.

use std::io::Write as _;

use vigie_api::incidents::{Rule, Rules as Report};
use vigie_api::settings::Change;
use vigie_core::incidents::{KEYS, RuleName, Rules};
use vigie_daemon::views;
use vigie_os::place::Place;

use crate::failure::{Failure, Verdict};
use crate::out::{Align, Column, Screen, Table, style};
use crate::{context, settings};

/// List and change the rules by which incidents are found
#[derive(Debug, clap::Args)]
#[command(
    long_about = "List and change the rules by which incidents are found (vigie incidents) and told (vigie notify). They \
        are few, and there are no others: each has defaults that can be changed one by one, in the database, for all \
        projects of the user. Listing needs no daemon; what changes a rule starts it when it is not there.\n\n\
        Exit code 2: a rule, a key or a value that does not exist.",
    after_help = examples()
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
    /// List all rules; what was changed is marked with a star
    Ls {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Change settings of a rule
    Set {
        /// The rule
        #[arg(value_name = "NAME", value_parser = rule)]
        name: RuleName,
        /// What to change, as key=value
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = setting)]
        settings: Vec<(String, String)>,
    },
    /// Make a rule as it was before anybody changed it
    Reset {
        /// The rule
        #[arg(value_name = "NAME", value_parser = rule)]
        name: RuleName,
    },
}

fn examples() -> String {
    let mut text = String::from(
        "Examples:\n  \
            vigie rules\n  \
            vigie rules set crash-loop exits=3 within=30s\n  \
            vigie rules set degraded for=5m quiet=22:00-07:00\n  \
            vigie rules set not-ready on=no\n  \
            vigie rules reset crash-loop\n\n\
         Settings:\n",
    );
    for key in KEYS {
        text.push_str(&format!("  {:<10} {}\n", key.name, key.about));
    }
    text.truncate(text.trim_end().len());
    text
}

fn rule(text: &str) -> Result<RuleName, String> {
    text.parse().map_err(|error: vigie_core::incidents::RuleError| error.to_string())
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(crate) fn run(args: &Args) -> Verdict {
    let place = context::place()?;
    match &args.verb {
        None => list(&place, args.json),
        Some(Verb::Ls { json }) => list(&place, *json || args.json),
        Some(Verb::Set { name, settings }) => {
            // What does not fit is told without a daemon.
            let mut rules = read(&place)?;
            rules.set(*name, settings).map_err(|error| Failure::usage(error.to_string()))?;
            settings::change(&place, &Change::SetRule { rule: *name, settings: settings.clone() })?;
            tell(&place, *name, args.json)
        }
        Some(Verb::Reset { name }) => {
            settings::change(&place, &Change::ResetRule { rule: *name })?;
            tell(&place, *name, args.json)
        }
    }
}

fn read(place: &Place) -> Result<Rules, Failure> {
    Ok(views::rules(&place.state)?)
}

fn json(report: &Report) -> Verdict {
    let text = serde_json::to_string(report).map_err(|error| Failure::from(std::io::Error::from(error)))?;
    writeln!(std::io::stdout(), "{text}")?;
    Ok(0)
}

fn list(place: &Place, as_json: bool) -> Verdict {
    let rules = read(place)?;
    let report = views::shown_rules(&rules, &RuleName::ALL);
    if as_json {
        return json(&report);
    }
    let mut table = Table::new(&[
        Column::new("RULE", Align::Left),
        Column::new("SEVERITY", Align::Left),
        Column::text("SETTINGS"),
        Column::remark("FINDS"),
    ]);
    for rule in &report.rules {
        let on = rule.settings.get("on").is_some_and(|on| on == "yes");
        let colour = if on { style::HEAD } else { style::DIM };
        let severity = if on { rule.settings["severity"].clone() } else { "off".to_owned() };
        table.row(vec![
            (colour, rule.name.to_string()),
            (anstyle::Style::new(), severity),
            (anstyle::Style::new(), line(&rules, rule, &["on", "severity"])),
            (style::DIM, rule.about.clone()),
        ]);
    }
    std::io::stdout().write_all(table.render(Screen::stdout()).as_bytes())?;
    Ok(0)
}

/// `for=0s clear=1m*`, in the order of the settings.
fn line(rules: &Rules, rule: &Rule, without: &[&str]) -> String {
    let settings = rules.get(rule.name).shown(rule.name).into_iter().filter(|(key, _)| !without.contains(key));
    let shown = settings.map(|(key, value)| {
        let mark = if rule.changed.iter().any(|changed| changed == key) { "*" } else { "" };
        format!("{key}={value}{mark}")
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn tell(place: &Place, name: RuleName, as_json: bool) -> Verdict {
    let rules = read(place)?;
    let report = views::shown_rules(&rules, &[name]);
    if as_json {
        return json(&report);
    }
    for rule in &report.rules {
        writeln!(std::io::stdout(), "{name}: {}", line(&rules, rule, &[]))?;
    }
    Ok(0)
}
