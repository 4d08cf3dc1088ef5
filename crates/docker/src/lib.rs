//! Asks container engines: Docker, and Podman by its compatible interface (R7.1, R11.1).
//!
//! # Theory of operation
//!
//! An [`Engine`] speaks the Docker Engine API over HTTP/1.1: at a Unix socket of this machine, over TCP with or without
//! TLS, or at the other end of an `ssh` ([`dial`]). Each question is one connection with
//! one deadline around all of it, connecting included, and a bound on the answer: an engine that hangs costs seconds,
//! never more. The version of the API is agreed on first (`/_ping` names the newest that the engine speaks), since
//! engines refuse versions that are too old as well as those that are too new.
//!
//! What an engine tells is asked at the time it is needed and never kept: a container that was stopped a moment ago has
//! given its port to somebody else, and a map of yesterday names the wrong one.
//!
//! Which container holds a port is decided in [`holder`], without I/O, from what the kernel says of the process (its
//! name, its arguments, its cgroup), of the socket, and what the engines publish.
//!
//! | module | what it is |
//! |---|---|
//! | [`place`] | where engines of this machine listen |
//! | [`dial`] | how one is reached: sockets, TLS, SSH, the contexts of `docker` |
//! | [`watch`] | who it is, what it has, what happens to it |
//! | [`engine`] | what they are asked |
//! | [`container`] | what they answer |
//! | [`measure`] | what containers use: from files, by the API, as a stream |
//! | [`holder`] | the container behind a port |
//! | [`http`] | one question, one answer; a body that goes on |
//! | [`error`] | why one does not answer, and what to do |

pub mod container;
mod context;
pub mod dial;
pub mod engine;
pub mod error;
#[cfg(test)]
mod fake;
pub mod holder;
pub mod http;
pub mod measure;
pub mod place;
mod ssh;
mod tls;
pub mod watch;

pub use container::{Container, Details, Published};
pub use dial::Dial;
pub use engine::{Engine, Stopped};
pub use error::Error;
