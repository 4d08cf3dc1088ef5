//! The states, by what they are stuck in.

pub(crate) mod cgroups;
pub(crate) mod disks;
pub(crate) mod ends;
pub(crate) mod fuse;
pub(crate) mod mounts;
pub(crate) mod signals;
pub(crate) mod traced;
pub(crate) mod waits;
