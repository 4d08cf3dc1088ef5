//! From sockets to what is told of a port: who holds it, whose run or container that is, what else there is to know.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use vigie_api::ports::{Holder, Port};
use vigie_api::time::Millis;
use vigie_core::claim::{PortClaim, Proto};
use vigie_core::clock::{Now, Wall};
use vigie_core::ports::{Entry, Judgement, Rights, State, Verdict};
use vigie_core::text::escaped;
use vigie_os::ancestry::started;
use vigie_os::ports::Table;
use vigie_os::proc::Proc;
use vigie_os::proc::text::arguments;

use crate::containers::Containers;
use crate::ghosts::was_taken_back;
use crate::out::time;
use crate::runs::Runs;

/// A port that is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// It.
    pub(super) claim: PortClaim,
    /// The service of the manifest that claims it: `demo/api`.
    pub(super) by: Option<String>,
}

/// One look at the machine.
pub(super) struct Survey<'a> {
    pub(super) proc: &'a Proc,
    pub(super) table: &'a Table,
    pub(super) rights: Rights,
    pub(super) runs: &'a Runs,
    pub(super) containers: &'a Containers,
    /// What no signal ends and was set aside, each with its service.
    pub(super) ghosts: &'a HashMap<u32, String>,
    pub(super) now: Now,
    /// Nobody sees more.
    pub(super) is_root: bool,
}

impl Survey<'_> {
    /// What a server that wants this port meets here; then where else somebody holds it. Each with the places of the
    /// entries that make it so.
    pub(super) fn about(&self, asked: &Asked) -> Vec<(Port, Vec<usize>)> {
        let judgement = self.table.judge(&asked.claim, &self.rights);
        let mut ports = vec![(self.port(asked, &judgement, None), judgement.by)];
        let mut namespaces: Vec<u64> = self.entries().filter_map(|entry| entry.socket.namespace).collect();
        namespaces.dedup();
        for namespace in namespaces {
            let there = self.table.judge_in(&asked.claim, Some(namespace), &self.rights);
            if matches!(there.verdict, Verdict::Used | Verdict::Shared | Verdict::Bound) {
                ports.push((self.port(asked, &there, Some(namespace)), there.by));
            }
        }
        ports
    }

    /// Everything that holds a port, except these entries: one line for each address.
    pub(super) fn rest(&self, except: &HashSet<usize>) -> Vec<Port> {
        let holds = |entry: &Entry| matches!(entry.socket.state, State::Bound | State::Listening);
        let at = |entry: &Entry| {
            let socket = &entry.socket;
            (socket.namespace, socket.port, socket.proto, socket.address, socket.v6_only)
        };
        let mut ports = Vec::new();
        let mut done = HashSet::new();
        for (place, entry) in self.entries().enumerate() {
            if !holds(entry) || except.contains(&place) || !done.insert(at(entry)) {
                continue;
            }
            let socket = &entry.socket;
            let claim = PortClaim { address: Some(socket.address), port: socket.port, proto: socket.proto };
            let mut judgement = self.table.judge_in(&claim, socket.namespace, &self.rights);
            // Who holds another address has a line of its own.
            judgement.by.retain(|&other| at(&self.table.entries[other]) == at(entry) && !except.contains(&other));
            let port = self.port(&Asked { claim, by: None }, &judgement, socket.namespace);
            ports.push(Port { asked: None, ..port });
        }
        ports
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.table.entries.iter()
    }

    fn port(&self, asked: &Asked, judgement: &Judgement, netns: Option<u64>) -> Port {
        let by: Vec<&Entry> = judgement.by.iter().map(|&place| &self.table.entries[place]).collect();
        let holders = if judgement.verdict == Verdict::TimeWait { Vec::new() } else { self.holders(&by) };
        let mut addresses: Vec<IpAddr> = by.iter().map(|entry| entry.socket.address).collect();
        addresses.dedup();
        let address = asked.claim.address.or(if let [one] = addresses[..] { Some(one) } else { None });
        let until = judgement.ends_in.map(|left| {
            let nanos = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
            Millis(Wall(self.now.wall.0.saturating_add(nanos)))
        });
        Port {
            asked: Some(asked.claim),
            port: asked.claim.port,
            proto: asked.claim.proto,
            address,
            verdict: judgement.verdict,
            claimed_by: asked.by.clone(),
            note: self.note(asked, judgement.verdict, &by, &holders, until.map(|until| until.0), netns),
            holders,
            netns,
            until,
        }
    }

    /// Each process once. A socket that nobody is seen to have stands for one that cannot be seen.
    fn holders(&self, by: &[&Entry]) -> Vec<Holder> {
        let mut holders: Vec<Holder> = Vec::new();
        for entry in by {
            let address = entry.socket.address;
            for one in &entry.holders {
                match holders.iter_mut().find(|known| known.pid == Some(one.pid)) {
                    Some(known) if known.addresses.contains(&address) => {}
                    Some(known) => known.addresses.push(address),
                    // One that has ended meanwhile holds nothing.
                    None => holders.extend(self.seen(entry, one.pid, one.tid)),
                }
            }
            if entry.holders.is_empty() && entry.socket.inode != 0 {
                let unseen = self.unseen(entry);
                match holders.iter_mut().find(|known| known.pid.is_none() && known.user == unseen.user) {
                    Some(known) if known.addresses.contains(&address) => {}
                    Some(known) => known.addresses.push(address),
                    None => holders.push(unseen),
                }
            }
        }
        holders.sort_by_key(|holder| (holder.pid.is_none(), holder.pid));
        holders
    }

    fn seen(&self, entry: &Entry, pid: u32, tid: Option<u32>) -> Option<Holder> {
        let mut buffer = Vec::new();
        let stat = self.proc.stat(pid, &mut buffer).ok().flatten()?;
        let (name, since) = (escaped(stat.comm), started(stat.start_ticks, self.now));
        let status = self.proc.status(pid, &mut buffer).ok().flatten();
        let known = self.runs.of(self.proc, Some(pid), entry.socket.cgroup);
        Some(Holder {
            pid: Some(pid),
            tid,
            user: status.map(|status| user(status.uid)),
            name: Some(name),
            command: self.command(pid, tid),
            started_at: since.map(Millis),
            service: known.map(|known| known.label.clone()),
            run: known.map(|known| known.run),
            container: self.containers.label(self.proc, Some(pid), &entry.socket.held()),
            netns: entry.socket.namespace,
            addresses: vec![entry.socket.address],
        })
    }

    fn unseen(&self, entry: &Entry) -> Holder {
        let known = self.runs.of(self.proc, None, entry.socket.cgroup);
        Holder {
            pid: None,
            tid: None,
            user: Some(user(entry.socket.uid)),
            name: None,
            command: None,
            started_at: None,
            service: known.map(|known| known.label.clone()),
            run: known.map(|known| known.run),
            container: self.containers.label(self.proc, None, &entry.socket.held()),
            netns: entry.socket.namespace,
            addresses: vec![entry.socket.address],
        }
    }

    /// Who sees more, if anybody does.
    fn why_unseen(&self) -> &'static str {
        match self.table.hidden.processes.is_empty() {
            true => "cannot see who: no process shows this socket; it may be the kernel's",
            false if self.is_root => "cannot see who, not even as root",
            false => "cannot see who, needs root",
        }
    }

    /// A main thread that has ended shows no arguments; another thread does.
    fn command(&self, pid: u32, tid: Option<u32>) -> Option<Vec<vigie_core::text::OsText>> {
        let mut buffer = Vec::new();
        let file = tid.map_or_else(|| "cmdline".to_owned(), |tid| format!("task/{tid}/cmdline"));
        let line = self.proc.read(pid, &file, &mut buffer).ok().flatten()?;
        let words: Vec<_> = arguments(line).map(|word| vigie_core::text::OsText(word.to_vec())).collect();
        (!words.is_empty()).then_some(words)
    }

    fn note(
        &self,
        asked: &Asked,
        verdict: Verdict,
        by: &[&Entry],
        holders: &[Holder],
        until: Option<Wall>,
        netns: Option<u64>,
    ) -> Option<String> {
        let mut notes = Vec::new();
        match verdict {
            Verdict::Shared if asked.claim.proto == Proto::Tcp => {
                notes.push("SO_REUSEPORT: the kernel deals out what arrives among them".to_owned());
            }
            Verdict::Shared => notes.push("SO_REUSEADDR or SO_REUSEPORT: one of them gets what arrives".to_owned()),
            Verdict::TimeWait => notes.push(left_over(by.len(), until)),
            Verdict::Ephemeral => notes.push(connection(by)),
            Verdict::Bound => notes.push("it does not listen".to_owned()),
            Verdict::Reserved => {
                notes.push(format!("ports below {} take root, or CAP_NET_BIND_SERVICE", self.rights.lowest_port));
            }
            Verdict::Free => {
                let published = self.containers.publishing(self.proc, &asked.claim);
                notes.extend(published.first().map(|found| {
                    format!(
                        "container {} publishes it without a socket: what comes from outside goes there",
                        found.container
                    )
                }));
            }
            Verdict::Used | Verdict::Unknown => {}
        }
        if let (Some(address), true) =
            (by.first().map(|entry| entry.socket.address), by.iter().all(|one| one.socket.v6_only))
            && address.is_unspecified()
        {
            notes.push("IPv6 only".to_owned());
        }
        for holder in holders {
            if let (Some(pid), Some(tid)) = (holder.pid, holder.tid) {
                notes.push(format!("thread {tid} of PID {pid} has the socket, its main thread has not"));
            }
        }
        for pid in holders.iter().filter_map(|holder| holder.pid) {
            let Some(of) = self.ghosts.get(&pid) else { continue };
            let idle = by.iter().filter(|one| one.holders.iter().any(|holder| holder.pid == pid));
            let rest = if idle.clone().all(|one| was_taken_back(one, self.ghosts)) {
                ", and what it had was taken back: a server that sets SO_REUSEADDR can bind to it"
            } else {
                ""
            };
            notes.push(format!("PID {pid} is a ghost of {of}, which no signal ends{rest}"));
        }
        if holders.iter().any(|holder| holder.pid.is_none() && holder.container.is_none()) {
            notes.push(self.why_unseen().to_owned());
        }
        if let Some(namespace) = netns {
            notes.push(format!("in network namespace {namespace}: not in the way here"));
        }
        (!notes.is_empty()).then(|| notes.join("; "))
    }
}

/// A user by name, where it has one.
fn user(uid: u32) -> String {
    vigie_os::user::name(uid).unwrap_or_else(|| uid.to_string())
}

fn left_over(count: usize, until: Option<Wall>) -> String {
    let connections = if count == 1 { "connection" } else { "connections" };
    let mut text = format!("usable by servers that set SO_REUSEADDR; {count} {connections}");
    if let Some(until) = until {
        text.push_str(&format!("; until {}", time::local(until)));
    }
    text
}

/// Whose own end it is.
fn connection(by: &[&Entry]) -> String {
    match by {
        [one] => match one.socket.peer {
            Some(peer) => format!("as its own end of a connection to {peer}"),
            None => "as its own end of a connection".to_owned(),
        },
        many => format!("as their own ends of {} connections", many.len()),
    }
}

#[cfg(test)]
#[path = "survey_tests.rs"]
mod tests;
