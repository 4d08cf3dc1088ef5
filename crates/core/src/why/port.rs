//! A port: why it is busy, by whom, since when, and what frees it (R7.2, R7.3).

use std::time::Duration;

use crate::claim::PortClaim;
use crate::units::format_rounded;
use crate::why::facts::{Belonging, Story};
use crate::why::starter::starter;
use crate::why::{Explanation, Times, Verdict, counted, listed};

pub use crate::ports::Verdict as PortVerdict;

/// A process that has a socket of the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortHolder {
    /// It, and where it comes from.
    pub story: Story,
    /// What it is to vigie.
    pub belonging: Option<Belonging>,
    /// Its socket: `127.0.0.1:8000/tcp, listening`.
    pub socket: String,
    /// The number of the socket, as in `socket:[N]`.
    pub inode: u64,
    /// The thread that has it, when the main thread shows nothing any more.
    pub thread: Option<u32>,
    /// The container that it stands before, as a proxy.
    pub container: Option<String>,
}

/// What was seen of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortFacts {
    /// Which.
    pub port: PortClaim,
    /// What the sockets mean for a server that wants it.
    pub verdict: PortVerdict,
    /// The processes behind the verdict, each once.
    pub holders: Vec<PortHolder>,
    /// Sockets behind the verdict that have no process that can be seen: what they are and whose.
    pub hidden: Vec<String>,
    /// How many connections the kernel keeps, for `time-wait`.
    pub left: usize,
    /// How long the last of them is kept at least.
    pub ends_in: Option<Duration>,
    /// The services that claim it.
    pub claimed_by: Vec<String>,
    /// Who holds it in other network namespaces, where that is in nobody's way here: the number of the namespace, who.
    pub elsewhere: Vec<(u64, String)>,
}

/// Explains a port.
pub fn explain(facts: &PortFacts, times: Times<'_>) -> Explanation {
    let mut told = Explanation::new(Verdict::Port(facts.verdict), answer(facts, times));
    for holder in &facts.holders {
        because(holder, times, &mut told);
    }
    for hidden in &facts.hidden {
        told.because.push(format!("{hidden}; which process has it cannot be seen: needs root"));
        told.fact("holder", "cannot be seen: needs root", "/proc/*/fd");
        told.blind = true;
    }
    if facts.verdict == PortVerdict::Shared {
        told.because.push(
            "several servers have it at the same time (SO_REUSEPORT): the kernel deals out what arrives among them"
                .to_owned(),
        );
    }
    for (namespace, who) in &facts.elsewhere {
        told.because.push(format!("in another network namespace, where it is in nobody's way here, {who} has it"));
        told.fact("elsewhere", format!("{who}, in net:[{namespace}]"), "sock_diag(7), /proc/*/ns/net");
    }
    for service in &facts.claimed_by {
        told.fact("claimed by", service.clone(), "the manifest of that service");
    }
    told.fact("verdict", facts.verdict.to_string(), "sock_diag(7)");
    remedies(facts, &mut told);
    told
}

fn answer(facts: &PortFacts, times: Times<'_>) -> String {
    let port = facts.port;
    let who = || {
        let mut names: Vec<String> = facts.holders.iter().map(|holder| name(holder, times)).collect();
        if names.is_empty() {
            names.extend(facts.hidden.first().cloned());
        }
        listed(&names)
    };
    match facts.verdict {
        PortVerdict::Free => format!("port {port} is free: nobody has it"),
        PortVerdict::Used => format!("port {port} is used by {}", who()),
        PortVerdict::Shared => format!("port {port} is shared by {}", who()),
        PortVerdict::Bound => format!("port {port} is held without listening by {}", who()),
        PortVerdict::Ephemeral => format!("port {port} is the own end of a connection of {}", who()),
        PortVerdict::TimeWait => {
            let ends = facts.ends_in.map(|ends| format!(", for {} more", format_rounded(ends))).unwrap_or_default();
            format!(
                "nobody has port {port}: the kernel keeps {}{ends}",
                counted(facts.left, "closed connection", "closed connections")
            )
        }
        PortVerdict::Reserved => format!("nobody has port {port}, and to bind it takes a privilege"),
        PortVerdict::Unknown => format!("who has port {port} cannot be seen"),
    }
}

/// `demo/api (PID 7), since 12:03:05 (4m ago)`
fn name(holder: &PortHolder, times: Times<'_>) -> String {
    let process = &holder.story.process;
    let since = process.started.map(|started| format!(", started {}", times.moment(started))).unwrap_or_default();
    match (&holder.container, &holder.belonging) {
        (Some(container), _) => format!("the container {container}, behind {}{since}", process.label()),
        (None, Some(Belonging::Main(run) | Belonging::Member(run))) => {
            format!("{} (PID {}){since}", run.service, process.pid())
        }
        (None, Some(Belonging::Stray { service, .. })) => {
            format!("PID {} ({}), another copy of {service}{since}", process.pid(), process.name)
        }
        (None, _) => format!("PID {} ({}){since}", process.pid(), process.name),
    }
}

fn because(holder: &PortHolder, times: Times<'_>, told: &mut Explanation) {
    let process = &holder.story.process;
    let pid = process.pid();
    let started = process.started.map(|started| format!(" {}", times.moment(started))).unwrap_or_default();
    let owner = process.owner().map(|owner| format!(" of {owner}")).unwrap_or_default();
    told.because.push(format!(
        "PID {pid}{owner} has {}: {}; started{started} {}",
        holder.socket,
        process.short_command(),
        starter(&holder.story, holder.belonging.as_ref())
    ));
    let folder = match holder.thread {
        Some(thread) => {
            told.because.push(format!(
                "the main thread of PID {pid} has ended; its thread {thread} still has the socket, which most tools do not see"
            ));
            format!("/proc/{pid}/task/{thread}/fd")
        }
        None => format!("/proc/{pid}/fd"),
    };
    told.fact("socket", holder.socket.clone(), "sock_diag(7)");
    told.fact("holder", format!("PID {pid}: socket:[{}]", holder.inode), folder);
    if let Some(started) = process.started {
        told.fact("started", times.moment(started), format!("/proc/{pid}/stat"));
    }
    for other in holder.story.namespaces.known().into_iter().flatten().filter(|other| other.kind == "net") {
        told.because.push(format!("PID {pid} lives in another network namespace, {}", other.id));
    }
}

fn remedies(facts: &PortFacts, told: &mut Explanation) {
    let port = facts.port;
    let free = format!("vigie free {port}");
    match facts.verdict {
        PortVerdict::Used | PortVerdict::Shared | PortVerdict::Bound => {
            let mut stopped: Vec<&str> = Vec::new();
            for holder in &facts.holders {
                if let Some(Belonging::Main(run) | Belonging::Member(run)) = &holder.belonging
                    && !stopped.contains(&run.service.as_str())
                {
                    stopped.push(&run.service);
                    told.remedy("stop", format!("stops {}", run.service), format!("vigie stop {}", run.service));
                }
            }
            if facts.holders.iter().any(|holder| holder.container.is_some()) {
                told.remedy("free", "stops the container; its proxy is not touched", free);
            } else if facts.holders.len() > stopped.len() || facts.holders.is_empty() {
                told.remedy("free", "ends who holds it, never its clients, and sees that it is free", free);
            }
            if facts.holders.is_empty()
                && let Some(remedy) = told.remedies.last_mut()
            {
                remedy.needs = Some("root");
            }
        }
        PortVerdict::TimeWait => told.remedy(
            "wait",
            "a server that sets SO_REUSEADDR can have it now, any other when they are forgotten",
            "",
        ),
        PortVerdict::Ephemeral => told.remedy("wait", "it is free when that connection is closed", ""),
        PortVerdict::Reserved => {
            told.remedy("privilege", "lets a program bind it: root, or CAP_NET_BIND_SERVICE", "");
            if let Some(remedy) = told.remedies.last_mut() {
                remedy.needs = Some("root");
            }
        }
        PortVerdict::Unknown => {
            told.blind = true;
            told.remedy("look", "root sees who has it", format!("sudo vigie why port:{port}"));
        }
        PortVerdict::Free => {}
    }
}
