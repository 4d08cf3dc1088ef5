//! Signs that something on the machine is not well, each cheap to look for, and none of which can hang (R8.3).

mod descriptors;
mod frozen;
mod fuse;
mod room;
mod still;

pub use descriptors::descriptors;
pub use frozen::{Frozen, frozen};
pub use fuse::{Mounted, mounted};
pub use room::{Room, room};
pub use still::Clocks;
