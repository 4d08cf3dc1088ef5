//! The invariants of `ARCHITECTURE.md`, looked at after every happening.

use std::collections::BTreeMap;

use vigie_core::journal::What;
use vigie_core::launch::ServiceKey;
use vigie_core::run::Phase;
use vigie_core::service::{State, Wanted};
use vigie_core::supervisor::{OpId, Request, Step};

use crate::keeper::{Keeper, population};
use crate::world::World;

/// Something of its run lives, and was not set aside.
fn lives(world: &World, keeper: &Keeper) -> bool {
    population(keeper) > 0 && !world.ghosts.contains_key(&keeper.launch.run)
}

/// Those of the daemon's own runs.
fn own_trees<'a>(world: &'a World, key: &'a ServiceKey) -> impl Iterator<Item = &'a Keeper> {
    world.keepers.iter().filter(move |keeper| keeper.key == *key && !keeper.foreign && lives(world, keeper))
}

/// Somebody asks for something. What was stopped because of a tie may be launched again from here on.
pub fn asked(world: &mut World, op: OpId, request: &Request) {
    if world.replies.contains(&op.0) {
        world.violate(|| format!("request {} was made twice", op.0));
    }
    if matches!(request, Request::Up(_) | Request::Adopt(_) | Request::Restart { .. }) {
        world.let_go.clear();
        world.to_adopt.clear();
    }
}

/// Invariants 1, 3: what the world says, and what the supervisor says of it.
pub fn every_step(world: &mut World) {
    let mut live: BTreeMap<&ServiceKey, u32> = BTreeMap::new();
    for keeper in world.keepers.iter().filter(|keeper| lives(world, keeper)) {
        *live.entry(&keeper.key).or_default() += 1;
    }
    let twice = live.into_iter().find(|(_, count)| *count > 1).map(|(key, _)| key.service.clone());
    if let Some(service) = twice {
        return world.violate(|| format!("invariant 1: {service} runs twice"));
    }
    let Some(daemon) = &world.daemon else { return };
    let wrong = daemon.supervisor.views().find_map(|view| {
        if !view.state.may_live() && own_trees(world, &view.key).next().is_some() {
            return Some(format!("invariant 3: {} is said to be {} and lives", view.key.service, view.state));
        }
        if view.state == State::Ready && view.wanted == Wanted::Up {
            let run = view.run.as_ref()?.id;
            let keeper = world.keepers.iter().find(|keeper| keeper.launch.run == run)?;
            let has_probe =
                daemon.supervisor.stored(&view.key).is_some_and(|stored| stored.definition.service.ready.is_some());
            if has_probe && keeper.nature.ready_after.is_none() {
                return Some(format!("{} is said to be ready and never was", view.key.service));
            }
        }
        None
    });
    if let Some(wrong) = wrong {
        world.violate(|| wrong);
    }
}

/// Before a run is set aside: only what no signal ends, and no successor lives yet (R5.4).
pub fn at_quarantine(world: &mut World, id: usize) {
    let keeper = &world.keepers[id];
    if population(keeper) == 0 || keeper.nature.unkillable.is_none() {
        let service = keeper.key.service.clone();
        world.violate(|| format!("{service} is set aside, and signals would have ended it"));
    }
}

/// Before a spawn: what was to be adopted instead is had, or gone, or somebody has asked for another since.
pub fn at_spawn(world: &mut World, key: &ServiceKey) {
    if world.to_adopt.get(key).is_some_and(|process| world.strays.contains(process)) {
        world.violate(|| format!("invariant 1: {} is spawned beside what it was to adopt", key.service));
    }
}

/// Before a launch: the last run is over, and what it depends on is there (invariants 1, 9).
pub fn at_launch(world: &mut World, key: &ServiceKey) {
    if world.let_go.contains(key) {
        return world.violate(|| format!("{} is launched after what it was tied to ended", key.service));
    }
    // What is adopted runs already: it waits for nobody, and may be what a dead keeper had.
    let adopts =
        |daemon: &crate::daemon::Daemon| daemon.supervisor.stored(key).is_some_and(|stored| stored.adopt.is_some());
    if world.daemon.as_ref().is_some_and(adopts) {
        return;
    }
    if own_trees(world, key).next().is_some() {
        return world.violate(|| format!("{} is launched while its last run lives", key.service));
    }
    let Some(daemon) = &world.daemon else { return };
    let Some(stored) = daemon.supervisor.stored(key) else { return };
    for (name, condition) in &stored.definition.service.after {
        let dependency = daemon.supervisor.views().find(|view| view.key.service == *name);
        let ever_ran = world.ran.iter().any(|key| key.service == *name);
        if dependency.is_none() || !ever_ran {
            let violation = format!("invariant 9: {} is launched, and {name} was never {condition:?}", key.service);
            return world.violate(|| violation);
        }
    }
}

/// What a step says.
pub fn after_step(world: &mut World, step: &Step) {
    use vigie_core::supervisor::Action;
    let mut wrong = None;
    for entry in &step.entries {
        match &entry.what {
            What::InternalFault { fault } => wrong = Some(format!("fault: {fault}")),
            What::Reset { cause } if cause.starts_with("stable") => {
                let keeper = world.keepers.iter().find(|keeper| Some(keeper.launch.run) == entry.run);
                let stable = world.daemon.as_ref().and_then(|daemon| {
                    let stored = daemon.supervisor.stored(&keeper?.key)?;
                    Some(stored.definition.service.restart.stable.0.as_nanos() as u64)
                });
                let up = keeper.and_then(|keeper| keeper.started).map(|started| world.mono - started.mono.0);
                if stable.zip(up).is_some_and(|(stable, up)| up < stable) {
                    wrong = Some("invariant 8: restarts were forgotten before a stable period".to_owned());
                }
            }
            What::RestartScheduled { attempt, of: Some(of), .. } if attempt > of => {
                wrong = Some(format!("restart {attempt} of {of}"));
            }
            _ => {}
        }
    }
    if let Some(daemon) = &world.daemon {
        for action in &step.actions {
            let Action::Stop { key, cause: vigie_core::run::StopCause::Asked, .. } = action else { continue };
            // Its end has begun in an earlier step, perhaps of an earlier daemon; somebody only wants it sooner.
            let began = daemon.supervisor.view(key).map(|view| view.since);
            // A run from elsewhere is none that it could be told to.
            let runs = |keeper: &Keeper| {
                let ends = matches!(keeper.phase, Phase::Stopping | Phase::Stuck);
                keeper.key == *key && keeper.alive && !keeper.foreign && !ends
            };
            if began.is_some_and(|began| began != world.now().wall) || !world.keepers.iter().any(runs) {
                continue;
            }
            let needs = |other: &vigie_core::supervisor::View| {
                let stored = daemon.supervisor.stored(&other.key);
                stored.is_some_and(|stored| stored.definition.service.after.contains_key(&key.service))
            };
            let early = daemon.supervisor.views().find(|other| {
                other.wanted == Wanted::Down && other.state.may_live() && other.state != State::Ghost && needs(other)
            });
            if let Some(early) = early {
                wrong =
                    Some(format!("invariant 9: {} stops before {}, which needs it", key.service, early.key.service));
            }
        }
        let backs_off = daemon.supervisor.views().any(|view| view.state == State::Backoff);
        if backs_off && step.deadline.is_none() {
            wrong = Some("invariant 6: a delay without a deadline".to_owned());
        }
    }
    if let Some(wrong) = wrong {
        world.violate(|| wrong);
    }
}

/// Everything was asked down, and a long time has passed.
///
/// # Errors
/// What is left.
pub fn at_rest(world: &World, last: OpId) -> Result<(), String> {
    if let Some(keeper) = world.keepers.iter().find(|keeper| population(keeper) > 0) {
        return Err(format!("{} lives after the last down", keeper.key.service));
    }
    if let Some(key) = world.locks.keys().next() {
        return Err(format!("the lock of {} is held after the last down", key.service));
    }
    if !world.replies.contains(&last.0) {
        return Err("the last down was never answered".to_owned());
    }
    let Some(daemon) = &world.daemon else { return Err("the daemon is gone".to_owned()) };
    if let Some(view) = daemon.supervisor.views().find(|view| view.state != State::Stopped) {
        return Err(format!("{} is {} after the last down", view.key.service, view.state));
    }
    if world.ghosts.len() + world.disk.ghosts.len() + daemon.supervisor.ghosts().count() > 0 {
        return Err("a ghost is on record after it was gone".to_owned());
    }
    for run in &world.set_aside {
        let gone = |what: &What| matches!(what, What::GhostGone { .. });
        let told = world.disk.journal.iter().filter(|entry| entry.run == Some(*run) && gone(&entry.what)).count();
        if told != 1 {
            return Err(format!("the end of the ghost {run} is {told} times in the journal"));
        }
    }
    world.disk.incidents.at_rest(world.now())?;
    // Invariant 5: every event of a keeper is in the journal; that none is there twice, the disk sees to.
    for (key, folder) in &world.folders {
        if daemon.supervisor.view(key).is_none() {
            continue;
        }
        if let Some(event) = folder.events.iter().find(|event| !world.disk.numbered.contains(&(event.run, event.seq))) {
            let foreign = world.keepers.iter().any(|keeper| keeper.foreign && keeper.launch.run == event.run);
            if !foreign {
                return Err(format!("invariant 5: an event of {} is not in the journal: {event:?}", key.service));
            }
        }
    }
    Ok(())
}
