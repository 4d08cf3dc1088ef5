//! Running commands with a deadline.

use std::fs::File;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::failure::{Failure, Result};
use crate::time::{Stopwatch, pass};

/// A command that ended, or was given up.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Absent: it was still there at the deadline, and was killed.
    pub(crate) status: Option<ExitStatus>,
    /// From before its start to its end.
    pub(crate) took: Duration,
}

impl Ended {
    /// `exit 0`, `signal 9`, `hung`.
    pub(crate) fn verdict(&self) -> String {
        use std::os::unix::process::ExitStatusExt as _;
        match self.status {
            None => "hung".to_owned(),
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit {code}"),
                (None, signal) => format!("signal {}", signal.unwrap_or(0)),
            },
        }
    }
}

/// Runs it to its end without its output. Not a pipe: what it leaves behind may hold that for ever.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn quiet(mut command: Command) -> Result<Ended> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let name = name(&command);
    let watch = Stopwatch::start();
    let status = command.status().map_err(Failure::io(format!("cannot run {name}")))?;
    Ok(Ended { status: Some(status), took: watch.elapsed() })
}

/// Runs it to its end; it is killed at the limit.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn limited(mut command: Command, limit: Duration) -> Result<Ended> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let name = name(&command);
    let watch = Stopwatch::start();
    let mut child = command.spawn().map_err(Failure::io(format!("cannot run {name}")))?;
    loop {
        let status = child.try_wait().map_err(Failure::io(format!("cannot wait for {name}")))?;
        if status.is_some() {
            return Ok(Ended { status, took: watch.elapsed() });
        }
        if watch.elapsed() > limit {
            end(&mut child);
            return Ok(Ended { status: None, took: watch.elapsed() });
        }
        pass(Duration::from_millis(1));
    }
}

/// Runs it and gives its output back.
///
/// # Errors
/// When it cannot be started or does not end with 0; then with what it wrote to standard error.
pub(crate) fn output(mut command: Command) -> Result<Vec<u8>> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().map_err(Failure::io(format!("cannot run {shown}")))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(Failure::new(format!("{shown}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim_end())))
}

/// Runs it and insists that it ends with 0.
///
/// # Errors
/// As [`output`].
pub(crate) fn succeed(command: Command) -> Result<()> {
    output(command).map(drop)
}

/// Starts something that stays; what it says goes to a file.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn stay(mut command: Command, log: &std::path::Path) -> Result<Child> {
    let failed = |error| Failure::io(format!("cannot write {}", log.display()))(error);
    let output = File::options().create(true).append(true).open(log).map_err(failed)?;
    let errors = output.try_clone().map_err(failed)?;
    let name = name(&command);
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    command.spawn().map_err(Failure::io(format!("cannot start {name}")))
}

/// Kills a child and reaps it. It is unreaped until then, so that its number is still its own.
pub(crate) fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}
