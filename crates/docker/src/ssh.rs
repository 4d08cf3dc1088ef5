//! A connection through the system's `ssh`, with its settings, keys and agent, and what it complains of.

use std::io::ErrorKind;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, Join};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use vigie_core::text::escaped;

/// As much of what it says as is kept, in bytes: the end, since the reason stands in its last line.
const KEPT: usize = 2048;

/// As much of a line as is shown, in characters.
const SHOWN: usize = 300;

/// How long its last words may take once its connection is over.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The arguments before the command. Nothing is asked for at a terminal, and one that is gone is noticed. All else is as the
/// user's `ssh_config` says.
pub(crate) fn arguments(user: Option<&str>, host: &str, port: Option<u16>) -> Vec<String> {
    let options =
        ["-T", "-oBatchMode=yes", "-oConnectTimeout=10", "-oServerAliveInterval=15", "-oServerAliveCountMax=3"];
    let mut arguments: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    arguments.extend(user.map(|user| format!("-l{user}")));
    arguments.extend(port.map(|port| format!("-p{port}")));
    arguments.extend(["--".to_owned(), host.to_owned()]);
    arguments
}

/// A connection. The process ends with it.
pub(crate) struct Tunnel {
    pub(crate) stream: Join<ChildStdout, ChildStdin>,
    complaint: Option<Complaint>,
    _child: Child,
}

impl Tunnel {
    /// Starts `ssh … docker system dial-stdio`.
    ///
    /// # Errors
    /// When it cannot be started. Whether it gets anywhere shows when something is read.
    pub(crate) fn open(arguments: &[String]) -> std::io::Result<Self> {
        let mut command = Command::new("ssh");
        command.args(arguments).args(["docker", "system", "dial-stdio"]).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        match (child.stdout.take(), child.stdin.take(), child.stderr.take()) {
            (Some(out), Some(input), Some(errors)) => {
                let complaint = Some(Complaint::of(errors));
                Ok(Self { stream: tokio::io::join(out, input), complaint, _child: child })
            }
            _ => Err(ErrorKind::BrokenPipe.into()),
        }
    }

    /// What it complains of; once.
    pub(crate) fn complaint(&mut self) -> Option<Complaint> {
        self.complaint.take()
    }
}

/// What it writes to its standard error, read as long as this lives.
pub(crate) struct Complaint {
    said: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Complaint {
    fn of(errors: ChildStderr) -> Self {
        let said = Arc::default();
        Self { reader: tokio::spawn(read(errors, Arc::clone(&said))), said }
    }

    /// Its last line, safe to be shown; absent when it says nothing. For when the connection is over: so is what it has to say
    /// then, unless a master that it left behind for other connections (`ControlPersist`, ssh_config(5)) goes on.
    pub(crate) async fn last_line(&mut self) -> Option<String> {
        let _ = tokio::time::timeout(LAST_WORDS, &mut self.reader).await;
        last_line(&self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Complaint {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

fn last_line(said: &[u8]) -> Option<String> {
    let line =
        said.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii).rfind(|line| !line.is_empty())?;
    Some(escaped(line).chars().take(SHOWN).collect())
}

/// Reads to the end, so that nobody who writes much has to wait.
async fn read(mut errors: ChildStderr, said: Arc<Mutex<Vec<u8>>>) {
    let mut piece = [0; 512];
    while let Ok(count @ 1..) = errors.read(&mut piece).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend_from_slice(&piece[..count]);
        let surplus = said.len().saturating_sub(KEPT);
        said.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It takes nothing of an endpoint for an option.
    #[test]
    fn the_arguments() {
        let arguments = arguments(Some("ana"), "nas", Some(2222));
        assert_eq!(arguments[5..], ["-lana", "-p2222", "--", "nas"]);
        assert!(arguments.contains(&"-oBatchMode=yes".to_owned()), "a daemon has nobody to ask for a password");
    }

    #[test]
    fn the_reason_stands_last() {
        let banner = b"@@@@@\r\nWARNING\r\nHost key verification failed.\r\n\r\n";
        assert_eq!(last_line(banner).as_deref(), Some("Host key verification failed."));
        assert_eq!(
            last_line(b"bash: \x1b[31mdocker: not found").as_deref(),
            Some("bash: \\u{1b}[31mdocker: not found")
        );
        assert_eq!(last_line(b" \r\n\n"), None);
        assert_eq!(last_line(&[b'x'; KEPT]).map(|line| line.len()), Some(SHOWN));
    }
}
