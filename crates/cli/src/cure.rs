//! What `vigie_core::stuck::Cure` describes, carried out: who may be touched, how long it may take, what came of it.

use std::time::Duration;

use vigie_core::exit_code::ExitCode;
use vigie_core::ladder::Signal;
use vigie_core::protect::{Asker, Facts, Protection, protection};
use vigie_core::stuck::Cure;
use vigie_core::text::OsText;
use vigie_core::why::facts::Process;
use vigie_os::pidfd::Target;
use vigie_os::proc::Proc;
use vigie_os::{cure, strays, user};

use crate::failure::Failure;

/// How long the kernel may take to do what it was told.
const DONE: Duration = Duration::from_secs(5);

/// Between TERM and KILL, as for everything that `vigie end` ends.
const AFTER_TERM: Duration = Duration::from_secs(10);

/// How long KILL may take.
const AFTER_KILL: Duration = Duration::from_secs(3);

/// Who it is done to, for people.
pub(crate) fn whom(cure: &Cure) -> String {
    match cure {
        Cure::Signal { process, .. } | Cure::End { process, .. } | Cure::Tell { process } => process.label(),
        Cure::ThawCgroup { folder, .. } => format!("cgroup {folder}"),
        Cure::AbortFuse { connection } => format!("FUSE connection {connection}"),
        Cure::ThawFilesystem { point, .. } => format!("file system {point}"),
        Cure::DrainPipe { writer, fd, .. } => format!("descriptor {fd} of {}", writer.label()),
    }
}

/// What is done, in a word or two.
pub(crate) fn what(cure: &Cure) -> String {
    match cure {
        Cure::Signal { signal: Signal::Cont, .. } => "continue".to_owned(),
        Cure::Signal { signal, .. } => format!("send {signal}"),
        Cure::Tell { .. } => "tell".to_owned(),
        Cure::End { role: "itself", .. } => "end".to_owned(),
        Cure::End { role, .. } => format!("end the {role}"),
        Cure::ThawCgroup { .. } | Cure::ThawFilesystem { .. } => "thaw".to_owned(),
        Cure::AbortFuse { .. } => "abort".to_owned(),
        Cure::DrainPipe { .. } => "drain".to_owned(),
    }
}

/// The mildest first: what only lets something go on, what loses something, what ends somebody, what fails for all.
pub(crate) fn rank(cure: &Cure) -> u8 {
    match cure {
        Cure::Tell { .. } | Cure::Signal { signal: Signal::Cont, .. } => 0,
        Cure::ThawCgroup { .. } | Cure::ThawFilesystem { .. } => 1,
        Cure::DrainPipe { .. } => 2,
        Cure::AbortFuse { .. } => 3,
        Cure::End { role: "itself", .. } => 4,
        Cure::End { .. } => 5,
        Cure::Signal { .. } => 6,
    }
}

/// The process that is ended by it, if one is.
pub(crate) fn ends(cure: &Cure) -> Option<&Process> {
    match cure {
        Cure::Signal { signal: Signal::Cont, .. } | Cure::Tell { .. } => None,
        Cure::Signal { process, .. } | Cure::End { process, .. } => Some(process),
        Cure::ThawCgroup { .. } | Cure::AbortFuse { .. } | Cure::ThawFilesystem { .. } | Cure::DrainPipe { .. } => None,
    }
}

/// The same deed, though what is known of its process may have changed.
pub(crate) fn is_same(one: &Cure, other: &Cure) -> bool {
    match (one, other) {
        (Cure::Signal { process: a, signal: x }, Cure::Signal { process: b, signal: y }) => a.key == b.key && x == y,
        (Cure::End { process: a, .. }, Cure::End { process: b, .. })
        | (Cure::Tell { process: a }, Cure::Tell { process: b }) => a.key == b.key,
        (Cure::ThawFilesystem { device: a, .. }, Cure::ThawFilesystem { device: b, .. }) => a == b,
        (Cure::DrainPipe { inode: a, .. }, Cure::DrainPipe { inode: b, .. }) => a == b,
        (one, other) => one == other,
    }
}

/// Carries out cures.
pub(crate) struct Doer<'a> {
    proc: &'a Proc,
    ancestors: Vec<u32>,
    named: Option<u32>,
}

impl<'a> Doer<'a> {
    /// `named`: the process that somebody named by its number; that one is meant, an editor or a shell as well.
    pub(crate) fn new(proc: &'a Proc, named: Option<u32>) -> Result<Self, Failure> {
        Ok(Self { proc, ancestors: strays::ancestors(proc)?, named })
    }

    /// Does it, and returns when the kernel says that it is so: what was done, for people. Whether that was enough is
    /// another question.
    ///
    /// # Errors
    /// Exit code 4 and up: refused, not permitted, or not done by the deadline.
    pub(crate) fn perform(&self, cure: &Cure) -> Result<String, Failure> {
        let deadline = vigie_os::clock::mono() + DONE;
        match cure {
            Cure::Signal { process, signal: Signal::Cont } => {
                let Some(target) = self.open(process)? else { return Ok(gone(process)) };
                cure::cont(self.proc, &target, deadline)?;
                Ok(format!("{} goes on", process.label()))
            }
            Cure::Tell { process } => {
                let Some(target) = self.open(process)? else { return Ok(gone(process)) };
                cure::tell(&target)?;
                Ok(format!("{} was told", process.label()))
            }
            Cure::Signal { process, signal } => {
                // That it is the first of a namespace is why it takes KILL, and nothing less.
                self.guard(process, true)?;
                let Some(target) = self.open(process)? else { return Ok(gone(process)) };
                target.send(*signal)?;
                self.ended(process, target.wait(vigie_os::clock::mono() + AFTER_KILL)?)
            }
            Cure::End { process, .. } => {
                self.guard(process, false)?;
                let Some(target) = self.open(process)? else { return Ok(gone(process)) };
                target.send(Signal::Term)?;
                if target.wait(vigie_os::clock::mono() + AFTER_TERM)? {
                    return self.ended(process, true);
                }
                target.send(Signal::Kill)?;
                self.ended(process, target.wait(vigie_os::clock::mono() + AFTER_KILL)?)
            }
            Cure::ThawCgroup { version, folder } => {
                cure::thaw_cgroup(*version, folder.as_path(), deadline)?;
                Ok(format!("cgroup {folder} is thawed"))
            }
            Cure::AbortFuse { connection } => {
                cure::abort_fuse(*connection, deadline)?;
                Ok(format!("FUSE connection {connection} is aborted"))
            }
            Cure::ThawFilesystem { witness, point, device } => {
                cure::thaw_filesystem(self.proc, &witness.key, point.as_path(), *device, deadline)?;
                Ok(format!("the file system at {point} is thawed"))
            }
            Cure::DrainPipe { writer, fd, inode } => {
                let bytes = cure::drain_pipe(self.proc, &writer.key, *fd, *inode, deadline)?;
                Ok(format!("{bytes} bytes were read away and are lost"))
            }
        }
    }

    fn open(&self, process: &Process) -> Result<Option<Target>, Failure> {
        Ok(Target::open(self.proc, &process.key)?)
    }

    fn ended(&self, process: &Process, ended: bool) -> Result<String, Failure> {
        if ended {
            return Ok(format!("{} has ended", process.label()));
        }
        let message = format!("{} was sent KILL and has not ended", process.label());
        let hint = format!("'vigie why pid:{}' says what holds it", process.pid());
        Err(Failure::new(ExitCode::Stuck, message).hint(hint))
    }

    /// Whom nobody ends this way (R4.5), looked at once more.
    fn guard(&self, process: &Process, first_too: bool) -> Result<(), Failure> {
        let found = self.protection(process)?.filter(|found| {
            let is_named = self.named == Some(process.pid());
            !(is_named && found.yields_to_proof() || first_too && *found == Protection::Init && process.pid() > 1)
        });
        match found {
            None => Ok(()),
            Some(why) => Err(Failure::new(ExitCode::NotPermitted, format!("{} is not ended: {why}", process.label()))),
        }
    }

    /// Why a process is protected, when it is.
    pub(crate) fn protection(&self, process: &Process) -> Result<Option<Protection>, Failure> {
        let pid = process.pid();
        let mut buffer = Vec::new();
        let status = self.proc.status(pid, &mut buffer)?;
        let executable = self.proc.link(pid, "exe").ok().flatten();
        // Not read again: a stuck process may keep whoever reads its arguments.
        let argv: &[OsText] = process.argv.known().map(Vec::as_slice).unwrap_or_default();
        let facts = Facts {
            pid,
            uid: status.as_ref().map_or(u32::MAX, |status| status.euid),
            kernel: process.kernel,
            init: status.as_ref().is_some_and(|status| status.innermost_pid == Some(1)),
            executable: executable.as_deref(),
            name: &process.name.0,
            argv,
        };
        let asker = Asker { pid: std::process::id(), ancestors: &self.ancestors, uid: user::uid() };
        Ok(protection(&facts, &asker))
    }
}

fn gone(process: &Process) -> String {
    format!("{} was gone already", process.label())
}
