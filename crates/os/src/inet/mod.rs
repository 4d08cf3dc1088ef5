//! The sockets that have a port: TCP listeners, TCP sockets that are bound and do not listen, UDP sockets, and on request
//! connections and what is left of them.
//!
//! The kernel is asked by sock_diag ([`diag`]); where a family or protocol is not offered there, `/proc/net` is read
//! ([`table`]), which does not show bound TCP sockets and whether an IPv6 socket leaves IPv4 alone. All of this is
//! about the network namespace of the calling thread; [`crate::ports`] goes through the others and finds the processes.

mod diag;
mod table;

use vigie_core::claim::Proto;
pub use vigie_core::ports::{Socket, State};

use crate::error::OsError;
use crate::netlink::SockDiag;
use crate::proc::Proc;

/// Which sockets are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Query<'a> {
    /// Those with one of these local ports; none named: with any.
    pub ports: &'a [u16],
    /// TCP connections too, and what is left of closed ones. Costs a walk through all connections of the machine.
    pub connections: bool,
}

/// All sockets that hold a port, or those that hold this one; of UDP those with a peer too.
///
/// # Errors
/// When neither sock_diag nor `/proc/net` can be read.
pub fn sockets(proc: &Proc, port: Option<u16>) -> Result<Vec<Socket>, OsError> {
    query(proc, &Query { ports: port.as_slice(), connections: false })
}

/// The sockets in the network namespace of the calling thread.
///
/// # Errors
/// When neither sock_diag nor `/proc/net` can be read.
pub fn query(proc: &Proc, query: &Query<'_>) -> Result<Vec<Socket>, OsError> {
    query_by(SockDiag::open().ok(), proc, query)
}

fn query_by(mut diag: Option<SockDiag>, proc: &Proc, query: &Query<'_>) -> Result<Vec<Socket>, OsError> {
    let mut found = Vec::new();
    for table in table::TABLES {
        let start = found.len();
        let told = match &mut diag {
            Some(diag) => diag::list(diag, table, query, &mut found).is_ok(),
            None => false,
        };
        if !told {
            found.truncate(start);
            table::list(proc, table::own_folder(proc)?, table, &mut found)?;
        }
    }
    if diag.is_none() {
        table::tell_families_apart(&mut found);
    }
    narrow(&mut found, query);
    Ok(found)
}

/// What sock_diag calls a socket (`struct inet_diag_sockid`, with the cookie that no other socket gets in this boot).
/// `None` when it is not there any more, or the kernel does not offer sock_diag.
pub(crate) fn identity(socket: &Socket) -> Option<[u8; 48]> {
    diag::identity(&mut SockDiag::open().ok()?, socket)
}

/// The sockets in the network namespace of another process, where one may not go there: from its `/proc/PID/net`.
///
/// # Errors
/// When that cannot be read.
pub(crate) fn query_beside(proc: &Proc, pid: u32, query: &Query<'_>) -> Result<Vec<Socket>, OsError> {
    let mut found = Vec::new();
    for table in table::TABLES {
        table::list(proc, &format!("{pid}/net"), table, &mut found)?;
    }
    table::tell_families_apart(&mut found);
    narrow(&mut found, query);
    Ok(found)
}

/// Some kernels ignore the port in the request, the text has everything, and a socket without a port holds none.
fn narrow(found: &mut Vec<Socket>, query: &Query<'_>) {
    let kind = |socket: &Socket| {
        query.connections || socket.proto == Proto::Udp || matches!(socket.state, State::Listening | State::Bound)
    };
    let port = |port: u16| query.ports.is_empty() || query.ports.contains(&port);
    found.retain(|socket| socket.port != 0 && kind(socket) && port(socket.port));
}

#[cfg(test)]
mod tests;
