//! What is left of a run whose keeper was killed: ended under its lock.
//!
//! A keeper that takes a lock ends first what it finds of the last run (R6.7). So one is started that takes the lock,
//! clears, and starts nothing.

use vigie_core::exit_code::ExitCode;
use vigie_core::ladder::Ladder;
use vigie_core::launch::{Group, Input, Launch, Limits, Orphans, Output, Overflow};
use vigie_core::run::{Event, What};
use vigie_os::place::Place;
use vigie_os::proc::Proc;
use vigie_wire::keeper::{Answer, Request};

use crate::failure::Failure;
use crate::keeper::Keeper;
use crate::look::Record;
use crate::verbs::run::run_id;

/// How long it may take: the keeper gives the survivors two seconds after TERM and five after KILL.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(15);

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cleared {
    /// So many processes were found and ended.
    Ended(u32),
    /// Somebody holds the lock by now, and has cleared before.
    Taken,
}

/// Ends what the keeper of `record` left behind.
///
/// # Errors
/// When processes stay, with exit code 5; when no keeper can be started.
pub(crate) fn end_survivors(record: &Record, place: &Place, proc: &Proc) -> Result<Cleared, Failure> {
    let mut keeper = Keeper::start(launch(record, place)?)?;
    let deadline = vigie_os::clock::mono() + PATIENCE;
    let mut outcome = None;
    while !keeper.link.gone {
        if !keeper.link.wait(deadline)? {
            let message = "a keeper does not come to an end with what another one left behind";
            return Err(Failure::new(ExitCode::StillAlive, message));
        }
        keeper.link.read()?;
        while let Some(answer) = keeper.link.next()? {
            match answer {
                Answer::Event(Event { what: What::Locked { .. }, .. }) => {
                    outcome = Some(Cleared::Ended(0));
                    keeper.link.send(&Request::Release)?;
                }
                // It is told behind the lock, though it happened before.
                Answer::Event(Event { what: What::Survivors { count, .. }, .. }) => {
                    outcome = Some(Cleared::Ended(count));
                }
                Answer::Refused { .. } => outcome = Some(Cleared::Taken),
                Answer::Failed { message, .. } => return Err(Failure::new(ExitCode::StillAlive, message)),
                Answer::State(_) | Answer::Event(_) => {}
            }
        }
    }
    keeper.farewell(proc)?;
    outcome.ok_or_else(|| Failure::new(ExitCode::Internal, "a keeper ended before it had the lock"))
}

/// A launch that is never carried out.
fn launch(record: &Record, place: &Place) -> Result<Launch, Failure> {
    let holder = &record.state.holder;
    let key = holder.key.clone();
    Ok(Launch {
        project: holder.project.clone(),
        mode: None,
        run: run_id()?,
        lock: place.lock_path(&key).into(),
        folder: place.service_dir(&key).into(),
        argv: vec!["true".into()],
        env: Vec::new(),
        cwd: "/".into(),
        input: Input::Null,
        output: Output::Segments {
            dir: place.logs_dir(&key).into(),
            max_size: 1 << 20,
            keep: u32::MAX,
            overflow: Overflow::Block,
        },
        key,
        group: Group::Own,
        ladder: Ladder::default(),
        orphans: Orphans::End,
        limits: Limits::default(),
        origin: holder.origin.clone(),
        managed: false,
        attempt: 0,
        adopt: None,
    })
}
