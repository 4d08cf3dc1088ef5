//! Asking services whether they are ready and well (R2.3).
//!
//! Each probe is a task that asks at once and then at its interval. A connection counts only if the socket that listens
//! belongs to the run ([`owner`]); an answer from somebody else is told as such.

mod exec;
mod http;
mod listen;
mod log;
mod owner;

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use vigie_core::launch::{Launch, ServiceKey};
use vigie_core::manifest::Probe;
use vigie_core::supervisor::{Event, ProbeOutcome, Purpose};

use crate::children::Children;
use crate::input::Input;
use crate::runs::LiveRun;

/// What is to be asked of whom.
pub(crate) struct Order {
    /// The description of the run: its environment, folder and output.
    pub(crate) launch: Launch,
    /// Its processes.
    pub(crate) live: LiveRun,
    pub(crate) purpose: Purpose,
    pub(crate) probe: Probe,
    pub(crate) every: Duration,
    pub(crate) timeout: Duration,
}

/// All probes that are at work.
pub(crate) struct Probes {
    inputs: mpsc::Sender<Input>,
    children: Children,
    tasks: HashMap<(ServiceKey, Purpose), AbortHandle>,
}

impl Probes {
    pub(crate) fn new(inputs: mpsc::Sender<Input>, children: Children) -> Self {
        Self { inputs, children, tasks: HashMap::new() }
    }

    /// Begins to ask, in the place of an earlier probe of the same purpose.
    pub(crate) fn start(&mut self, order: Order) {
        let place = (order.launch.key.clone(), order.purpose);
        let task = tokio::spawn(ask(order, self.inputs.clone(), self.children.clone()));
        if let Some(earlier) = self.tasks.insert(place, task.abort_handle()) {
            earlier.abort();
        }
    }

    /// Ends the probe of this purpose.
    pub(crate) fn stop(&mut self, key: &ServiceKey, purpose: Purpose) {
        if let Some(task) = self.tasks.remove(&(key.clone(), purpose)) {
            task.abort();
        }
    }
}

async fn ask(order: Order, inputs: mpsc::Sender<Input>, children: Children) {
    let Order { launch, live, purpose, probe, every, timeout } = order;
    let (key, run) = (launch.key.clone(), launch.run);
    let tell = async |outcome| {
        let event = Event::Probed { key: key.clone(), run, purpose, outcome };
        inputs.send(Input::Event(event)).await.is_ok()
    };
    if let Probe::Log { pattern } = &probe {
        // It is not asked again and again: it reads what is written as it is written.
        if tell(bad(format!("no line of its output matches {pattern:?} yet"))).await {
            tell(log::matched(&launch, pattern).await).await;
        }
        return;
    }
    // Nobody asks without pause, whatever the manifest says.
    let every = every.max(Duration::from_millis(1));
    loop {
        let attempt = async {
            match &probe {
                Probe::Http { url, status } => http::ask(url, *status, &live).await,
                Probe::Tcp { address } => listen::tcp(address, &live).await,
                Probe::Unix { path } => listen::unix(path.as_path(), &live).await,
                Probe::Exec { command } => exec::run(command, &launch, &children).await,
                Probe::Log { .. } => bad("a health probe cannot look for a line of output"),
            }
        };
        let outcome = match tokio::time::timeout(timeout, attempt).await {
            Ok(outcome) => outcome,
            Err(_) => bad(format!("no answer within {}", vigie_core::units::format_duration(timeout))),
        };
        let over = outcome == ProbeOutcome::Good && purpose == Purpose::Ready;
        if !tell(outcome).await || over {
            return;
        }
        tokio::time::sleep(every).await;
    }
}

fn bad(why: impl Into<String>) -> ProbeOutcome {
    ProbeOutcome::Bad { why: why.into() }
}

#[cfg(test)]
mod tests;
