//! What runs, seen without the daemon (R3.3): the records of the keepers, the kernel, and what the last daemon wrote
//! down.
//!
//! A record labels, it never decides (R4.1): a run is alive when its keeper is, or when its main process is; both are
//! compared by identity, so that a number that was given out again changes nothing (R4.7).

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::Path;

use vigie_api::status::{Report, Run, Service, Stuck};
use vigie_api::time::Millis;
use vigie_core::clock::Now;
use vigie_core::identity::RunId;
use vigie_core::launch::{Holder, Scope, ServiceKey};
use vigie_core::service::{State, Wanted};
use vigie_os::cgroup::Cgroup;
use vigie_os::inet::{Socket, sockets};
use vigie_os::place::Place;
use vigie_os::proc::Proc;
use vigie_os::remains::Remains;
use vigie_os::usage::{Meter, Tree};
use vigie_wire::keeper::{self, Phase};

use crate::failure::Failure;
use crate::written;

/// What a keeper wrote down, and what has become of it.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// It.
    pub(crate) state: keeper::State,
    /// The keeper lives, so the lock is held.
    pub(crate) keeper_alive: bool,
    /// The main process lives.
    pub(crate) main_alive: bool,
}

impl Record {
    /// Anything of it is left, as far as its record tells.
    pub(crate) fn is_live(&self) -> bool {
        self.main_alive || !self.state.phase.is_over() && (self.keeper_alive || self.cgroup_populated())
    }

    /// The keeper is dead, and something of its tree is not.
    fn cgroup_populated(&self) -> bool {
        let cgroup = self.state.cgroup.as_ref().and_then(|folder| Cgroup::existing(folder.as_path()));
        cgroup.is_some_and(|cgroup| cgroup.populated())
    }

    /// Its processes.
    pub(crate) fn tree(&self) -> Tree {
        let cgroup = self.state.cgroup.as_ref().and_then(|folder| Cgroup::existing(folder.as_path()));
        match (cgroup, &self.state.holder.main) {
            (Some(cgroup), _) => Tree::Cgroup(cgroup),
            (None, Some(main)) if self.state.adopted.is_some() => Tree::From(main.clone()),
            (None, _) => Tree::Below(self.state.holder.keeper.clone()),
        }
    }
}

impl Record {
    /// The numbers of its processes now. Those of a keeper that was killed are found by cgroup and mark.
    pub(crate) fn members(&self, proc: &Proc) -> Result<Vec<u32>, Failure> {
        if self.keeper_alive {
            return Ok(self.tree().members(proc)?.unwrap_or_default());
        }
        let cgroup = self.state.cgroup.as_ref().and_then(|folder| Cgroup::existing(folder.as_path()));
        let main = self.state.holder.main.as_ref();
        let found = Remains::new(proc, self.state.holder.run, cgroup.as_ref()).with_main(main).find()?;
        Ok(found.iter().map(|target| target.key().pid).collect())
    }
}

/// The record in the folder of a service; absent when there is none, or none that can be understood.
pub(crate) fn record(folder: &Path, proc: &Proc) -> Result<Option<Record>, Failure> {
    let path = folder.join("record.json");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::io(path.display(), &error)),
    };
    let Ok(state) = serde_json::from_slice::<keeper::State>(&bytes) else { return Ok(None) };
    let keeper_alive = proc.is_alive(&state.holder.keeper)?;
    let main_alive = match &state.holder.main {
        Some(main) => proc.is_alive(main)?,
        None => false,
    };
    Ok(Some(Record { state, keeper_alive, main_alive }))
}

/// The records of all services except those whose folders are `known`.
pub(crate) fn records(place: &Place, proc: &Proc, known: &HashSet<OsString>) -> Result<Vec<Record>, Failure> {
    let services = place.services_dir();
    let entries = match std::fs::read_dir(&services) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::io(services.display(), &error)),
    };
    let mut records = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Failure::io(services.display(), &error))?;
        if !known.contains(&entry.file_name()) {
            records.extend(record(&entry.path(), proc)?);
        }
    }
    records.sort_by(|a, b| {
        (&a.state.holder.project, &a.state.holder.key).cmp(&(&b.state.holder.project, &b.state.holder.key))
    });
    Ok(records)
}

/// Measures runs; kept between two looks, so that the second one knows the CPU (R1).
#[derive(Debug, Default)]
pub(crate) struct Meters(HashMap<RunId, Meter>);

impl Meters {
    /// Fills in what a run uses and holds. What cannot be seen stays absent.
    fn measure(&mut self, record: &Record, run: &mut Run, sockets: &Sockets, proc: &Proc, now: Now) {
        let meter = self.0.entry(record.state.holder.run).or_insert_with(|| Meter::new(record.tree()));
        let Ok(Some(usage)) = meter.sample(proc, now.mono) else { return };
        run.cpu_percent_of_core = usage.cpu_percent_of_core;
        run.memory_bytes = Some(usage.memory_bytes);
        run.processes = Some(usage.processes);
        run.threads = Some(usage.threads);
        if let (Some(all), Ok(Some(pids))) = (sockets.get(proc), meter.tree().members(proc)) {
            run.ports = crate::ports::held_by(&pids, all, proc);
        }
    }
}

/// The sockets of the machine, read when the first run asks for them.
#[derive(Debug, Default)]
struct Sockets(OnceCell<Option<Vec<Socket>>>);

impl Sockets {
    fn get(&self, proc: &Proc) -> Option<&[Socket]> {
        self.0.get_or_init(|| sockets(proc, None).ok()).as_deref()
    }
}

/// The report of a machine without a daemon, on top of what is [`remembered`].
///
/// # Errors
/// When the folders or `/proc` cannot be read.
pub(crate) fn report(
    mut services: Vec<Service>,
    place: &Place,
    proc: &Proc,
    meters: &mut Meters,
    now: Now,
) -> Result<Report, Failure> {
    let sockets = Sockets::default();
    let mut places: HashMap<ServiceKey, usize> =
        services.iter().enumerate().map(|(place, service)| (service.key.clone(), place)).collect();
    for record in records(place, proc, &HashSet::new())? {
        let place_of = *places.entry(record.state.holder.key.clone()).or_insert(services.len());
        if place_of == services.len() {
            services.push(unmanaged(&record));
        }
        let service = &mut services[place_of];
        overlay(service, &record, place);
        if let Some(run) = &mut service.run {
            meters.measure(&record, run, &sockets, proc, now);
        }
    }
    crate::ghosts::add(&mut services, place, proc)?;
    // What was alive when it was written down, and of which there is neither record nor process, is not any more.
    for service in services.iter_mut().filter(|service| service.run.is_none()) {
        if service.state.may_live() {
            service.state = State::Stopped;
            service.since = None;
        }
    }
    for service in &mut services {
        service.note_ghost();
    }
    services.sort_by(|a, b| (&a.project, &a.service).cmp(&(&b.project, &b.service)));
    Ok(Report { schema: vigie_api::SCHEMA, at: Millis(now.wall), daemon: None, services, strays: Vec::new() })
}

/// Completes a report of the daemon with what it does not manage: runs of `vigie run` are measured, and what is left of
/// those whose keepers are dead is added.
///
/// # Errors
/// As of [`report`].
pub(crate) fn add_unmanaged(
    report: &mut Report,
    place: &Place,
    proc: &Proc,
    meters: &mut Meters,
    now: Now,
) -> Result<(), Failure> {
    crate::ghosts::add(&mut report.services, place, proc)?;
    let sockets = Sockets::default();
    for service in report.services.iter_mut().filter(|service| service.wanted.is_none()) {
        if let Some(run) = &mut service.run
            && let Some(record) = record(&place.service_dir(&service.key), proc)?
            && record.state.holder.run == run.id
        {
            meters.measure(&record, run, &sockets, proc, now);
        }
    }
    let has_none = |service: &&mut Service| service.run.is_none() && (is_at_rest(service) || is_refused(service));
    for service in report.services.iter_mut().filter(has_none) {
        let Some(record) = record(&place.service_dir(&service.key), proc)?.filter(Record::is_live) else { continue };
        overlay(service, &record, place);
        if let Some(run) = &mut service.run {
            meters.measure(&record, run, &sockets, proc, now);
        }
    }
    let known: HashSet<OsString> = report.services.iter().map(|service| service.key.folder().into()).collect();
    for record in records(place, proc, &known)? {
        let mut service = unmanaged(&record);
        overlay(&mut service, &record, place);
        if let Some(run) = &mut service.run {
            meters.measure(&record, run, &sockets, proc, now);
        }
        report.services.push(service);
    }
    Ok(())
}

/// What the last daemon wrote down. No journal: no daemon ever ran here.
///
/// # Errors
/// When the journal cannot be read: on a full disk, for one. Who runs is seen all the same.
pub(crate) fn remembered(place: &Place) -> Result<Vec<Service>, Failure> {
    let reader = match vigie_store::journal::Reader::open(&place.state) {
        Ok(reader) => reader,
        Err(vigie_store::Error::Absent { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(Failure::from(error)),
    };
    let documents = reader.documents(vigie_daemon::SERVICE)?;
    // One that cannot be read must not hide the others; the next daemon reports it.
    let stored = documents.iter().filter_map(|document| document.parse::<vigie_daemon::Kept>().ok());
    // The daemon's own worker is a service while there are sources.
    let has_sources = !reader.documents("source")?.is_empty();
    let is_shown = |service: &Service| has_sources || service.project_dir.as_path() != place.state;
    Ok(stored.map(|kept| Service::from(&kept.service)).filter(is_shown).collect())
}

/// A run that no daemon ever managed.
fn unmanaged(record: &Record) -> Service {
    let holder = &record.state.holder;
    let project_dir = match holder.key.scope {
        Scope::Project => holder.key.dir.clone(),
        Scope::User | Scope::Machine => holder.origin.cwd.clone(),
    };
    Service { project_dir, ..held_by(holder) }
}

/// A service of which nothing is known but who holds it.
pub(crate) fn held_by(holder: &Holder) -> Service {
    Service {
        project: holder.project.clone(),
        service: holder.key.service.clone(),
        mode: holder.mode.clone(),
        wanted: None,
        state: State::Stopped,
        since: None,
        restarts: 0,
        run: None,
        last_exit: None,
        findings: Vec::new(),
        why: None,
        claims: Vec::new(),
        project_dir: holder.key.dir.clone(),
        scope: holder.key.scope,
        key: holder.key.clone(),
        ghosts: Vec::new(),
    }
}

/// The daemon manages it and has nothing running: what runs all the same, `vigie run` has started.
fn is_at_rest(service: &Service) -> bool {
    service.wanted == Some(Wanted::Down) && !service.state.may_live()
}

/// The daemon was refused by somebody who has the lock: a run that `vigie run` started, or one of which the daemon knows
/// nothing any more.
pub(crate) fn is_refused(service: &Service) -> bool {
    service.state == State::Conflict
}

/// Puts what the record and the kernel say over what was remembered.
fn overlay(service: &mut Service, record: &Record, place: &Place) {
    let state = &record.state;
    let before = service.state;
    let already_told = service.last_exit.as_ref().and_then(|exit| exit.run) == Some(state.holder.run);
    if let (Some(exit), false) = (state.exit, already_told) {
        service.last_exit = Some(written::ended(place, state, exit));
    }
    if !record.is_live() {
        if service.state.may_live() || service.wanted.is_none() {
            let (state, why) = after_the_end(record);
            (service.state, service.why) = (state, why);
            service.since = service.last_exit.as_ref().and_then(|exit| exit.at);
        }
        return;
    }
    if is_refused(service) {
        // Who is in the way is there to be seen, and to be stopped.
        service.run = Some(run(record, place));
        return;
    }
    if is_at_rest(service) {
        // Whoever wants to stop it speaks with its keeper.
        service.wanted = None;
    }
    service.state = match state.phase {
        Phase::Locked => State::Starting,
        // Nobody probes without a daemon; what was ready is still said to be, since nothing ended it.
        Phase::Running if matches!(before, State::Ready | State::Degraded) => before,
        Phase::Running => State::Running,
        Phase::Stopping | Phase::Orphaned | Phase::Quarantined | Phase::Empty => State::Stopping,
        Phase::Stuck => State::Ghost,
    };
    if service.state != before || service.since.is_none() {
        service.since = Some(Millis(state.started.map_or(state.holder.since, |(wall, _)| wall)));
    }
    service.why = (!record.keeper_alive).then(|| "its keeper was killed; nobody watches it".to_owned());
    service.run = Some(run(record, place));
}

/// What a record tells of a run.
fn run(record: &Record, place: &Place) -> Run {
    let state = &record.state;
    let left = if state.phase == Phase::Stuck { written::left(place, state) } else { Vec::new() };
    Run {
        id: state.holder.run,
        pid: state.holder.main.as_ref().map(|main| main.pid),
        boot_id: state.holder.main.as_ref().map(|main| main.boot_id.to_string()),
        start_ticks: state.holder.main.as_ref().map(|main| main.start_ticks),
        keeper: record.keeper_alive.then_some(state.holder.keeper.pid),
        started_at: state.started.map(|(wall, _)| Millis(wall)),
        containment: state.containment,
        cgroup: state.cgroup.clone(),
        adopted: state.adopted.is_some(),
        cpu_percent_of_core: None,
        memory_bytes: None,
        processes: None,
        threads: None,
        ports: None,
        left: left.iter().map(Stuck::from).collect(),
    }
}

/// Where a service stands whose run is over while no daemon looked.
fn after_the_end(record: &Record) -> (State, Option<String>) {
    match record.state.exit {
        _ if !record.state.phase.is_over() && !record.keeper_alive => {
            (State::Stopped, Some("its keeper was killed; nobody saw how it ended".to_owned()))
        }
        Some(exit) if exit.code() == Some(0) => (State::Stopped, None),
        Some(exit) => (State::Stopped, Some(format!("it ended with {exit}"))),
        None => (State::Stopped, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::path::PathBuf;

    use vigie_core::clock::{Mono, Wall};
    use vigie_core::exit::Exit;
    use vigie_core::identity::ProcKey;
    use vigie_core::launch::{Containment, Holder, Origin};
    use vigie_core::name::Name;
    use vigie_core::run::{Event, What};

    /// A home with one record: of a keeper and a main process that are both this test, so that they live.
    struct World {
        _folder: tempfile::TempDir,
        place: Place,
        proc: Proc,
        state: keeper::State,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("folder");
            let home = folder.path().join("home");
            let place = Place::from_env(|name| (name == "VIGIE_HOME").then(|| home.clone().into()), 0).expect("place");
            place.prepare().expect("folders");
            let proc = Proc::system().expect("/proc");
            let me = proc.key(std::process::id()).expect("readable").expect("alive");
            let name = Name::new("api").expect("name");
            let state = keeper::State {
                version: vigie_wire::VERSION,
                program: "0".to_owned(),
                holder: Holder {
                    run: RunId(7),
                    key: ServiceKey::new(Scope::Project, Path::new("/srv/demo"), name),
                    project: Name::new("demo").expect("name"),
                    mode: None,
                    keeper: me.clone(),
                    main: Some(me),
                    since: Wall(5),
                    origin: Origin::default(),
                    adopted: false,
                    managed: false,
                    attempt: 0,
                },
                seq: 2,
                phase: Phase::Running,
                containment: Some(Containment::Subreaper),
                cgroup: None,
                started: Some((Wall(1_767_225_600_000_000_000), Mono(1))),
                adopted: None,
                adopting: None,
                exit: None,
            };
            Self { _folder: folder, place, proc, state }
        }

        fn folder(&self) -> PathBuf {
            self.place.service_dir(&self.state.holder.key)
        }

        /// Writes the record and looks.
        fn look(&self, meters: &mut Meters) -> Service {
            std::fs::create_dir_all(self.folder()).expect("folder");
            let json = serde_json::to_vec(&self.state).expect("encodes");
            std::fs::write(self.folder().join("record.json"), json).expect("record");
            let now = vigie_os::clock::now();
            let remembered = remembered(&self.place).expect("journal");
            let mut report = report(remembered, &self.place, &self.proc, meters, now).expect("report");
            assert_eq!(report.services.len(), 1);
            report.services.remove(0)
        }

        fn someone_else(key: &ProcKey) -> ProcKey {
            ProcKey { start_ticks: key.start_ticks + 1, ..key.clone() }
        }
    }

    /// R3.3, R3.6: without a daemon the same shape, and what was not observed is null.
    #[test]
    fn a_living_run_is_seen_without_a_daemon() {
        let world = World::new();
        let mut meters = Meters::default();
        let service = world.look(&mut meters);
        assert_eq!(service.state, State::Running);
        let json = serde_json::to_value(&service).expect("encodes");
        for (field, value) in [("project", "demo"), ("service", "api"), ("state", "running")] {
            assert_eq!(json[field], value);
        }
        let run = &json["run"];
        assert_eq!(run["pid"], std::process::id());
        assert_eq!(run["id"], "0000000000000007");
        assert_eq!(run["started_at"], "2026-01-01T00:00:00.000Z");
        assert_eq!(run["containment"], "subreaper");
        assert!(run["boot_id"].is_string() && run["start_ticks"].is_u64() && run["memory_bytes"].is_u64(), "{run}");
        assert!(run["cpu_percent_of_core"].is_null(), "one look tells no CPU");
        assert!(json["wanted"].is_null(), "nobody manages it");
        let again = world.look(&mut meters);
        assert!(again.run.and_then(|run| run.cpu_percent_of_core).is_some(), "two looks do");
    }

    /// R4.7: a number that was given out again is nobody's run.
    #[test]
    fn a_record_of_dead_processes_shows_nothing_running() {
        let mut world = World::new();
        let holder = &mut world.state.holder;
        holder.keeper = World::someone_else(&holder.keeper);
        holder.main = holder.main.as_ref().map(World::someone_else);
        let service = world.look(&mut Meters::default());
        assert_eq!((service.state, service.run), (State::Stopped, None));
        assert!(service.why.is_some_and(|why| why.contains("keeper was killed")));
    }

    /// R6.7: an end that no daemon saw is told with its code and its time.
    #[test]
    fn an_end_without_a_daemon_is_told() {
        let mut world = World::new();
        world.state.phase = Phase::Empty;
        world.state.holder.main = None;
        world.state.exit = Some(Exit::Code(7));
        let event = Event {
            run: RunId(7),
            seq: 3,
            at: Wall(1_767_225_600_000_000_000),
            mono: Mono(9),
            what: What::Exited { exit: Exit::Code(7) },
        };
        std::fs::create_dir_all(world.folder()).expect("folder");
        let line = vigie_wire::frame::encode(&event).expect("encodes");
        std::fs::write(world.folder().join("events.jsonl"), line).expect("events");
        let service = world.look(&mut Meters::default());
        assert_eq!((service.state, &service.run), (State::Stopped, &None));
        let exit = service.last_exit.expect("known");
        assert_eq!((exit.code, exit.at), (Some(7), Some(Millis(event.at))));
    }

    #[test]
    fn nonsense_in_a_folder_hides_nothing() {
        let world = World::new();
        let odd = world.place.services_dir().join("odd-0");
        std::fs::create_dir_all(&odd).expect("folder");
        std::fs::write(odd.join("record.json"), b"{").expect("record");
        assert_eq!(world.look(&mut Meters::default()).state, State::Running);
    }
}
