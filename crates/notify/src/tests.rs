//! Every kind of channel against a receiver that runs in the test.

mod answers;
mod forms;
mod receivers;
mod sent;

use rustix::time::{ClockId, clock_gettime};
use vigie_core::clock::{Mono, Wall};
use vigie_core::identity::RunId;
use vigie_core::incidents::{Message, Occasion, RuleName, Severity};
use vigie_core::journal::Subject;
use vigie_core::name::Name;
use vigie_core::outbox::Verdict;

use crate::{About, Channel, Outcome};

fn clock() -> Mono {
    let now = clock_gettime(ClockId::Boottime);
    Mono(now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs())
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// A message with everything that could be misread.
fn message() -> Message {
    Message {
        key: "0abc-3-opened".to_owned(),
        occasion: Occasion::Opened,
        severity: Severity::Critical,
        subject: Some(Subject::Service { project: name("demo"), service: name("api"), mode: None }),
        incident: Some(3),
        rule: Some(RuleName::CrashLoop.into()),
        text: "crash loop: 5 ends in 3s <b>&ü".to_owned(),
        count: 5,
        opened: Some(Wall(1_767_225_600_000_000_000)),
        at: Wall(1_767_225_601_000_000_000),
        run: Some(RunId(7)),
        wants_lines: 2,
        lines: vec!["panic: @here ``` <!channel>".to_owned(), ".".to_owned()],
    }
}

fn send(url: &str, private: bool) -> Outcome {
    let channel = Channel::parse(url, private).unwrap_or_else(|error| panic!("{url}: {error}"));
    crate::deliver(&channel, &message(), &About { host: "web1".to_owned() }, clock)
}

#[track_caller]
fn delivered(outcome: Outcome) -> String {
    match outcome.verdict {
        Verdict::Delivered { answer } => answer,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(outcome: Outcome) -> String {
    match outcome.verdict {
        Verdict::Refused { why } => why,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn later(outcome: &Outcome) -> (String, Option<u64>) {
    match &outcome.verdict {
        Verdict::Later { why, after_seconds } => (why.clone(), *after_seconds),
        other => panic!("{other:?}"),
    }
}
