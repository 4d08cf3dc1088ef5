//! `vigie notify test`

use std::io::Write as _;

use vigie_api::incidents::{Test, Tests};
use vigie_core::exit_code::ExitCode;
use vigie_core::incidents::{Message, Occasion, Severity};
use vigie_core::name::Name;
use vigie_core::outbox::Verdict as Came;
use vigie_notify::book::{Book, Entry};
use vigie_notify::{About, deliver};

use super::add::name;
use super::{host, json, unknown};
use crate::context;
use crate::failure::{Failure, Verdict};
use crate::out::{Screen, style};

/// Send a message to a channel, and show what the receiver said
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Send a message to one channel, or to all, and show what the receiver said. It is sent at once, by this \
        command, as the daemon would do it: with ten seconds for all of it.\n\n\
        Exit code 1: a receiver did not take it, 9: one was not reached, 8: there is no such channel.",
    after_help = "Examples:\n  vigie notify test\n  vigie notify test phone"
)]
pub(crate) struct Args {
    /// Which; absent: all
    #[arg(value_name = "NAME", value_parser = name)]
    name: Option<Name>,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Verdict {
    let place = context::place()?;
    let mut book = Book::read(&place.config)?;
    if let Some(name) = &args.name {
        book.channels.retain(|entry| entry.name == *name);
        if book.channels.is_empty() {
            return Err(unknown(name.as_str()));
        }
    } else if book.channels.is_empty() {
        return Err(Failure::not_found("there is no channel").hint("'vigie notify add' adds one"));
    }
    let mut code = ExitCode::Done;
    let mut tests = Vec::new();
    for entry in &book.channels {
        let (test, came) = test(entry)?;
        // Not reached is worse than refused: nobody knows what it would have said.
        code = if code == ExitCode::Unreachable || came == ExitCode::Done { code } else { came };
        if !args.json {
            tell(&test)?;
        }
        tests.push(test);
    }
    if args.json {
        json(&Tests { schema: vigie_api::SCHEMA, tests })?;
    }
    Ok(code.number())
}

fn test(entry: &Entry) -> Result<(Test, ExitCode), Failure> {
    let made = |delivered, answer, code| Ok((Test { channel: entry.name.clone(), delivered, answer }, code));
    let channel = match entry.channel() {
        Ok(channel) => channel,
        Err(error) => return made(false, error.to_string(), ExitCode::No),
    };
    let now = vigie_os::clock::now().wall;
    let message = Message {
        key: format!("test-{:016x}", vigie_os::random::u64()?),
        occasion: Occasion::Test,
        severity: Severity::Notice,
        subject: None,
        incident: None,
        rule: None,
        text: format!("this is a test of channel {}; nothing is wrong", entry.name),
        count: 1,
        opened: None,
        at: now,
        run: None,
        wants_lines: 0,
        lines: Vec::new(),
    };
    let outcome = deliver(&channel, &message, &About { host: host() }, vigie_os::clock::mono);
    match outcome.verdict {
        Came::Delivered { answer } => made(true, answer, ExitCode::Done),
        Came::Refused { why } | Came::Later { why, .. } => {
            made(false, why, if outcome.reached { ExitCode::No } else { ExitCode::Unreachable })
        }
    }
}

fn tell(test: &Test) -> Result<(), Failure> {
    let screen = Screen::stdout();
    let (colour, word) = if test.delivered { (style::GOOD, "delivered") } else { (style::BAD, "not delivered") };
    let before = test.channel.as_str().len() + word.len() + 4;
    let answer = screen.folded(&test.answer, before, 2);
    writeln!(std::io::stdout(), "{}: {}: {answer}", test.channel, screen.paint(colour, word))?;
    Ok(())
}
