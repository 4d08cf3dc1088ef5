//! What the model needs around it.

use crate::clock::Wall;
use crate::docker::event::Happened;
use crate::docker::source::{Mode, Source};
use crate::docker::told::Saying;
use crate::name::Name;
use crate::units::Span;

pub(super) fn source(poll: bool) -> Source {
    let mode = if poll { Mode::Poll { every: Span::secs(60) } } else { Mode::Stream };
    let endpoint = "/run/d.sock".parse().expect("endpoint");
    Source { mode, ..Source::new(Name::new("nas").expect("name"), endpoint) }
}

pub(super) fn written(event: &Happened) -> Vec<u8> {
    let key = &event.key;
    serde_json::json!({
        "Type": key.kind, "Action": key.action, "timeNano": key.at.0,
        "Actor": { "ID": key.id, "Attributes": event.attributes },
    })
    .to_string()
    .into_bytes()
}

pub(super) fn once(saying: &Saying) -> Option<String> {
    saying.entry(&Name::new("nas").expect("name"), Wall(1)).and_then(|entry| entry.once())
}
