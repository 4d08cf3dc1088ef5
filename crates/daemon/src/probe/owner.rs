//! Whose socket it is that listens (R2.3).
//!
//! The sockets that a connection to an address can reach are asked of the kernel; the most specific addresses win, as
//! they do in the kernel. All of them must belong to the run: of two servers that share a port (`SO_REUSEPORT`) one may
//! be somebody else's, and nobody knows which one answers next. Where the owner cannot be seen (another user's process,
//! another network namespace) the answer does not count, and the reason is told: unknown is not "mine".

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use vigie_core::claim::Proto;
use vigie_core::supervisor::ProbeOutcome;
use vigie_core::text::escaped;
use vigie_os::error::OsError;
use vigie_os::inet::{Socket, State, sockets};
use vigie_os::owners::{owners, owners_on_machine};
use vigie_os::proc::Proc;

use super::bad;
use crate::runs::LiveRun;

/// Whether what listens at `address` is of this run.
pub(super) fn of_address(address: SocketAddr, live: &LiveRun) -> ProbeOutcome {
    judge(live, &address.to_string(), |proc| {
        let listening = sockets(proc, Some(address.port()))?;
        Ok(reached(address.ip(), &listening).iter().map(|socket| socket.inode).collect())
    })
}

/// Whether what listens at `path` is of this run.
pub(super) fn of_path(path: &Path, live: &LiveRun) -> ProbeOutcome {
    let name = escaped(path.as_os_str().as_encoded_bytes());
    judge(live, &name, |proc| Ok(vigie_os::unix_table::listener(proc, path)?.into_iter().collect()))
}

fn judge(live: &LiveRun, place: &str, inodes: impl FnOnce(&Proc) -> Result<Vec<u64>, OsError>) -> ProbeOutcome {
    let look = || {
        let proc = Proc::system()?;
        let inodes = inodes(&proc)?;
        if inodes.is_empty() {
            return Ok(bad(format!("{place} answers, but no socket is seen that listens there")));
        }
        let members = live.tree().members(&proc)?.unwrap_or_default();
        let own = owners(&proc, &inodes, &members)?;
        let foreign: Vec<u64> = inodes.into_iter().filter(|&inode| own.of(inode).next().is_none()).collect();
        if foreign.is_empty() {
            return Ok(ProbeOutcome::Good);
        }
        let others = owners_on_machine(&proc, &foreign)?;
        let mut pids: Vec<u32> = foreign.iter().flat_map(|&inode| others.of(inode)).collect();
        pids.sort_unstable();
        pids.dedup();
        if pids.is_empty() {
            return Ok(bad(format!("{place} answers, but whose socket it is cannot be seen (needs root)")));
        }
        let who: Vec<String> = pids.iter().map(|&pid| named(&proc, pid)).collect();
        Ok(ProbeOutcome::Other { who: who.join(", ") })
    };
    look().unwrap_or_else(|error: OsError| {
        bad(format!("{place} answers, but whose socket it is cannot be seen: {error}"))
    })
}

/// `PID 123 (python3)`
fn named(proc: &Proc, pid: u32) -> String {
    let mut buffer = Vec::new();
    match proc.stat(pid, &mut buffer) {
        Ok(Some(stat)) => format!("PID {pid} ({})", escaped(stat.comm)),
        _ => format!("PID {pid}"),
    }
}

/// Those among `listening` that a connection to `address` ends at: a listener on the very address goes before one on
/// every address.
fn reached(address: IpAddr, listening: &[Socket]) -> Vec<Socket> {
    let tcp = || listening.iter().filter(|socket| socket.proto == Proto::Tcp && socket.state == State::Listening);
    let address = address.to_canonical();
    let exact: Vec<Socket> = tcp().filter(|socket| socket.address.to_canonical() == address).copied().collect();
    if !exact.is_empty() {
        return exact;
    }
    let of_family = |socket: &&Socket| match (address, socket.address) {
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => true,
        (IpAddr::V4(_), IpAddr::V6(_)) => !socket.v6_only,
        (IpAddr::V6(_), IpAddr::V4(_)) => false,
    };
    let wildcards: Vec<Socket> =
        tcp().filter(|socket| socket.address.is_unspecified()).filter(of_family).copied().collect();
    // An IPv4 socket goes before a dual-stack one, as for every connection the kernel compares the family first.
    let same_family = |socket: &&Socket| socket.address.is_ipv4() == address.is_ipv4();
    let own_family: Vec<Socket> = wildcards.iter().filter(same_family).copied().collect();
    if own_family.is_empty() { wildcards } else { own_family }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(address: &str, v6_only: bool, inode: u64) -> Socket {
        Socket {
            address: address.parse().expect("address"),
            port: 80,
            proto: Proto::Tcp,
            state: State::Listening,
            v6_only,
            inode,
            uid: 0,
            peer: None,
            cgroup: None,
            interface: None,
            ends_in: None,
            namespace: None,
        }
    }

    #[test]
    fn the_most_specific_listeners_answer() {
        let all = [
            socket("127.0.0.1", false, 1),
            socket("127.0.0.1", false, 2),
            socket("0.0.0.0", false, 3),
            socket("::", true, 4),
            Socket { state: State::Bound, ..socket("127.0.0.1", false, 5) },
        ];
        let inodes = |address: &str, sockets: &[Socket]| -> Vec<u64> {
            reached(address.parse().expect("address"), sockets).iter().map(|socket| socket.inode).collect()
        };
        assert_eq!(inodes("127.0.0.1", &all), [1, 2], "two that share a port");
        assert_eq!(inodes("127.0.0.2", &all), [3]);
        assert_eq!(inodes("::1", &all), [4]);
        assert_eq!(inodes("127.0.0.2", &[socket("::", false, 6)]), [6], "dual-stack");
        assert_eq!(inodes("127.0.0.2", &[socket("::", true, 7)]), [0; 0]);
        assert_eq!(inodes("::1", &[socket("0.0.0.0", false, 8)]), [0; 0]);
        assert_eq!(inodes("127.0.0.1", &[socket("::ffff:127.0.0.1", false, 9)]), [9]);
    }
}
