//! `vigie notify`: whom to tell of incidents, and when not.

mod add;
mod deliver;
mod ls;
mod rm;
mod silence;
mod test;

use vigie_daemon::views::ViewError;
use vigie_notify::FORMS;
use vigie_notify::book::BookError;
use vigie_os::place::Place;

use crate::failure::{Failure, Verdict};

/// Channels to which incidents are told, and silences
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Whom to tell of incidents (vigie incidents): every channel gets one message when an incident opens and one \
        when it is over, and reminders with a count after hours. Channels are kept in the folder of settings, in a file that \
        only its owner may read; no URL of one is shown anywhere.",
    after_help = examples()
)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Add(add::Args),
    Ls(ls::Args),
    Rm(rm::Args),
    Test(test::Args),
    Silence(silence::Args),
    /// Send one message: what the daemon starts for each
    #[command(hide = true)]
    Deliver,
}

fn examples() -> String {
    let mut text = String::from(
        "Examples:\n  \
            vigie notify add phone ntfy://ntfy.sh/my-secret-topic\n  \
            vigie notify test phone\n  \
            vigie notify silence demo/api --for 2h --reason deploy\n\n\
         Channels:\n",
    );
    for form in FORMS.iter().filter(|form| form.scheme != "webhook") {
        text.push_str(&format!("  {}\n      {}\n", form.form, form.about));
    }
    text.truncate(text.trim_end().len());
    text
}

pub(crate) fn run(args: &Args) -> Verdict {
    match &args.verb {
        Verb::Add(args) => add::run(args),
        Verb::Ls(args) => ls::run(args),
        Verb::Rm(args) => rm::run(args),
        Verb::Test(args) => test::run(args),
        Verb::Silence(args) => silence::run(args),
        Verb::Deliver => deliver::run(),
    }
}

impl From<BookError> for Failure {
    fn from(error: BookError) -> Self {
        use vigie_core::exit_code::ExitCode;
        let code = match &error {
            BookError::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                ExitCode::NotPermitted
            }
            BookError::NotOurs { .. } => ExitCode::NotPermitted,
            BookError::Io { .. } | BookError::Format { .. } => ExitCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ViewError> for Failure {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::Store(error) => error.into(),
            ViewError::Book(error) => error.into(),
        }
    }
}

/// There is no channel of this name.
fn unknown(name: &str) -> Failure {
    Failure::not_found(format!("there is no channel {name:?}")).hint("'vigie notify ls' lists them")
}

/// One object for programs.
fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    use std::io::Write as _;
    let text = serde_json::to_string(value).map_err(|error| Failure::from(std::io::Error::from(error)))?;
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

/// The name of this machine, as messages say it.
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The folder of settings, made when it is not there.
fn folder(place: &Place) -> Result<&std::path::Path, Failure> {
    place.prepare()?;
    Ok(&place.config)
}
