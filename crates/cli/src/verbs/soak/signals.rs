//! Ctrl-C ends a soak after its cycle, not in the middle of one.

use tokio::signal::unix::{Signal, SignalKind, signal};

use vigie_os::proc::Proc;
use vigie_os::proc::status::Status;

use crate::failure::Failure;

/// What asks for the end. A hang-up that whoever started us wants ignored (nohup(1)) does not.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Option<Signal>,
    /// It was asked for.
    pub(super) asked: bool,
}

impl Signals {
    pub(super) fn take(proc: &Proc) -> Result<Self, Failure> {
        let mut buffer = Vec::new();
        let ignored = proc.status(std::process::id(), &mut buffer)?.map_or(0, |status| status.ignored);
        let take = |kind| signal(kind).map_err(|error| Failure::io("cannot take over signals", &error));
        let stays = Status::has(ignored, SignalKind::hangup().as_raw_value());
        Ok(Self {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
            hang_up: (!stays).then(|| take(SignalKind::hangup())).transpose()?,
            asked: false,
        })
    }

    /// Waits until it is asked for; again, when it was.
    pub(super) async fn come(&mut self) {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = hang_up => {}
        }
        self.asked = true;
    }

    /// What comes first: `None` when the end was asked for.
    pub(super) async fn or<T>(&mut self, what: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            result = what => Some(result),
            () = self.come() => None,
        }
    }
}
