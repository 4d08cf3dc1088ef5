//! `vigie source`: container engines that are watched.

mod add;
mod set;
mod show;
mod test;

use std::io::Write as _;

use vigie_api::source::{Answer, Change, Request, Shown, Sources};
use vigie_api::{Client, SCHEMA, path};
use vigie_core::docker::source::Source;
use vigie_core::exit_code::ExitCode;
use vigie_core::name::Name;
use vigie_os::place::Place;
use vigie_store::journal::Reader;

use crate::failure::{Failure, Verdict};
use crate::{context, daemon};

/// How long the daemon may take for what it has ready.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// Watch container engines: add, list, test, pause and remove them
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Watch container engines. A source is a Docker or Podman engine under a name: a socket of this machine, one \
        over TCP with or without TLS, one over SSH, or a context of 'docker'. What happens to its containers goes into the \
        journal, each event once; where the engine has forgotten events, the journal has a gap, with its reason. \
        'vigie events source:NAME' and 'vigie events container:NAME' show it. What containers use, and how full its disk is, is \
        measured: 'vigie metrics container:NAME' and 'vigie metrics source:NAME'.",
    after_help = "Examples:\n  \
        vigie source add local unix:///var/run/docker.sock\n  \
        vigie source add nas tcp://nas:2376 --tls-ca ca.pem --tls-cert cert.pem --tls-key key.pem\n  \
        vigie source add lab ssh://ana@lab --poll 60s\n  \
        vigie source test nas\n  \
        vigie source set nas disk=on disk-above=90%\n  \
        vigie events -f source:nas"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Add an engine, or give one other settings
    ///
    /// The engine need not answer now. Keys for TLS stay where they lie: only their paths are kept.
    Add(add::Args),
    /// Change some settings of one, all or none
    Set(set::Args),
    /// List them, and how each stands
    Ls {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Remove one; the journal keeps what happened
    Rm {
        /// Its name
        #[arg(value_name = "NAME", value_parser = name)]
        name: Name,
    },
    /// Ask an engine who it is and what would be collected
    ///
    /// By the name of a source, or an endpoint that is none yet. It needs no daemon. Exit code 9 when it does not answer.
    Test(test::Args),
    /// Ask nothing of one any more, until it is resumed
    Pause {
        /// Its name
        #[arg(value_name = "NAME", value_parser = name)]
        name: Name,
    },
    /// Go on with one that was paused, from where it was
    Resume {
        /// Its name
        #[arg(value_name = "NAME", value_parser = name)]
        name: Name,
    },
}

fn name(text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|error| error.to_string())
}

pub(crate) fn run(args: &Args) -> Verdict {
    match &args.verb {
        Verb::Add(args) => add::run(args),
        Verb::Set(args) => set::run(args),
        Verb::Ls { json } => ls(*json),
        Verb::Rm { name } => change(Change::Remove(name.clone()), &format!("{name}: removed")),
        Verb::Test(args) => test::run(args),
        Verb::Pause { name } => change(Change::Pause(name.clone()), &format!("{name}: paused")),
        Verb::Resume { name } => change(Change::Resume(name.clone()), &format!("{name}: resumed")),
    }
}

fn ls(json: bool) -> Verdict {
    let place = context::place()?;
    let (sources, told) = look(&place)?;
    if json {
        let text = serde_json::to_string(&sources)
            .map_err(|error| Failure::io("cannot write JSON", &std::io::Error::other(error)))?;
        writeln!(std::io::stdout(), "{text}")?;
        return Ok(0);
    }
    std::io::stdout().write_all(show::table(&sources, told).as_bytes())?;
    Ok(0)
}

/// Who told of the sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// The daemon.
    Daemon,
    /// What is kept.
    Documents,
}

/// All sources: from the daemon, and without one as they are kept, when nothing is known of how they stand.
fn look(place: &Place) -> Result<(Sources, Told), Failure> {
    let client = Client::new(place.daemon_socket());
    let asked = daemon::runtime()?
        .block_on(async { tokio::time::timeout(PATIENCE, client.get_json::<Sources>(path::SOURCES)).await });
    match asked {
        Ok(Ok(sources)) => Ok((sources, Told::Daemon)),
        Ok(Err(error)) if error.is_unreachable() => {
            let sources = kept(place)?.into_iter().map(unseen).collect();
            Ok((Sources { schema: SCHEMA, sources, worker: None, metrics_worker: None }, Told::Documents))
        }
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(daemon::silent(place)),
    }
}

/// The settings of all sources, in the order of their names.
fn kept(place: &Place) -> Result<Vec<Source>, Failure> {
    let reader = match Reader::open(&place.state) {
        Ok(reader) => reader,
        Err(vigie_store::Error::Absent { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    Ok(reader.documents("source")?.iter().filter_map(|document| document.parse().ok()).collect())
}

fn unseen(source: Source) -> Shown {
    Shown {
        source,
        online: None,
        stage: None,
        why: None,
        retry_at: None,
        engine: None,
        same_engine_as: None,
        containers: None,
        last_event: None,
        bad_lines: None,
        dropped: None,
        last_cycle: None,
        last_disk: None,
        not_measured: None,
    }
}

/// Has the daemon change something, and says what came of it.
fn change(change: Change, done: &str) -> Verdict {
    ask(change)?;
    writeln!(std::io::stdout(), "{done}")?;
    Ok(0)
}

/// Has the daemon change something; it is started when it is not there. The source as it is then.
fn ask(change: Change) -> Result<Option<Box<Shown>>, Failure> {
    let place = context::place()?;
    let request = Request { change, origin: context::origin(&context::proc()?)? };
    let answered = daemon::runtime()?.block_on(async {
        let client = daemon::connect(&place).await?;
        let asked = async {
            let mut lines = client.post_stream::<_, Answer>(path::SOURCES, &request).await?;
            lines.next().await
        };
        Ok::<_, Failure>(daemon::patiently(&place, &client, asked).await??)
    })?;
    match answered {
        Some(Answer::Done(shown)) => Ok(shown),
        Some(Answer::Error(detail)) => Err(Failure::new(detail.code, detail.message)),
        None => Err(Failure::new(ExitCode::Unreachable, "the daemon ended before it had answered").hint("try again")),
    }
}
