//! What vigie decides, without touching anything.
//!
//! # Theory of operation
//!
//! Nothing in this crate does I/O, reads a clock or starts a thread. What happens in the world arrives as values
//! ([`supervisor::Event`], with [`clock::Now`] beside it), what should happen next leaves as values
//! ([`supervisor::Action`]), and the same input always gives the same output. So the whole supervisor runs in a
//! simulated world (`tests/sim`) with virtual time and every fault that can be thought of.
//!
//! | module | what it is |
//! |---|---|
//! | [`name`], [`target`] | names of projects, services and modes; the one grammar for targets |
//! | [`clock`], [`units`], [`text`] | points in time, durations and sizes as people write them, bytes that may not be text |
//! | [`identity`] | what makes a process *this* process: boot, PID, start time |
//! | [`exit`], [`exit_code`] | how a process ended; how vigie itself ends |
//! | [`ladder`] | the rungs of a stop, and the machine that climbs them |
//! | [`claim`] | ports as they are claimed, and when two of them collide |
//! | [`ports`] | who uses a port, and whether a server can have it |
//! | [`manifest`] | `vigie.toml`: as written, as resolved, every error with its place |
//! | [`plan`] | selection of targets and the order of start and stop |
//! | [`policy`] | restart delays and when to give up |
//! | [`service`] | one service: state × event, the whole table |
//! | [`supervisor`] | all services of a user: events in, actions out |
//! | [`launch`] | the resolved description of one run, as its keeper gets it |
//! | [`recognise`], [`protect`] | whether a process is the same thing as a service; which are never ended |
//! | [`run`] | what happens to a run, as its keeper tells it |
//! | [`journal`] | what is worth remembering: kinds, subjects, texts |
//! | [`incidents`] | from entries to one story per cause, and what is told of it when |
//! | [`outbox`] | messages until they are delivered: order, attempts, rate |
//! | [`why`] | from facts to one explanation, with evidence and remedies |
//! | [`stuck`] | what keeps a process from going on or from ending, and what frees it |
//! | [`doctor`] | what is wrong on the machine, from look to look |
//! | [`soak`] | what a run left behind, and what grows with each cycle of start and stop |
//! | [`logindex`] | the index beside raw log bytes: who wrote what when |
//! | [`settings`] | what can be set for the whole |
//! | [`samples`] | what was measured of whom and when, its rollups, and what answers a question about a stretch of time |

pub mod claim;
pub mod clock;
pub mod docker;
pub mod doctor;
pub mod exit;
pub mod exit_code;
pub mod ghost;
pub mod identity;
pub mod incidents;
pub mod journal;
pub mod ladder;
pub mod launch;
pub mod logindex;
pub mod manifest;
pub mod name;
pub mod outbox;
pub mod plan;
pub mod policy;
pub mod ports;
pub mod protect;
pub mod recognise;
pub mod run;
pub mod samples;
pub mod service;
pub mod settings;
pub mod soak;
pub mod stuck;
pub mod supervisor;
pub mod target;
pub mod text;
pub mod units;
pub mod why;
