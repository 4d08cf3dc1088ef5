//! The shell around the supervisor: queue, commits, links to keepers. The same duties as the real one, in little.

use std::collections::{BTreeMap, VecDeque};

use vigie_core::clock::Mono;
use vigie_core::ghost::Ghost;
use vigie_core::identity::{ProcKey, RunId};
use vigie_core::journal::Entry;
use vigie_core::launch::ServiceKey;
use vigie_core::run::{Left, Phase, What};
use vigie_core::supervisor::{
    Action, Event, Found, FoundRun, LaunchPlace, ProbeOutcome, Purpose, Step, Stored, Supervisor,
};

use crate::keeper;
use crate::world::{Happening, MS, Order, World};

/// A daemon that lives.
#[derive(Debug)]
pub struct Daemon {
    /// The real thing.
    pub supervisor: Supervisor,
    /// Which of all daemons it is.
    pub life: u64,
    links: BTreeMap<ServiceKey, usize>,
    /// Runs that a keeper which holds the lock was asked for last.
    again: BTreeMap<ServiceKey, RunId>,
    commits: VecDeque<Commit>,
    probes: BTreeMap<(ServiceKey, Purpose), RunId>,
    tick: Option<Mono>,
}

#[derive(Debug)]
struct Commit {
    entries: Vec<Entry>,
    documents: Vec<Stored>,
    ghosts: Vec<(RunId, Option<Ghost>)>,
    /// Those that wait for it.
    actions: Vec<Action>,
}

/// A daemon begins: it reads its disk and looks at the world.
pub fn begin(world: &mut World) {
    world.lives += 1;
    let life = world.lives;
    crate::incidents::restore(world);
    let mut supervisor = Supervisor::new(world.draws.bits());
    let mut links = BTreeMap::new();
    let mut found = Vec::new();
    let mut missed = Vec::new();
    for (key, folder) in &world.folders {
        missed.extend(folder.events.iter().map(|event| (key.clone(), event.clone())));
        // A run from elsewhere is nobody's to adopt. What the last of ours wrote down is still there.
        let own = world.keepers.iter_mut().enumerate().rev().find(|(_, keeper)| {
            keeper.key == *key && !keeper.foreign && folder.events.iter().any(|event| event.run == keeper.launch.run)
        });
        let Some((id, keeper)) = own else { continue };
        if keeper.alive {
            keeper.client = Some(life);
            links.insert(key.clone(), id);
        }
        let run = FoundRun {
            id: keeper.launch.run,
            keeper: keeper.alive.then(|| keeper.identity.clone()),
            phase: if world.ghosts.contains_key(&keeper.launch.run) && !keeper.alive {
                Phase::Quarantined
            } else {
                keeper.phase
            },
            left: vec![],
            main: keeper.main.clone(),
            started: keeper.started.map(|started| (started.wall, started.mono)),
            adopted: keeper.adopted.map(|adopted| (adopted.wall, adopted.mono)),
            containment: None,
            cgroup: None,
            exit: keeper.exit,
            exited: None,
            stopped: keeper.stopped,
            seq: keeper.seq,
            attempt: keeper.launch.attempt,
        };
        found.push(Found { key: key.clone(), run: Some(run) });
    }
    let stored: Vec<Stored> = world.disk.documents.values().cloned().collect();
    let step = supervisor.restore(world.now(), true, stored, found);
    let daemon = Daemon {
        supervisor,
        life,
        links,
        again: BTreeMap::new(),
        commits: VecDeque::new(),
        probes: BTreeMap::new(),
        tick: None,
    };
    world.daemon = Some(daemon);
    take(world, step);
    for (key, event) in missed {
        receive(world, life, Event::Keeper { key, event });
    }
    let ghosts: Vec<Ghost> = world.disk.ghosts.values().cloned().collect();
    for ghost in ghosts {
        crate::ghosts::take_up(world, life, ghost);
    }
    crate::ghosts::look(world, life);
    let gone: Vec<_> = world.disk.documents.values().filter_map(|stored| stored.definition.session).collect();
    for session in gone {
        if !world.sessions.contains(&session) {
            receive(world, life, Event::SessionEnded(session));
        }
    }
}

/// The daemon is killed: what was not committed is gone.
pub fn kill(world: &mut World) {
    let Some(daemon) = world.daemon.take() else { return };
    world.faults += 1;
    for id in 0..world.keepers.len() {
        if world.keepers[id].client == Some(daemon.life) {
            world.keepers[id].client = None;
            keeper::leave_if_done(world, id);
        }
    }
}

/// An event reaches the daemon it was for.
pub fn receive(world: &mut World, life: u64, event: Event) {
    let now = world.now();
    let Some(daemon) = world.daemon.as_mut().filter(|daemon| daemon.life == life) else { return };
    if let Event::KeeperLost { key, run } = &event {
        let present = daemon.supervisor.view(key).and_then(|view| view.run).map(|present| present.id);
        let asked = daemon.again.remove(key);
        if let Some(present) = present.filter(|present| present != run && asked == Some(*present)) {
            // It was killed in the moment in which it was to go on: another takes its place.
            daemon.links.remove(key);
            let key = key.clone();
            return launch(world, life, key, present);
        }
    }
    let set_aside = matches!(&event, Event::Keeper { event, .. } if matches!(event.what, What::Quarantined { .. }));
    let step = daemon.supervisor.step(now, event);
    take(world, step);
    if set_aside {
        crate::ghosts::look(world, life);
    }
}

/// The deadline of a step.
pub fn tick(world: &mut World, life: u64, at: Mono) {
    let wanted = world.daemon.as_ref().is_some_and(|daemon| daemon.life == life && daemon.tick == Some(at));
    if wanted {
        if let Some(daemon) = &mut world.daemon {
            daemon.tick = None;
        }
        receive(world, life, Event::Tick);
    }
}

/// What a dead keeper left behind has been dealt with.
pub fn recovered(world: &mut World, life: u64, key: ServiceKey, run: RunId, process: Option<ProcKey>) {
    if world.daemon.as_ref().is_none_or(|daemon| daemon.life != life) {
        return;
    }
    if world.ghosts.contains_key(&run) {
        let unfinished =
            |keeper: &keeper::Keeper| keeper.launch.run == run && !keeper.alive && keeper.phase != Phase::Quarantined;
        if world.keepers.iter().any(unfinished) {
            crate::ghosts::by_daemon(world, life, key, run);
        }
        return;
    }
    let mut left = Vec::new();
    let mut again = None;
    let of_run = |keeper: &keeper::Keeper| {
        keeper.launch.run == run || process.is_some() && !keeper.alive && keeper.main == process
    };
    for keeper in world.keepers.iter_mut().filter(|keeper| keeper.key == key && of_run(keeper)) {
        if keeper::population(keeper) == 0 {
            continue;
        }
        match keeper.nature.unkillable.filter(|_| !std::mem::replace(&mut keeper.haunted, true)) {
            None => (keeper.main_alive, keeper.others) = (false, 0),
            Some(delay) => {
                let process = keeper.identity.clone();
                left.push(Left { process, name: "left".into(), state: 'D', kill_pending: true });
                again = Some(delay);
            }
        }
    }
    if let Some(delay) = again {
        // A ghost is watched; when it is gone, that is told.
        world.after(delay, Happening::Recovered(life, key.clone(), run, process));
    }
    receive(world, life, Event::Recovered { key, run, left });
}

fn take(world: &mut World, step: Step) {
    crate::check::after_step(world, &step);
    let Step { actions, entries, changed, ghosts, durable_first, deadline } = step;
    let Some(daemon) = &mut world.daemon else { return };
    let ghosts = ghosts.into_iter().map(|run| (run, daemon.supervisor.ghost(run).cloned())).collect();
    let documents = changed.iter().filter_map(|key| daemon.supervisor.stored(key)).collect();
    // What waits for the disk must not be overtaken by what does not: a stop would pass the launch that it is to stop.
    let held_up = |action: &Action| {
        let of_same = |other: &Action| action.key().is_some() && action.key() == other.key();
        daemon.commits.iter().flat_map(|commit| &commit.actions).any(of_same)
    };
    let waits = |action: &Action| {
        let told_first = matches!(action, Action::ForgetGhost { .. });
        told_first || durable_first && action.needs_durable_intent() || held_up(action)
    };
    let (later, now): (Vec<Action>, Vec<Action>) = actions.into_iter().partition(waits);
    daemon.commits.push_back(Commit { entries, documents, ghosts, actions: later });
    let life = daemon.life;
    if let Some(at) = deadline.filter(|at| daemon.tick.is_none_or(|tick| tick > *at)) {
        daemon.tick = Some(at);
        world.at(at.0, Happening::Tick(life, at));
    }
    let delay = world.below(5 * MS);
    world.after(delay, Happening::Committed(life));
    for action in now {
        // It may die between any two of them.
        if !world.calm && world.chance(3_000) {
            kill(world);
        }
        perform(world, life, action);
    }
}

/// Everything that waits is committed together.
pub fn committed(world: &mut World, life: u64) {
    let now = world.now();
    let Some(daemon) = world.daemon.as_mut().filter(|daemon| daemon.life == life) else { return };
    let mut actions = Vec::new();
    for commit in daemon.commits.drain(..) {
        for entry in commit.entries {
            if entry.run.zip(entry.run_seq).is_some_and(|event| !world.disk.numbered.insert(event)) {
                continue;
            }
            world.disk.incidents.committed(&entry, now);
            world.disk.journal.push(entry);
        }
        for document in commit.documents {
            world.disk.documents.insert(document.key.clone(), document);
        }
        for (run, ghost) in commit.ghosts {
            match ghost {
                Some(ghost) => drop(world.disk.ghosts.insert(run, ghost)),
                None => drop(world.disk.ghosts.remove(&run)),
            }
        }
        actions.extend(commit.actions);
    }
    for action in actions {
        // Between what is told of the end of a ghost and the end of its record, it dies more often: ghosts are few.
        let once_in = if matches!(action, Action::ForgetGhost { .. }) { 10 } else { 3_000 };
        if !world.calm && world.chance(once_in) {
            kill(world);
        }
        perform(world, life, action);
    }
}

fn perform(world: &mut World, life: u64, action: Action) {
    let Some(daemon) = world.daemon.as_mut().filter(|daemon| daemon.life == life) else { return };
    match action {
        Action::Launch { key, run } => launch(world, life, key, run),
        Action::Stop { key, ladder, cause } => tell(world, &key, Order::Stop(ladder, cause)),
        Action::Skip { key } => tell(world, &key, Order::Skip),
        Action::Release { key } => {
            tell(world, &key, Order::Release);
            if let Some(daemon) = &mut world.daemon {
                daemon.links.remove(&key);
            }
        }
        Action::Recover { key, run, process, .. } => {
            let delay = world.below(20 * MS);
            world.after(delay, Happening::Recovered(life, key, run, process));
        }
        Action::Quarantine { key, held: true, .. } => tell(world, &key, Order::Quarantine),
        Action::Quarantine { key, run, held: false } => {
            let delay = world.below(20 * MS);
            world.after(delay, Happening::SetAside(life, key, run));
        }
        Action::ForgetGhost { run, .. } => drop(world.ghosts.remove(&run)),
        Action::StartProbe { key, run, purpose, every, .. } => {
            daemon.probes.insert((key.clone(), purpose), run);
            probe(world, life, &key, run, purpose, u64::try_from(every.0.as_nanos()).unwrap_or(u64::MAX));
        }
        Action::StopProbe { key, purpose } => {
            daemon.probes.remove(&(key, purpose));
        }
        Action::Reply { op, .. } => {
            if !world.replies.insert(op.0) {
                world.violate(|| format!("request {} was answered twice", op.0));
            }
        }
    }
}

fn launch(world: &mut World, life: u64, key: ServiceKey, run: RunId) {
    crate::check::at_launch(world, &key);
    let Some(daemon) = &mut world.daemon else { return };
    let place = LaunchPlace { lock: "lock".into(), folder: "folder".into(), logs: "logs".into() };
    let link = daemon.links.get(&key).copied().filter(|id| world.keepers[*id].alive);
    if let Some(id) =
        link.filter(|id| world.keepers[*id].phase == Phase::Locked && world.keepers[*id].launch.run == run)
    {
        return world.after(MS / 10, Happening::ToKeeper(id, Order::Go));
    }
    let Some(launch) = daemon.supervisor.launch(&key, run, place) else { return };
    if let Some(process) = &launch.adopt {
        world.to_adopt.insert(key.clone(), process.clone());
    }
    let Some(daemon) = &mut world.daemon else { return };
    match link.filter(|id| world.keepers[*id].phase == Phase::Empty) {
        Some(id) => {
            daemon.again.insert(key, run);
            send(world, id, Order::Again(Box::new(launch)));
        }
        None => {
            let nature = crate::scenario::nature(world);
            let id = keeper::begin(world, launch.clone(), Some(life), nature);
            if let Some(daemon) = &mut world.daemon {
                daemon.links.insert(key, id);
            }
            send(world, id, Order::Launch(Box::new(launch)));
            send(world, id, Order::Go);
        }
    }
}

fn tell(world: &mut World, key: &ServiceKey, order: Order) {
    let id = world.daemon.as_ref().and_then(|daemon| daemon.links.get(key).copied());
    if let Some(id) = id {
        send(world, id, order);
    }
}

/// The way to a keeper takes a fixed time: orders keep their order.
fn send(world: &mut World, id: usize, order: Order) {
    world.after(MS / 10, Happening::ToKeeper(id, order));
}

/// One answer of a probe, when it would come.
fn probe(world: &mut World, life: u64, key: &ServiceKey, run: RunId, purpose: Purpose, every: u64) {
    let id = world.daemon.as_ref().and_then(|daemon| daemon.links.get(key).copied());
    let Some(id) = id else { return };
    let keeper = &world.keepers[id];
    let (nature, started) = (keeper.nature, keeper.started.map_or(world.mono, |started| started.mono.0));
    let event = |outcome| Event::Probed { key: key.clone(), run, purpose, outcome };
    let bad = || ProbeOutcome::Bad { why: "connection refused".to_owned() };
    match purpose {
        Purpose::Ready => {
            world.after(MS, Happening::ToDaemon(life, event(bad())));
            if let Some(after) = nature.ready_after {
                world.at(started + after + MS, Happening::ToDaemon(life, event(ProbeOutcome::Good)));
            }
            if world.chance(8) {
                let other = ProbeOutcome::Other { who: "pid 9 (stranger)".to_owned() };
                world.after(2 * MS, Happening::ToDaemon(life, event(other)));
            }
        }
        Purpose::Alive => {
            for turn in 1..5 {
                let outcome = if nature.ill && turn > 1 { bad() } else { ProbeOutcome::Good };
                world.after(every * turn, Happening::ToDaemon(life, event(outcome)));
            }
        }
    }
}
