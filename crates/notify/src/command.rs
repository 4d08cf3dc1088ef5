//! A program of the user's: gets the message as one JSON object on its standard input, and the essentials in its
//! environment.

use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use vigie_core::incidents::Message;

use crate::dial::Failed;
use crate::kinds::object;
use crate::until::Until;

/// So much of what it says is kept, in bytes.
const SAID: u64 = 4096;

/// Runs it. Exit code 0: it took the message; 75 (`EX_TEMPFAIL`): later, perhaps; anything else: no.
pub(crate) fn run(
    program: &Path,
    arguments: &[String],
    message: &Message,
    host: &str,
    until: Until,
) -> Result<String, Failed> {
    let name = program.display();
    let spawned = Command::new(program)
        .args(arguments)
        .env("VIGIE_KEY", &message.key)
        .env("VIGIE_OCCASION", message.occasion.name())
        .env("VIGIE_SEVERITY", message.severity.name())
        .env("VIGIE_SUBJECT", message.subject.as_ref().map(ToString::to_string).unwrap_or_default())
        .env("VIGIE_TEXT", &message.text)
        .env("VIGIE_HOST", host)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = Group(spawned.map_err(|error| Failed::Never(format!("{name} cannot be started: {error}")))?);
    let input = format!("{}\n", object(message, host));
    if let Some(mut stdin) = child.0.stdin.take() {
        // A pipe takes this much at once; whoever does not read it does not need it.
        let _ = stdin.write_all(input.as_bytes());
    }
    if !ended(&child.0, until).map_err(Failed::io(name.to_string()))? {
        return Err(Failed::Later(format!("{name} did not end in time, and was ended")));
    }
    let status = child.0.wait().map_err(Failed::io(name.to_string()))?;
    let said = child.said();
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    match status.code() {
        Some(0) => Ok(format!("{name} exited with 0{said}")),
        Some(75) => Err(Failed::Later(format!("{name} exited with 75{said}"))),
        Some(code) => Err(Failed::Never(format!("{name} exited with {code}{said}"))),
        None => Err(Failed::Later(format!("{name} was ended by a signal{said}"))),
    }
}

fn ended(child: &Child, until: Until) -> std::io::Result<bool> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(std::io::ErrorKind::NotFound)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let Ok(left) = until.left() else { return Ok(false) };
    let left = Timespec::try_from(left).map_err(|_| std::io::ErrorKind::InvalidInput)?;
    Ok(poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&left))? > 0)
}

/// Ends what it left behind, and it.
struct Group(Child);

impl Group {
    /// The beginning of what it wrote. Not waited for: a child of its own may hold the pipe.
    fn said(&mut self) -> String {
        let mut text = String::new();
        self.end();
        let streams = [
            self.0.stdout.take().map(|stream| Box::new(stream) as Box<dyn std::io::Read>),
            self.0.stderr.take().map(|stream| Box::new(stream) as Box<dyn std::io::Read>),
        ];
        for stream in streams.into_iter().flatten() {
            let mut bytes = Vec::new();
            let _ = stream.take(SAID).read_to_end(&mut bytes);
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
        text.trim().replace('\n', " / ")
    }

    /// Its group keeps its number as long as anybody is in it; the leader was started here.
    fn end(&self) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            self.end();
            let _ = self.0.wait();
        }
    }
}
