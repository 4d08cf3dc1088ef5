//! A keeper and the processes that it holds, as the real one behaves.

use vigie_core::clock::Mono;
use vigie_core::exit::Exit;
use vigie_core::identity::{ProcKey, RunId};
use vigie_core::ladder::{Climb, Deed as Rung, Signal};
use vigie_core::launch::{Containment, Holder, Launch, Orphans, ServiceKey};
use vigie_core::run::{self, Left, Phase, SpawnFailure, StopCause, What};
use vigie_core::supervisor::Event;

use crate::world::{Deed, Happening, MS, Order, World};

/// A keeper, and its tree.
#[derive(Debug)]
pub struct Keeper {
    /// Who it is.
    pub identity: ProcKey,
    /// Whose lock it wants or holds.
    pub key: ServiceKey,
    /// What it was told last.
    pub launch: Launch,
    /// It lives.
    pub alive: bool,
    /// The daemon that is connected to it and controls.
    pub client: Option<u64>,
    /// No other run follows.
    released: bool,
    /// The run of a `vigie run`: no daemon launched it.
    pub foreign: bool,
    /// Where its run stands.
    pub phase: Phase,
    /// Number of its last event of this run.
    pub seq: u64,
    /// The main process, from spawn on.
    pub main: Option<ProcKey>,
    /// When it was spawned.
    pub started: Option<vigie_core::clock::Now>,
    /// When it was adopted, if it was.
    pub adopted: Option<vigie_core::clock::Now>,
    /// The keeper before it, whose tree it did not end because it is to adopt it.
    spared: Option<usize>,
    /// How it ended.
    pub exit: Option<Exit>,
    /// Why it began to stop.
    pub stopped: Option<StopCause>,
    /// What its processes are like.
    pub nature: Nature,
    /// The main process lives.
    pub main_alive: bool,
    /// So many others live.
    pub others: u32,
    /// It was told of it, without a keeper, that no signal ends it.
    pub haunted: bool,
    climb: Option<Climb>,
    climbs: u64,
    last_delivery: u64,
}

/// What the processes of a run are like.
#[derive(Debug, Clone, Copy)]
pub struct Nature {
    /// It cannot be spawned.
    pub unspawnable: bool,
    /// It ends by itself after this.
    pub lives: Option<(u64, Exit)>,
    /// It answers its probe after this; never when absent.
    pub ready_after: Option<u64>,
    /// It takes so long to obey TERM; never when absent.
    pub obeys: Option<u64>,
    /// Its main process starts others, and these ignore TERM.
    pub others: u32,
    /// KILL does not end it before this much time has passed.
    pub unkillable: Option<u64>,
    /// Its health probe fails.
    pub ill: bool,
    /// Another holds what it claims.
    pub occupied: bool,
    /// When it was stopped, another holds what it claims.
    pub still_held: bool,
}

/// Lets a keeper begin its life. It still has to be told what for.
pub fn begin(world: &mut World, launch: Launch, client: Option<u64>, nature: Nature) -> usize {
    let identity = world.process();
    world.keepers.push(Keeper {
        identity,
        key: launch.key.clone(),
        alive: true,
        client,
        released: false,
        foreign: client.is_none(),
        phase: Phase::Locked,
        seq: 0,
        main: None,
        started: None,
        adopted: None,
        spared: None,
        exit: None,
        stopped: None,
        nature,
        main_alive: false,
        others: 0,
        haunted: false,
        climb: None,
        climbs: 0,
        last_delivery: 0,
        launch,
    });
    world.keepers.len() - 1
}

/// How many processes of its tree live.
pub fn population(keeper: &Keeper) -> u32 {
    u32::from(keeper.main_alive) + keeper.others
}

/// An order reaches a keeper.
pub fn order(world: &mut World, id: usize, order: Order) {
    if !world.keepers[id].alive {
        return;
    }
    match order {
        // The daemon died between making it and telling it what for: to go, it is told only after it has answered.
        Order::Launch(_) if world.keepers[id].client.is_none() && !world.keepers[id].foreign => {
            world.keepers[id].alive = false;
        }
        Order::Launch(launch) => launch_first(world, id, &launch),
        Order::Go => {
            if world.keepers[id].phase == Phase::Locked && world.locks.get(&world.keepers[id].key) == Some(&id) {
                let run = world.keepers[id].launch.run;
                if world.keepers[id].launch.adopt.is_none() && gives_way(world, id, run) {
                    empty(world, id);
                } else {
                    go(world, id);
                }
            }
        }
        Order::Again(launch) => {
            if world.keepers[id].phase == Phase::Empty {
                world.keepers[id].nature = crate::scenario::nature(world);
                if launch.adopt.is_none() && gives_way(world, id, launch.run) {
                    return leave_if_done(world, id);
                }
                let keeper = &mut world.keepers[id];
                keeper.launch = *launch;
                (keeper.seq, keeper.phase) = (0, Phase::Locked);
                (keeper.main, keeper.started, keeper.exit, keeper.stopped) = (None, None, None, None);
                keeper.adopted = None;
                locked(world, id);
                go(world, id);
            }
        }
        Order::Release => {
            world.keepers[id].released = true;
            leave_if_done(world, id);
        }
        Order::Stop(ladder, cause) => stop(world, id, ladder, cause),
        Order::Skip => next_rung(world, id),
        Order::Quarantine => crate::ghosts::by_keeper(world, id),
    }
}

/// The daemon looks at the claims under the lock. When another holds one, the keeper is let go.
fn gives_way(world: &mut World, id: usize, run: RunId) -> bool {
    let keeper = &mut world.keepers[id];
    let (Some(life), true) = (keeper.client, keeper.nature.occupied) else { return false };
    keeper.released = true;
    let what = "port 1/tcp is held by PID 9 (stranger)".to_owned();
    let event = Event::Occupied { key: keeper.key.clone(), run, what, pid: Some(9) };
    deliver(world, id, life, event);
    true
}

fn launch_first(world: &mut World, id: usize, launch: &Launch) {
    let key = launch.key.clone();
    if let Some(&other) = world.locks.get(&key) {
        let holder = holder(&world.keepers[other]);
        let client = world.keepers[id].client;
        world.keepers[id].alive = false;
        // Whoever asked for an adoption is told that it did not come to it.
        world.to_adopt.remove(&key);
        if let Some(life) = client {
            let event = Event::Refused { key, run: launch.run, holder: Some(Box::new(holder)) };
            deliver(world, id, life, event);
        }
        return;
    }
    world.locks.insert(key.clone(), id);
    // An earlier keeper that was killed may have left its tree behind: it is ended before anything else.
    let earlier = world.folders.get(&key).and_then(|folder| folder.keeper);
    let is_left = |earlier: &usize| {
        let keeper = &world.keepers[*earlier];
        population(keeper) > 0 && !world.ghosts.contains_key(&keeper.launch.run)
    };
    if let Some(earlier) = earlier.filter(is_left) {
        if launch.adopt.is_some() && launch.adopt == world.keepers[earlier].main {
            world.keepers[id].spared = Some(earlier);
            return locked(world, id);
        }
        let count = population(&world.keepers[earlier]);
        if world.keepers[earlier].nature.unkillable.is_some() {
            world.locks.remove(&key);
            world.keepers[id].alive = false;
            if let Some(life) = world.keepers[id].client {
                let why = "survivors cannot be ended".to_owned();
                deliver(world, id, life, Event::LaunchFailed { key, run: launch.run, why });
            }
            return;
        }
        let of = world.keepers[earlier].launch.run;
        (world.keepers[earlier].main_alive, world.keepers[earlier].others) = (false, 0);
        locked(world, id);
        emit(world, id, What::Survivors { of, count });
        return;
    }
    locked(world, id);
}

fn locked(world: &mut World, id: usize) {
    let keeper = &world.keepers[id];
    let identity = keeper.identity.clone();
    let folder = world.folders.entry(keeper.key.clone()).or_default();
    folder.keeper = Some(id);
    emit(world, id, What::Locked { keeper: identity });
}

fn go(world: &mut World, id: usize) {
    match world.keepers[id].launch.adopt.clone() {
        Some(process) => adopt(world, id, process),
        None => spawn(world, id),
    }
}

/// A process that nobody has, or that the keeper before had, becomes the main process.
fn adopt(world: &mut World, id: usize, process: ProcKey) {
    let spared = world.keepers[id].spared.filter(|earlier| world.keepers[*earlier].main_alive);
    let others = spared.map_or(0, |earlier| world.keepers[earlier].others);
    let refused = spared.is_none() && world.keepers[id].nature.unspawnable;
    if refused || spared.is_none() && !world.strays.remove(&process) {
        let why = if refused { "it belongs to user ana" } else { "it has ended" };
        emit(world, id, What::AdoptFailed { process, why: why.to_owned() });
        return empty(world, id);
    }
    if let Some(earlier) = world.keepers[id].spared.take() {
        (world.keepers[earlier].main_alive, world.keepers[earlier].others) = (false, 0);
    }
    let now = world.now();
    let keeper = &mut world.keepers[id];
    world.ran.insert(keeper.key.clone());
    (keeper.main, keeper.main_alive, keeper.others) = (Some(process.clone()), true, others);
    (keeper.started, keeper.adopted, keeper.phase) = (Some(now), Some(now), Phase::Running);
    let (lives, run) = (keeper.nature.lives, keeper.launch.run);
    let started = Some((now.wall, now.mono));
    emit(world, id, What::Adopted { main: process, containment: Containment::Cgroup2, cgroup: None, started });
    if let Some((lives, exit)) = lives {
        world.after(lives, Happening::Process(id, run, Deed::MainExits(exit)));
    }
}

fn spawn(world: &mut World, id: usize) {
    let nature = world.keepers[id].nature;
    if nature.unspawnable {
        world.faults += 1;
        let failure = SpawnFailure { step: "exec".to_owned(), on: "/nowhere".into(), errno: 2 };
        emit(world, id, What::SpawnFailed(failure));
        empty(world, id);
        return;
    }
    let main = world.process();
    let now = world.now();
    let run = world.keepers[id].launch.run;
    if !world.keepers[id].foreign {
        let key = world.keepers[id].key.clone();
        crate::check::at_spawn(world, &key);
    }
    let keeper = &mut world.keepers[id];
    world.ran.insert(keeper.key.clone());
    (keeper.main, keeper.main_alive, keeper.others) = (Some(main.clone()), true, nature.others);
    (keeper.started, keeper.phase) = (Some(now), Phase::Running);
    emit(world, id, What::Started { main, containment: Containment::Subreaper, cgroup: None });
    if let Some((lives, exit)) = nature.lives {
        world.after(lives, Happening::Process(id, run, Deed::MainExits(exit)));
    }
}

/// A process does something.
pub fn process(world: &mut World, id: usize, run: RunId, deed: Deed) {
    let keeper = &mut world.keepers[id];
    if keeper.launch.run != run {
        return;
    }
    match deed {
        Deed::MainExits(exit) if keeper.main_alive => {
            keeper.main_alive = false;
            if !keeper.alive {
                return crate::ghosts::look_whether_gone(world, run);
            }
            keeper.exit = Some(exit);
            emit(world, id, What::Exited { exit });
            look_at_tree(world, id);
        }
        Deed::OthersExit if keeper.others > 0 => {
            keeper.others = 0;
            if keeper.alive {
                look_at_tree(world, id);
            } else {
                crate::ghosts::look_whether_gone(world, run);
            }
        }
        Deed::MainExits(_) | Deed::OthersExit => {}
    }
}

fn look_at_tree(world: &mut World, id: usize) {
    let keeper = &world.keepers[id];
    match (population(keeper), keeper.phase) {
        (0, Phase::Quarantined | Phase::Empty) => {}
        (0, _) => empty(world, id),
        (_, Phase::Stopping) if !keeper.main_alive => deed(world, id),
        (count, Phase::Running) if !keeper.main_alive => {
            let left = left(world, id);
            emit(world, id, What::Orphans { left, count });
            match world.keepers[id].launch.orphans {
                Orphans::Keep => world.keepers[id].phase = Phase::Orphaned,
                Orphans::End => stop(world, id, None, StopCause::Orphans),
            }
        }
        _ => {}
    }
}

/// Those that are left, as they are named.
pub fn left(world: &World, id: usize) -> Vec<Left> {
    let keeper = &world.keepers[id];
    let process = keeper.main.clone().unwrap_or_else(|| keeper.identity.clone());
    vec![Left { process, name: "left".into(), state: 'S', kill_pending: keeper.nature.unkillable.is_some() }]
}

fn stop(world: &mut World, id: usize, ladder: Option<vigie_core::ladder::Ladder>, cause: StopCause) {
    match world.keepers[id].phase {
        Phase::Locked => {
            if world.locks.get(&world.keepers[id].key) == Some(&id) {
                world.keepers[id].stopped = Some(cause);
                emit(world, id, What::Stopping { cause });
                empty(world, id);
            }
        }
        Phase::Stuck if cause == StopCause::Tie => {}
        Phase::Running | Phase::Orphaned | Phase::Stopping | Phase::Stuck
            if world.keepers[id].phase != Phase::Stopping || ladder.is_some() =>
        {
            let now = Mono(world.mono);
            let keeper = &mut world.keepers[id];
            let ladder = ladder.unwrap_or_else(|| keeper.launch.ladder.clone());
            keeper.climb = Some(Climb::start(ladder, now));
            (keeper.phase, keeper.stopped) = (Phase::Stopping, Some(cause));
            let key = keeper.key.clone();
            let view = world.daemon.as_ref().and_then(|daemon| daemon.supervisor.view(&key));
            let asked_again = view.is_some_and(|view| view.wanted == vigie_core::service::Wanted::Up);
            if cause == StopCause::Tie && !asked_again {
                world.let_go.insert(key);
            }
            emit(world, id, What::Stopping { cause });
            stand(world, id);
        }
        Phase::Running | Phase::Orphaned | Phase::Stopping | Phase::Stuck | Phase::Quarantined | Phase::Empty => {}
    }
}

/// Does the deed of the rung and waits for its end.
fn stand(world: &mut World, id: usize) {
    let keeper = &mut world.keepers[id];
    keeper.climbs += 1;
    let climbs = keeper.climbs;
    let Some(climb) = &keeper.climb else { return };
    let (index, rung, deadline) = (climb.index() as u32, climb.rung(), climb.deadline());
    emit(world, id, What::Rung { index, rung });
    world.at(deadline.0, Happening::RungOver(id, climbs));
    deed(world, id);
}

fn deed(world: &mut World, id: usize) {
    let keeper = &world.keepers[id];
    let Some(climb) = &keeper.climb else { return };
    let run = keeper.launch.run;
    let nature = keeper.nature;
    match climb.deed(keeper.main_alive) {
        Rung::Signal(Signal::Kill, _) => {
            let delay = nature.unkillable.unwrap_or(MS / 10);
            let exit = Exit::Signal { signal: 9, core_dumped: false };
            world.after(delay, Happening::Process(id, run, Deed::MainExits(exit)));
            world.after(delay, Happening::Process(id, run, Deed::OthersExit));
        }
        Rung::Signal(signal, _) => {
            if let Some(delay) = nature.obeys {
                let exit = Exit::Signal { signal: signal.number(), core_dumped: false };
                world.after(delay, Happening::Process(id, run, Deed::MainExits(exit)));
            }
        }
        Rung::CloseStdin => {}
    }
}

/// The wait of a rung is over.
pub fn rung_over(world: &mut World, id: usize, climb: u64) {
    if world.keepers[id].alive && world.keepers[id].climbs == climb {
        next_rung(world, id);
    }
}

fn next_rung(world: &mut World, id: usize) {
    if world.keepers[id].phase != Phase::Stopping {
        return;
    }
    let now = Mono(world.mono);
    let Some(climb) = &mut world.keepers[id].climb else { return };
    if climb.up(now).is_some() {
        stand(world, id);
    } else if climb.deadline() <= now {
        world.keepers[id].phase = Phase::Stuck;
        crate::scenario::think_of_quarantine(world, id);
        let left = left(world, id);
        let count = population(&world.keepers[id]);
        emit(world, id, What::Stuck { left, count });
    }
}

fn empty(world: &mut World, id: usize) {
    if let Some(earlier) = world.keepers[id].spared.take() {
        (world.keepers[earlier].main_alive, world.keepers[earlier].others) = (false, 0);
    }
    let keeper = &mut world.keepers[id];
    (keeper.phase, keeper.climb) = (Phase::Empty, None);
    keeper.climbs += 1;
    if let (Some(life), true) = (keeper.client, keeper.nature.still_held && keeper.stopped == Some(StopCause::Asked)) {
        let what = "port 1/tcp is held by PID 9 (stranger)".to_owned();
        let event = Event::StillHeld { key: keeper.key.clone(), run: keeper.launch.run, what };
        deliver(world, id, life, event);
    }
    emit(world, id, What::Empty);
    leave_if_done(world, id);
}

/// A keeper with an empty tree stays only for a daemon that may say `Again`.
pub fn leave_if_done(world: &mut World, id: usize) {
    let keeper = &mut world.keepers[id];
    if keeper.alive && keeper.phase == Phase::Empty && (keeper.released || keeper.client.is_none()) {
        leave(world, id);
    }
}

/// It ends in order, and its lock is free.
pub fn leave(world: &mut World, id: usize) {
    let keeper = &mut world.keepers[id];
    keeper.alive = false;
    let key = keeper.key.clone();
    if world.locks.get(&key) == Some(&id) {
        world.locks.remove(&key);
    }
}

/// The keeper is killed: its lock is free, its tree lives on.
pub fn kill(world: &mut World, id: usize) {
    let keeper = &mut world.keepers[id];
    if !keeper.alive {
        return;
    }
    keeper.alive = false;
    let (key, run, client) = (keeper.key.clone(), keeper.launch.run, keeper.client.take());
    if world.locks.get(&key) == Some(&id) {
        world.locks.remove(&key);
    }
    world.faults += 1;
    if world.keepers[id].foreign {
        // The command that is tied to it ends what it left.
        (world.keepers[id].main_alive, world.keepers[id].others) = (false, 0);
    }
    if let Some(life) = client {
        deliver(world, id, life, Event::KeeperLost { key, run });
    }
}

/// What it says of itself.
pub fn holder(keeper: &Keeper) -> Holder {
    Holder {
        run: keeper.launch.run,
        key: keeper.key.clone(),
        project: keeper.launch.project.clone(),
        mode: None,
        keeper: keeper.identity.clone(),
        main: keeper.main.clone(),
        since: vigie_core::clock::Wall(0),
        origin: keeper.launch.origin.clone(),
        adopted: keeper.adopted.is_some(),
        managed: keeper.launch.managed,
        attempt: keeper.launch.attempt,
    }
}

/// Written down first, then told.
pub fn emit(world: &mut World, id: usize, what: What) {
    let now = world.now();
    let keeper = &mut world.keepers[id];
    keeper.seq += 1;
    let event = run::Event { run: keeper.launch.run, seq: keeper.seq, at: now.wall, mono: now.mono, what };
    let (key, client) = (keeper.key.clone(), keeper.client);
    world.note(|_| format!("  keeper {id}: {:?}", event.what));
    world.folders.entry(key.clone()).or_default().events.push(event.clone());
    if let Some(life) = client {
        deliver(world, id, life, Event::Keeper { key, event });
    }
}

/// Connections delay, and keep order.
fn deliver(world: &mut World, id: usize, life: u64, event: Event) {
    let delay = world.below(MS);
    let at = (world.mono + delay).max(world.keepers[id].last_delivery);
    world.keepers[id].last_delivery = at;
    world.at(at, Happening::ToDaemon(life, event));
}
