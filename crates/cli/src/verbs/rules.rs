//! `vigie rules`: what opens an incident, and when of it is told.

use std::io::Write as _;

use vigie_api::incidents::{Rule, Rules as Report};
use vigie_api::settings::Change;
use vigie_core::incidents::{KEYS, Key, Of, RuleError, RuleId, Rules};
use vigie_daemon::views;
use vigie_os::place::Place;

use crate::failure::{Failure, Verdict};
use crate::out::{Align, Column, Screen, Table, style};
use crate::{context, settings};

/// List and change the rules by which incidents are found
#[derive(Debug, clap::Args)]
#[command(
    long_about = concat!(
        "List and change the rules by which incidents are found (vigie incidents) and told (vigie notify). Those that \
        are always there are few; each has defaults that can be changed one by one. Whoever wants more adds rules about a \
        limit of what is measured (vigie metrics): of a service, a container or a source, above or below a value, for so long. \
        All of it is in the database, for all projects of the user. ",
        settings::needs_no_daemon!("Listing", "a rule"),
        "\n\nExit code 8: there is no such rule; 2: a key or a value does not fit, or there is a rule of this name."
    ),
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
    /// Make a rule about a limit of what is measured
    Add {
        /// What it is to be called
        #[arg(value_name = "NAME", value_parser = any_rule)]
        name: RuleId,
        /// metric, of, and above or below; the rest has defaults
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = settings::pair)]
        settings: Vec<(String, String)>,
    },
    /// Remove rules that somebody made
    Rm {
        /// The rules
        #[arg(value_name = "NAME", required = true, value_parser = any_rule)]
        names: Vec<RuleId>,
    },
    /// Change settings of a rule
    Set {
        /// The rule
        #[arg(value_name = "NAME", value_parser = any_rule)]
        name: RuleId,
        /// What to change, as key=value
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = settings::pair)]
        settings: Vec<(String, String)>,
    },
    /// Make a rule as it was before anybody changed it
    Reset {
        /// The rule
        #[arg(value_name = "NAME", value_parser = any_rule)]
        name: RuleId,
    },
}

fn examples() -> String {
    let mut text = String::from(
        "Examples:\n  \
            vigie rules\n  \
            vigie rules set crash-loop exits=3 within=30s\n  \
            vigie rules set degraded for=5m quiet=22:00-07:00\n  \
            vigie rules set not-ready on=no\n  \
            vigie rules reset crash-loop\n  \
            vigie rules set disk-low above=90 clear=80\n  \
            vigie rules add hungry metric=memory_percent_of_limit of=container:* above=90 clear=80 for=5m\n  \
            vigie rules add busy metric=cpu_percent_of_core of=service:demo/api above=80 clear=60 for=10m\n  \
            vigie rules add leak metric=descriptors of=service:demo/* above=1000 severity=notice\n  \
            vigie rules rm busy\n\n\
         Settings of all rules:\n",
    );
    let mut list = |title: &str, wanted: fn(&Key) -> bool| {
        text.push_str(title);
        for key in KEYS.iter().filter(|key| wanted(key)) {
            text.push_str(&format!("  {:<10} {}\n", key.name, key.about));
        }
    };
    list("", |key| key.of == Of::All);
    list("Of rules about what happens:\n", |key| matches!(key.of, Of::Signs | Of::Loops));
    list("Of rules about a limit (disk-low, and those that are added):\n", |key| matches!(key.of, Of::Limits(_)));
    text.truncate(text.trim_end().len());
    text
}

fn any_rule(text: &str) -> Result<RuleId, String> {
    text.parse().map_err(|error: RuleError| error.to_string())
}

pub(crate) fn run(args: &Args) -> Verdict {
    let place = context::place()?;
    match &args.verb {
        None => list(&place, args.json),
        Some(Verb::Ls { json }) => list(&place, *json || args.json),
        // What does not fit is told without a daemon.
        Some(Verb::Add { name, settings }) => {
            read(&place)?.add(name, settings).map_err(refused)?;
            settings::change(&place, &Change::AddRule { rule: name.clone(), settings: settings.clone() })?;
            tell(&place, name, args.json)
        }
        Some(Verb::Rm { names }) => {
            let mut rules = read(&place)?;
            for name in names {
                rules.remove(name).map_err(refused)?;
            }
            for name in names {
                settings::change(&place, &Change::RemoveRule { rule: name.clone() })?;
                if !args.json {
                    writeln!(std::io::stdout(), "{name}: removed")?;
                }
            }
            if args.json { list(&place, true) } else { Ok(0) }
        }
        Some(Verb::Set { name, settings }) => {
            read(&place)?.set(name, settings).map_err(refused)?;
            settings::change(&place, &Change::SetRule { rule: name.clone(), settings: settings.clone() })?;
            tell(&place, name, args.json)
        }
        Some(Verb::Reset { name }) => {
            read(&place)?.exists(name).map_err(refused)?;
            let RuleId::Known(known) = name else {
                let message = format!("rule {name} is your own: there is no default that it could go back to");
                return Err(Failure::usage(message).hint(format!("'vigie rules rm {name}' removes it")));
            };
            settings::change(&place, &Change::ResetRule { rule: *known })?;
            tell(&place, name, args.json)
        }
    }
}

fn refused(error: RuleError) -> Failure {
    match error {
        RuleError::NoRule { .. } => Failure::not_found(error.to_string()),
        other => Failure::usage(other.to_string()),
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
    let report = views::shown_rules(&rules, &rules.ids());
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
        let severity = if on { &rule.settings["severity"] } else { "off" };
        // Where the two are not written out, the star of either stands here.
        let mark = if is_changed(rule, "severity") || is_changed(rule, "on") { "*" } else { "" };
        table.row(vec![
            (colour, rule.name.to_string()),
            (anstyle::Style::new(), format!("{severity}{mark}")),
            (anstyle::Style::new(), line(&rules, rule, &["on", "severity"])),
            (style::DIM, rule.about.clone()),
        ]);
    }
    std::io::stdout().write_all(table.render(Screen::stdout()).as_bytes())?;
    Ok(0)
}

/// `for=0s clear=1m*`, in the order of the settings.
fn line(rules: &Rules, rule: &Rule, without: &[&str]) -> String {
    let settings = rules.get(&rule.name).shown(&rule.name).into_iter().filter(|(key, _)| !without.contains(key));
    let shown = settings.map(|(key, value)| {
        let mark = if is_changed(rule, key) { "*" } else { "" };
        format!("{key}={value}{mark}")
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// Whether it is not as it is when nobody changes it. A rule that somebody made is theirs as a whole.
fn is_changed(rule: &Rule, key: &str) -> bool {
    !rule.own && rule.changed.iter().any(|changed| changed == key)
}

fn tell(place: &Place, name: &RuleId, as_json: bool) -> Verdict {
    let rules = read(place)?;
    let report = views::shown_rules(&rules, std::slice::from_ref(name));
    if as_json {
        return json(&report);
    }
    for rule in &report.rules {
        writeln!(std::io::stdout(), "{name}: {}", line(&rules, rule, &[]))?;
    }
    Ok(0)
}
