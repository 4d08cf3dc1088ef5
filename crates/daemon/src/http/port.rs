//! The door at a loopback port: open only while somebody asked for it ([`crate::access`]).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::guard::Door;
use super::{Desk, converse, not_accepted};

/// How many may be connected at once. Others of this machine can fill it; the Unix socket has places of its own.
pub(crate) const VISITORS: usize = 320;

/// How long until it is tried again to listen at an address that somebody else has.
const AGAIN: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(60)];

/// Listens at an address.
pub(super) async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves at the address that an earlier daemon was told, if it was told any. While another has it, it is tried again and
/// again.
pub(crate) fn open(desk: &Arc<Desk>) {
    let Some(address) = desk.access.address() else { return };
    let desk = Arc::clone(desk);
    tokio::spawn(async move {
        let mut pauses = AGAIN.iter();
        let mut pause = AGAIN[0];
        // Somebody may have asked for the same address anew meanwhile, with more luck.
        while desk.access.address() == Some(address) && desk.access.show().listening != Some(true) {
            match listen(address).await {
                Ok(listener) => return serve(&desk, listener, address),
                Err(error) => {
                    let why = format!("cannot listen at {address}: {error}");
                    if pauses.len() == AGAIN.len() {
                        desk.log.line(&why);
                    }
                    desk.access.note(address, Err(why));
                }
            }
            pause = pauses.next().copied().unwrap_or(pause);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = desk.access.closed(address) => return,
            }
        }
    });
}

/// Serves whoever comes, until the address is to be another one or the daemon ends.
pub(super) fn serve(desk: &Arc<Desk>, listener: TcpListener, address: SocketAddr) {
    desk.access.note(address, Ok(()));
    desk.log.line(&format!("listens at {address}"));
    let desk = Arc::clone(desk);
    tokio::spawn(async move {
        let mut ending = desk.ending.clone();
        tokio::select! {
            () = accept(&desk, &listener, address) => {}
            () = desk.access.closed(address) => desk.log.line(&format!("listens no more at {address}")),
            _ = ending.wait_for(|ending| *ending) => {}
        }
    });
}

async fn accept(desk: &Arc<Desk>, listener: &TcpListener, address: SocketAddr) {
    loop {
        let Ok(place) = Arc::clone(&desk.visitors).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                // An event is small and to be seen at once.
                let _ = stream.set_nodelay(true);
                let desk = Arc::clone(desk);
                tokio::spawn(async move {
                    let access = desk.access.clone();
                    converse(stream, desk, Door::Port(address), access.closed(address)).await;
                    drop(place);
                });
            }
            Err(error) => not_accepted(desk, &error).await,
        }
    }
}
