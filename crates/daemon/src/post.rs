//! Sending one message: by a process that lives for it.
//!
//! The daemon runs for months and sends a few messages. TLS, its certificates and everything that talks to strangers are in
//! another process of the same program (`vigie notify deliver`): it costs nothing while nothing is sent, what a receiver does
//! to it hurts nobody, and the URL of the channel is read there, not here.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use vigie_core::outbox::{Parcel, Verdict};
use vigie_notify::job::Job;
use vigie_os::remains::MARK;

use crate::aside::off_thread;
use crate::children::{Child, Children};
use crate::incidents::last_lines;
use crate::input::Input;
use crate::log::Log;

/// How long a message may take: the sender gives the receiver ten seconds, and starts before.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long reading the last lines of output may take.
const LINES: Duration = Duration::from_secs(3);

/// So much of what the sender says is read, in bytes.
const SAID: u64 = 64 << 10;

/// Something to send.
pub(crate) struct Order {
    pub(crate) parcel: Parcel,
    /// The folder with the output that explains it.
    pub(crate) logs: Option<PathBuf>,
    pub(crate) host: String,
}

/// Sends it. What comes of it is told as an input.
pub(crate) fn send(order: Order, children: Children, inputs: mpsc::Sender<Input>, log: Log) {
    tokio::spawn(async move {
        let Order { parcel: Parcel { channel, mut message }, logs, host } = order;
        if let Some(logs) = logs {
            let count = message.wants_lines as usize;
            let read = tokio::time::timeout(LINES, off_thread(move || last_lines(&logs, count))).await;
            message.lines = read.ok().and_then(Result::ok).unwrap_or_default();
            if let Some(incident) = message.incident
                && !message.lines.is_empty()
            {
                let _ = inputs.send(Input::Explained { incident, lines: message.lines.clone() }).await;
            }
        }
        let job = Job { channel: channel.to_string(), message, host };
        let verdict = match tokio::time::timeout(PATIENCE, deliver(&job, &children)).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error)) => {
                log.line(&format!("the process that sends messages failed: {error}"));
                Verdict::Later { why: format!("the process that sends it failed: {error}"), after_seconds: None }
            }
            Err(_) => Verdict::Later { why: "it took too long".to_owned(), after_seconds: None },
        };
        let _ = inputs.send(Input::Posted { channel, verdict }).await;
    });
}

/// Ends the process when nobody waits for it any more.
struct Sender(Child);

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.kill_group();
    }
}

async fn deliver(job: &Job, children: &Children) -> std::io::Result<Verdict> {
    // The very program that runs, also when its file was replaced: both must understand each other.
    let mut child = Command::new("/proc/self/exe")
        .arg0("vigie")
        .args(["notify", "deliver"])
        .env_remove(MARK)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let mut sender = Sender(children.register(child));
    if let Some(stdin) = stdin {
        let mut stdin = pipe::Sender::from_owned_fd(OwnedFd::from(stdin))?;
        stdin.write_all(&serde_json::to_vec(job)?).await?;
    }
    let mut said = Vec::new();
    if let Some(stdout) = stdout {
        pipe::Receiver::from_owned_fd(OwnedFd::from(stdout))?.take(SAID).read_to_end(&mut said).await?;
    }
    let exit = sender.0.ended().await;
    serde_json::from_slice(&said).map_err(|_| std::io::Error::other(format!("it said nothing and ended with {exit}")))
}
