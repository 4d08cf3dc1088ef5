//! `vigie notify rm`

use std::io::Write as _;

use vigie_core::name::Name;
use vigie_notify::book::Book;

use super::add::name;
use super::{folder, unknown};
use crate::context;
use crate::failure::Verdict;

/// Remove a channel
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Remove channels. What waits for one is dropped at its next attempt, and the journal says so.\n\n\
        Exit code 8: there is no such channel; then none is removed.",
    after_help = "Examples:\n  vigie notify rm phone"
)]
pub(crate) struct Args {
    /// Which
    #[arg(value_name = "NAME", required = true, value_parser = name)]
    names: Vec<Name>,
}

pub(super) fn run(args: &Args) -> Verdict {
    let place = context::place()?;
    let missing = Book::change(folder(&place)?, |book| {
        let missing = args.names.iter().find(|name| book.get(name.as_str()).is_none());
        if missing.is_none() {
            book.channels.retain(|entry| !args.names.contains(&entry.name));
        }
        missing
    })?;
    if let Some(name) = missing {
        return Err(unknown(name.as_str()));
    }
    for name in &args.names {
        writeln!(std::io::stdout(), "{name}: removed")?;
    }
    Ok(0)
}
