//! `vigie help`: the long help of a verb, or a topic.

use std::io::Write as _;

use crate::failure::{Failure, Verdict};
use crate::out::Screen;

/// Explain a verb, or `exit-codes`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  vigie help up\n  vigie help config check\n  vigie help exit-codes")]
pub(crate) struct Args {
    /// A verb, or exit-codes
    #[arg(value_name = "VERB")]
    topic: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Verdict {
    if args.topic.len() == 1 && args.topic[0] == "exit-codes" {
        writeln!(std::io::stdout(), "{}", crate::args::exit_codes())?;
        return Ok(0);
    }
    let mut command = crate::command();
    command.build();
    let mut at = &mut command;
    for word in &args.topic {
        at = at.find_subcommand_mut(word).ok_or_else(|| {
            Failure::usage(format!("there is no verb {word:?} to explain")).hint("'vigie help' lists them")
        })?;
    }
    let help = at.render_long_help();
    let mut out = std::io::stdout();
    let text = if Screen::stdout().colour { help.ansi().to_string() } else { help.to_string() };
    out.write_all(text.as_bytes())?;
    Ok(0)
}
