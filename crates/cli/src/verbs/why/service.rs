//! What is seen of a service.

use vigie_api::status::{Report, Service};
use vigie_core::claim::{PortClaim, Proto};
use vigie_core::clock::Wall;
use vigie_core::exit::Exit;
use vigie_core::identity::RunId;
use vigie_core::journal::{Subject, What};
use vigie_core::ladder::{Audience, Deed, Rung, Signal};
use vigie_core::launch::ServiceKey;
use vigie_core::manifest::Probe;
use vigie_core::name::Name;
use vigie_core::ports::State as SocketState;
use vigie_core::service::State;
use vigie_core::why::facts::{Belonging, Story};
use vigie_core::why::{Claim, Copy, Dependency, Ghost, Noted, PortFacts, Probed, ServiceFacts, Stuck};
use vigie_os::place::Place;
use vigie_os::ports::{Ask, Table};
use vigie_os::{ancestry, strays};
use vigie_store::journal::{Query, Reader, SubjectFilter};
use vigie_store::logs::{Filter, Item, LogDir};

use super::belonging::Known;
use super::described::{self, Described};
use super::port;
use crate::failure::Failure;
use crate::judged::Judge;
use crate::look;
use crate::plan::label;
use crate::scene::Scene;
use crate::strays::ignored::Ignored;
use crate::verbs::events;

/// How far back the journal is read.
const ENTRIES: u32 = 500;

/// How many lines of output are shown as evidence.
const LINES: usize = 5;

/// How many processes that no signal ended are explained.
const STUCK: usize = 4;

/// A service that is known to have run, or one that only a manifest names.
pub(crate) enum Subjected {
    /// Known.
    Known(Box<Service>),
    /// Never started.
    Only(Box<Described>),
}

/// Looks at everything that an explanation may rest on.
pub(crate) fn look(
    subject: &Subjected,
    report: &Report,
    known: &Known,
    scene: &Scene,
) -> Result<ServiceFacts, Failure> {
    let all = described::all(report, scene);
    let (service, described) = match subject {
        Subjected::Known(service) => {
            (Some(&**service), all.iter().find(|described| described.key == service.key).cloned())
        }
        Subjected::Only(described) => (None, Some((**described).clone())),
    };
    let key = service.map_or_else(|| described.as_ref().map(|described| &described.key), |service| Some(&service.key));
    let Some(key) = key.cloned() else { return Err(Failure::not_found("nothing is known of this service")) };
    let folder = scene.place.service_dir(&key);
    let record = look::record(&folder, &scene.proc)?.filter(look::Record::is_live);
    let project = service.map(|service| &service.project).or(described.as_ref().map(|described| &described.project));
    let name = match service {
        Some(service) => label(service),
        None => described.as_ref().map(|described| described.label.clone()).unwrap_or_default(),
    };
    let here = service.is_none_or(|service| service.project_dir.as_path() == scene.here.dir);
    let target = if here { key.service.to_string() } else { name.clone() };
    let mut unseen = Vec::new();
    let history = match history(project, &key, &scene.place) {
        Ok(history) => history,
        Err(failure) => {
            unseen.push(("journal".to_owned(), failure_text(&failure)));
            Vec::new()
        }
    };
    let last_run = service
        .and_then(|service| service.run.as_ref().map(|run| run.id))
        .or_else(|| history.iter().rev().find_map(|noted| noted.run));
    let main = main(service, scene)?;
    let logs = scene.place.logs_dir(&key);
    let ports = Ports::of(service, described.as_ref());
    let claims = claims(&ports, service, report, known, scene)?;
    Ok(ServiceFacts {
        copies: copies(&key, described.as_ref(), service, known, scene)?,
        stuck: stuck(service, scene)?,
        ghosts: ghosts(service, scene)?,
        probed: probed(described.as_ref(), service, scene)?,
        dependencies: dependencies(described.as_ref(), report),
        state: service.map(|service| service.state),
        wanted: service.and_then(|service| service.wanted),
        since: service.and_then(|service| service.since).map(|since| since.0),
        why: service.and_then(|service| service.why.clone()),
        restarts: service.map_or(0, |service| service.restarts),
        last_exit: service
            .and_then(|service| service.last_exit.as_ref())
            .map(|last| (exit(last), last.at.map(|at| at.0))),
        run: service.and_then(|service| service.run.as_ref()).map(|run| run.id),
        adopted: record.as_ref().and_then(|record| record.state.adopted).map(|(at, _)| at),
        holder: record.map(|record| record.state.holder),
        record: folder.join("record.json").display().to_string(),
        manifest: described.map(|described| (described.service, described.source)),
        output: output(&logs, last_run),
        log: logs.display().to_string(),
        label: name,
        target,
        main,
        history,
        claims,
        unseen,
    })
}

fn failure_text(failure: &Failure) -> String {
    match failure {
        Failure::Error { message, .. } => message.clone(),
        Failure::Told(_) | Failure::ReaderGone => "it cannot be read".to_owned(),
    }
}

fn exit(last: &vigie_api::status::Ended) -> Exit {
    match (last.code, last.signal) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal { signal, core_dumped: last.core_dumped.unwrap_or(false) },
        (None, None) => Exit::Unknown,
    }
}

/// The main process of its run, if that is still it.
fn main(service: Option<&Service>, scene: &Scene) -> Result<Option<Story>, Failure> {
    let Some(run) = service.and_then(|service| service.run.as_ref()) else { return Ok(None) };
    let Some(pid) = run.pid else { return Ok(None) };
    let story = ancestry::story(&scene.proc, pid)?;
    Ok(story.filter(|story| Some(story.process.key.start_ticks) == run.start_ticks))
}

/// What was set aside of it and is not gone.
fn ghosts(service: Option<&Service>, scene: &Scene) -> Result<Vec<Ghost>, Failure> {
    let all = service.iter().flat_map(|service| &service.ghosts);
    let all = all.flat_map(|ghost| ghost.processes.iter().map(move |process| (ghost.quarantined_at.0, process)));
    let living = crate::ghosts::processes(&scene.place, &scene.proc)?;
    let living = all.filter(|(_, process)| living.contains_key(&process.pid));
    Ok(living.map(|(at, process)| Ghost { pid: process.pid, name: process.name.clone(), at }).collect())
}

/// What those wait for that no signal ended.
fn stuck(service: Option<&Service>, scene: &Scene) -> Result<Vec<Stuck>, Failure> {
    let Some(service) = service.filter(|service| service.state == State::Ghost) else { return Ok(Vec::new()) };
    let Some(record) = look::record(&scene.place.service_dir(&service.key), &scene.proc)? else {
        return Ok(Vec::new());
    };
    let judge = Judge::new(&scene.proc)?;
    let mut found = Vec::new();
    for pid in record.members(&scene.proc)?.into_iter().take(STUCK) {
        if let Some(story) = ancestry::story(&scene.proc, pid)? {
            found.push(Stuck { judgement: judge.judge(&story, None), process: story.process });
        }
    }
    Ok(found)
}

/// What the journal says, and what keepers wrote down that no daemon has journalled yet.
fn history(project: Option<&Name>, key: &ServiceKey, place: &Place) -> Result<Vec<Noted>, Failure> {
    let reader = match Reader::open(&place.state) {
        Ok(reader) => Some(reader),
        Err(vigie_store::Error::Absent { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let service = Some(key.service.clone());
    let subject = SubjectFilter { project: project.cloned(), service, ..SubjectFilter::default() };
    let mut history = Vec::new();
    if let Some(reader) = &reader {
        let query = Query { subjects: vec![subject], limit: Some(ENTRIES), newest: true, ..Query::default() };
        history.extend(reader.read(&query)?.into_iter().map(|stored| Noted {
            seq: Some(stored.seq),
            at: stored.entry.at,
            run: stored.entry.run,
            what: stored.entry.what,
        }));
    }
    let about = |subject: &Subject| match subject {
        Subject::Service { project: of, service, .. } => Some(of) == project && *service == key.service,
        Subject::Daemon | Subject::Project(_) | Subject::Source(_) | Subject::Container { .. } => false,
    };
    let entries = events::unjournalled(place, reader.as_ref(), None)?.into_iter().filter(|entry| about(&entry.subject));
    history.extend(entries.map(|entry| Noted { seq: None, at: entry.at, run: entry.run, what: entry.what }));
    Ok(history)
}

/// The signal that the ladder of its run has sent to a process that is to end, and how many seconds ago. Nothing is known
/// where the journal cannot be read.
pub(super) fn asked_to_end(
    belonging: Option<&Belonging>,
    known: &Known,
    scene: &Scene,
    now: Wall,
) -> Option<(i32, u64)> {
    let (run, main) = match belonging? {
        Belonging::Main(of) => (of.run, true),
        Belonging::Member(of) => (of.run, false),
        Belonging::Keeper(_) | Belonging::Stray { .. } | Belonging::Daemon | Belonging::Ourselves => return None,
    };
    let service = known.service(run)?;
    sent(&service.project, &service.key, run, &scene.place, now)?.to(main)
}

/// The last signal of a ladder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    signal: Signal,
    audience: Audience,
    seconds: u64,
}

impl Sent {
    /// Its number and age, when it was meant for this process: the `main` one, or any other.
    pub(crate) fn to(self, main: bool) -> Option<(i32, u64)> {
        (main || self.audience == Audience::Tree).then(|| (self.signal.number(), self.seconds))
    }
}

/// The last signal that the ladder of a run has sent.
pub(crate) fn sent(project: &Name, key: &ServiceKey, run: RunId, place: &Place, now: Wall) -> Option<Sent> {
    let history = history(Some(project), key, place).ok()?;
    history.iter().rev().filter(|noted| noted.run == Some(run)).find_map(|noted| match &noted.what {
        What::Rung { rung: Rung { deed: Deed::Signal(signal, audience), .. }, .. } => {
            let seconds = now.0.saturating_sub(noted.at.0) / 1_000_000_000;
            Some(Sent { signal: *signal, audience: *audience, seconds })
        }
        _ => None,
    })
}

/// The last lines of a run, safe for a terminal.
fn output(logs: &std::path::Path, run: Option<RunId>) -> Vec<String> {
    if run.is_none() || !logs.is_dir() {
        return Vec::new();
    }
    let filter = Filter { run, ..Filter::default() };
    // Output that cannot be read explains nothing; `vigie logs` says why it cannot.
    let Ok(mut lines) = LogDir::new(logs).tail(LINES, filter, &mut |_| true) else { return Vec::new() };
    lines.finish();
    let mut found = Vec::new();
    while let Ok(true) = lines.advance() {
        if let Some(Item::Line(line)) = lines.item() {
            found.push(vigie_core::text::escaped(line.bytes));
        }
    }
    found.split_off(found.len().saturating_sub(LINES))
}

/// Other copies of it, without those that are to be left alone.
fn copies(
    key: &ServiceKey,
    described: Option<&Described>,
    service: Option<&Service>,
    known: &Known,
    scene: &Scene,
) -> Result<Vec<Copy>, Failure> {
    let expected = match (described, service.and_then(|service| service.run.as_ref()?.pid)) {
        (Some(described), _) => Some(strays::of_service(&described.service, described.root.as_path())),
        // Started without a manifest: whatever is the same thing as its run.
        (None, Some(pid)) => strays::of_process(&scene.proc, pid)?,
        (None, None) => None,
    };
    let Some(expected) = expected else { return Ok(Vec::new()) };
    let ignored = Ignored::read(&scene.place)?;
    let mut copies = Vec::new();
    for stray in strays::find(&scene.proc, &[&expected], &known.mains())? {
        if ignored.covers(key, &stray) {
            continue;
        }
        let Some(story) = ancestry::story(&scene.proc, stray.key.pid)?.filter(|story| story.process.key == stray.key)
        else {
            continue;
        };
        // What belongs to a run is no copy, whosesoever run that is.
        if matches!(known.belonging(&story, &scene.proc, &scene.place)?, None | Some(Belonging::Stray { .. })) {
            let pids: Vec<u32> = std::iter::once(stray.key.pid).chain(stray.tree.iter().map(|key| key.pid)).collect();
            copies.push(Copy {
                matched: stray.matched.iter().map(|fact| (*fact).to_owned()).collect(),
                ports: ports_of(&pids, scene)?,
                story,
            });
        }
    }
    Ok(copies)
}

/// The ports that these processes hold.
fn ports_of(pids: &[u32], scene: &Scene) -> Result<Vec<String>, Failure> {
    let table = Table::read(&scene.proc, &Ask { holders: true, ..Ask::default() })?;
    let held = table.entries.iter().filter(|entry| entry.holders.iter().any(|holder| pids.contains(&holder.pid)));
    let mut ports: Vec<PortClaim> = held.map(|entry| claim_of(&entry.socket)).collect();
    ports.sort();
    ports.dedup();
    Ok(ports.iter().map(PortClaim::to_string).collect())
}

fn claim_of(socket: &vigie_core::ports::Socket) -> PortClaim {
    PortClaim { address: Some(socket.address), port: socket.port, proto: socket.proto }
}

/// The ports that it claims: as the daemon knows them, else as they are described.
struct Ports(Vec<PortClaim>);

impl Ports {
    fn of(service: Option<&Service>, described: Option<&Described>) -> Self {
        let known = service.map(|service| service.claims.clone()).filter(|claims| !claims.is_empty());
        Self(known.or_else(|| described.map(|described| described.service.ports.clone())).unwrap_or_default())
    }
}

fn claims(
    ports: &Ports,
    service: Option<&Service>,
    report: &Report,
    known: &Known,
    scene: &Scene,
) -> Result<Vec<Claim>, Failure> {
    if ports.0.is_empty() {
        return Ok(Vec::new());
    }
    let numbers: Vec<u16> = ports.0.iter().map(|claim| claim.port).collect();
    let mut table = Table::read(&scene.proc, &Ask::about(&numbers))?;
    crate::ghosts::leave_out(&mut table, &scene.place, &scene.proc)?;
    let run = service.and_then(|service| service.run.as_ref()).map(|run| run.id);
    let mut claims = Vec::new();
    for claim in &ports.0 {
        let facts = port::facts(claim, &table, report, known, scene)?;
        claims.push(Claim { ours: is_ours(&facts, run), facts });
    }
    Ok(claims)
}

/// Nobody has it beside its own run.
fn is_ours(facts: &PortFacts, run: Option<RunId>) -> bool {
    facts.hidden.is_empty()
        && !facts.holders.is_empty()
        && facts.holders.iter().all(|holder| match &holder.belonging {
            Some(Belonging::Main(of) | Belonging::Member(of) | Belonging::Keeper(of)) => Some(of.run) == run,
            _ => false,
        })
}

fn dependencies(described: Option<&Described>, report: &Report) -> Vec<Dependency> {
    let Some(described) = described else { return Vec::new() };
    let of = |name: &vigie_core::name::Name| {
        report.services.iter().find(|service| service.service == *name && service.project_dir == described.root)
    };
    let dependency = |(name, condition): (&vigie_core::name::Name, &vigie_core::manifest::Condition)| Dependency {
        name: name.clone(),
        condition: *condition,
        state: of(name).map(|service| service.state),
        why: of(name).and_then(|service| service.why.clone()),
    };
    described.service.after.iter().map(dependency).collect()
}

/// Who listens where readiness is asked for.
fn probed(described: Option<&Described>, service: Option<&Service>, scene: &Scene) -> Result<Option<Probed>, Failure> {
    let Some(ready) = described.and_then(|described| described.service.ready.as_ref()) else { return Ok(None) };
    let Some(service) = service.filter(|service| service.run.is_some()) else { return Ok(None) };
    let address = match &ready.probe {
        Probe::Http { url, .. } => url.split_once("://").map_or(url.as_str(), |(_, rest)| rest).split('/').next(),
        Probe::Tcp { address } => Some(address.as_str()),
        Probe::Unix { .. } | Probe::Exec { .. } | Probe::Log { .. } => None,
    };
    let Some(port) = address.and_then(claimed) else { return Ok(None) };
    let members = match look::record(&scene.place.service_dir(&service.key), &scene.proc)? {
        Some(record) => record.members(&scene.proc)?,
        None => Vec::new(),
    };
    let table = Table::read(&scene.proc, &Ask { ports: &[port.port], holders: true, ..Ask::default() })?;
    let (mut ours, mut others, mut hidden) = (false, Vec::new(), false);
    let listens = |state: SocketState| matches!(state, SocketState::Listening | SocketState::Bound);
    for entry in table.entries.iter().filter(|entry| listens(entry.socket.state) && port.collides(&entry.socket.held()))
    {
        hidden |= entry.holders.is_empty();
        for holder in &entry.holders {
            if members.contains(&holder.pid) {
                ours = true;
            } else if let Some((process, _)) = ancestry::lineage(&scene.proc, holder.pid)? {
                let name = format!("PID {} ({})", process.pid(), process.command());
                if !others.contains(&name) {
                    others.push(name);
                }
            }
        }
    }
    Ok(Some(Probed { port, ours: (ours || !hidden).then_some(ours), others }))
}

/// `localhost:8000`, `127.0.0.1:8000`, `[::1]:8000` or a name and a port; a name may mean any address.
fn claimed(authority: &str) -> Option<PortClaim> {
    let (host, port) = authority.rsplit_once(':').map_or((authority, "80"), |(host, port)| (host, port));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some(PortClaim { address: host.parse().ok(), port: port.parse().ok()?, proto: Proto::Tcp })
}
