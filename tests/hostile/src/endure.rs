//! Programs that stay, and what they do when they are asked to go.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::raw::Side;
use crate::{Outcome, argument, plain, raw, ready, register, say};

pub(crate) fn wait(_: &[OsString]) -> Outcome {
    ready("wait")?;
    raw::wait_for_ever()
}

pub(crate) fn ignore_term(_: &[OsString]) -> Outcome {
    deaf();
    ready("ignore-term")?;
    raw::wait_for_ever()
}

/// Heeds nothing that can be ignored and that is meant to end it, except the alarm.
pub(crate) fn deaf() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        raw::ignore(signal);
    }
}

pub(crate) fn slow_stop(args: &[OsString]) -> Outcome {
    let how_long: String = argument(args, 0)?;
    raw::block(&[libc::SIGTERM])?;
    ready("slow-stop")?;
    raw::next(&[libc::SIGTERM])?;
    say("stopping")?;
    match how_long.parse() {
        Ok(millis) => raw::pass(Duration::from_millis(millis)),
        Err(_) => plain::wait_for(Path::new(&how_long)),
    }
    say("stopped")?;
    if args.len() > 1 { argument(args, 1) } else { Ok(0) }
}

pub(crate) fn tell_stop(args: &[OsString]) -> Outcome {
    let (file, name): (PathBuf, String) = (argument(args, 0)?, argument(args, 1)?);
    let time = Duration::from_millis(argument(args, 2)?);
    raw::block(&[libc::SIGTERM])?;
    register::append(&file, &format!("{name} started\n"))?;
    ready("tell-stop")?;
    raw::next(&[libc::SIGTERM])?;
    register::append(&file, &format!("{name} stopping\n"))?;
    raw::pass(time);
    register::append(&file, &format!("{name} stopped\n"))?;
    Ok(0)
}

pub(crate) fn stopped(_: &[OsString]) -> Outcome {
    let side = raw::fork()?;
    if side == Side::Parent {
        ready("stopped")?;
    }
    raw::raise(libc::SIGSTOP);
    // Somebody continued it. TERM, if it was sent before, has ended it by now.
    raw::wait_for_ever()
}
