//! Programs that do not come alone.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::setsid;
use rustix::time::{ClockId, clock_gettime};

use crate::endure::deaf;
use crate::raw::Side;
use crate::{Broken, Outcome, argument, raw, ready, register};

/// Ends the child's side of a fork, whatever came of it: it must never go on as a second parent.
fn child(what: impl FnOnce() -> Result<(), Broken>) -> ! {
    if let Err(error) = what() {
        eprintln!("hostile: {error}");
    }
    raw::quit(i32::from(crate::BROKEN))
}

/// Whoever reads its output to the end must not wait for the ready line of the parent alone: the child tells when it is
/// there by the end of this pipe.
struct There {
    reader: std::io::PipeReader,
    writer: std::io::PipeWriter,
}

impl There {
    fn new() -> Result<Self, Broken> {
        let (reader, writer) = std::io::pipe()?;
        Ok(Self { reader, writer })
    }

    /// The child: it is there now.
    fn told(self) {
        drop(self);
    }

    /// The parent: waits for the child.
    fn wait(self) -> Result<(), Broken> {
        drop(self.writer);
        std::io::copy(&mut { self.reader }, &mut std::io::sink())?;
        Ok(())
    }
}

/// Forks a child that becomes something and then waits for ever.
fn with_child(become_it: impl FnOnce() -> Result<(), Broken>) -> Result<(), Broken> {
    let there = There::new()?;
    match raw::fork()? {
        Side::Parent => there.wait(),
        Side::Child => child(|| {
            become_it()?;
            there.told();
            raw::wait_for_ever()
        }),
    }
}

pub(crate) fn leader(_: &[OsString]) -> Outcome {
    with_child(|| {
        deaf();
        Ok(())
    })?;
    ready("leader")?;
    raw::wait_for_ever()
}

fn deaf_session() -> Result<(), Broken> {
    deaf();
    setsid()?;
    Ok(())
}

pub(crate) fn escapee(_: &[OsString]) -> Outcome {
    with_child(deaf_session)?;
    ready("escapee")?;
    raw::wait_for_ever()
}

/// The classic way to become a daemon, and deaf.
fn beget_daemon() -> Result<(), Broken> {
    let there = There::new()?;
    match raw::fork()? {
        Side::Parent => there.wait(),
        Side::Child => child(|| {
            deaf_session()?;
            if raw::fork()? == Side::Parent {
                raw::quit(0);
            }
            there.told();
            raw::wait_for_ever()
        }),
    }
}

pub(crate) fn double_fork(_: &[OsString]) -> Outcome {
    beget_daemon()?;
    ready("double-fork")?;
    raw::wait_for_ever()
}

pub(crate) fn daemonize(_: &[OsString]) -> Outcome {
    beget_daemon()?;
    ready("daemonize")?;
    Ok(0)
}

pub(crate) fn unreaped(_: &[OsString]) -> Outcome {
    let there = There::new()?;
    match raw::fork()? {
        Side::Parent => there.wait()?,
        // The kernel closes the pipe on the way out.
        Side::Child => raw::quit(3),
    }
    ready("unreaped")?;
    raw::wait_for_ever()
}

pub(crate) fn traced(_: &[OsString]) -> Outcome {
    let there = There::new()?;
    match raw::fork()? {
        Side::Parent => there.wait()?,
        Side::Child => child(|| {
            raw::die_with_parent()?;
            raw::be_traced()?;
            there.told();
            raw::raise(libc::SIGSTOP);
            raw::wait_for_ever()
        }),
    }
    ready("traced")?;
    raw::wait_for_ever()
}

pub(crate) fn pipe_holder(_: &[OsString]) -> Outcome {
    with_child(|| Ok(()))?;
    ready("pipe-holder")?;
    Ok(0)
}

/// Forks and ends, for ever: whoever looks for its number finds the one before.
fn hop(pause: Duration) -> ! {
    let end = clock_gettime(ClockId::Monotonic).tv_sec + i64::from(crate::safety());
    deaf();
    while clock_gettime(ClockId::Monotonic).tv_sec < end {
        let _ = setsid();
        raw::pass(pause);
        match raw::fork() {
            Ok(Side::Parent) => raw::quit(0),
            Ok(Side::Child) => {}
            // The user has too many processes: a moment later there may be room.
            Err(_) => raw::pass(Duration::from_millis(1)),
        }
    }
    raw::quit(0)
}

fn beget_hydra(args: &[OsString]) -> Result<(), Broken> {
    let pause = Duration::from_micros(argument(args, 0)?);
    let there = There::new()?;
    match raw::fork()? {
        Side::Parent => there.wait(),
        Side::Child => {
            there.told();
            hop(pause)
        }
    }
}

pub(crate) fn hydra(args: &[OsString]) -> Outcome {
    beget_hydra(args)?;
    ready("hydra")?;
    raw::wait_for_ever()
}

pub(crate) fn hydra_alone(args: &[OsString]) -> Outcome {
    beget_hydra(args)?;
    ready("hydra-alone")?;
    Ok(0)
}

const RECORDED: [i32; 6] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2, libc::SIGTERM];

pub(crate) fn family(args: &[OsString]) -> Outcome {
    let file: PathBuf = argument(args, 0)?;
    raw::block(&RECORDED)?;
    for (role, apart) in [("group", false), ("session", true)] {
        let there = There::new()?;
        match raw::fork()? {
            Side::Parent => there.wait()?,
            Side::Child => child(|| {
                if apart {
                    setsid()?;
                }
                there.told();
                record(&file, role)
            }),
        }
    }
    ready("family")?;
    record(&file, "main")?;
    Ok(0)
}

pub(crate) fn recorder(args: &[OsString]) -> Outcome {
    let file: PathBuf = argument(args, 0)?;
    raw::block(&RECORDED)?;
    ready("recorder")?;
    record(&file, "main")?;
    Ok(0)
}

/// Writes down every signal that arrives.
fn record(file: &std::path::Path, role: &str) -> Result<(), Broken> {
    loop {
        let signal = raw::next(&RECORDED)?;
        register::append(file, &format!("{role} {signal}\n"))?;
    }
}
