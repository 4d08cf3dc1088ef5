//! Why a process does not go on: what the kernel shows of it (R8.1).
//!
//! # Theory of operation
//!
//! [`look`](look()) reads of each thread where it sleeps (`wchan`, `stack`), which system call it is in, with which arguments, and
//! puts together what it waits for: the pipe behind a descriptor and who could read it, the lock of a file and who has it, the
//! mount below a path and who serves that. What it means is decided in `vigie_core::stuck`.
//!
//! **It does not wait behind those that wait.** Nothing is opened through a descriptor or a path of another process; only
//! texts of links, `fdinfo`, `mountinfo`, and files of sysfs are read. What the kernel may hold up all the same is read aside
//! ([`aside`]) and given up at a deadline.
//!
//! **What is hidden is said.** An ordinary user sees of own processes all but stacks and the inner state, and of others next
//! to nothing; the locks of files are seen by everybody.
//!
//! [`suspects`](suspects()) is one cheap pass over the machine, which finds whom to look at.
//!
//! [`inside`](inside()) tells what only a program in the kernel sees.

mod aside;
mod call;
mod descriptors;
mod fanotify;
mod file;
mod frozen;
pub mod inside;
mod locks;
mod look;
mod mount;
mod mountinfo;
mod scene;
mod served;
mod suspects;
mod task;
mod waits;

pub use inside::inside;
pub use look::look;
pub use served::fuse_servers;
pub use suspects::{Sign, Suspect, suspects};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_as_root;
