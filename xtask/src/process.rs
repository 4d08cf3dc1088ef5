//! Running a program: its output is shown as it comes, and kept.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::process::{Command, ExitStatus};
use std::sync::mpsc;
use std::time::Duration;

use crate::failure::Failure;

/// A program that ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    /// What it wrote to both outputs, without colours.
    pub(crate) text: String,
}

/// How long to read on when the program has ended but something that it left behind still holds its output.
const GRACE: Duration = Duration::from_secs(2);

/// Runs it to its end.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn run(mut command: Command) -> Result<Finished, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |what: &str| Failure::io(format!("cannot {what} {name}"));
    let (mut reader, writer) = std::io::pipe().map_err(failed("make a pipe for"))?;
    command.stdout(writer.try_clone().map_err(failed("make a pipe for"))?).stderr(writer);
    if std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command.spawn().map_err(failed("start"))?;
    // It holds the writing end, and would keep the reader waiting.
    drop(command);
    let (sender, receiver) = mpsc::channel::<Vec<u8>>();
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            // Nobody may be there to read it: it is kept all the same.
            let _ = std::io::stdout().write_all(&buffer[..count]).and_then(|()| std::io::stdout().flush());
            if sender.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    let status = child.wait().map_err(failed("wait for"))?;
    let mut bytes = Vec::new();
    while let Ok(chunk) = receiver.recv_timeout(GRACE) {
        bytes.extend_from_slice(&chunk);
    }
    Ok(Finished { status, text: without_colours(&String::from_utf8_lossy(&bytes)) })
}

/// Runs it to its end and gives its standard output back.
///
/// # Errors
/// When it cannot be started, or does not end with 0.
pub(crate) fn output(mut command: Command) -> Result<Vec<u8>, Failure> {
    let shown = format!("{command:?}");
    let output = command.output().map_err(Failure::io(format!("cannot run {shown}")))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!("{shown}: {}\n{}", output.status, errors.trim_end())));
    }
    Ok(output.stdout)
}

/// Leaves out `ESC [ … m`.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or(part, |(_, rest)| rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]);
        command
    }

    #[test]
    fn both_outputs_and_the_end_are_seen() {
        let finished = run(shell("echo out; echo err >&2; exit 3")).expect("a shell");
        assert_eq!((finished.status.code(), finished.text.as_str()), (Some(3), "out\nerr\n"));
        assert!(output(shell("echo why >&2; false")).expect_err("it failed").to_string().ends_with("why"));
        assert!(run(Command::new("/nowhere/nothing")).is_err());
    }

    #[test]
    fn colours_are_left_out() {
        assert_eq!(without_colours("\x1b[32;1mgreen\x1b[0m 1"), "green 1");
    }
}
