//! Ending processes that hold a port: TERM, and KILL for who still has it when its time is over (R7.3).
//!
//! Whoever was seen is held by a descriptor since then, so that nobody else can be met; and it is looked once more whether
//! it still has the port, since a person may take minutes to say yes. The port is what it is about: who gives it up and
//! goes on, with the requests that it has begun, is let go on.

use std::io::ErrorKind;
use std::time::Duration;

use vigie_core::clock::Mono;
use vigie_core::exit_code::ExitCode;
use vigie_core::ladder::Signal;
use vigie_os::clock::mono;
use vigie_os::owners::owners;
use vigie_os::proc::Proc;
use vigie_os::proc::status::Status;

use super::suspect::Suspect;
use crate::failure::Failure;

/// How long a process may take to die of KILL.
const AFTER_KILL: Duration = Duration::from_secs(5);

/// How long is waited for the end of a process that has given up its port.
const LINGER: Duration = Duration::from_secs(1);

/// Between two looks whether it has.
const ROUND: Duration = Duration::from_millis(50);

/// What became of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It had ended by itself.
    Gone,
    /// It ended.
    Ended,
    /// It took a KILL to end it.
    Killed,
    /// It lives and has given the port up; nothing more was done.
    LetGo,
    /// It may not be signalled by this user.
    NotAllowed,
    /// KILL was sent, and it is still there.
    Left {
        /// The letter of its state.
        state: char,
        /// The kernel has the KILL noted and does not end it.
        pending: bool,
    },
}

impl Fate {
    /// The exit code that fits.
    pub(super) fn code(&self) -> ExitCode {
        match self {
            Self::Gone | Self::Ended | Self::Killed | Self::LetGo => ExitCode::Done,
            Self::NotAllowed => ExitCode::NotPermitted,
            Self::Left { pending: true, .. } => ExitCode::Stuck,
            Self::Left { pending: false, .. } => ExitCode::StillAlive,
        }
    }
}

/// Ends them, in this order. `grace`: between TERM and KILL.
///
/// # Errors
/// When `/proc` cannot be read.
pub(super) fn end(proc: &Proc, suspects: &[&Suspect], grace: Duration) -> Result<Vec<Fate>, Failure> {
    let mut fates = Vec::new();
    for suspect in suspects {
        fates.push(ask(proc, suspect)?);
    }
    let open = |fates: &[Option<Fate>]| -> Vec<usize> { (0..fates.len()).filter(|at| fates[*at].is_none()).collect() };
    let climbing: Vec<&Suspect> = open(&fates).into_iter().map(|place| suspects[place]).collect();
    wait(proc, &climbing, mono() + grace)?;
    let mut killed = Vec::new();
    for place in open(&fates) {
        let target = &suspects[place].target;
        fates[place] = if target.is_dead()? {
            Some(Fate::Ended)
        } else if !holds(proc, suspects[place])? {
            Some(Fate::LetGo)
        } else {
            target.send(Signal::Kill)?;
            killed.push(place);
            None
        };
    }
    let deadline = mono() + AFTER_KILL;
    for place in killed {
        let dead = suspects[place].target.wait(deadline)?;
        fates[place] = Some(if dead { Fate::Killed } else { left(proc, suspects[place])? });
    }
    Ok(fates.into_iter().flatten().collect())
}

/// TERM, and CONT for who was stopped and would never hear of it. What needs nothing more to be done has its fate.
fn ask(proc: &Proc, suspect: &Suspect) -> Result<Option<Fate>, Failure> {
    if suspect.target.is_dead()? {
        return Ok(Some(Fate::Gone));
    }
    if !holds(proc, suspect)? {
        return Ok(Some(Fate::LetGo));
    }
    match suspect.target.send(Signal::Term) {
        Ok(true) => {
            suspect.target.send(Signal::Cont)?;
            Ok(None)
        }
        Ok(false) => Ok(Some(Fate::Gone)),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(Some(Fate::NotAllowed)),
        Err(error) => Err(error.into()),
    }
}

/// Whether it has one of its sockets still. Who only would start another one again is meant as long as it lives.
fn holds(proc: &Proc, suspect: &Suspect) -> Result<bool, Failure> {
    let owners = owners(proc, &suspect.inodes, &[suspect.target.key().pid])?;
    Ok(suspect.inodes.is_empty() || !owners.found.is_empty())
}

/// Waits until all are dead, or have given up the port for a while; or for the deadline.
fn wait(proc: &Proc, suspects: &[&Suspect], deadline: Mono) -> Result<(), Failure> {
    let mut given_up: Option<Mono> = None;
    loop {
        let now = mono();
        let round = deadline.min(now + ROUND);
        let (mut alive, mut holding) = (false, false);
        for suspect in suspects {
            if !suspect.target.wait(round)? {
                alive = true;
                holding = holding || holds(proc, suspect)?;
            }
        }
        given_up = if holding { None } else { given_up.or(Some(now)) };
        let lingered = given_up.is_some_and(|since| mono().since(since) > LINGER);
        if !alive || lingered || mono() >= deadline {
            return Ok(());
        }
    }
}

/// What is left after a KILL.
fn left(proc: &Proc, suspect: &Suspect) -> Result<Fate, Failure> {
    let pid = suspect.target.key().pid;
    let mut buffer = Vec::new();
    let state = proc.stat(pid, &mut buffer)?.map_or('?', |stat| char::from(stat.state));
    let status = proc.status(pid, &mut buffer)?.unwrap_or_default();
    let pending = Status::has(status.pending | status.shared_pending, Signal::Kill.number());
    Ok(Fate::Left { state, pending })
}
