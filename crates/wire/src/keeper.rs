//! Requests to a keeper, its answers, and the events of a run.
//!
//! ```text
//! client                        keeper
//!   Launch(…)            ──►      takes the lock
//!                        ◄──      Event locked           or  Refused { holder }
//!   (checks the claims again)
//!   Go                   ──►      spawns
//!                        ◄──      Event started          or  Event spawn_failed
//!                                 …
//!                        ◄──      Event exited, Event empty
//!   Again(…)             ──►      the next run, under the same lock
//!   or Release           ──►      ends; the kernel frees the lock
//! ```
//!
//! A keeper whose tree is empty ends by itself when nobody is connected who could say `Again`: when its last
//! controlling connection ([`Request::Launch`], [`Request::Control`]) closes.

use serde::{Deserialize, Serialize};

use vigie_core::clock::{Mono, Wall};
use vigie_core::exit::Exit;
use vigie_core::identity::{ProcKey, RunId};
use vigie_core::ladder::{Audience, Ladder, Signal};
use vigie_core::launch::{Containment, Holder, Launch};
use vigie_core::text::OsText;

pub use vigie_core::run::{Event, Left, Phase, SpawnFailure, StopCause, What};

/// What a client says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// The first line on the inherited connection: take the lock of this run. The connection controls, and watches. With
    /// the first byte of the line comes the descriptor that [`vigie_core::launch::Input::Inherit`] means, when that is
    /// asked for.
    Launch(Box<Launch>),
    /// Spawn what was launched, or adopt it when the launch names a process that runs already.
    Go,
    /// The tree is empty: another run of the same service, locked and started at once.
    Again(Box<Launch>),
    /// The tree is empty, or will be: no other run follows.
    Release,
    /// Tell me the state, every event of the current run with a number above `after`, and all that follow.
    Watch {
        /// The last number that the client has.
        after: u64,
    },
    /// This connection controls: while it is open, an empty tree waits for `Again` or `Release`.
    Control,
    /// When this connection closes, stop by the ladder (R5.5).
    Tie,
    /// Stop by this ladder; absent: by the one of the launch. During a stop: another ladder
    /// is climbed from its first rung; without one the climb goes on.
    Stop {
        /// Another ladder than that of the launch.
        ladder: Option<Ladder>,
        /// Why, for the journal.
        cause: StopCause,
    },
    /// The ladder is at its end and KILL is pending on all that is left: put them on record as a ghost, give the lock
    /// back, and end (R5.4). Answered by the event [`What::Quarantined`], or [`What::QuarantineRefused`].
    Quarantine,
    /// During a stop: the next rung now.
    Skip,
    /// Send a signal, outside of any ladder.
    Signal {
        /// Which.
        signal: Signal,
        /// To whom.
        to: Audience,
    },
    /// Every event of `run` up to this number is in the journal. The keeper may forget them after its end.
    Acknowledge {
        /// The run.
        run: RunId,
        /// The last number that is safe.
        seq: u64,
    },
}

/// What a keeper says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Answer {
    /// The whole state: the answer to `Watch`, before the events.
    State(Box<State>),
    /// Something happened.
    Event(Event),
    /// The lock is held by another. The keeper ends.
    Refused {
        /// The holder; absent when it has not yet written its label, or wrote nonsense.
        holder: Option<Box<Holder>>,
    },
    /// A request could not be carried out; the connection stays.
    Failed {
        /// The run that the request was to begin; absent for every other request. A client may have asked for something
        /// else before, and for that of another run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<RunId>,
        /// What failed, on what.
        message: String,
    },
}

/// Where a keeper stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// [`crate::VERSION`] of the keeper.
    pub version: u32,
    /// The program's version, for people.
    pub program: String,
    /// Who it is and for whom it holds the lock.
    pub holder: Holder,
    /// The number of the last event of this run.
    pub seq: u64,
    /// Where the run stands.
    pub phase: Phase,
    /// How its tree is contained, once it was started.
    pub containment: Option<Containment>,
    /// The folder of its cgroup, when it has one.
    pub cgroup: Option<OsText>,
    /// When the main process was spawned; of one that was adopted: when it was started, by whomever.
    pub started: Option<(Wall, Mono)>,
    /// When the main process was adopted, if it was not spawned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<(Wall, Mono)>,
    /// The process that is about to be adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopting: Option<ProcKey>,
    /// How the main process ended, once it did.
    pub exit: Option<Exit>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_readable_lines() {
        let stop = Request::Stop { ladder: None, cause: StopCause::Asked };
        assert_eq!(
            String::from_utf8(crate::frame::encode(&stop).expect("encodes")).expect("text"),
            "{\"do\":\"stop\",\"ladder\":null,\"cause\":\"asked\"}\n"
        );
        let event = Answer::Event(Event {
            run: RunId(1),
            seq: 3,
            at: Wall(5),
            mono: Mono(6),
            what: What::Exited { exit: Exit::Code(7) },
        });
        assert_eq!(
            String::from_utf8(crate::frame::encode(&event).expect("encodes")).expect("text"),
            "{\"is\":\"event\",\"run\":\"0000000000000001\",\"seq\":3,\"at\":5,\"mono\":6,\"what\":{\"event\":\"exited\",\"exit\":{\"code\":7}}}\n"
        );
    }

    /// What earlier versions wrote, without a word of adoption, is read as what it was.
    #[test]
    fn records_of_earlier_versions_are_read() {
        let record = r#"{"version":1,"program":"0.1.0","holder":{"run":"0000000000000001","key":{"scope":"project",
            "dir":"/srv","service":"a"},"project":"demo","mode":null,"keeper":{"boot_id":"b","pid":2,"start_ticks":3},
            "main":null,"since":4,"origin":{"uid":0,"user":null,"terminal":null,"pid":5,"cwd":"/"}},"seq":1,
            "phase":"locked","containment":null,"cgroup":null,"started":null,"exit":null}"#;
        let state: State = serde_json::from_str(record).expect("reads");
        assert_eq!((state.adopted, state.adopting, state.holder.adopted), (None, None, false));
        let line = String::from_utf8(crate::frame::encode(&Request::Go).expect("encodes")).expect("text");
        assert_eq!(line, "{\"do\":\"go\"}\n");
    }
}
