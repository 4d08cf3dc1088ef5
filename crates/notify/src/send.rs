//! One message to one channel.

use std::time::Duration;

use vigie_core::incidents::Message;
use vigie_core::outbox::Verdict;

use crate::channel::{Channel, Target};
use crate::dial::Failed;
use crate::http::{self, Answer};
use crate::text::cut;
use crate::until::{Clock, Until};
use crate::{command, dbus, local};

/// So long everything may take that belongs to one message.
const PATIENCE: Duration = Duration::from_secs(10);

/// So much of what a receiver says is passed on.
const SAID: usize = 300;

/// Who sends.
#[derive(Debug, Clone)]
pub struct About {
    /// The name of the machine.
    pub host: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// For the outbox.
    pub verdict: Verdict,
    /// The receiver answered, whatever it said.
    pub reached: bool,
}

/// Sends one message, and says what came of it. Blocks for ten seconds at most.
pub fn deliver(channel: &Channel, message: &Message, about: &About, clock: Clock) -> Outcome {
    let until = Until::within(clock, PATIENCE);
    let host = about.host.as_str();
    let sent = match &channel.target {
        Target::Http(receiver) => http::post(&receiver.post(message, host), until).map(judge),
        Target::Mail(mail) => mail.send(message, host, until).map(delivered),
        Target::Command { program, arguments } => command::run(program, arguments, message, host, until).map(delivered),
        Target::Desktop { bus } => dbus::send(bus.as_deref(), message, host, until).map(delivered),
        Target::Syslog { place, socket } => local::syslog(place.as_ref(), socket, message, host, until).map(delivered),
        Target::Journald { socket } => local::journald(socket, message, host, until).map(delivered),
    };
    let reached = !matches!(sent, Err(Failed::Later(_)));
    let verdict = sent.unwrap_or_else(|failed| match failed {
        Failed::Never(why) => Verdict::Refused { why },
        Failed::Later(why) => Verdict::Later { why, after_seconds: None },
    });
    // Whatever anybody said may hold what only the two of us know.
    let clean = |text: String| channel.scrub(&vigie_core::text::escaped(text.as_bytes()));
    let verdict = match verdict {
        Verdict::Delivered { answer } => Verdict::Delivered { answer: clean(answer) },
        Verdict::Later { why, after_seconds } => Verdict::Later { why: clean(why), after_seconds },
        Verdict::Refused { why } => Verdict::Refused { why: clean(why) },
    };
    Outcome { verdict, reached }
}

fn delivered(answer: String) -> Verdict {
    Verdict::Delivered { answer }
}

/// What an answer means (RFC 9110, 15; RFC 6585, 4).
fn judge(answer: Answer) -> Verdict {
    let body = cut(answer.body.trim(), SAID);
    let body = if body.is_empty() { String::new() } else { format!(": {body}") };
    let reason = if answer.reason.is_empty() { String::new() } else { format!(" {}", answer.reason) };
    let said = format!("status {}{reason}{body}", answer.status);
    match answer.status {
        200..300 => delivered(said),
        300..400 => Verdict::Refused { why: format!("{said} (it sends us elsewhere, and redirects are not followed)") },
        408 | 425 | 429 | 500.. => Verdict::Later { why: said, after_seconds: answer.retry_after_seconds },
        _ => Verdict::Refused { why: said },
    }
}
