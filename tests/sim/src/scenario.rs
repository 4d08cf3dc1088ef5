//! What a seed draws: projects, natures of processes, requests, faults.

use std::collections::BTreeMap;

use vigie_core::exit::Exit;
use vigie_core::ladder::Ladder;
use vigie_core::launch::{Limits, Origin, Orphans, Scope, ServiceKey, Tie};
use vigie_core::manifest::{Alive, Condition, Kind, Log, Probe, Project, Ready, Restart, Service, When};
use vigie_core::name::Name;
use vigie_core::run::StopCause;
use vigie_core::supervisor::{Event, OpId, Request, SessionId, Up};
use vigie_core::units::Span;

use crate::keeper::{self, Nature};
use crate::world::{Happening, MS, Order, World};
use crate::{check, daemon};

/// What the world does by itself.
#[derive(Debug, Clone)]
pub enum Act {
    /// Somebody asks for something, and starts the daemon for it when it is not there.
    Ask(OpId, Box<Request>),
    /// A foreground command is gone.
    SessionDies(SessionId),
    /// The daemon is killed.
    DaemonDies,
    /// The daemon is started.
    DaemonStarts,
    /// A keeper is killed, if there is one.
    KeeperDies(u64),
    /// The wall clock jumps.
    WallJumps(i64),
    /// A `vigie run` of the same service, from elsewhere.
    Foreign(ServiceKey),
    /// Its process is ended.
    ForeignEnds(usize),
}

/// Plays a whole schedule.
///
/// # Errors
/// The first invariant that is broken.
pub fn play(world: &mut World) -> Result<(), String> {
    let project = project(world);
    let keys: Vec<ServiceKey> = project.services.values().map(|service| project.key(service)).collect();
    let acts = 3 + world.below(12);
    let mut at = 0;
    for op in 0..acts {
        at += match world.below(4) {
            0 => world.below(5 * MS),
            1 => world.below(200 * MS),
            2 => world.below(5_000 * MS),
            _ => world.below(120_000 * MS),
        };
        let act = draw(world, op, &project, &keys);
        world.after(at, Happening::Act(act));
    }
    let horizon = world.mono + at + 60_000 * MS;
    run_until(world, horizon)?;
    come_to_rest(world, &keys, acts)
}

fn run_until(world: &mut World, until: u64) -> Result<(), String> {
    let mut turns = 0;
    while world.turn(until)? {
        turns += 1;
        if turns > 50_000 {
            return Err("the world does not come to rest: 50,000 happenings".to_owned());
        }
    }
    Ok(())
}

/// Faults cease, everything is asked down: nothing may be left.
fn come_to_rest(world: &mut World, keys: &[ServiceKey], acts: u64) -> Result<(), String> {
    world.calm = true;
    if world.daemon.is_none() {
        act(world, Act::DaemonStarts);
    }
    run_until(world, world.mono + 3_600_000 * MS)?;
    for id in 0..world.keepers.len() {
        if world.keepers[id].foreign && world.keepers[id].alive {
            act(world, Act::ForeignEnds(id));
        }
    }
    let keys = keys.to_vec();
    let down = Request::Down { keys, origin: Origin::default(), timeout: None, ladder: None };
    act(world, Act::Ask(OpId(acts), Box::new(down)));
    run_until(world, world.mono + 3_600_000 * MS)?;
    check::at_rest(world, OpId(acts))
}

fn draw(world: &mut World, op: u64, project: &Project, keys: &[ServiceKey]) -> Act {
    let some_keys = |world: &mut World| -> Vec<ServiceKey> {
        let all = world.chance(3);
        keys.iter().filter(|_| all || world.chance(2)).cloned().collect()
    };
    let origin = Origin::default();
    match if op == 0 { 0 } else { world.below(27) } {
        0..=6 => {
            let session = world.chance(3).then_some(SessionId(op));
            let all = world.chance(2);
            let names: Vec<Name> = project.services.keys().cloned().collect();
            let targets = names.into_iter().filter(|_| !all && world.chance(2)).map(|name| (name, None)).collect();
            let timeout = world.chance(4).then(|| Span::millis(1 + world.below(5_000)));
            let duration = world.chance(10).then(|| Span::millis(1 + world.below(5_000)));
            let (project, wait) = (project.clone(), world.chance(2));
            let up = Up {
                project,
                targets,
                profiles: vec![],
                env: vec![],
                origin,
                session,
                duration,
                wait,
                timeout,
                adopt: vec![],
                keep: false,
            };
            Act::Ask(OpId(op), Box::new(Request::Up(Box::new(up))))
        }
        7..=9 => {
            let timeout = world.chance(4).then(|| Span::millis(1 + world.below(5_000)));
            let ladder = world.chance(4).then(Ladder::kill);
            Act::Ask(OpId(op), Box::new(Request::Down { keys: some_keys(world), origin, timeout, ladder }))
        }
        10 | 11 => {
            let project = world.chance(2).then(|| Box::new(project.clone()));
            Act::Ask(OpId(op), Box::new(Request::Restart { keys: some_keys(world), origin, timeout: None, project }))
        }
        12 => Act::Ask(OpId(op), Box::new(Request::Skip { keys: some_keys(world) })),
        13 => Act::Ask(OpId(op), Box::new(Request::Reset { keys: some_keys(world) })),
        14 => Act::Ask(OpId(op), Box::new(Request::ShutDown)),
        26 => Act::Ask(OpId(op), Box::new(Request::Quarantine { keys: some_keys(world), timeout: None })),
        24 | 25 => {
            let adopt = some_strays(world, project);
            let (wait, targets) = (world.chance(2), vec![]);
            let (project, profiles, env, session) = (project.clone(), vec![], vec![], None);
            let (duration, timeout, keep) = (None, None, false);
            let up = Up { project, targets, profiles, env, origin, session, duration, wait, timeout, adopt, keep };
            Act::Ask(OpId(op), Box::new(Request::Adopt(Box::new(up))))
        }
        15 | 16 => Act::SessionDies(SessionId(world.below(op + 1))),
        17 | 18 => Act::DaemonDies,
        19 => Act::DaemonStarts,
        20 | 21 => Act::KeeperDies(world.draws.bits()),
        22 => Act::WallJumps((world.below(7_200_000) as i64 - 3_600_000) * MS as i64),
        _ => {
            let chosen = world.below(keys.len() as u64) as usize;
            Act::Foreign(keys[chosen].clone())
        }
    }
}

/// Somebody meets what no signal ends, and may ask that it be set aside; perhaps while the keeper dies of it.
pub fn think_of_quarantine(world: &mut World, id: usize) {
    if world.keepers[id].foreign || world.chance(4) {
        return;
    }
    world.thought_of += 1;
    let (op, keys) = (OpId(world.thought_of), vec![world.keepers[id].key.clone()]);
    let delay = world.below(20_000 * MS);
    if !world.calm && world.chance(4) {
        let delay = world.below(delay.max(1));
        world.after(delay, Happening::Act(Act::KeeperDies(id as u64)));
    }
    let timeout = world.chance(2).then(|| Span::secs(10));
    world.after(delay, Happening::Act(Act::Ask(op, Box::new(Request::Quarantine { keys, timeout }))));
}

/// Does what the world does by itself.
pub fn act(world: &mut World, act: Act) {
    match act {
        Act::Ask(op, request) => {
            if world.daemon.is_none() {
                // What it finds at its beginning happens before it is asked for anything.
                daemon::begin(world);
                return world.after(MS, Happening::Act(Act::Ask(op, request)));
            }
            if let Request::Up(up) = &*request {
                world.sessions.extend(up.session);
            }
            let life = world.lives;
            check::asked(world, op, &request);
            daemon::receive(world, life, Event::Request { op, request: *request });
        }
        Act::SessionDies(session) => {
            if !world.sessions.remove(&session) {
                return;
            }
            // Its connections close: the one to the daemon, and those to the keepers of what it is tied to.
            let life = world.lives;
            daemon::receive(world, life, Event::SessionEnded(session));
            let tied: Vec<usize> = (0..world.keepers.len()).filter(|id| is_tied(world, *id, session)).collect();
            for id in tied {
                world.after(0, Happening::ToKeeper(id, Order::Stop(None, StopCause::Tie)));
            }
        }
        Act::DaemonDies => daemon::kill(world),
        Act::DaemonStarts => {
            if world.daemon.is_none() {
                daemon::begin(world);
            }
        }
        Act::KeeperDies(which) => {
            let alive: Vec<usize> = (0..world.keepers.len()).filter(|id| world.keepers[*id].alive).collect();
            if !alive.is_empty() {
                keeper::kill(world, alive[(which % alive.len() as u64) as usize]);
            }
        }
        Act::WallJumps(by) => {
            world.faults += 1;
            world.wall_offset = world.wall_offset.saturating_add_signed(by);
        }
        Act::Foreign(key) => {
            let launch = foreign_launch(world, key);
            let nature = Nature { lives: None, unkillable: None, unspawnable: false, ..nature(world) };
            let id = keeper::begin(world, launch.clone(), None, nature);
            world.after(0, Happening::ToKeeper(id, Order::Launch(Box::new(launch))));
            world.after(MS, Happening::ToKeeper(id, Order::Go));
            let lives = world.below(60_000 * MS);
            world.after(lives, Happening::Act(Act::ForeignEnds(id)));
        }
        Act::ForeignEnds(id) => {
            let stop = Order::Stop(Some(Ladder::kill()), StopCause::Asked);
            world.after(0, Happening::ToKeeper(id, stop));
        }
    }
}

/// The foreground command holds a connection to this keeper that ends it.
fn is_tied(world: &World, id: usize, session: SessionId) -> bool {
    let keeper = &world.keepers[id];
    let stored = world.disk.documents.get(&keeper.key);
    keeper.alive
        && !keeper.foreign
        && stored.is_some_and(|stored| {
            stored.definition.session == Some(session)
                && matches!(stored.definition.service.tie, None | Some(Tie::Terminal))
        })
}

/// Processes that nobody has, for some services. Some end before they are adopted.
fn some_strays(world: &mut World, project: &Project) -> Vec<(Name, vigie_core::identity::ProcKey)> {
    let names: Vec<Name> = project.services.keys().cloned().collect();
    let mut strays = Vec::new();
    for name in names {
        if world.chance(2) {
            let process = world.process();
            if !world.chance(4) {
                world.strays.insert(process.clone());
            }
            strays.push((name, process));
        }
    }
    strays
}

fn foreign_launch(world: &mut World, key: ServiceKey) -> vigie_core::launch::Launch {
    use vigie_core::launch::{Group, Input, Launch, Output};
    let wall = world.now().wall;
    let run = world.draws.run_id(wall);
    Launch {
        project: Name::lossy("elsewhere"),
        mode: None,
        run,
        lock: "lock".into(),
        folder: "folder".into(),
        argv: vec!["foreign".into()],
        env: vec![],
        cwd: "/".into(),
        input: Input::Inherit,
        output: Output::Inherit,
        group: Group::Own,
        ladder: Ladder::default(),
        orphans: Orphans::End,
        limits: Limits::default(),
        origin: Origin::default(),
        managed: false,
        attempt: 0,
        adopt: None,
        key,
    }
}

/// What the processes of a new run are like.
pub fn nature(world: &mut World) -> Nature {
    let calm = world.calm;
    let exit = match world.below(4) {
        0 | 1 => Exit::Code(0),
        2 => Exit::Code(1 + world.below(3) as i32),
        _ => Exit::Signal { signal: 11, core_dumped: true },
    };
    let lives = match world.below(5) {
        0 => Some(world.below(3 * MS)),
        1 => Some(world.below(20_000 * MS)),
        2 => Some(world.below(200_000 * MS)),
        _ => None,
    };
    Nature {
        unspawnable: world.chance(20),
        lives: lives.map(|lives| (lives, exit)),
        ready_after: (!world.chance(6)).then(|| world.below(2_000 * MS)),
        obeys: (!world.chance(4)).then(|| world.below(200 * MS)),
        others: if world.chance(5) { 1 + world.below(3) as u32 } else { 0 },
        unkillable: (!calm && world.chance(20)).then(|| world.below(120_000 * MS)),
        ill: world.chance(8),
        occupied: world.chance(30),
        still_held: world.chance(30),
    }
}

fn project(world: &mut World) -> Project {
    let count = 1 + world.below(5);
    let mut services: BTreeMap<Name, Service> = BTreeMap::new();
    for index in 0..count {
        let earlier: Vec<(Name, Kind, bool)> =
            services.values().map(|service| (service.name.clone(), service.kind, service.ready.is_some())).collect();
        let mut service = service(world, index);
        for (name, kind, _) in earlier {
            if world.chance(2) {
                let condition = match kind {
                    Kind::Task => Condition::Done,
                    Kind::Service => [Condition::Started, Condition::Ready][world.below(2) as usize],
                };
                service.after.insert(name, condition);
            }
        }
        services.insert(service.name.clone(), service);
    }
    Project { name: Name::lossy("sim"), dir: "/sim".into(), manifest: "/sim/vigie.toml".into(), services }
}

fn service(world: &mut World, index: u64) -> Service {
    let kind = if world.chance(4) { Kind::Task } else { Kind::Service };
    let probe = Probe::Tcp { address: "127.0.0.1:1".to_owned() };
    let ready = world.chance(2).then(|| Ready {
        probe: probe.clone(),
        every: Span::millis(200),
        timeout: Span::secs(2),
        within: Span::millis(500 + world.below(3_000)),
    });
    let alive = (kind == Kind::Service && world.chance(4)).then(|| Alive {
        probe,
        every: Span::secs(1),
        timeout: Span::secs(2),
        failures: 1 + world.below(3) as u32,
    });
    let restart = Restart {
        when: [When::Never, When::Failure, When::Failure, When::Always][world.below(4) as usize],
        delay: if world.chance(4) { Span::default() } else { Span::millis(world.below(1_000)) },
        factor: 1.0 + world.below(3) as f64 / 2.0,
        max_delay: Span::millis(500 + world.below(5_000)),
        jitter: world.below(11) as f64 / 10.0,
        attempts: world.below(8) as u32,
        stable: Span::millis(500 + world.below(60_000)),
        clean: vec![0],
        fatal: if world.chance(4) { vec![3] } else { vec![] },
    };
    Service {
        name: Name::lossy(&format!("s{index}")),
        kind,
        command: vec!["sim".to_owned()],
        cwd: "/sim".into(),
        env: BTreeMap::new(),
        ports: vec![],
        after: BTreeMap::new(),
        ready,
        alive,
        stop: Ladder::default(),
        restart,
        limits: Limits::default(),
        log: Log::default(),
        tie: [None, Some(Tie::Terminal), Some(Tie::Daemon), Some(Tie::None)][world.below(4) as usize],
        scope: [Scope::Project, Scope::Project, Scope::User][world.below(3) as usize],
        profiles: vec![],
        orphans: if world.chance(6) { Orphans::Keep } else { Orphans::End },
        legacy_pidfile: None,
        recognised_by: None,
        modes: vec![],
    }
}
