//! The one place that waits for children: keepers and the commands of probes.
//!
//! One `SIGCHLD` may stand for many deaths, so each is answered by reaping until nobody is left. A child is registered
//! right after it was spawned, before the reaper can run: both are on the one thread of the runtime.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process_group, wait};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use vigie_core::exit::Exit;

type Waiting = Arc<Mutex<HashMap<u32, oneshot::Sender<Exit>>>>;

/// All children of the daemon that were not reaped yet.
#[derive(Debug, Clone)]
pub(crate) struct Children(Waiting);

/// One of them.
#[derive(Debug)]
pub(crate) struct Child {
    pid: u32,
    end: End,
}

#[derive(Debug)]
enum End {
    Awaited(oneshot::Receiver<Exit>),
    Seen(Exit),
}

impl Children {
    /// Begins to reap. Nobody else in this process may wait for children.
    pub(crate) fn reap() -> std::io::Result<Self> {
        let mut deaths = signal(SignalKind::child())?;
        let waiting = Waiting::default();
        let registry = Self(Arc::clone(&waiting));
        tokio::spawn(async move {
            while deaths.recv().await.is_some() {
                reap_all(&waiting);
            }
        });
        Ok(registry)
    }

    /// Takes a child over that was spawned in this very moment.
    pub(crate) fn register(&self, child: std::process::Child) -> Child {
        let (sender, end) = oneshot::channel();
        let pid = child.id();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(pid, sender);
        Child { pid, end: End::Awaited(end) }
    }
}

fn reap_all(waiting: &Waiting) {
    // An error says that there is no child left.
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        let sender =
            waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&pid.as_raw_nonzero().get().unsigned_abs());
        if let Some(sender) = sender {
            // Nobody may be interested any more.
            let _ = sender.send(exit(status));
        }
    }
}

fn exit(status: WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        // Bit 7 of the status: a core was dumped (wait(2)).
        (None, Some(signal)) => Exit::Signal { signal, core_dumped: status.as_raw() & 0x80 != 0 },
        (None, None) => Exit::Unknown,
    }
}

impl Child {
    /// Its number: its own until [`Child::ended`] has returned.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for its end. May be dropped and called again.
    pub(crate) async fn ended(&mut self) -> Exit {
        if let End::Awaited(end) = &mut self.end {
            // The sender is only dropped with the runtime.
            let exit = end.await.unwrap_or(Exit::Unknown);
            self.end = End::Seen(exit);
        }
        match self.end {
            End::Seen(exit) => exit,
            End::Awaited(_) => Exit::Unknown,
        }
    }

    /// Sends KILL to the process group that it leads, unless it was reaped already: then the number may be a stranger's.
    pub(crate) fn kill_group(&mut self) {
        if let End::Awaited(end) = &mut self.end {
            match end.try_recv() {
                Ok(exit) => self.end = End::Seen(exit),
                Err(_) => {
                    // Not reaped: the reaper runs on this thread, and not between these two lines.
                    if let Some(group) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
                        let _ = kill_process_group(group, Signal::KILL);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::unix::process::CommandExt as _;
    use std::process::Command;
    use std::time::Duration;

    use crate::test::run;

    #[test]
    fn every_end_is_told_to_whom_it_concerns() {
        run(async {
            let children = Children::reap().expect("signals");
            let spawn = |script: &str| {
                let child = Command::new("sh").args(["-c", script]).process_group(0).spawn().expect("sh");
                children.register(child)
            };
            let mut many: Vec<Child> = (0..20).map(|code| spawn(&format!("exit {code}"))).collect();
            let mut endless = spawn("sleep 600 & wait");
            for (code, child) in many.iter_mut().enumerate() {
                assert_eq!(child.ended().await.code(), i32::try_from(code).ok());
                child.kill_group();
            }
            assert!(tokio::time::timeout(Duration::from_millis(20), endless.ended()).await.is_err());
            endless.kill_group();
            assert_eq!(endless.ended().await, Exit::Signal { signal: 9, core_dumped: false });
            assert_eq!(endless.ended().await.signal(), Some(9), "asked twice");
        });
    }
}
