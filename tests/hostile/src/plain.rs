//! Programs that do one thing and end.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Outcome, argument, content, raw, ready, say};

pub(crate) fn exit(args: &[OsString]) -> Outcome {
    let lines = if args.len() > 1 { argument(args, 1)? } else { 0 };
    std::io::stdout().write_all(&content::lines(0, lines * content::LINE, true))?;
    std::io::stdout().flush()?;
    argument(args, 0)
}

pub(crate) fn exit_when(args: &[OsString]) -> Outcome {
    let file: PathBuf = argument(args, 0)?;
    ready("exit-when")?;
    wait_for(&file);
    exit(&args[1..])
}

/// Waits until somebody has made the file.
pub(crate) fn wait_for(file: &Path) {
    while !file.exists() {
        raw::pass(Duration::from_millis(2));
    }
}

/// A short life that leaves a trace of itself: lines that name the run, so that each can be looked for afterwards.
pub(crate) fn life(args: &[OsString]) -> Outcome {
    let (lines, millis): (u32, u64) = (argument(args, 0)?, argument(args, 1)?);
    let run = std::env::var("VIGIE_RUN").unwrap_or_else(|_| "-".to_owned());
    for line in 1..=lines {
        say(&format!("{run} {line}/{lines}"))?;
    }
    raw::pass(Duration::from_millis(millis));
    argument(args, 2)
}

pub(crate) fn crash(args: &[OsString]) -> Outcome {
    let signal = argument(args, 0)?;
    raw::restore(signal);
    raw::raise(signal);
    Ok(crate::BROKEN)
}

pub(crate) fn print(args: &[OsString]) -> Outcome {
    let mut text = Vec::new();
    for arg in args {
        text.extend_from_slice(b"arg ");
        text.extend_from_slice(arg.as_bytes());
        text.push(b'\n');
    }
    text.extend_from_slice(b"cwd ");
    text.extend_from_slice(std::env::current_dir()?.as_os_str().as_bytes());
    text.push(b'\n');
    for (name, value) in std::env::vars_os() {
        text.extend_from_slice(b"env ");
        text.extend_from_slice(name.as_bytes());
        text.push(b'=');
        text.extend_from_slice(value.as_bytes());
        text.push(b'\n');
    }
    std::io::stdout().write_all(&text)?;
    std::io::stdout().flush()?;
    Ok(0)
}

pub(crate) fn stdin(_: &[OsString]) -> Outcome {
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input)?;
    say(&format!("stdin {}", input.len()))?;
    Ok(0)
}

pub(crate) fn until_eof(_: &[OsString]) -> Outcome {
    raw::ignore(libc::SIGTERM);
    ready("until-eof")?;
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    say("eof")?;
    Ok(0)
}

pub(crate) fn cat(_: &[OsString]) -> Outcome {
    std::io::copy(&mut std::io::stdin(), &mut std::io::stdout())?;
    std::io::stdout().flush()?;
    Ok(0)
}

pub(crate) fn in_terminal(args: &[OsString]) -> Outcome {
    rustix::process::setsid()?;
    rustix::process::ioctl_tiocsctty(std::io::stdin())?;
    let (program, args) = args.split_first().ok_or("no command")?;
    Err(std::process::Command::new(program).args(args).exec().into())
}
