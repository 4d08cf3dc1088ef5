//! Why something does not go on, and what frees it (R8.1, R8.2).
//!
//! What was seen of a process and its threads comes in as values ([`facts`]); what it means leaves as one typed verdict
//! for each thread and one for the process ([`TaskVerdict`]). A state letter alone proves little: the kernel shows `D` for
//! a wait that TERM ends and for one that nothing ends, and a frozen thread shows the place where it last slept. So every
//! verdict names the facts that it rests on, and how sure it is.

mod blame;
mod cures;
mod evidence;
pub mod facts;
mod judge;
mod remedy;
mod signs;
mod task;
mod verdict;

pub use judge::{Blamed, Judgement, judge};
pub use remedy::Cure;
pub use task::TaskJudgement;
pub use verdict::TaskVerdict;

#[cfg(test)]
mod tests;
