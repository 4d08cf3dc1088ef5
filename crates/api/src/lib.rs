//! What travels between the daemon and its clients over HTTP (R12.1): paths, bodies, the client.
//!
//! # Theory of operation
//!
//! HTTP/1.1 with JSON bodies over the Unix socket of the user's daemon. A request has one answer, or a stream of lines,
//! one JSON object each ([`stream::Line`]): a stream shows the entries of the journal as they happen and ends with what
//! came of the request. Closing a connection cancels nothing but the watching, except for a *session*
//! ([`path::SESSIONS`]), whose services live as long as its connection (R5.5).
//!
//! Errors are `{"error":{"code":3,"message":"…"}}` with a fitting status; `code` is the exit code that the command is
//! to end with ([`vigie_core::exit_code`]).
//!
//! The shapes are those of `--json`: what the daemon sends for `status` and `events` is what a program reads from the
//! command. Fields are added, none is renamed or removed; values that were not observed are `null`, never 0.

pub mod access;
pub mod client;
pub mod containers;
pub mod doctor;
pub mod error;
pub mod free;
mod ghost;
pub mod incidents;
pub mod journal;
pub mod metrics;
pub mod path;
pub mod ports;
pub mod quarantine;
pub mod report;
pub mod settings;
pub mod soak;
pub mod source;
pub mod status;
pub mod strays;
pub mod stream;
pub mod time;
pub mod why;

pub use client::{Client, Lines};
pub use error::Error;

/// The version of every shape of this crate: `"schema": 1`.
pub const SCHEMA: u32 = 1;
