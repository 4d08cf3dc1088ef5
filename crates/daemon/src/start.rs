//! The beginning and the end of the daemon.

use std::path::{Path, PathBuf};

use vigie_api::report;
use vigie_api::time::Millis;
use vigie_core::exit_code::ExitCode;
use vigie_core::journal::{Entry, Subject, What};
use vigie_os::clock;
use vigie_os::error::OsError;
use vigie_os::lock::{Lock, read_label};
use vigie_os::place::Place;
use vigie_os::proc::Proc;
use vigie_store::journal::Journal;
use vigie_store::writer::{Batch, Writer};

use crate::incidents::Incidents;
use crate::input::End;
use crate::ledger::Ledger;
use crate::log::Log;
use crate::serve::{self, Kept};

/// How a daemon is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where its files lie.
    pub place: Place,
    /// The program that holds runs: [`keeper_program`].
    pub keeper: PathBuf,
    /// The program that is a worker: this one.
    pub worker: PathBuf,
    /// It leaves the terminal and the session of who started it, and lets go of its standard error once it serves.
    pub detached: bool,
}

/// Why there is no daemon, or no more.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another is at work.
    #[error("a daemon is running already{}", .0.as_ref().map(|pid| format!(" as PID {pid}")).unwrap_or_default())]
    AlreadyRunning(Option<u32>),
    /// The system refused.
    #[error(transparent)]
    Os(#[from] OsError),
    /// The journal cannot be used.
    #[error(transparent)]
    Store(#[from] vigie_store::Error),
    /// The runtime refused.
    #[error("the daemon cannot {doing}: {source}")]
    Io {
        /// The verb with its object.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

impl StartError {
    /// For `map_err`.
    pub(crate) fn io(doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }

    /// The exit code that fits.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            StartError::AlreadyRunning(_) => ExitCode::AlreadyRunning,
            StartError::Os(error) if error.kind() == std::io::ErrorKind::PermissionDenied => ExitCode::NotPermitted,
            StartError::Os(_) | StartError::Store(_) | StartError::Io { .. } => ExitCode::Internal,
        }
    }
}

/// The program that holds runs: `VIGIE_KEEPER` when it is set, else `vigie-keeper` beside this program. Asked once, at
/// the start: after an upgrade the link to the own program names a file that is gone.
///
/// # Errors
/// When the own program has no name.
pub fn keeper_program() -> std::io::Result<PathBuf> {
    if let Some(program) = std::env::var_os("VIGIE_KEEPER").filter(|program| !program.is_empty()) {
        return Ok(program.into());
    }
    let own = std::env::current_exe()?;
    Ok(own.parent().unwrap_or(Path::new("/")).join("vigie-keeper"))
}

/// Runs a daemon until it is told to end, by a signal (then services go on) or by a client.
///
/// # Errors
/// [`StartError::AlreadyRunning`] when there is one. Everything else before it serves; later nothing ends it but what it
/// is told.
pub fn run(options: Options) -> Result<(), StartError> {
    options.place.prepare()?;
    let lock_path = options.place.daemon_lock();
    let Some(lock) = Lock::take(&lock_path)? else {
        return Err(StartError::AlreadyRunning(holder(&lock_path)));
    };
    if options.detached {
        // It fails only for one who leads a session already; then there is nothing to leave.
        let _ = rustix::process::setsid();
        let _ = rustix::process::chdir("/");
    }
    let started = clock::now();
    let about = report::Daemon {
        schema: vigie_api::SCHEMA,
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: Millis(started.wall),
        home: options.place.runtime.as_path().into(),
    };
    lock.write_label(&serde_json::to_vec(&about).unwrap_or_default())?;
    let log = Log::open(&options.place.state);
    log.line(&format!("version {} began its work as PID {}", about.version, about.pid));
    let open_files = vigie_os::limits::raise_open_files()?;
    let (journal, damage) = Journal::open(&options.place.state, started.wall)?;
    let boot = Proc::system()?.boot_id().clone();
    let mut kept = Kept::read(&journal, &boot, &log)?;
    let seed = vigie_os::random::u64()?;
    let incidents = Incidents::read(&journal, &options.place, kept.same_boot, seed, &log)?;
    let mut documents = std::mem::take(&mut kept.unused);
    documents.push(serve::keep_boot(&boot)?);
    let mut entries: Vec<Entry> = damage.iter().map(|damage| damage.entry(started.wall)).collect();
    if let Some(damage) = &damage {
        log.line(&format!("the journal was damaged ({}); it is kept as {}", damage.why, damage.kept_as.display()));
    }
    let what = What::DaemonStarted { version: about.version.clone(), pid: about.pid };
    entries.push(Entry::new(started.wall, Subject::Daemon, None, what));
    let writer = Writer::spawn(journal).map_err(StartError::io("start the thread that writes the journal"))?;
    let mut ledger = Ledger::new(writer, log.clone());
    ledger.record(Batch { entries, documents });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::io("start its runtime"))?;
    let parts = serve::Beginning {
        options: &options,
        about,
        lock: &lock,
        log: log.clone(),
        open_files,
        kept,
        incidents,
        ledger,
    };
    let (mut ledger, end) = runtime.block_on(serve::serve(parts))?;
    drop(runtime);
    log.line(&format!("ended: {end}"));
    if end == End::Displaced {
        // The journal and what lies at the path of the socket may be another's by now.
        return Ok(ledger.close()?);
    }
    close(&mut ledger, &end);
    let closed = ledger.close();
    // Under the lock: nobody else listens there.
    let _ = std::fs::remove_file(options.place.daemon_socket());
    Ok(closed?)
}

fn close(ledger: &mut Ledger, end: &End) {
    let what = What::DaemonStopped { cause: end.to_string() };
    let entry = Entry::new(clock::now().wall, Subject::Daemon, None, what);
    ledger.record(Batch { entries: vec![entry], documents: Vec::new() });
}

/// Who says that it holds the lock. A label is no proof: it is only named.
fn holder(lock: &Path) -> Option<u32> {
    let label = read_label(lock).ok()??;
    serde_json::from_slice::<report::Daemon>(&label).ok().map(|daemon| daemon.pid)
}
