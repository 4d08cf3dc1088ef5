//! The real keeper with real processes: each test starts its own in a folder of its own, and leaves nothing behind.

mod adopting;
mod ends;
mod exactly_once;
mod harness;
mod nursery;
mod output;
mod quarantine;
mod stops;
mod trees;
mod watching;
