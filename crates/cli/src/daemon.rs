//! Talking with the daemon.

use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use vigie_api::status::Report;
use vigie_api::{Client, path, report};
use vigie_core::exit_code::ExitCode;
use vigie_os::lock::read_label;
use vigie_os::place::Place;
use vigie_os::proc::Proc;

use crate::failure::Failure;

/// How long a daemon may take for an answer that it has ready. One that takes longer is stopped or stuck.
const PATIENCE: Duration = Duration::from_secs(5);

/// What requests run on: one thread, this one.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("cannot wait for the daemon", &error))
}

/// Asks the daemon what runs. Absent when there is none.
///
/// # Errors
/// When there is one and it does not answer, or not so that it can be understood.
pub(crate) async fn status(place: &Place, watch: bool) -> Result<Option<Report>, Failure> {
    let client = Client::new(place.daemon_socket());
    let query = if watch { format!("{}?watch=1", path::STATUS) } else { path::STATUS.to_owned() };
    match tokio::time::timeout(PATIENCE, client.get_json(&query)).await {
        Ok(Ok(report)) => Ok(Some(report)),
        // One that goes away while it is asked is none, either.
        Ok(Err(error)) if error.is_unreachable() || matches!(error, vigie_api::Error::Broken { .. }) => Ok(None),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(silent(place)),
    }
}

/// Has the daemon store what it measured until now, so that whoever reads the samples sees the last. One that is not there
/// or does not answer has stored what it could.
pub(crate) async fn flush_samples(place: &Place) {
    let client = Client::new(place.daemon_socket());
    let flushed = client.post_json::<(), vigie_api::metrics::Flushed>(path::FLUSH_SAMPLES, &());
    let _ = tokio::time::timeout(PATIENCE, flushed).await;
}

/// Has these containers measured every second for a while. Where that does not come about, they are measured as ever.
pub(crate) async fn watch_containers(place: &Place, watch: &vigie_api::source::Watch) {
    let client = Client::new(place.daemon_socket());
    let watched = client.post_json::<_, serde_json::Value>(path::WATCH_SAMPLES, watch);
    let _ = tokio::time::timeout(PATIENCE, watched).await;
}

/// Waits for what the daemon is to say, however long, as long as it is awake: one that is stopped or stuck never will.
///
/// # Errors
/// When it does not answer.
pub(crate) async fn patiently<T>(
    place: &Place,
    client: &Client,
    answer: impl Future<Output = T>,
) -> Result<T, Failure> {
    let mut answer = std::pin::pin!(answer);
    loop {
        if let Ok(answer) = tokio::time::timeout(PATIENCE, &mut answer).await {
            return Ok(answer);
        }
        // That it is gone or refuses, the answer itself tells.
        let awake = client.get_json::<report::Daemon>(path::DAEMON);
        if tokio::time::timeout(PATIENCE, awake).await.is_err() {
            return Err(silent(place));
        }
    }
}

/// A client of the daemon, which is started when it is not there.
///
/// # Errors
/// When it cannot be started.
pub(crate) async fn connect(place: &Place) -> Result<Client, Failure> {
    match vigie_daemon::ensure_running(place, &program()?).await {
        Ok((client, _, _)) => Ok(client),
        Err(vigie_daemon::EnsureError::Deaf) => Err(silent(place)),
        Err(error) => Err(error.into()),
    }
}

/// This program's own file, which also is the daemon. Linux marks one that was replaced while it runs (proc_pid_exe(5));
/// the new one lies at the old place.
pub(crate) fn program() -> Result<PathBuf, Failure> {
    let path = std::env::current_exe().map_err(|error| Failure::io("cannot tell where vigie lies", &error))?;
    let name = path.to_str().and_then(|text| text.strip_suffix(" (deleted)"));
    Ok(name.map_or(path.clone(), PathBuf::from))
}

impl From<vigie_daemon::EnsureError> for Failure {
    fn from(error: vigie_daemon::EnsureError) -> Self {
        Self::new(error.exit_code(), error.to_string())
    }
}

/// The daemon has the socket and says nothing: which process it is, and what can be done.
pub(crate) fn silent(place: &Place) -> Failure {
    let label = read_label(&place.daemon_lock()).ok().flatten();
    let Some(daemon) = label.and_then(|label| serde_json::from_slice::<report::Daemon>(&label).ok()) else {
        return Failure::new(ExitCode::Unreachable, "the daemon does not answer").hint("services go on without it");
    };
    let pid = daemon.pid;
    if halted(pid) == Some(Halt::Signal) {
        let message = format!("the daemon, PID {pid}, does not answer: a signal has stopped it");
        return Failure::new(ExitCode::Unreachable, message)
            .hint(format!("'kill -CONT {pid}' lets it go on; services go on without it"));
    }
    Failure::new(ExitCode::Unreachable, format!("the daemon, PID {pid}, does not answer"))
        .hint(format!("after 'kill -KILL {pid}' the next command starts another; services go on meanwhile"))
}

/// What has stopped a process, so that it does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Halt {
    /// A signal; CONT lets it go on.
    Signal,
    /// A debugger; only KILL reaches it.
    Debugger,
}

/// Whether and how the main thread of a process is stopped (`state` in proc_pid_stat(5)).
pub(crate) fn halted(pid: u32) -> Option<Halt> {
    let proc = Proc::system().ok()?;
    let mut buffer = Vec::new();
    match proc.stat(pid, &mut buffer).ok()??.state {
        b'T' => Some(Halt::Signal),
        b't' => Some(Halt::Debugger),
        _ => None,
    }
}
