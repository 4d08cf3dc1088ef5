//! What enters the queue of [`crate::dispatch`].

use tokio::sync::oneshot;

use vigie_api::settings::{Change, Changed};
use vigie_core::exit_code::ExitCode;
use vigie_core::identity::ProcKey;
use vigie_core::name::Name;
use vigie_core::outbox::Verdict;
use vigie_core::supervisor::{Event, Outcome, Request, SessionId};
use vigie_store::samples::Told;

use crate::dispatch::Seen;
use crate::sessions::Session;
use crate::sources::Heard;

/// One thing to deal with.
pub(crate) enum Input {
    /// Something happened.
    Event(Event),
    /// A client asks for something.
    Request {
        /// For what.
        request: Request,
        /// Where the outcome goes. Nobody may be waiting for it any more.
        reply: oneshot::Sender<Outcome>,
    },
    /// A client wants to see all services.
    Look {
        /// It looks again and again.
        watch: bool,
        /// Where they go.
        reply: oneshot::Sender<Vec<Seen>>,
    },
    /// A foreground command began, or is back after a restart of the daemon.
    OpenSession {
        /// It.
        command: ProcKey,
        /// Its number, when it is back.
        resume: Option<SessionId>,
        /// Where its session goes; nothing when there is none of that number.
        reply: oneshot::Sender<Option<Session>>,
    },
    /// A foreground command is gone.
    CloseSession(SessionId),
    /// Take what runs that no daemon manages have written down into the journal, and tell when it is there.
    Import(oneshot::Sender<()>),
    /// Write the samples that were taken until now, and tell when they can be read.
    Flush(oneshot::Sender<()>),
    /// What the thread that writes samples has to tell.
    Samples(Told),
    /// A client changes a setting, a rule or a silence.
    Change {
        /// How.
        change: Change,
        /// Where it is told that it is stored, or why it cannot be.
        reply: oneshot::Sender<Result<Changed, Refused>>,
    },
    /// Something came of an attempt to deliver a message.
    Posted {
        /// To which channel.
        channel: Name,
        /// What.
        verdict: Verdict,
    },
    /// The last lines of output that explain an incident.
    Explained {
        /// Which.
        incident: u64,
        /// They.
        lines: Vec<String>,
    },
    /// A worker's connection has something to say.
    Worker(Heard),
    /// A client wants sources to be otherwise.
    ChangeSources {
        /// How, and by whom.
        request: vigie_api::source::Request,
        /// Where the answer goes, once it is durable.
        reply: oneshot::Sender<vigie_api::source::Answer>,
    },
    /// A client wants to see all sources.
    LookAtSources(oneshot::Sender<vigie_api::source::Sources>),
    /// A client looks at containers again and again.
    WatchContainers(vigie_api::source::Watch),
    /// A client wants to see the settings of the whole.
    LookAtSettings(oneshot::Sender<vigie_api::settings::Report>),
    /// The daemon is to end.
    End(End),
}

/// Why a change is not made.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: ExitCode,
    pub(crate) why: String,
}

/// Why the daemon ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// It got this signal. Services go on.
    Signal(&'static str),
    /// Somebody asked for it, and what was tied to it has been stopped.
    Asked,
    /// Its runtime folder was deleted, and with it its lock: another may be at work by now. Services go on.
    Displaced,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Signal(name) => write!(f, "signal {name}"),
            End::Asked => f.write_str("asked for"),
            End::Displaced => f.write_str("its runtime folder was deleted; the next daemon takes over"),
        }
    }
}
