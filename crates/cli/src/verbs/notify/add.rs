//! `vigie notify add`

use std::io::{Read as _, Write as _};

use vigie_core::name::Name;
use vigie_notify::Channel;
use vigie_notify::book::{Book, Entry};

use super::folder;
use crate::context;
use crate::failure::{Failure, Verdict};

/// So many channels there may be: each message goes to all of them.
const MOST: usize = 32;

/// A URL is shorter than this, in bytes.
const LONGEST: u64 = 64 << 10;

/// Add a channel
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Add a channel. Its kind and what it needs stand in its URL; 'vigie notify --help' lists the forms, \
        docs/notify.md explains them. A URL given as an argument can be seen by others of this machine for a moment and \
        stays in the history of the shell: '-' reads it from standard input.\n\n\
        Addresses of this machine and of private networks are refused, unless --private (or private=allow in the URL) \
        allows them: here where the URL names one, and whenever a message is sent, whatever a name then leads to.\n\n\
        Exit code 2: the URL is none, its address is refused, or there is a channel of this name.",
    after_help = "Examples:\n  \
        vigie notify add phone ntfy://ntfy.sh/my-secret-topic\n  \
        vigie notify add ops 'smtps://me:secret@mail.example.com/?to=ops@example.com'\n  \
        vigie notify add hook http://127.0.0.1:9000/alert --private\n  \
        vigie notify add script 'command:/usr/local/bin/alert?arg=--loud'\n  \
        vigie notify add chat -          the URL is read from standard input"
)]
pub(crate) struct Args {
    /// What it is called
    #[arg(value_name = "NAME", value_parser = name)]
    name: Name,
    /// Where it leads; '-': read from standard input
    #[arg(value_name = "URL")]
    url: String,
    /// It may reach this machine and private networks
    #[arg(long)]
    private: bool,
}

pub(super) fn name(text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|error| error.to_string())
}

pub(super) fn run(args: &Args) -> Verdict {
    let url = if args.url == "-" {
        let mut text = String::new();
        let read = std::io::stdin().lock().take(LONGEST).read_to_string(&mut text);
        read.map_err(|error| Failure::io("cannot read the URL from standard input", &error))?;
        text.trim().to_owned()
    } else {
        args.url.clone()
    };
    let channel = Channel::parse(&url, args.private).map_err(|error| Failure::usage(error.to_string()))?;
    if let Some(why) = channel.refused() {
        return Err(Failure::usage(why).hint("with --private it may reach this machine and private networks"));
    }
    let place = context::place()?;
    let since = vigie_os::clock::now().wall;
    let entry = Entry { name: args.name.clone(), url, private: args.private, since };
    let refused = Book::change(folder(&place)?, |book| {
        if book.get(args.name.as_str()).is_some() {
            return Some(format!("there is a channel {} already", args.name));
        }
        if book.channels.len() >= MOST {
            return Some(format!("there are {MOST} channels already"));
        }
        book.channels.push(entry);
        None
    })?;
    if let Some(why) = refused {
        return Err(Failure::usage(why).hint(format!("'vigie notify rm {}' removes it", args.name)));
    }
    writeln!(
        std::io::stdout(),
        "{}: {} added; 'vigie notify test {}' sends a message",
        args.name,
        channel.masked(),
        args.name
    )?;
    Ok(0)
}
