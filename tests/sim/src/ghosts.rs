//! What no signal ends and is set aside: the steps of keeper and daemon, with a death between any two of them.

use vigie_core::exit::Exit;
use vigie_core::ghost::{self, Ghost};
use vigie_core::identity::RunId;
use vigie_core::launch::ServiceKey;
use vigie_core::run::{self, Phase, What};
use vigie_core::supervisor::Event;

use crate::keeper::{self, population};
use crate::world::{Deed, Happening, MS, World};
use crate::{check, daemon};

/// A keeper is told to.
pub fn by_keeper(world: &mut World, id: usize) {
    let keeper = &world.keepers[id];
    if keeper.phase.is_over() {
        return;
    }
    let why = match (keeper.phase, keeper.nature.unkillable) {
        (Phase::Stuck, Some(_)) => None,
        (Phase::Stuck, None) => Some("KILL is not pending"),
        _ => Some("its ladder is not at its end"),
    };
    if let Some(why) = why {
        return keeper::emit(world, id, What::QuarantineRefused { why: why.to_owned() });
    }
    put_on_record(world, id);
    // Killed between the record of the ghost and everything else.
    if !world.calm && world.chance(6) {
        return keeper::kill(world, id);
    }
    let left = keeper::left(world, id);
    let count = population(&world.keepers[id]);
    world.keepers[id].phase = Phase::Quarantined;
    keeper::emit(world, id, What::Quarantined { left, count });
    keeper::leave(world, id);
}

/// A daemon does it for a keeper that is dead.
pub fn by_daemon(world: &mut World, life: u64, key: ServiceKey, run: RunId) {
    if world.daemon.as_ref().is_none_or(|daemon| daemon.life != life) {
        return;
    }
    let refuse = |world: &mut World, why: &str| {
        let (key, why) = (key.clone(), why.to_owned());
        daemon::receive(world, life, Event::QuarantineRefused { key, run, why });
    };
    if world.locks.contains_key(&key) {
        return refuse(world, "another holds its lock by now");
    }
    let id = world.keepers.iter().position(|keeper| keeper.key == key && keeper.launch.run == run);
    let Some(id) = id.filter(|id| world.folders.get(&key).is_some_and(|folder| folder.keeper == Some(*id))) else {
        return refuse(world, "its record is gone");
    };
    if !world.ghosts.contains_key(&run) {
        let keeper = &world.keepers[id];
        if population(keeper) == 0 || keeper.nature.unkillable.is_none() {
            return refuse(world, "nobody is left on whom KILL is pending");
        }
        put_on_record(world, id);
        // What was seen of it before is what ends it at last.
        let delay = world.below(60_000 * MS);
        world.after(delay, Happening::Process(id, run, Deed::MainExits(Exit::Unknown)));
        world.after(delay, Happening::Process(id, run, Deed::OthersExit));
        if !world.calm && world.chance(6) {
            return daemon::kill(world);
        }
    }
    let left = keeper::left(world, id);
    let count = population(&world.keepers[id]);
    let now = world.now();
    let keeper = &mut world.keepers[id];
    (keeper.phase, keeper.seq) = (Phase::Quarantined, keeper.seq + 1);
    let what = What::Quarantined { left, count };
    let event = run::Event { run, seq: keeper.seq, at: now.wall, mono: now.mono, what };
    world.folders.entry(key.clone()).or_default().events.push(event.clone());
    daemon::receive(world, life, Event::Keeper { key, event });
}

fn put_on_record(world: &mut World, id: usize) {
    let now = world.now();
    let keeper = &world.keepers[id];
    let run = keeper.launch.run;
    let ghost = Ghost {
        version: ghost::VERSION,
        holder: keeper::holder(keeper),
        containment: None,
        cgroup: None,
        exit: keeper.exit,
        left: keeper::left(world, id),
        stuck: None,
        quarantined: (now.wall, now.mono),
    };
    world.note(|_| format!("  run {run} is a ghost on record"));
    check::at_quarantine(world, id);
    world.ghosts.insert(run, ghost);
    world.set_aside.insert(run);
}

/// A daemon looks at the records: what it does not know is told to it, and what is gone by now.
pub fn look(world: &mut World, life: u64) {
    for ghost in world.ghosts.values().cloned().collect::<Vec<_>>() {
        let known = |daemon: &daemon::Daemon| daemon.supervisor.ghost(ghost.run()).is_some();
        if world.daemon.as_ref().is_some_and(|daemon| daemon.life == life && !known(daemon)) {
            take_up(world, life, ghost);
        }
    }
}

/// A daemon learns of a ghost.
pub fn take_up(world: &mut World, life: u64, ghost: Ghost) {
    let run = ghost.run();
    daemon::receive(world, life, Event::GhostFound(Box::new(ghost)));
    look_whether_gone(world, run);
}

/// Whoever watches is told when nobody is left.
pub fn look_whether_gone(world: &mut World, run: RunId) {
    let lives = |keeper: &keeper::Keeper| keeper.launch.run == run && population(keeper) > 0;
    let Some(life) = world.daemon.as_ref().map(|daemon| daemon.life) else { return };
    let known = world.daemon.as_ref().is_some_and(|daemon| daemon.supervisor.ghost(run).is_some());
    if known && !world.keepers.iter().any(lives) {
        let delay = world.below(MS);
        world.after(delay, Happening::ToDaemon(life, Event::GhostGone { run, reboot: false }));
    }
}
