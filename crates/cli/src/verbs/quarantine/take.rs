//! Taking back what the successor needs (R8.4).

use std::time::Duration;

use vigie_core::claim::PortClaim;
use vigie_os::clock::mono;
use vigie_os::proc::Proc;
use vigie_os::takeback::{self, Bindable, Outcome, Port};

use super::survey::Survey;
use crate::failure::Failure;

/// How long one of them may keep us waiting: what is stuck may hold the locks of its own memory and sockets.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// The claims, who can bind to them now, and why not everybody.
    pub(super) ports: Vec<(PortClaim, Bindable, Option<String>)>,
    /// Resident bytes of all before and after; absent when of nobody any could be taken.
    pub(super) memory: Option<(u64, u64)>,
    /// What could not be taken, and keeps nobody from starting.
    pub(super) failures: Vec<String>,
}

impl Taken {
    /// Why no successor could start: a claim that nobody can bind to.
    pub(super) fn collision(&self) -> Option<String> {
        let (claim, _, why) = self.ports.iter().find(|(_, bindable, _)| *bindable == Bindable::No)?;
        let why = why.as_deref().unwrap_or("somebody else holds it");
        Some(format!("port {claim} could not be taken back, and nothing was set aside: {why}"))
    }
}

/// Ports first: when one stays taken, nothing else is touched.
///
/// # Errors
/// When the kernel cannot be asked.
pub(super) fn take(survey: &Survey, proc: &Proc) -> Result<Taken, Failure> {
    let mut taken = Taken::default();
    let ghosts = survey.keys();
    for (claim, _) in &survey.held {
        let port = takeback::port(proc, &ghosts, claim, mono() + PATIENCE)?;
        taken.ports.push((*claim, port.bindable, because(&port)));
    }
    if taken.collision().is_some() {
        return Ok(taken);
    }
    for ghost in &ghosts {
        match takeback::memory(proc, ghost, mono() + PATIENCE) {
            Ok(memory) => {
                let (before, after) = taken.memory.unwrap_or_default();
                taken.memory = Some((before + memory.before, after + memory.after));
            }
            // It is gone, and its memory with it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => taken.failures.push(error.to_string()),
        }
    }
    Ok(taken)
}

fn because(port: &Port) -> Option<String> {
    let why = |outcome: &Outcome| match outcome {
        Outcome::Shared(pids) => {
            let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
            Some(format!("PID {} holds the same socket and could still act", pids.join(", ")))
        }
        Outcome::Failed(error) => Some(error.to_string()),
        Outcome::Released | Outcome::Silenced => None,
    };
    port.taken.iter().find_map(|taken| why(&taken.outcome))
}
