//! `vigie api token`

use std::io::Write as _;

use anstyle::Style;

use vigie_api::access::{Access, Change, Right};
use vigie_core::name::Name;
use vigie_daemon::Secret;

use super::{change_it, look, print_json};
use crate::context;
use crate::failure::{Failure, Verdict};
use crate::out::{Align, Column, Screen, Table, style, time};

/// Make, list and remove the tokens that are needed at a port
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Make, list and remove tokens. A token is shown once, when it is made; what is kept is its SHA-256 alone. It is \
        sent in the header 'Authorization: Bearer TOKEN', and nowhere else.",
    after_help = "Examples:\n  \
        vigie api token add grafana --read\n  \
        vigie api token ls\n  \
        vigie api token rm grafana"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a token, and print it
    ///
    /// It is printed alone on standard output, this once. Exit code 2: there is one of this name.
    #[command(after_help = "Examples:\n  \
        vigie api token add grafana\n  \
        vigie api token add deploy --act\n  \
        vigie api token add ci --read --json")]
    Add {
        /// What it is called
        #[arg(value_name = "NAME", value_parser = name)]
        name: Name,
        /// It allows to look (the default)
        #[arg(long)]
        read: bool,
        /// It also allows to act: whoever has it can start programs as you
        #[arg(long, conflicts_with = "read")]
        act: bool,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// List the tokens; none of them is shown
    #[command(after_help = "Examples:\n  vigie api token ls\n  vigie api token ls --json")]
    Ls {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Remove tokens; whoever came in by one is sent away at once
    ///
    /// Exit code 8: there is none of this name.
    #[command(after_help = "Examples:\n  vigie api token rm grafana")]
    Rm {
        /// Which
        #[arg(value_name = "NAME", required = true, value_parser = name)]
        names: Vec<Name>,
    },
}

fn name(text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|error| error.to_string())
}

pub(super) fn run(args: &Args) -> Verdict {
    match &args.verb {
        Verb::Add { name, act, json, .. } => add(name, if *act { Right::Act } else { Right::Read }, *json),
        Verb::Ls { json } => {
            let access = look(&context::place()?)?;
            if *json {
                return print_json(&access);
            }
            list(&access, Screen::stdout())?;
            Ok(0)
        }
        Verb::Rm { names } => {
            for name in names {
                change_it(Change::RemoveToken(name.clone()))?;
                writeln!(std::io::stdout(), "{name}: removed")?;
            }
            Ok(0)
        }
    }
}

fn add(name: &Name, right: Right, json: bool) -> Verdict {
    let secret = Secret::new()?;
    let access = change_it(Change::AddToken { name: name.clone(), right, sha256: secret.sha256() })?;
    let mut out = std::io::stdout().lock();
    if json {
        let made =
            serde_json::json!({"schema": vigie_api::SCHEMA, "name": name, "right": right, "token": secret.reveal()});
        writeln!(out, "{made}")?;
        return Ok(0);
    }
    writeln!(out, "{}", secret.reveal())?;
    out.flush()?;
    // Beside it, so that standard output is the token and nothing else.
    let what = match right {
        Right::Read => "to look",
        Right::Act => "to look and to act",
    };
    eprintln!("{name}: this token allows {what}; it is not shown again");
    if access.listen.is_none() {
        eprintln!("it is needed at a port, and there is none: 'vigie api listen 127.0.0.1:PORT' opens one");
    }
    Ok(0)
}

/// As a table.
pub(super) fn list(access: &Access, screen: Screen) -> Result<(), Failure> {
    let mut table = Table::new(&[
        Column::new("TOKEN", Align::Left),
        Column::new("RIGHT", Align::Left),
        Column::new("SINCE", Align::Right),
    ]);
    let now = vigie_os::clock::now().wall;
    for token in &access.tokens {
        let colour = if token.right == Right::Act { style::WARN } else { Style::new() };
        table.row(vec![
            (style::HEAD, token.name.to_string()),
            (colour, token.right.to_string()),
            (Style::new(), time::age(token.since.0, now)),
        ]);
    }
    let text = if access.tokens.is_empty() {
        "no tokens; 'vigie api token add NAME' makes one\n".to_owned()
    } else {
        table.render(screen)
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
