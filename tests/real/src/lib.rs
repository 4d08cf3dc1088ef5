//! Real processes, one file per chapter of the requirements.
//!
//! Each test has a [`World`] of its own: a temporary folder with a `VIGIE_HOME` and a project in it. It runs the real
//! programs, waits for conditions with deadlines, and never sleeps for a time that it hopes to be long enough. When a
//! world ends it ends what it started, and then looks: a process, a socket, a cgroup or a mount that is left fails the
//! test.
//!
//! The programs are searched in `VIGIE_BIN_DIR`, else beside the tests: `cargo build -p vigie -p vigie-hostile --bins`.

mod call;
mod dice;
mod disk;
mod engine;
mod freezer;
mod http;
mod left;
mod lifeline;
mod port;
mod processes;
mod receiver;
mod recording;
mod schema;
mod skip;
mod stream;
mod terminal;
mod wait;
mod watched;
mod world;

pub use call::{Call, Done, Running};
pub use dice::Dice;
pub use disk::SmallDisk;
pub use engine::{Engine, IMAGE};
pub use freezer::{Frozen, freezer};
pub use http::{Answer, Connection, Event, Events, Site, read};
pub use lifeline::Lifeline;
pub use port::free_port;
pub use processes::{Process, alive, start_ticks};
pub use receiver::{Receiver, Request};
pub use recording::{Recording, Told};
pub use schema::Schemas;
pub use skip::{is_root, skip};
pub use terminal::Terminal;
pub use wait::{LONG, elapsed, now, until};
pub use watched::{Compared, actions, compare, of_kind};
pub use world::{World, program};
