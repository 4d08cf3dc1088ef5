//! What went over the network of a container: `/proc/PID/net/dev`, once for each network namespace.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;

use rustix::fs::readlinkat_raw;

use super::source::below;
use crate::proc::{Proc, Rel, is_gone, stat};

const KIND: &[u8] = b"net:[";

/// Interfaces that are no way out of a container: what goes through them is counted at another one again, or never leaves.
/// The ends of cables and the bridges are those of engines that run inside.
const INSIDE: [&[u8]; 6] = [b"veth", b"docker", b"br-", b"cni", b"podman", b"virbr"];

/// Bytes that came in and went out.
pub(super) type Traffic = (u64, u64);

/// The networks of a round.
#[derive(Debug)]
pub(super) struct Networks {
    /// The one of this process; absent when the kernel does not tell.
    own: Option<u64>,
    read: HashMap<u64, Option<Traffic>>,
}

impl Networks {
    pub(super) fn new(proc: &Proc) -> Self {
        let own = proc.link_number(&Rel::new(format_args!("thread-self/ns/net")), KIND).ok().flatten();
        Self { own, read: HashMap::new() }
    }

    pub(super) fn begin(&mut self) {
        self.read.clear();
    }

    /// The namespace of a process, which `process` is the folder of.
    pub(super) fn of(&self, process: BorrowedFd<'_>) -> Namespace {
        let mut text = [0; 64];
        let link = readlinkat_raw(process, "ns/net", &mut text[..])
            .ok()
            .and_then(|length| text[..length].strip_prefix(KIND)?.strip_suffix(b"]").and_then(stat::number::<u64>));
        match link {
            Some(inode) if Some(inode) == self.own => Namespace::OfTheHost,
            Some(inode) => Namespace::Known(inode),
            // Only who may trace the process may see it.
            None => Namespace::Hidden,
        }
    }

    /// What moved in it until now. `process` is the folder of a process that is in it. `None` when that is gone.
    pub(super) fn traffic(
        &mut self,
        namespace: Namespace,
        process: BorrowedFd<'_>,
        buffer: &mut Vec<u8>,
    ) -> Option<Option<Traffic>> {
        let inode = match namespace {
            Namespace::OfTheHost => return Some(None),
            Namespace::Known(inode) => Some(inode),
            Namespace::Hidden => None,
        };
        if let Some(known) = inode.and_then(|inode| self.read.get(&inode)) {
            return Some(*known);
        }
        let traffic = match below(process, "net/dev", buffer) {
            Ok(content) => sum(content),
            Err(errno) if is_gone(errno) => return None,
            Err(_) => None,
        };
        if let Some(inode) = inode {
            self.read.insert(inode, traffic);
        }
        Some(traffic)
    }
}

/// The network that a container is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Namespace {
    /// That of the host.
    OfTheHost,
    /// Another one, by its number.
    Known(u64),
    /// Its number may not be seen. It is another one.
    Hidden,
}

/// Adds up the lines of `net/dev`: `eth0: received packets errs drop fifo frame compressed multicast sent …`
/// (proc_pid_net(5)). Absent without any interface that leads out.
pub(super) fn sum(text: &[u8]) -> Option<Traffic> {
    let mut all: Option<Traffic> = None;
    for line in text.split(|byte| *byte == b'\n') {
        // Names hold no colon; in front of the heads of the columns stands none.
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = line[..colon].trim_ascii();
        if name == b"lo" || INSIDE.iter().any(|inside| name.starts_with(inside)) {
            continue;
        }
        let mut fields = line[colon + 1..].split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let (Some(received), Some(sent)) = (fields.next().and_then(stat::number), fields.nth(7).and_then(stat::number))
        else {
            continue;
        };
        let (before_received, before_sent) = all.unwrap_or_default();
        all = Some((before_received.saturating_add(received), before_sent.saturating_add(sent)));
    }
    all
}
