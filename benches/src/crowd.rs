//! Many processes that do nothing, so that looking at the machine has something to look at.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use crate::failure::{Failure, Result};
use crate::floor::Bare;
use crate::procs;
use crate::rollcall::RollCall;
use crate::site::{Arena, Site};

/// How long the next of them may take.
const LIMIT: Duration = Duration::from_secs(30);

/// They are children of this process, and ended when it is dropped.
#[derive(Debug)]
pub(crate) struct Crowd {
    bare: Bare,
    calls: RollCall,
    arena: Rc<Arena>,
}

impl Crowd {
    /// Nobody yet.
    ///
    /// # Errors
    /// When its folder cannot be made.
    pub(crate) fn new(site: &Rc<Site>) -> Result<Self> {
        let arena = Arena::new(site)?;
        let calls = RollCall::new(&arena.dir.join("calls"))?;
        Ok(Self { bare: Bare::default(), calls, arena })
    }

    /// So many more, each with these descriptors beside its first three. They are there when this returns.
    ///
    /// # Errors
    /// When one cannot be started.
    pub(crate) fn add(&mut self, count: usize, listeners: usize, others: usize) -> Result<()> {
        // What the FIFO takes bounds how many may speak at once.
        const AT_ONCE: usize = 500;
        let mut left = count;
        while left > 0 {
            let some = left.min(AT_ONCE);
            for _ in 0..some {
                self.bare.start(self.command(listeners, others))?;
            }
            self.calls.wait(some, LIMIT)?;
            left -= some;
        }
        Ok(())
    }

    /// One that has inherited a listening socket as its standard input. Gives the port, and the number of the process.
    ///
    /// # Errors
    /// As for [`Crowd::add`], and when there is no port.
    pub(crate) fn add_listener(&mut self) -> Result<(u16, u32)> {
        let failed = |error| Failure::io("cannot listen on a port of 127.0.0.1")(error);
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let mut command = self.command(0, 0);
        command.stdin(Stdio::from(OwnedFd::from(listener)));
        self.bare.start(command)?;
        Ok((port, self.calls.next(LIMIT)?.pid))
    }

    /// The numbers of all of them.
    ///
    /// # Errors
    /// When the processes cannot be looked at.
    pub(crate) fn pids(&self) -> Result<Vec<u32>> {
        procs::copies(&self.arena.mark, &self.arena.site.crowd)
    }

    fn command(&self, listeners: usize, others: usize) -> Command {
        let mut command = self.arena.command(&self.arena.site.crowd);
        command.arg(self.calls.path()).args([listeners.to_string(), others.to_string()]).stdin(Stdio::null());
        command
    }
}
