//! Starting the daemon when a command needs one (R3.3).

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use vigie_api::{Client, path, report};
use vigie_core::exit_code::ExitCode;
use vigie_os::place::Place;
use vigie_os::remains::MARK;

/// How long a daemon may take until it serves. It asks every keeper first.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where another one holds the lock, the next try follows after this, then after twice that, up to [`LAST_TURN`].
const FIRST_TURN: Duration = Duration::from_millis(50);

/// See [`FIRST_TURN`].
const LAST_TURN: Duration = Duration::from_secs(1);

/// How long one that serves may take to say who it is. One that takes longer is stopped or stuck.
const ANSWER: Duration = Duration::from_secs(5);

/// Between two tries to reach a daemon that another command is just starting.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Why there is no daemon.
#[derive(Debug, thiserror::Error)]
pub enum EnsureError {
    /// The program could not be started.
    #[error("cannot start the daemon {}: {source}", .program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It ended before it served.
    #[error("the daemon did not start ({status}){}", if .said.is_empty() { String::new() } else { format!(": {}", .said) })]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// What it wrote.
        said: String,
    },
    /// It takes too long.
    #[error("the daemon was started and does not serve after {} seconds; see daemon.log in the state folder", PATIENCE.as_secs())]
    Silent,
    /// There is one, and it does not answer.
    #[error("a daemon is there and does not answer")]
    Deaf,
    /// It answers, and not with what it should.
    #[error(transparent)]
    Api(#[from] vigie_api::Error),
}

impl EnsureError {
    /// The exit code that fits.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            EnsureError::Spawn { .. } | EnsureError::Failed { .. } | EnsureError::Silent | EnsureError::Deaf => {
                ExitCode::Unreachable
            }
            EnsureError::Api(error) => error.exit_code(),
        }
    }
}

/// Connects to the user's daemon; when there is none, starts `program` as `daemon run --detach` and waits until it
/// serves. Any number of commands may do this at once: one daemon wins its lock, all others end, and whoever started one
/// of those finds the winner. Returns who it is, and whether this call started it.
///
/// # Errors
/// [`EnsureError`]
pub async fn ensure_running(place: &Place, program: &Path) -> Result<(Client, report::Daemon, bool), EnsureError> {
    let client = Client::new(place.daemon_socket());
    if let Some(daemon) = reach(&client).await? {
        return Ok((client, daemon, false));
    }
    let started = tokio::time::timeout(PATIENCE, start(&client, program)).await;
    let (daemon, ours) = started.map_err(|_| EnsureError::Silent)??;
    Ok((client, daemon, ours))
}

async fn reach(client: &Client) -> Result<Option<report::Daemon>, EnsureError> {
    let asked = tokio::time::timeout(ANSWER, client.get_json::<report::Daemon>(path::DAEMON)).await;
    match asked.map_err(|_| EnsureError::Deaf)? {
        Ok(daemon) => Ok(Some(daemon)),
        // Also one that goes away in this moment: another is started in its place.
        Err(error) if error.is_unreachable() || matches!(error, vigie_api::Error::Broken { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn start(client: &Client, program: &Path) -> Result<(report::Daemon, bool), EnsureError> {
    let mut patience = FIRST_TURN;
    loop {
        let (mut child, said) = spawn(program).await?;
        // Another daemon holds the lock and does not serve yet; or it was about to end, and there is none by now.
        let again = Instant::now() + patience;
        loop {
            if let Some(daemon) = reach(client).await? {
                let ours = child.id() == Some(daemon.pid);
                return Ok((daemon, ours));
            }
            if let Ok(Some(status)) = child.try_wait() {
                if status.code() != Some(ExitCode::AlreadyRunning.number().into()) {
                    return Err(EnsureError::Failed { status, said });
                }
                if Instant::now() >= again {
                    break;
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        patience = (patience * 2).min(LAST_TURN);
    }
}

/// Starts one, and waits until it serves or ends. What it said.
async fn spawn(program: &Path) -> Result<(Child, String), EnsureError> {
    let spawned = Command::new(program)
        .args(["daemon", "run", "--detach"])
        // The daemon is no part of the run that this command may be in.
        .env_remove(MARK)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.map_err(|source| EnsureError::Spawn { program: program.to_owned(), source })?;
    // It closes its standard error when it serves, and when it ends.
    let mut said = String::new();
    if let Some(stderr) = &mut child.stderr {
        let _ = stderr.take(64 << 10).read_to_string(&mut said).await;
    }
    Ok((child, said.trim_end().to_owned()))
}
