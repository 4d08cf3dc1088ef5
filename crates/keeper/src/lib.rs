//! The process that holds one service.
//!
//! # Theory of operation
//!
//! A keeper is started with a connected Unix stream socket as descriptor 0 and nothing else: no arguments, and an empty
//! environment is enough. Or it is forked from a process that was started with a socket of messages ([`nursery`]). The
//! first line on its socket is a [`vigie_wire::keeper::Request::Launch`]. Then:
//!
//! 1. It takes the service's lock, or names who has it and ends ([`hold`]).
//! 2. Under the lock it ends what an earlier keeper, killed, may have left ([`survivors`]), listens on the control socket
//!    in the folder, writes its record and says `locked`.
//! 3. On `Go` it spawns the service, inside of a cgroup of its own where it may make one; or it adopts a process that runs
//!    already ([`adopting`]).
//! 4. One thread, one poll loop ([`keeper`]): requests ([`clients`], [`requests`]), ends of children ([`course`]),
//!    output ([`output`]), the ladder's deadline. While nothing happens it sleeps.
//!    What no signal ends is set aside on request ([`quarantine`]).
//! 5. The run is over when the kernel says that the tree is empty: no child is left to wait for, and the cgroup is not
//!    populated. Then it ends too, unless a controlling client wants another run under the same lock.
//!
//! Whatever happens is an event: written to `events.jsonl` and into the record first, told to watchers afterwards. So a
//! daemon that was away misses nothing, and a keeper that is killed leaves a record that says what to look for.
//!
//! Nothing here waits for a client, a disk or a child: only [`hold`] and [`survivors`], before the run, each with a
//! deadline.

mod adopting;
mod clients;
mod course;
mod eventlog;
mod folder;
mod hold;
mod keeper;
mod nursery;
mod output;
mod quarantine;
mod requests;
mod spawning;
mod survivors;
mod tree;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::net::SocketType;

use vigie_core::clock::Mono;
use vigie_core::exit_code;
use vigie_core::launch::{Group, Launch};
use vigie_os::cgroup::{self, Cgroup};
use vigie_os::clock::mono;
use vigie_os::error::OsError;
use vigie_os::ghosts;
use vigie_os::poll::{Interest, PollSet};
use vigie_os::proc::Proc;
use vigie_os::signals::{SignalFd, become_subreaper, set_process_name};
use vigie_wire::keeper::{Answer, Request};

use clients::Client;
use folder::Folder;
use hold::Outcome;
use keeper::Keeper;
use survivors::SurvivorsError;

/// How long whoever started the keeper may take to send the launch.
const LAUNCH: Duration = Duration::from_secs(10);

/// What a person reads who starts it by hand.
const BY_HAND: &str = "vigie-keeper holds one service for vigie and is started by it; use: vigie run -- COMMAND\n";

/// Why a keeper ends before its run.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Os(#[from] OsError),
    #[error("the keeper cannot {0}: {1}")]
    Kernel(&'static str, rustix::io::Errno),
    #[error(transparent)]
    Survivors(#[from] SurvivorsError),
    #[error("run {0} was there already; each run needs an id of its own")]
    SameRun(vigie_core::identity::RunId),
}

/// The whole life of the process. Exit codes: 0, and of [`exit_code::ExitCode`] `Usage` (started by hand),
/// `AlreadyRunning` (refused), `RunFailed` (the run could not begin; the connection was told why).
pub fn run() -> ExitCode {
    run_within(cgroup::own(Path::new("/proc")))
}

/// [`run`], with these cgroup folders to make its own ones in. Without any, runs are held by descent alone.
pub fn run_within(own: cgroup::Own) -> ExitCode {
    let code = match task() {
        None => {
            // There is nobody else who could be told.
            let _ = rustix::io::write(rustix::stdio::stderr(), BY_HAND.as_bytes());
            exit_code::ExitCode::Usage
        }
        Some(Task::Keep(connection)) => serve(Client::new(connection), Proc::system, own),
        Some(Task::Fork(requests)) => match nursery::serve(requests) {
            Some((connection, proc)) => serve(Client::new(connection), || Ok(proc), own),
            None => exit_code::ExitCode::Done,
        },
    };
    ExitCode::from(code.number())
}

/// What the process is there for.
enum Task {
    /// To keep what comes over this connection.
    Keep(OwnedFd),
    /// To fork keepers for whoever asks over this socket.
    Fork(OwnedFd),
}

/// Takes the socket from descriptor 0, where the null device then stands in its place: no child may inherit it. Its kind
/// says what is wanted, rather than an argument: that would stand in the command line of every forked keeper, too.
fn task() -> Option<Task> {
    let stdin = rustix::stdio::stdin();
    let kind = rustix::net::sockopt::socket_type(stdin).ok()?;
    let socket = rustix::io::fcntl_dupfd_cloexec(stdin, 3).ok()?;
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY, Mode::empty()).ok()?;
    rustix::stdio::dup2_stdin(&null).ok()?;
    match kind {
        SocketType::STREAM => Some(Task::Keep(socket)),
        SocketType::SEQPACKET => Some(Task::Fork(socket)),
        _ => None,
    }
}

fn serve(mut client: Client, proc: impl FnOnce() -> Result<Proc, OsError>, own: cgroup::Own) -> exit_code::ExitCode {
    let Some(launch) = await_launch(&mut client, mono() + LAUNCH) else {
        return exit_code::ExitCode::RunFailed;
    };
    match start(&mut client, &launch.launch, proc, &own) {
        Ok(Started::Held(parts)) => {
            let mut keeper = Keeper::new(*parts, own, launch.stdin, client);
            keeper.begin(launch.launch);
            keeper.run();
            exit_code::ExitCode::Done
        }
        Ok(Started::Refused) => exit_code::ExitCode::AlreadyRunning,
        Err(error) => {
            client.refuse_run(launch.launch.run, error.to_string());
            exit_code::ExitCode::RunFailed
        }
    }
}

/// The first line, and what came along with it.
struct FirstLine {
    launch: Box<Launch>,
    /// The standard input for [`vigie_core::launch::Input::Inherit`].
    stdin: Option<OwnedFd>,
}

fn await_launch(client: &mut Client, deadline: Mono) -> Option<FirstLine> {
    let mut stdin = None;
    loop {
        match client.next() {
            Some(Request::Launch(launch)) => return Some(FirstLine { launch, stdin }),
            Some(_) => client.refuse("the first line must be a launch"),
            None if client.is_gone() => return None,
            None => {
                let mut set = PollSet::default();
                let place = set.add(&*client, Interest::Read);
                let left = deadline.since(mono());
                if set.wait(Some(left)).is_err() || left.is_zero() {
                    client.refuse("no launch came in time");
                    return None;
                }
                if set.ready(place) {
                    stdin = client.read().or(stdin);
                }
            }
        }
    }
}

enum Started {
    Held(Box<keeper::Parts>),
    Refused,
}

/// Everything up to the lock, and what must be done first under it.
fn start(
    client: &mut Client,
    launch: &Launch,
    proc: impl FnOnce() -> Result<Proc, OsError>,
    own: &cgroup::Own,
) -> Result<Started, StartError> {
    let signals = SignalFd::take(&keeper::HEEDED, &keeper::UNHEEDED)
        .map_err(|errno| StartError::Kernel("take over its signals", errno))?;
    become_subreaper().map_err(|errno| StartError::Kernel("become a subreaper", errno))?;
    leave(launch.group);
    set_process_name(&format!("vigie:{}", launch.key.service));
    let proc = proc()?;
    let dir = launch.folder.as_path();
    Folder::prepare(dir)?;
    let lock = match hold::take(&proc, launch)? {
        Outcome::Held(lock) => lock,
        Outcome::Refused(holder) => {
            client.send(&[Answer::Refused { holder }]);
            return Ok(Started::Refused);
        }
    };
    if let Some(label) = hold::label(launch) {
        // An orderly end clears the label. A keeper that was killed may have made a cgroup and not yet written of it.
        Cgroup::sweep(own, label.run, label.keeper.pid);
    }
    let (mut survivors, mut spared) = (None, None);
    if let Some(last) = Folder::last_state(dir) {
        if last.holder.run == launch.run {
            return Err(StartError::SameRun(launch.run));
        }
        if ghosts::find(&ghosts::beside(dir), last.holder.run).is_some() {
            // Its keeper was killed right after it had set aside what is left: that is nobody's to end.
        } else if launch.adopt.as_ref().is_some_and(|process| survivors::includes(&proc, &last, process)) {
            spared = Some(Box::new(last));
        } else {
            let count = survivors::end(&proc, &last)?;
            survivors = (count > 0).then_some((last.holder.run, count));
        }
    }
    let folder = Folder::open(dir, lock)?;
    let listener = folder.listen()?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| OsError::new("open", "/dev/null".to_owned(), errno))?;
    Ok(Started::Held(Box::new(keeper::Parts { proc, signals, folder, listener, null, survivors, spared })))
}

/// Leaves the terminal of whoever started it: entirely, or, when the service is to stay in its foreground, only the
/// group that the terminal's signals go to.
fn leave(group: Group) {
    // It fails only for one who leads already; then there is nothing to leave.
    let _ = match group {
        Group::Own => rustix::process::setsid().map(|_| ()),
        Group::Join { .. } => rustix::process::setpgid(None, None),
    };
    // No folder is kept from being removed or unmounted.
    let _ = rustix::process::chdir("/");
}
