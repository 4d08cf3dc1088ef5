//! What is measured: one module each.

mod containers;
mod events;
mod footprint;
mod logs;
mod offline;
mod ports;
mod restart;
mod rounds;
mod samples;
mod scan;
mod sse;
mod start;
mod status;
mod stop;

use std::rc::Rc;

use crate::failure::Result;
use crate::page::Page;
use crate::site::Site;
use crate::supervisors::Peer;

/// A measurement.
pub(crate) type Measure = fn(&Rc<Site>, &[Peer]) -> Result<Page>;

/// All, in the order of the document: name, what it is, how.
pub(crate) const ALL: &[(&str, &str, Measure)] = &[
    ("start", "1, 100, 1,000 services until all run", start::measure),
    ("restart", "from the crash to the new process, without delay", restart::measure),
    ("stop", "of an obedient service", stop::measure),
    ("footprint", "memory and idle processor time", footprint::measure),
    ("logs", "throughput of output", logs::measure),
    ("status", "latency of looking", status::measure),
    ("scan", "all processes of the machine", scan::measure),
    ("ports", "who holds a port", ports::measure),
    ("samples", "storing what is measured, and reading it back", samples::measure),
    ("containers", "what containers use: by files, and by their engine", containers::measure),
    ("sse", "200 clients of the event stream", sse::measure),
    ("events", "Docker events, from the engine into the journal", events::measure),
    ("offline", "memory over time, with a source that is away", offline::measure),
    ("rounds", "who keeps services exactly once, and stops them for real", rounds::measure),
];
