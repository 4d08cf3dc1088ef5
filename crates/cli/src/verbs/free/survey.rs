//! What holds the ports: processes by identity, runs, containers, and what may be done about each.

use std::collections::HashMap;
use std::time::Duration;

use vigie_api::status::{Report, Service};
use vigie_core::claim::PortClaim;
use vigie_core::ports::{Entry, Holder, Judgement, Socket, State, Verdict};
use vigie_core::units::format_duration;
use vigie_docker::Details;
use vigie_os::ancestry::lineage;
use vigie_os::owners::owners;
use vigie_os::pidfd::Target;
use vigie_os::ports::{Ask, Hidden, Table, rights};
use vigie_os::strays::ancestors;

use super::obstacle::{Choice, Obstacle, Port, Way, choose};
use super::suspect::Suspect;
use crate::containers::{Containers, Found};
use crate::failure::Failure;
use crate::look;
use crate::scene::Scene;

/// Everything that was seen. What is named by a number in [`Way`] stands here, each once.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) ports: Vec<Port>,
    pub(super) suspects: Vec<Suspect>,
    pub(super) services: Vec<Service>,
    pub(super) containers: Vec<Housed>,
}

/// A container that may have to be stopped.
#[derive(Debug)]
pub(super) struct Housed {
    pub(super) found: Found,
    pub(super) details: Option<Details>,
}

/// Looks at these ports.
pub(super) fn look(scene: &mut Scene, claims: &[PortClaim]) -> Result<Survey, Failure> {
    let ports: Vec<u16> = claims.iter().map(|claim| claim.port).collect();
    let table = Table::read(&scene.proc, &Ask::about(&ports))?;
    let report = scene.report(false)?;
    let rights = rights(&scene.proc)?;
    let scout = Scout::new(scene, &report, &table.hidden)?;
    let mut survey = Survey::default();
    for claim in claims {
        let judgement = table.judge(claim, &rights);
        let port = scout.port(*claim, judgement, &table.entries, &mut survey)?;
        survey.ports.push(port);
    }
    scout.inspect(&mut survey.containers);
    Ok(survey)
}

/// One look, with what it needs to know of the machine.
pub(super) struct Scout<'a> {
    pub(super) scene: &'a Scene,
    pub(super) report: &'a Report,
    pub(super) hidden: &'a Hidden,
    /// Processes of runs, as places in the report.
    pub(super) crew: HashMap<u32, usize>,
    pub(super) containers: Containers,
    pub(super) ancestors: Vec<u32>,
}

impl<'a> Scout<'a> {
    fn new(scene: &'a Scene, report: &'a Report, hidden: &'a Hidden) -> Result<Self, Failure> {
        let ancestors = ancestors(&scene.proc)?;
        let mut crew = HashMap::new();
        for (place, service) in report.services.iter().enumerate() {
            let Some(run) = &service.run else { continue };
            let record = look::record(&scene.place.service_dir(&service.key), &scene.proc)?;
            let record = record.filter(|record| record.state.holder.run == run.id);
            // A run that this command is a part of, as a shell under `vigie run`, is not stopped for one of its processes.
            if record.as_ref().is_some_and(|record| ancestors.contains(&record.state.holder.keeper.pid)) {
                continue;
            }
            crew.extend(run.pid.map(|pid| (pid, place)));
            if let Some(record) = record {
                crew.extend(record.members(&scene.proc)?.into_iter().map(|pid| (pid, place)));
            }
        }
        Ok(Self { scene, report, hidden, crew, containers: Containers::default(), ancestors })
    }

    fn port(
        &self,
        claim: PortClaim,
        judgement: Judgement,
        entries: &[Entry],
        survey: &mut Survey,
    ) -> Result<Port, Failure> {
        let mut port = Port { claim, judgement, here: Vec::new(), beside: Vec::new(), notes: Vec::new() };
        let by: Vec<&Entry> = port.judgement.by.iter().map(|place| &entries[*place]).collect();
        if port.is_held() {
            for entry in by {
                self.obstacles(entry, &mut port.here, survey)?;
            }
        } else {
            self.note(&mut port, &by)?;
            self.published(&mut port, survey);
        }
        let beside = |entry: &&Entry| {
            let holds = matches!(entry.socket.state, State::Listening | State::Bound);
            entry.socket.namespace.is_some() && holds && claim.collides(&entry.socket.held())
        };
        for entry in entries.iter().filter(beside) {
            self.obstacles(entry, &mut port.beside, survey)?;
        }
        Ok(port)
    }

    /// What is said of a port that no socket holds.
    fn note(&self, port: &mut Port, by: &[&Entry]) -> Result<(), Failure> {
        match port.judgement.verdict {
            Verdict::TimeWait => {
                let count = by.len();
                let many = if count == 1 {
                    "1 closed connection is".to_owned()
                } else {
                    format!("{count} closed connections are")
                };
                let left = port
                    .judgement
                    .ends_in
                    .map(|left| format!(" for {} more", format_duration(Duration::from_secs(left.as_secs().max(1)))))
                    .unwrap_or_default();
                port.notes.push(format!(
                    "{many} kept by the kernel{left}; a server that sets SO_REUSEADDR can have the port now, nobody has to end"
                ));
            }
            Verdict::Ephemeral => {
                for entry in by {
                    let socket = &entry.socket;
                    let peer = socket.peer.map(|peer| format!(" to {peer}")).unwrap_or_default();
                    let mut names = Vec::new();
                    for holder in &entry.holders {
                        names.extend(lineage(&self.scene.proc, holder.pid)?.map(|(process, _)| process.label()));
                    }
                    let who = if names.is_empty() { self.unseen(socket) } else { names.join(", ") };
                    port.notes.push(format!(
                        "{who} uses it as its own end of a connection{peer}; a client is never ended for its port, \
                         which is free when the connection is closed"
                    ));
                }
            }
            Verdict::Reserved => {
                port.notes.push("nobody holds it; to bind it takes root or CAP_NET_BIND_SERVICE".to_owned());
            }
            _ => {}
        }
        Ok(())
    }

    /// Containers that are reached by a packet filter alone, without a socket.
    fn published(&self, port: &mut Port, survey: &mut Survey) {
        for found in self.containers.publishing(&self.scene.proc, &port.claim) {
            let who = format!("a packet filter, for container {}", found.container);
            let way = Way::StopContainer(survey.container(found));
            let socket = port.claim.to_string();
            port.here.push(Obstacle { socket, holds: "leads away", pid: None, tid: None, who, namespace: None, way });
        }
    }

    fn obstacles(&self, entry: &Entry, out: &mut Vec<Obstacle>, survey: &mut Survey) -> Result<(), Failure> {
        let socket = &entry.socket;
        for holder in &entry.holders {
            out.extend(self.obstacle(socket, *holder, survey)?);
        }
        if entry.holders.is_empty() {
            let found = self.containers.behind(&self.scene.proc, None, &socket.held());
            let way = match found {
                Some(found) => Way::StopContainer(survey.container(found)),
                None => Way::Refused(self.hidden_holder(socket)),
            };
            out.push(of(socket, None, self.unseen(socket), way));
        }
        Ok(())
    }

    fn obstacle(&self, socket: &Socket, holder: Holder, survey: &mut Survey) -> Result<Option<Obstacle>, Failure> {
        let proc = &self.scene.proc;
        let Some(target) = Target::open_pid(proc, holder.pid)? else { return Ok(None) };
        // Only what has the socket now that the descriptor holds it is meant.
        if owners(proc, &[socket.inode], &[holder.pid])?.of(socket.inode).next().is_none() {
            return Ok(None);
        }
        let Some((process, parents)) = lineage(proc, holder.pid)? else { return Ok(None) };
        let way = match self.containers.behind(proc, Some(holder.pid), &socket.held()) {
            Some(found) => Way::StopContainer(survey.container(found)),
            None => match choose(&self.known(socket, &process, &parents)?) {
                Choice::End => Way::End(self.suspect(socket, target, &process, &parents, survey)?),
                Choice::Stop(run) => Way::Stop(survey.service(&self.report.services[run])),
                Choice::StopOther(run) => Way::StopOther(survey.service(&self.report.services[run])),
                Choice::Refused(refusal) => Way::Refused(refusal),
            },
        };
        Ok(Some(of(socket, Some(holder), process.label(), way)))
    }

    /// Asks the engines about the containers that are to be stopped. What they do not say is not needed.
    fn inspect(&self, containers: &mut [Housed]) {
        for housed in containers {
            let Found { engine, container } = &housed.found;
            housed.details = self.scene.runtime.block_on(engine.inspect(&container.id)).ok();
        }
    }
}

impl Survey {
    fn service(&mut self, service: &Service) -> usize {
        if let Some(place) = self.services.iter().position(|known| known.key == service.key) {
            return place;
        }
        self.services.push(service.clone());
        self.services.len() - 1
    }

    fn container(&mut self, found: Found) -> usize {
        if let Some(place) = self.containers.iter().position(|known| known.found.container.id == found.container.id) {
            return place;
        }
        self.containers.push(Housed { found, details: None });
        self.containers.len() - 1
    }
}

fn of(socket: &Socket, holder: Option<Holder>, who: String, way: Way) -> Obstacle {
    Obstacle {
        socket: name(socket),
        holds: holds(socket),
        pid: holder.map(|holder| holder.pid),
        tid: holder.and_then(|holder| holder.tid),
        who,
        namespace: socket.namespace,
        way,
    }
}

pub(super) fn name(socket: &Socket) -> String {
    PortClaim { address: Some(socket.address), port: socket.port, proto: socket.proto }.to_string()
}

pub(super) fn holds(socket: &Socket) -> &'static str {
    if socket.serves() { "listens on" } else { "is bound to" }
}
