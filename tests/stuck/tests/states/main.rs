//! R8.1, R8.2, R8.5: every state is made for real. Each test first holds what the kernel shows against what the README says
//! about the state, without vigie. Then vigie has to find the same: the verdict of the process and of its threads, whether
//! KILL ends it, the facts that prove it, who is to blame, and what frees it, the mildest first. At last that is carried
//! out, by the very command that vigie offers, and the process has to be gone, or to go on.

mod bed;
mod cgroups;
mod disks;
mod ends;
mod freed;
mod fuse;
mod mounts;
mod signals;
mod traced;
mod traps;
mod user;
mod waits;
