//! Channels: where messages go, how each receiver wants to hear them, and how they are sent.
//!
//! # Theory of operation
//!
//! A channel is a URL ([`Channel::parse`]): its scheme says what kind of receiver it is, the rest what that one needs. The
//! URL of a channel *is* its secret more often than not, so it is kept in a file of its own ([`book`]), is never shown as it
//! is ([`Channel::masked`]), and is taken out of whatever a receiver says ([`Channel::scrub`]).
//!
//! [`deliver`] sends one message and says what came of it. It blocks, for ten seconds at most, and uses no runtime: it runs in
//! a process that lives for one message (`vigie notify deliver`, which the daemon starts) or for one test (`vigie notify
//! test`). So neither TLS nor the certificates of the machine are in the memory of a daemon that is idle nearly always, a
//! receiver that hangs holds up nobody, and no secret passes through the daemon.
//!
//! What is dialled is an *address* that was looked at ([`guard`]): a name is resolved once, its addresses are judged, and one
//! of those that are allowed is connected to. Addresses of the machine itself and of private networks are refused unless the
//! channel allows them, so that a URL that somebody was talked into does not reach the metadata service of a cloud. No
//! redirect is followed, no proxy is asked.
//!
//! | file | what it does |
//! |---|---|
//! | `url` | URLs apart |
//! | `channel` | kinds and their forms |
//! | `kinds` | what each receiver gets |
//! | `book` | the file with all channels |
//! | `guard`, `dial`, `tls` | from a name to a connection |
//! | `http`, `smtp`, `dbus`, `local`, `command` | how it is sent |
//! | `job` | what the daemon and the sending process say to each other |

pub mod book;
mod channel;
mod command;
mod dbus;
mod dial;
pub mod guard;
mod http;
pub mod job;
mod kinds;
mod local;
mod send;
mod smtp;
mod text;
mod tls;
mod until;
mod url;

pub use channel::{Channel, FORMS, Form, UrlError};
pub use send::{About, Outcome, deliver};
pub use until::Clock;

#[cfg(test)]
mod tests;
