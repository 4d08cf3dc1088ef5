//! Ports that stay free until they are used.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::net::{AddressFamily, SocketType, bind, socket};

use crate::wait::now;

/// Below those that the kernel gives to whoever asks for any (from 32768 on, as nearly everywhere), and below those that
/// `hostile hold` chooses: nobody gets one by chance between the look of a test and its use.
const FIRST: u16 = 10_000;
const COUNT: u32 = 8_000;

/// A port that nobody has, of TCP and of UDP, and of which no closed connection is left either. Another one each time.
///
/// # Panics
/// When there is none.
#[track_caller]
pub fn free_port() -> u16 {
    static START: OnceLock<u32> = OnceLock::new();
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    // Tests that run at the same time are not to try the same ones.
    let start = *START.get_or_init(|| now().subsec_micros() + std::process::id() % COUNT);
    let next = || u16::try_from((start + TAKEN.fetch_add(1, Ordering::Relaxed)) % COUNT).expect("it is small");
    (0..COUNT).map(|_| FIRST + next()).find(|port| is_free(*port)).expect("a port is free")
}

/// Without `SO_REUSEADDR`, which would make light of what is left.
fn is_free(port: u16) -> bool {
    [SocketType::STREAM, SocketType::DGRAM].into_iter().all(|kind| {
        let socket = socket(AddressFamily::INET, kind, None).expect("a socket");
        bind(&socket, &SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).is_ok()
    })
}
