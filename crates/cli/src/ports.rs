//! Which ports processes hold: for `status`.

use vigie_core::claim::PortClaim;
use vigie_os::inet::{Socket, State};
use vigie_os::owners::owners;
use vigie_os::proc::Proc;

/// The ports that these processes listen on or are bound to, as `127.0.0.1:8000/tcp`. Absent when that cannot be seen.
pub(crate) fn held_by(pids: &[u32], all: &[Socket], proc: &Proc) -> Option<Vec<String>> {
    let holds = |socket: &&Socket| matches!(socket.state, State::Listening | State::Bound);
    let inodes: Vec<u64> = all.iter().filter(holds).map(|socket| socket.inode).collect();
    let found = owners(proc, &inodes, pids).ok()?;
    if !found.hidden.is_empty() {
        return None;
    }
    let mut ports: Vec<PortClaim> = all
        .iter()
        .filter(|socket| found.of(socket.inode).next().is_some())
        .map(|socket| PortClaim { address: Some(socket.address), port: socket.port, proto: socket.proto })
        .collect();
    ports.sort();
    ports.dedup();
    Some(ports.iter().map(PortClaim::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::TcpListener;

    #[test]
    fn our_own_ports_are_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("address");
        let proc = Proc::system().expect("/proc");
        let all = vigie_os::inet::sockets(&proc, None).expect("readable");
        let ports = held_by(&[std::process::id()], &all, &proc).expect("our own");
        assert!(ports.contains(&format!("{address}/tcp")), "{ports:?}");
    }
}
