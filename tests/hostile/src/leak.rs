//! Programs that leave something behind.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::setsid;

use crate::raw::{Ipc, Side};
use crate::{Outcome, argument, raw, ready};

/// Something that outlives its maker, and then waits as an obedient program does.
pub(crate) fn leak(args: &[OsString]) -> Outcome {
    let what: String = argument(args, 0)?;
    let mut file = None;
    match what.as_str() {
        "child" => child()?,
        "shm" => raw::make_ipc(Ipc::Memory { bytes: argument(args, 1)? })?,
        "semaphore" => raw::make_ipc(Ipc::Semaphores { key: argument(args, 1)? })?,
        "queue" => raw::make_ipc(Ipc::Queue { key: argument(args, 1)? })?,
        // It stays open: whoever looks sees who has it.
        "posix" => file = Some(std::fs::File::create(argument::<PathBuf>(args, 1)?)?),
        _ => return Err(format!("what is leaked is not known: {what}").into()),
    }
    ready("leak")?;
    raw::wait_with(file)
}

/// Leaves a segment of shared memory behind, and is gone before anybody has seen it.
pub(crate) fn leak_and_go(args: &[OsString]) -> Outcome {
    raw::make_ipc(Ipc::Memory { bytes: argument(args, 0)? })?;
    Ok(0)
}

/// Takes away what `leak` has left.
pub(crate) fn remove_ipc(args: &[OsString]) -> Outcome {
    let what: String = argument(args, 0)?;
    raw::remove_ipc(&what, argument(args, 1)?)?;
    Ok(0)
}

/// A grandchild in a session of its own, without parent and environment: neither group nor mark leads to it.
fn child() -> Result<(), crate::Broken> {
    let own = std::env::current_exe()?;
    let (mut reader, writer) = std::io::pipe()?;
    if raw::fork()? == Side::Child {
        let begotten = setsid().map_err(std::io::Error::from).and_then(|_| raw::fork());
        match begotten {
            // The kernel closes the pipe in the new program. An alarm outlives an exec.
            Ok(Side::Child) => drop(Command::new(&own).arg("wait").env_clear().exec()),
            Ok(Side::Parent) => raw::quit(0),
            Err(_) => {}
        }
        raw::quit(i32::from(crate::BROKEN))
    }
    drop(writer);
    std::io::copy(&mut reader, &mut std::io::sink())?;
    Ok(())
}
