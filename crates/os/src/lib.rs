//! What vigie asks of Linux: identities, locks, containment, spawning, signals, sockets.
//!
//! # Theory of operation
//!
//! This crate is the seam between vigie and the kernel, and the only one that may hold `unsafe`. It decides nothing: a
//! function asks the kernel one question or makes one change, and says which file or target an error is about
//! ([`error`]). What it returns are the words of `vigie_core`.
//!
//! Three habits hold everywhere:
//!
//! - **Identity before deed.** A PID is only a number. A process is a `ProcKey` (boot, PID, start time); [`pidfd`] opens
//!   a descriptor first and compares the key afterwards, so that whatever is then signalled is what was meant. The one
//!   bare PID that may be signalled is an own child that was not reaped yet.
//! - **Readers take their root, parsers take bytes.** [`proc`] works on `/proc` or on a folder that a test made; the
//!   parsers know nothing of files. A process that vanishes between two reads is `Ok(None)`, never an error.
//! - **Nothing here hangs.** No `stat` through `/proc/PID/fd`, every wait takes a deadline ([`vigie_core::clock::Mono`]).
//!
//! | module | what it asks |
//! |---|---|
//! | [`clock`], [`random`] | the time, dice: the only place that reads either |
//! | [`proc`], [`pidfd`], [`exit`] | who lives, who is whose child, signal and wait for a verified process, how it ended |
//! | [`scan`], [`connector`] | all processes, by difference; what the kernel tells of them |
//! | [`ancestry`] | where a process comes from: parents by identity, session, cgroup, namespaces |
//! | [`lock`] | one holder per service, freed by the kernel |
//! | [`place`], [`atomic`], [`watch`] | where vigie's files lie; write them whole; wait for their change |
//! | [`socket`], [`unix_table`], [`inet`], [`netns`], [`owners`] | Unix sockets at paths of any length; who listens on what |
//! | [`ports`], [`holder`] | who holds which port, in every network namespace; who holds a claim |
//! | [`spawn`], [`fork`], [`cgroup`] | start a process exactly as described, go on as a copy, hold a tree together |
//! | [`ipc`], [`sighting`], [`upkeep`] | what outlives its maker, what a run has of it, what a process keeps |
//! | [`signals`], [`poll`], [`splice`], [`rights`], [`memory`] | what a keeper waits on and moves |
//! | [`signs`] | what is not well on the machine: frozen cgroups, little room, threads that have not run for long |
//! | [`cure`], [`takeback`] | what frees a stuck process; taking from one that nothing frees |
//! | [`usage`], [`containers`] | what a run uses, what a container does |
//! | [`processors`], [`host`] | how many processors the machine has; what it does as a whole |
//! | [`user`], [`limits`] | who asks, from which terminal; how many files it may open |

// Every other crate denies it; here each block says why it is sound.
#![allow(unsafe_code)]

pub mod ancestry;
pub mod atomic;
#[cfg(feature = "bpf")]
mod bpf;
pub mod cgroup;
pub mod clock;
pub mod connector;
pub mod containers;
pub mod cure;
pub mod error;
pub mod exit;
pub mod fork;
pub mod ghosts;
pub mod holder;
pub mod host;
pub mod inet;
pub mod ipc;
pub mod limits;
pub mod lock;
pub mod memory;
mod netlink;
pub mod netns;
pub mod owners;
mod parallel;
pub mod pidfd;
pub mod pidfile;
pub mod place;
pub mod poll;
pub mod ports;
pub mod proc;
pub mod processors;
pub mod random;
pub mod remains;
pub mod rights;
pub mod scan;
pub mod sighting;
pub mod signals;
pub mod signs;
pub mod socket;
pub mod spawn;
pub mod splice;
pub mod strays;
pub mod stuck;
pub mod takeback;
pub mod unix_table;
pub mod upkeep;
pub mod usage;
pub mod user;
mod wait;
pub mod watch;
