//! Whether somebody accepts connections.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpStream;

use vigie_core::supervisor::ProbeOutcome;

use super::{bad, owner};
use crate::aside::off_thread;
use crate::runs::LiveRun;

/// A TCP connection to `host:port`.
pub(super) async fn tcp(address: &str, live: &LiveRun) -> ProbeOutcome {
    match connect(address).await {
        Ok((stream, at)) => {
            // Closed first: the probe must not take a place in the queue while it looks for the owner.
            drop(stream);
            whose(at, live).await
        }
        Err(why) => bad(why),
    }
}

/// Connects to the first address of `host:port` that accepts.
///
/// # Errors
/// What the last one said, for people.
pub(super) async fn connect(address: &str) -> Result<(TcpStream, SocketAddr), String> {
    let mut last = format!("{address} is no address");
    for at in resolve(address).await? {
        match TcpStream::connect(at).await {
            Ok(stream) => return Ok((stream, at)),
            Err(error) => last = format!("{at}: {error}"),
        }
    }
    Err(last)
}

/// Names are looked up on a thread of their own; addresses need no looking up, nor does `localhost`.
async fn resolve(address: &str) -> Result<Vec<SocketAddr>, String> {
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    if let Some(port) = address.strip_prefix("localhost:").and_then(|port| port.parse::<u16>().ok()) {
        return Ok(vec![([127, 0, 0, 1], port).into(), ([0, 0, 0, 0, 0, 0, 0, 1_u16], port).into()]);
    }
    let name = address.to_owned();
    let found = off_thread(move || std::net::ToSocketAddrs::to_socket_addrs(&name).map(Iterator::collect)).await;
    found.and_then(|found| found).map_err(|error| format!("{address} cannot be looked up: {error}"))
}

/// Whether the listener at this address is of the run.
pub(super) async fn whose(at: SocketAddr, live: &LiveRun) -> ProbeOutcome {
    let live = live.clone();
    off_thread(move || owner::of_address(at, &live)).await.unwrap_or_else(|error| bad(error.to_string()))
}

/// A connection to a Unix socket.
pub(super) async fn unix(path: &Path, live: &LiveRun) -> ProbeOutcome {
    let (path, live): (PathBuf, LiveRun) = (path.to_owned(), live.clone());
    let look = move || {
        // A full queue makes connect(2) wait; the attempt has a deadline, and this thread must not outlive it for long.
        match vigie_os::socket::connect(&path, Duration::from_secs(2)) {
            Ok(stream) => {
                drop(stream);
                owner::of_path(&path, &live)
            }
            Err(error) => bad(error.to_string()),
        }
    };
    off_thread(look).await.unwrap_or_else(|error| bad(error.to_string()))
}
