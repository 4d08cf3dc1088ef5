//! Who holds a port that a service claims (R4.4).

use vigie_core::claim::PortClaim;
use vigie_core::text::escaped;

use crate::error::OsError;
use crate::ghosts;
use crate::inet::{Socket, State, sockets};
use crate::owners::any_owner_on_machine;
use crate::proc::Proc;
use crate::proc::text::arguments;
use crate::user;

/// The longest command line that is shown, in characters.
const SHOWN: usize = 80;

/// A claimed port that is not free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// What was claimed.
    pub claim: PortClaim,
    /// The process that holds it; the lowest, when several do. Absent: it cannot be seen.
    pub pid: Option<u32>,
    /// It, for people: `PID 123 (python3 -m http.server 8000)`.
    pub who: String,
}

/// The first of `claims` that somebody holds. Connections, and what is left of them, are not looked at: a server is
/// started beside them, and most can listen there.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn first(proc: &Proc, claims: &[PortClaim]) -> Result<Option<Holder>, OsError> {
    for claim in claims {
        let holding =
            |socket: &Socket| matches!(socket.state, State::Listening | State::Bound) && claim.collides(&socket.held());
        let held: Vec<Socket> = sockets(proc, Some(claim.port))?.into_iter().filter(holding).collect();
        let Some(uid) = held.first().map(|socket| socket.uid) else { continue };
        let inodes: Vec<u64> = held.iter().map(|socket| socket.inode).collect();
        let owners = any_owner_on_machine(proc, &inodes)?;
        let pid = owners.found.iter().map(|owner| owner.pid).min();
        // What was taken back from a process that no signal ends: bound still, and nothing comes to it. A server that sets
        // SO_REUSEADDR binds beside it.
        let idle = held.iter().all(|socket| !socket.serves());
        if idle && pid.is_some_and(|pid| ghosts::is_doomed(proc, pid, &mut Vec::new())) {
            continue;
        }
        let user = || user::name(uid).unwrap_or_else(|| uid.to_string());
        let who = match pid {
            Some(pid) => format!("PID {pid} ({})", command(proc, pid)?),
            // To say who it is would be a guess.
            None if owners.hidden.is_empty() => format!("a process of user {} that cannot be seen from here", user()),
            None => format!("a process of user {} (to see which one needs root)", user()),
        };
        return Ok(Some(Holder { claim: *claim, pid, who }));
    }
    Ok(None)
}

/// The command line of a process, for people; its name, when it shows none.
fn command(proc: &Proc, pid: u32) -> Result<String, OsError> {
    let mut buffer = Vec::new();
    let words: Vec<String> =
        proc.cmdline(pid, &mut buffer)?.map(|line| arguments(line).map(escaped).collect()).unwrap_or_default();
    let line = words.join(" ");
    if !line.is_empty() {
        let short: String = line.chars().take(SHOWN).collect();
        return Ok(if short.len() < line.len() { format!("{short}…") } else { line });
    }
    Ok(proc.stat(pid, &mut buffer)?.map_or_else(|| "gone meanwhile".to_owned(), |stat| escaped(stat.comm)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_listener_holds_and_a_client_does_not() {
        let proc = Proc::system().expect("/proc");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let claim: PortClaim = address.to_string().parse().expect("a claim");
        let holder = first(&proc, &[claim]).expect("readable").expect("held");
        assert_eq!((holder.claim, holder.pid), (claim, Some(std::process::id())));
        assert!(holder.who.starts_with(&format!("PID {} (", std::process::id())), "{}", holder.who);

        let client = TcpStream::connect(address).expect("connected");
        let own: PortClaim = client.local_addr().expect("an address").to_string().parse().expect("a claim");
        assert_eq!(first(&proc, &[own]).expect("readable"), None);
        drop((listener, client));
    }
}
