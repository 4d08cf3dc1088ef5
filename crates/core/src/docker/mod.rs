//! Container engines as sources of events (R11): what is configured, what an engine tells, what is made of it.
//!
//! # Theory of operation
//!
//! An engine keeps its last 256 events, of every type, in memory; it forgets them when it restarts, and leaves out a
//! listener that is slow. So events are hints, and the list of containers is the truth. [`follower::Follower`] puts the two
//! together, without I/O and without a clock:
//!
//! 1. *Subscribe* from a little before the last event that is known (the cursor), and wait for the answer's head: from
//!    then on nothing can be missed any more.
//! 2. *List* the containers.
//! 3. *Reconcile.* What the events leave unexplained became different while nobody looked: an event that is marked as
//!    inferred.
//!
//! The event of the cursor has to come back, since `since` includes it: that is the exact test whether the engine still
//! has all that happened. If it does not, there is a gap, with its reason.
//!
//! Everything that the follower tells bears the cursor and the changes of what is known. Whoever stores these in one
//! transaction can be killed at any moment: a follower that begins with them goes on where they stand, and what it tells
//! a second time has the same [`event::Key`].
//!
//! | module | what it is |
//! |---|---|
//! | [`source`], [`endpoint`] | what is configured for one engine |
//! | [`filter`] | what is left out |
//! | [`lines`] | bytes become lines |
//! | [`event`] | a line becomes an event |
//! | [`known`] | the containers as they were last known |
//! | [`told`] | what is told of a source |
//! | [`follower`] | the state machine |
//! | [`pace`] | when a source is measured |
//! | [`presence`] | whether a source is there of which only measuring tells |
//! | [`usage`] | how much of its disk an engine uses |
//! | [`cgroup`] | which container a cgroup belongs to |
//! | [`stats`] | counters of a container become what is stored of it |

pub mod cgroup;
pub mod endpoint;
pub mod event;
pub mod filter;
pub mod follower;
pub mod known;
pub mod lines;
pub mod pace;
pub mod presence;
pub mod source;
pub mod stats;
pub mod told;
pub mod usage;

#[cfg(test)]
mod simulated;
