//! What goes into a follower, and what comes out of it.

use crate::docker::event::Nanos;
use crate::docker::known::Listed;
use crate::docker::lines::Line;
use crate::docker::told::{Identity, Told};

/// Something happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// The deadline has come, or simply: look at the clock.
    Tick,
    /// Somebody else had an answer of the engine just now. Whoever waits because it could not be reached waits no longer.
    Reachable,
    /// What was asked for is answered, or not.
    Answered {
        /// That of the question.
        ticket: u32,
        /// How.
        response: Response,
    },
    /// A line of the stream.
    Heard {
        /// That of the subscription.
        ticket: u32,
        /// It.
        line: Line,
    },
    /// The stream is over.
    Ended {
        /// That of the subscription.
        ticket: u32,
        /// Why; absent when it ended in order.
        why: Option<String>,
    },
}

/// An answer.
#[derive(Debug, Clone)]
pub enum Response {
    /// To [`Asked::Identity`].
    Identity(Identity),
    /// To [`Output::Subscribe`]: the head of the answer is there. Nothing that happens from now on is missed.
    Subscribed,
    /// To [`Asked::List`].
    List(Vec<Listed>),
    /// To [`Asked::Ping`].
    Pong,
    /// It could not be asked, did not answer in time, or not so that it can be understood.
    Failed(String),
}

/// A question that is answered at once, or fails by a deadline of whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Who it is, and what time it has.
    Identity,
    /// All containers, those that do not run too.
    List,
    /// Whether it is there; on another connection than the stream's.
    Ping,
}

/// Something to do.
#[derive(Debug, Clone)]
#[must_use]
pub enum Output {
    /// Ask this.
    Ask {
        /// To be given back with the answer.
        ticket: u32,
        /// What.
        asked: Asked,
    },
    /// Open a stream of events of every type.
    Subscribe {
        /// To be given back with everything that comes of it.
        ticket: u32,
        /// From then on, inclusive.
        since: Nanos,
        /// Up to then; absent: without end.
        until: Option<Nanos>,
    },
    /// Close the stream, if there is one, and forget what was asked.
    HangUp,
    /// Tell this, in this order.
    Tell(Told),
}
