//! What is seen of a port.

use std::collections::HashMap;

use vigie_api::status::Report;
use vigie_core::claim::PortClaim;
use vigie_core::ports::{Entry, Socket, State, Verdict};
use vigie_core::why::facts::Story;
use vigie_core::why::{PortFacts, PortHolder};
use vigie_os::ancestry;
use vigie_os::ports::{Ask, Table, rights};
use vigie_os::user;

use super::belonging::Known;
use crate::containers::Containers;
use crate::failure::Failure;
use crate::plan::label;
use crate::scene::Scene;

/// Looks at a port.
pub(crate) fn look(port: &PortClaim, report: &Report, known: &Known, scene: &Scene) -> Result<PortFacts, Failure> {
    let table = Table::read(&scene.proc, &Ask::about(&[port.port]))?;
    facts(port, &table, report, known, scene)
}

/// What `table` says about a port. It must hold everything about it.
pub(crate) fn facts(
    port: &PortClaim,
    table: &Table,
    report: &Report,
    known: &Known,
    scene: &Scene,
) -> Result<PortFacts, Failure> {
    let judgement = table.judge(port, &rights(&scene.proc)?);
    let entries: Vec<&Entry> = judgement.by.iter().filter_map(|place| table.entries.get(*place)).collect();
    let (mut holders, mut hidden) = (Vec::new(), Vec::new());
    // A process is told of once, with the first of its sockets.
    let mut stories: HashMap<u32, Option<Story>> = HashMap::new();
    let containers = Containers::default();
    for entry in &entries {
        if judgement.verdict != Verdict::TimeWait && entry.holders.is_empty() {
            hidden.push(unseen(&entry.socket));
        }
        for holder in &entry.holders {
            if stories.contains_key(&holder.pid) {
                continue;
            }
            let story = ancestry::story(&scene.proc, holder.pid)?;
            if let Some(story) = &story {
                holders.push(PortHolder {
                    belonging: known.belonging(story, &scene.proc, &scene.place)?,
                    story: story.clone(),
                    socket: described(&entry.socket),
                    inode: entry.socket.inode,
                    thread: holder.tid,
                    container: containers
                        .label(&scene.proc, Some(holder.pid), &entry.socket.held())
                        .or_else(|| proxied(story)),
                });
            }
            stories.insert(holder.pid, story);
        }
    }
    let claims = |service: &&vigie_api::status::Service| {
        service.claims.iter().any(|claim| claim.port == port.port && claim.proto == port.proto)
    };
    Ok(PortFacts {
        port: *port,
        verdict: judgement.verdict,
        holders,
        hidden,
        left: if judgement.verdict == Verdict::TimeWait { entries.len() } else { 0 },
        ends_in: judgement.ends_in,
        claimed_by: report.services.iter().filter(claims).map(label).collect(),
        elsewhere: elsewhere(port, table, scene)?,
    })
}

/// Who holds it in other network namespaces, each once.
fn elsewhere(port: &PortClaim, table: &Table, scene: &Scene) -> Result<Vec<(u64, String)>, Failure> {
    let mut found = Vec::new();
    let holds =
        |socket: &Socket| matches!(socket.state, State::Listening | State::Bound) && port.collides(&socket.held());
    for entry in table.entries.iter().filter(|entry| holds(&entry.socket)) {
        let Some(namespace) = entry.socket.namespace else { continue };
        for holder in &entry.holders {
            let Some((process, _)) = ancestry::lineage(&scene.proc, holder.pid)? else { continue };
            let one = (namespace, format!("PID {} ({})", process.pid(), process.name));
            if !found.contains(&one) {
                found.push(one);
            }
        }
    }
    Ok(found)
}

/// `127.0.0.1:8000/tcp, listening`
fn described(socket: &Socket) -> String {
    let claim = PortClaim { address: Some(socket.address), port: socket.port, proto: socket.proto };
    let does = match socket.state {
        State::Listening => "listening",
        State::Bound if socket.serves() => "receiving",
        State::Bound => "bound, not listening",
        State::Connected => "connected",
        State::Left => "closed",
    };
    match socket.peer.filter(|_| socket.state == State::Connected) {
        Some(peer) => format!("{claim}, connected with {peer}"),
        None => format!("{claim}, {does}"),
    }
}

/// A socket without a process that can be seen: of whom it is, the kernel says all the same.
fn unseen(socket: &Socket) -> String {
    let user = user::name(socket.uid).unwrap_or_else(|| format!("uid {}", socket.uid));
    format!("a process of {user}, which has {}", described(socket))
}

/// The address of the container that a proxy of Docker's stands before, as its arguments say it. Which container that is,
/// the engine knows.
fn proxied(story: &Story) -> Option<String> {
    let argv = story.process.argv.known()?;
    let program = argv.first()?.as_path().file_name()?;
    if program != "docker-proxy" {
        return None;
    }
    let after = |option: &[u8]| {
        argv.iter().position(|word| word.0 == option).and_then(|place| argv.get(place + 1)).map(ToString::to_string)
    };
    Some(format!("at {}:{}", after(b"-container-ip")?, after(b"-container-port")?))
}
