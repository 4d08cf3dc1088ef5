//! Who holds which port (R7.1): sockets of every network namespace that can be seen, with the processes that have them.
//!
//! Only looking: what a port's sockets mean for a server is decided by [`vigie_core::ports::judge`].

mod rights;

use std::time::Duration;

use vigie_core::claim::PortClaim;
use vigie_core::ports::{Entry, Judgement, Rights, Socket, State, judge, judge_in};

pub use rights::rights;

use crate::error::OsError;
use crate::inet::{self, Query};
use crate::netns::{self, Namespace};
use crate::owners::{Owners, all_on_machine, owners_on_machine};
use crate::poll::PollSet;
use crate::proc::Proc;

/// So often it is looked at a socket that nobody seems to have.
const LOOKS: usize = 3;

/// Between two looks: as long as the kernel takes to close the sockets of one that ends.
const PAUSE: Duration = Duration::from_millis(5);

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ask<'a> {
    /// These ports; none named: all.
    pub ports: &'a [u16],
    /// TCP connections too, and what is left of closed ones.
    pub connections: bool,
    /// Other network namespaces too; together with holders: those in which a process with a socket is.
    pub namespaces: bool,
    /// The processes that have the sockets.
    pub holders: bool,
}

impl<'a> Ask<'a> {
    /// Everything about these ports: what a verdict on them takes.
    pub fn about(ports: &'a [u16]) -> Self {
        Self { ports, connections: true, namespaces: true, holders: true }
    }

    /// Whatever receives or holds a port, everywhere.
    pub fn holding() -> Self {
        Self { ports: &[], connections: false, namespaces: true, holders: true }
    }
}

/// What could not be seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hidden {
    /// Processes whose descriptors one may not read; a socket without a holder is mostly one of theirs.
    pub processes: Vec<u32>,
    /// There are processes of which one may not know in which network namespace they are.
    pub namespaces: bool,
}

/// Sockets with their holders, as of one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// By namespace (the own one first), port, protocol, address and number: the same machine gives the same order.
    pub entries: Vec<Entry>,
    /// What could not be seen.
    pub hidden: Hidden,
}

impl Table {
    /// Looks. When a socket of ports that were named has no holder although it should be seen, once more: most often its
    /// holder ended between the look at the sockets and that at their owners.
    ///
    /// # Errors
    /// When the sockets of the own namespace or `/proc` cannot be read.
    pub fn read(proc: &Proc, ask: &Ask<'_>) -> Result<Self, OsError> {
        let own = crate::user::uid();
        let doubtful =
            |table: &Self| ask.holders && !ask.ports.is_empty() && table.entries.iter().any(|entry| lost(entry, own));
        settled(|| Self::look(proc, ask), doubtful)
    }

    fn look(proc: &Proc, ask: &Ask<'_>) -> Result<Self, OsError> {
        let query = Query { ports: ask.ports, connections: ask.connections };
        let mut sockets = inet::query(proc, &query)?;
        let mut hidden = Hidden::default();
        let owners = match (ask.holders, ask.namespaces) {
            (false, _) => Owners::default(),
            (true, false) => holders(proc, &sockets)?,
            // One walk tells both: who has a socket, and so which namespaces are worth a look.
            (true, true) => all_on_machine(proc)?,
        };
        if ask.namespaces {
            let namespaces = if ask.holders { netns::of(proc, &owners.processes())? } else { netns::visible(proc)? };
            hidden.namespaces = namespaces.hidden;
            for other in namespaces.others {
                sockets.extend(beside(proc, other, &query));
            }
        }
        let with_holders = |socket: Socket| Entry { holders: owners.holders(socket.inode).collect(), socket };
        let mut entries: Vec<Entry> = sockets.into_iter().map(with_holders).collect();
        entries.sort_by_key(|entry| {
            let socket = &entry.socket;
            (socket.namespace, socket.port, socket.proto, socket.address, socket.state, socket.peer, socket.inode)
        });
        hidden.processes = owners.hidden;
        Ok(Self { entries, hidden })
    }

    /// What a server that wants `claim` meets. The table must hold everything about its port: [`Ask::about`].
    pub fn judge(&self, claim: &PortClaim, rights: &Rights) -> Judgement {
        judge(claim, &self.entries, rights)
    }

    /// As [`Table::judge`], for a server in another network namespace.
    pub fn judge_in(&self, claim: &PortClaim, namespace: Option<u64>, rights: &Rights) -> Judgement {
        judge_in(claim, namespace, &self.entries, rights)
    }
}

/// A socket that holds a port, that this user would see in its holder, and that is in none.
fn lost(entry: &Entry, own: u32) -> bool {
    let socket = &entry.socket;
    let holds = matches!(socket.state, State::Listening | State::Bound);
    holds && entry.holders.is_empty() && socket.inode != 0 && (own == 0 || own == socket.uid)
}

/// Looks until it is not doubtful, or it stays so: then it is so.
fn settled<T, E>(mut look: impl FnMut() -> Result<T, E>, doubtful: impl Fn(&T) -> bool) -> Result<T, E> {
    let mut seen = look()?;
    for _ in 1..LOOKS {
        if !doubtful(&seen) {
            break;
        }
        // A signal only makes it shorter.
        let _ = PollSet::default().wait(Some(PAUSE));
        seen = look()?;
    }
    Ok(seen)
}

/// The sockets of another namespace: by going there, else from the text of a process there. One that is gone meanwhile
/// has none.
fn beside(proc: &Proc, other: Namespace, query: &Query<'_>) -> Vec<Socket> {
    let told = netns::within(other, || inet::query(proc, query)).and_then(Result::ok);
    let mut sockets = told.or_else(|| inet::query_beside(proc, other.pid, query).ok()).unwrap_or_default();
    for socket in &mut sockets {
        socket.namespace = Some(other.inode);
    }
    sockets
}

/// One walk for all of them.
fn holders(proc: &Proc, sockets: &[Socket]) -> Result<Owners, OsError> {
    let inodes: Vec<u64> = sockets.iter().map(|socket| socket.inode).filter(|&inode| inode != 0).collect();
    owners_on_machine(proc, &inodes)
}

#[cfg(test)]
mod tests;
