//! A container engine for tests: as much of the Docker Engine API as vigie uses, from a model of an engine, and with faults
//! on demand.
//!
//! # Theory of operation
//!
//! A [`FakeEngine`] listens at a Unix socket, or at a TCP port with or without TLS, and serves each connection by a thread
//! of its own; nothing is shared with vigie but the words that go over the wire. Behind it is a [`state::State`]: containers,
//! a ring of 256 events of all types as moby has it (`eventsLimit` in `daemon/events`), and a clock.
//!
//! What it does wrong comes in three kinds, which can be combined:
//!
//! - [`Faults`] change the manner of everything: how events are cut, doubled and put in disorder, the shape of answers, the
//!   clock, how slow it is.
//! - A [`Answer`] replaces the answer to one path by whatever bytes: a status, a flood of headers, a body that is huge, or
//!   ends early, or never ends.
//! - Deeds: streams break, events are forgotten, containers change without an event, the engine restarts or is gone.
//!
//! A test says all of this by methods. By hand, or from another language, a [`script`] does:
//! `cargo run -p vigie-fake-engine -- --socket /tmp/e.sock --script FILE`.
//!
//! | module | what it is |
//! |---|---|
//! | [`faults`], [`answer`] | what it does wrong |
//! | [`state`] | what an engine has and remembers |
//! | [`serve`] | requests and answers |
//! | [`stream`] | `GET /events` |
//! | [`shapes`], [`stats`] | the bodies of answers, by version and kind of engine |
//! | [`script`] | faults and deeds as lines of text |
//! | [`tls`] | who may ask, and who answers |

pub mod answer;
mod engine;
pub mod faults;
pub mod script;
pub mod serve;
pub mod shapes;
pub mod state;
pub mod stats;
pub mod stream;
pub mod tls;

pub use answer::Answer;
pub use engine::FakeEngine;
pub use faults::{Faults, Kind, Wrong};
