//! A worker: a process of its own, under a keeper as any service, with the daemon at the other end of a socket (R11.2). One
//! follows events ([`follow`]), one measures ([`measure`]).
//!
//! One task a source asks the engine and never waits for anybody: what it has to tell goes into one bounded queue. When that
//! is full, whoever follows events hangs up, counts, waits for a place, and begins again where the last message that found
//! one stands; what the engine still has is then asked for again, and what it has not is a gap. So a daemon that is slow
//! costs time and no event. What was measured and finds no place is lost, and counted.
//!
//! The worker keeps nothing. The end of the socket ends it, an order to shut down or a signal ends it in order.

mod follow;
mod measure;
mod outbox;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use vigie_core::name::Name;
use vigie_core::units::format_size;
use vigie_os::proc::Proc;
use vigie_wire::frame::{Lines, encode};
use vigie_wire::worker::{Asked, Assigned, Role, Said, VERSION};

use outbox::Outbox;

/// What waits is written in pieces of so many bytes.
const PIECE: usize = 256 << 10;

/// Messages that may wait for the daemon. Of what was measured one may be some hundred kilobytes, and is old soon.
const fn queue(role: Role) -> usize {
    match role {
        Role::Events => 4096,
        Role::Metrics => 64,
    }
}

/// A cycle: how often the worker looks at itself.
const CYCLE: Duration = Duration::from_secs(30);

/// After so many it reports its memory.
const REPORT: u64 = 10;

/// With more resident memory than this it ends, and is started again. A thousand containers take some two mebibytes.
const MEMORY: u64 = 128 << 20;

/// How long the last messages may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why a worker ends otherwise than it was told.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The daemon is not there.
    #[error("the daemon's socket for workers, {path}, cannot be used: {source}")]
    Socket {
        /// The socket.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It uses more than it may.
    #[error("it uses {0} of memory, more than it may, and ends to be started again")]
    Memory(String),
    /// What the daemon says is not understood.
    #[error("the daemon says what is not understood: {0}")]
    Protocol(String),
}

/// A source that is seen to.
struct Task {
    /// Dropping it ends the task in order.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// A source that is followed.
struct Followed {
    task: Task,
    /// Its engine answered somebody else.
    reachable: Arc<Notify>,
}

/// What the worker does.
enum Crew {
    Follows(BTreeMap<Name, Followed>),
    Measures(measure::Crew),
}

/// Sees to the sources that the daemon names, until it is told to end or the daemon is gone.
///
/// # Errors
/// When there is no daemon, or the worker must not go on.
pub fn run(socket: &Path, role: Role) -> Result<(), WorkerError> {
    let failed = |source| WorkerError::Socket { path: socket.display().to_string(), source };
    if role == Role::Metrics {
        // Files of cgroups stay open. With fewer it is opened and closed more often.
        let _ = vigie_os::limits::raise_open_files();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let stream = vigie_os::socket::connect(socket, Duration::from_secs(5))
        .map_err(|error| failed(std::io::Error::other(error.to_string())))?;
    stream.set_nonblocking(true).map_err(failed)?;
    runtime.block_on(async {
        let stream = UnixStream::from_std(stream).map_err(failed)?;
        serve(stream, role).await
    })
}

async fn serve(stream: UnixStream, role: Role) -> Result<(), WorkerError> {
    let system = |source| WorkerError::Socket { path: "signals".to_owned(), source };
    let mut terminate = signal(SignalKind::terminate()).map_err(system)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system)?;
    let (mut reader, mut writer) = stream.into_split();
    let (outbox, mut to_send) = Outbox::new(queue(role));
    let sending = tokio::spawn(async move {
        let mut bytes = Vec::new();
        while let Some(waiting) = to_send.recv().await {
            bytes.clear();
            bytes.shrink_to(PIECE);
            encode_into(&waiting.said, &mut bytes);
            // What waits goes in one piece.
            while bytes.len() < PIECE
                && let Ok(waiting) = to_send.try_recv()
            {
                encode_into(&waiting.said, &mut bytes);
            }
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let program = env!("CARGO_PKG_VERSION").to_owned();
    let pid = std::process::id();
    // It is empty.
    let _ = outbox.put(Said::Ready { version: VERSION, program, role, pid });
    let mut crew = match role {
        Role::Events => Crew::Follows(BTreeMap::new()),
        Role::Metrics => Crew::Measures(measure::Crew::new(outbox.clone())),
    };
    let mut lines = Lines::default();
    let mut buffer = vec![0; 16 << 10];
    let mut cycles = tokio::time::interval(CYCLE);
    let mut cycle = 0;
    let ended = loop {
        tokio::select! {
            read = reader.read(&mut buffer) => match read {
                Ok(count) if count > 0 => {
                    if let Err(error) = lines.push(&buffer[..count]) {
                        break Err(WorkerError::Protocol(error.to_string()));
                    }
                }
                // The daemon is gone, and with it whoever could be told.
                Ok(_) | Err(_) => break Ok(()),
            },
            _ = terminate.recv() => break Ok(()),
            _ = interrupt.recv() => break Ok(()),
            _ = cycles.tick() => {
                cycle += 1;
                if let Err(error) = look_at_itself(cycle, crew.len(), &outbox) {
                    break Err(error);
                }
            }
        }
        match obey(&mut lines, &mut crew, &outbox).await {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    end(crew.into_tasks()).await;
    drop(outbox);
    let _ = tokio::time::timeout(FAREWELL, sending).await;
    ended
}

/// Does what arrived; `false` when it is to end.
async fn obey(lines: &mut Lines, crew: &mut Crew, outbox: &Outbox) -> Result<bool, WorkerError> {
    while let Some(asked) = lines.message().map_err(|error| WorkerError::Protocol(error.to_string()))? {
        match (asked, &mut *crew) {
            (Asked::Shutdown, _) => return Ok(false),
            (Asked::RefreshSources { put, remove }, Crew::Follows(followed)) => {
                refresh(followed, put, &remove, outbox).await;
            }
            (Asked::RefreshSources { put, remove }, Crew::Measures(crew)) => end(crew.refresh(put, &remove)).await,
            (Asked::UpdateInterval { metrics, disk }, Crew::Measures(crew)) => crew.pace(metrics, disk),
            (Asked::Watch { source, containers, length }, Crew::Measures(crew)) => {
                crew.watch(&source, containers, length);
            }
            (Asked::Reachable { source }, Crew::Follows(followed)) => {
                if let Some(one) = followed.get(&source) {
                    one.reachable.notify_one();
                }
            }
            (Asked::Reachable { .. }, Crew::Measures(_)) => {
                return Err(WorkerError::Protocol("it wants something followed of who measures".to_owned()));
            }
            (Asked::UpdateInterval { .. } | Asked::Watch { .. }, Crew::Follows(_)) => {
                return Err(WorkerError::Protocol("it wants something measured of who follows events".to_owned()));
            }
        }
    }
    Ok(true)
}

async fn refresh(followed: &mut BTreeMap<Name, Followed>, put: Vec<Assigned>, remove: &[Name], outbox: &Outbox) {
    for name in put.iter().map(|assigned| &assigned.source.name).chain(remove) {
        if let Some(one) = followed.remove(name) {
            end(vec![one.task]).await;
        }
    }
    for Assigned { source, resume, .. } in put {
        let (stop, stopped) = oneshot::channel();
        let name = source.name.clone();
        let reachable = Arc::new(Notify::new());
        let task = tokio::spawn(follow::follow(source, resume, outbox.clone(), Arc::clone(&reachable), stopped));
        followed.insert(name, Followed { task: Task { stop, task }, reachable });
    }
}

impl Crew {
    fn len(&self) -> usize {
        match self {
            Self::Follows(followed) => followed.len(),
            Self::Measures(crew) => crew.len(),
        }
    }

    fn into_tasks(self) -> Vec<Task> {
        match self {
            Self::Follows(followed) => followed.into_values().map(|one| one.task).collect(),
            Self::Measures(crew) => crew.into_tasks(),
        }
    }
}

/// Ends tasks in order; one that does not end is left behind.
async fn end(tasks: Vec<Task>) {
    let tasks: Vec<JoinHandle<()>> = tasks
        .into_iter()
        .map(|one| {
            drop(one.stop);
            one.task
        })
        .collect();
    for task in tasks {
        let abort = task.abort_handle();
        if tokio::time::timeout(FAREWELL, task).await.is_err() {
            abort.abort();
        }
    }
}

/// Its own memory, reported now and then, and never more than it may be.
fn look_at_itself(cycle: u64, sources: usize, outbox: &Outbox) -> Result<(), WorkerError> {
    let Ok(Some(statm)) = Proc::system().and_then(|proc| proc.statm(std::process::id(), &mut Vec::new())) else {
        return Ok(());
    };
    let bytes = statm.resident_pages * rustix::param::page_size() as u64;
    // The first time right away, so that there is something to compare with.
    if cycle % REPORT == 1 {
        println!("cycle {cycle}: {} resident, {sources} sources", format_size(bytes));
        let _ = outbox.put(Said::Memory { bytes, cycle });
    }
    if bytes > MEMORY { Err(WorkerError::Memory(format_size(bytes))) } else { Ok(()) }
}

fn encode_into(said: &Said, bytes: &mut Vec<u8>) {
    // The types of the protocol are objects with names as keys: they cannot fail.
    if let Ok(line) = encode(said) {
        bytes.extend_from_slice(&line);
    }
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
