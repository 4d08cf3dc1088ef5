//! A follower against a model of an engine: a ring of 256 events of all types, restarts, lost and half-open connections, a
//! clock that is wrong, disorder, repetitions; and a store that is killed between any two writes.
//!
//! Seeded: a schedule that fails prints its number, and the same number gives the same schedule.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::event::{Happened, Key, Nanos};
use super::follower::{Asked, Follower, Input, OVERLAP, Output, Response};
use super::known::{Container, Listed, State};
use super::lines::Line;
use super::told::{ContainerEvent, Identity, Resume, Saying, Stage, Told};
use crate::clock::{Mono, Now, Wall};
use crate::policy::Draws;
use scene::{once, source, written};

const RING: usize = 256;
const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_700_000_000 * SECOND;

/// What may happen.
#[derive(Clone, Copy)]
struct Weather {
    /// Bursts that overrun the ring, restarts of the engine, an engine that leaves out a slow listener.
    rough: bool,
    /// Connections that break, daemons that are killed.
    crashes: bool,
    poll: bool,
}

/// A model of an engine.
struct Engine {
    ring: VecDeque<Happened>,
    containers: BTreeMap<String, Container>,
    /// Everything of containers that ever happened, kept or not.
    truth: BTreeSet<Key>,
    skew: i64,
    up: bool,
    started: u32,
    next: u64,
    /// The last time that was given out: they are unique, to be told apart.
    last: u64,
}

/// Lines that are on their way to the follower.
struct Stream {
    ticket: u32,
    ready: bool,
    lines: VecDeque<(u64, Happened)>,
    /// It ends after these: in order, or not.
    end: Option<bool>,
    until: Option<Nanos>,
    /// Nothing arrives any more, and nobody tells.
    deaf: bool,
}

struct World {
    seed: u64,
    weather: Weather,
    draws: Draws,
    now: u64,
    engine: Engine,
    follower: Follower,
    stream: Option<Stream>,
    /// Questions by when they are answered.
    asked: Vec<(u64, u32, Asked)>,
    /// Told and not yet stored.
    waiting: VecDeque<Told>,
    store: BTreeMap<String, ContainerEvent>,
    gaps: Vec<(Nanos, Nanos, String)>,
    inferred: u32,
    told: BTreeSet<String>,
    resume: Resume,
    onlines: u32,
    offlines: u32,
}

impl World {
    fn new(seed: u64, weather: Weather) -> Self {
        let mut draws = Draws::new(seed);
        let skew = (draws.bits() % (7200 * SECOND)).cast_signed() - 3600 * SECOND.cast_signed();
        let engine = Engine {
            ring: VecDeque::new(),
            containers: BTreeMap::new(),
            truth: BTreeSet::new(),
            skew,
            up: true,
            started: 1,
            next: 0,
            last: 0,
        };
        Self {
            seed,
            weather,
            follower: Follower::new(&source(weather.poll), Resume::default(), seed),
            draws,
            now: START,
            engine,
            stream: None,
            asked: Vec::new(),
            waiting: VecDeque::new(),
            store: BTreeMap::new(),
            gaps: Vec::new(),
            inferred: 0,
            told: BTreeSet::new(),
            resume: Resume::default(),
            onlines: 0,
            offlines: 0,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.draws.bits() % bound
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    fn clock(&self) -> Now {
        Now { mono: Mono(self.now - START), wall: Wall(self.now) }
    }

    fn engine_time(&self) -> u64 {
        self.now.saturating_add_signed(self.engine.skew)
    }

    /// An event happens: into the ring, and to who listens.
    fn happen(&mut self, kind: &str, action: &str, id: &str) {
        // Its time was taken a moment before its place.
        let early = if self.one_in(4) { self.below(SECOND / 2) } else { 0 };
        let mut at = self.engine_time() - early;
        if at == self.engine.last {
            at += 1;
        }
        self.engine.last = at;
        let key = Key { at: Nanos(at), kind: kind.to_owned(), action: action.to_owned(), id: id.to_owned() };
        let name = self.engine.containers.get(id).map_or("gone".to_owned(), |container| container.name.clone());
        let attributes = [("name", name), ("image", "busybox".to_owned())].into();
        let event = Happened { key: key.clone(), attributes };
        if kind == "container" && !action.starts_with("exec") {
            self.engine.truth.insert(key);
        }
        self.engine.ring.push_back(event.clone());
        if self.engine.ring.len() > RING {
            self.engine.ring.pop_front();
        }
        let delay = self.below(SECOND / 4);
        let twice = self.one_in(50);
        if let Some(stream) = self.stream.as_mut().filter(|stream| stream.end.is_none() && stream.until.is_none()) {
            let at = self.now + delay;
            stream.lines.push_back((at, event.clone()));
            if twice {
                stream.lines.push_back((at, event));
            }
        }
    }

    /// Something is done with a container.
    fn act(&mut self) {
        if !self.engine.up {
            return;
        }
        if self.one_in(4) {
            let kinds =
                [("network", "connect", "n1"), ("container", "exec_start: sh", "c0"), ("wormhole", "open", "w")];
            let (kind, action, id) = kinds[self.below(3) as usize];
            return self.happen(kind, action, id);
        }
        let ids: Vec<String> = self.engine.containers.keys().cloned().collect();
        if ids.len() < 3 || (ids.len() < 12 && self.one_in(4)) {
            let id = format!("c{}", self.engine.next);
            self.engine.next += 1;
            let container = Container {
                name: id.clone(),
                image: "busybox".into(),
                state: State::Created,
                health: None,
                oom: false,
            };
            self.engine.containers.insert(id.clone(), container);
            return self.happen("container", "create", &id);
        }
        let id = ids[self.below(ids.len() as u64) as usize].clone();
        let set = |world: &mut Self, state| {
            if let Some(container) = world.engine.containers.get_mut(&id) {
                container.state = state;
            }
        };
        let state = self.engine.containers[&id].state;
        match state {
            State::Created => {
                set(self, State::Running);
                self.happen("container", "start", &id);
            }
            State::Running if self.one_in(3) => {
                set(self, State::Paused);
                self.happen("container", "pause", &id);
            }
            State::Running => {
                self.happen("container", "kill", &id);
                set(self, State::Exited);
                self.happen("container", "die", &id);
                self.happen("container", "stop", &id);
            }
            State::Paused => {
                set(self, State::Running);
                self.happen("container", "unpause", &id);
            }
            State::Exited if self.one_in(3) => {
                self.engine.containers.remove(&id);
                self.happen("container", "destroy", &id);
            }
            State::Exited => {
                set(self, State::Running);
                self.happen("container", "start", &id);
            }
        }
    }

    /// The world does something of its own.
    fn stir(&mut self) {
        match self.below(400) {
            0 if self.weather.rough => (0..self.below(400)).for_each(|_| {
                self.now += SECOND / 1000;
                self.act();
            }),
            1 if self.weather.rough && self.engine.up => {
                self.engine.up = false;
                // What is told at the end may still arrive, or not.
                let ids: Vec<String> = self.engine.containers.keys().cloned().collect();
                for id in ids {
                    let told = self.one_in(2);
                    let Some(container) = self.engine.containers.get_mut(&id) else { continue };
                    if matches!(container.state, State::Running | State::Paused) {
                        container.state = State::Exited;
                        if told {
                            self.happen("container", "die", &id);
                        }
                    }
                }
                self.engine.ring.clear();
                self.break_stream();
            }
            2..=9 if !self.engine.up => {
                self.engine.up = true;
                self.engine.started += 1;
                self.begin();
            }
            10 | 11 if self.weather.crashes => self.break_stream(),
            12 if self.weather.crashes && self.weather.rough => {
                // Who asks has a deadline for everything else.
                if let Some(stream) = self.stream.as_mut().filter(|stream| stream.ready && stream.until.is_none()) {
                    stream.deaf = true;
                }
            }
            13 | 14 if self.weather.crashes => self.crash(),
            15..=17 => {
                let away = self.below(100 * SECOND);
                let until = self.now + away;
                while self.now < until {
                    self.advance();
                }
            }
            18..=300 => {}
            _ => self.act(),
        }
    }

    /// As dockerd does with its networks. Before its first event, nothing shows a poll that an engine was restarted.
    fn begin(&mut self) {
        if self.weather.poll || self.one_in(2) {
            self.happen("network", "create", "bridge");
        }
    }

    fn break_stream(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.end = Some(false);
        }
    }

    /// Daemon or worker is killed: what was not stored is gone.
    fn crash(&mut self) {
        self.waiting.clear();
        self.told.clear();
        self.stream = None;
        self.asked.clear();
        self.now += self.draws.bits() % (5 * SECOND);
        let seed = self.draws.bits();
        self.follower = Follower::new(&source(self.weather.poll), self.resume.clone(), seed);
    }

    /// A little time goes by: what is due arrives.
    fn advance(&mut self) {
        self.now += self.draws.bits() % (SECOND / 5) + 1;
        while let Some(place) = self.asked.iter().position(|(at, ..)| *at <= self.now) {
            let (_, ticket, asked) = self.asked.remove(place);
            let response = if self.engine.up { self.answer(asked) } else { Response::Failed("refused".to_owned()) };
            self.step(Input::Answered { ticket, response });
        }
        self.deliver();
        while self.follower.deadline().is_some_and(|deadline| deadline <= self.clock().mono) {
            self.step(Input::Tick);
        }
        for _ in 0..self.below(40) {
            if let Some(told) = self.waiting.pop_front() {
                self.store(&told);
            }
        }
    }

    fn answer(&self, asked: Asked) -> Response {
        match asked {
            Asked::Identity => Response::Identity(Identity {
                id: Some("E".to_owned()),
                at: Some(Nanos(self.engine_time())),
                ..Identity::default()
            }),
            Asked::Ping => Response::Pong,
            Asked::List => {
                let listed = |(id, container): (&String, &Container)| Listed {
                    id: id.clone(),
                    container: container.clone(),
                    exit_code: None,
                };
                Response::List(self.engine.containers.iter().map(listed).collect())
            }
        }
    }

    fn deliver(&mut self) {
        let Some(mut stream) = self.stream.take() else { return };
        let ticket = stream.ticket;
        if stream.deaf {
            self.stream = Some(stream);
            return;
        }
        if !stream.ready {
            if self.one_in(2) {
                self.stream = Some(stream);
                return;
            }
            stream.ready = true;
            let response = if self.engine.up { Response::Subscribed } else { Response::Failed("refused".to_owned()) };
            self.step(Input::Answered { ticket, response });
            // It may have hung up, and even subscribed again.
        }
        while let Some((_, event)) = stream.lines.pop_front_if(|(at, _)| *at <= self.now) {
            self.step(Input::Heard { ticket, line: Line::Whole(written(&event)) });
        }
        match stream.end {
            Some(in_order) if stream.lines.is_empty() => {
                let why = (!in_order).then(|| "the connection broke".to_owned());
                self.step(Input::Ended { ticket, why });
            }
            // With a broken connection what was under way is lost.
            Some(false) => self.step(Input::Ended { ticket, why: Some("the connection broke".to_owned()) }),
            _ if self.stream.is_none() => self.stream = Some(stream),
            _ => {}
        }
    }

    fn step(&mut self, input: Input) {
        let trace = std::env::var_os("VIGIE_SEED").is_some();
        if trace {
            match &input {
                Input::Heard { line: Line::Whole(line), .. } => println!("<- {}", String::from_utf8_lossy(line)),
                other => println!("{} <- {other:?}", self.engine_time()),
            }
        }
        let outputs = self.follower.step(self.clock(), input);
        if trace {
            println!("   -> {outputs:?} {:?}", self.follower.status().stage);
        }
        for output in outputs {
            match output {
                Output::Ask { ticket, asked } => {
                    let at = self.now + self.draws.bits() % (SECOND / 3);
                    self.asked.push((at, ticket, asked));
                }
                Output::Subscribe { ticket, since, until } => {
                    // As moby does it: backwards, up to the first that is older.
                    let mut found: Vec<Happened> = Vec::new();
                    for event in self.engine.ring.iter().rev() {
                        if event.key.at < since {
                            break;
                        }
                        if until.is_none_or(|until| event.key.at <= until) {
                            found.push(event.clone());
                        }
                    }
                    let lines = found.into_iter().rev().map(|event| (self.now, event)).collect();
                    let end = until.map(|_| true);
                    self.stream = Some(Stream { ticket, ready: false, lines, end, until, deaf: false });
                }
                Output::HangUp => {
                    self.stream = None;
                    self.asked.clear();
                }
                Output::Tell(told) => self.tell(told),
            }
        }
    }

    fn tell(&mut self, told: Told) {
        match &told.saying {
            Saying::Event(event) if event.at.is_some() => {
                let key = once(&told.saying).expect("a key");
                assert!(self.told.insert(key.clone()), "seed {}: told twice: {key}", self.seed);
            }
            Saying::Online { .. } => self.onlines += 1,
            Saying::Offline { .. } => {
                self.offlines += 1;
                assert!(
                    self.offlines <= self.onlines + 1 + u32::from(self.weather.crashes),
                    "seed {}: told again",
                    self.seed
                );
            }
            _ => {}
        }
        self.waiting.push_back(told);
    }

    /// One transaction.
    fn store(&mut self, told: &Told) {
        self.resume.absorb(told);
        let key = once(&told.saying);
        match &told.saying {
            Saying::Event(event) => match key {
                Some(key) => drop(self.store.entry(key).or_insert_with(|| (**event).clone())),
                None => self.inferred += 1,
            },
            Saying::Gap { from, to, why } => self.gaps.push((*from, *to, why.clone())),
            _ => {}
        }
    }

    /// Everything settles; then everything must be accounted for.
    fn check(&mut self) {
        if !std::mem::replace(&mut self.engine.up, true) {
            self.begin();
        }
        let end = self.now + 2400 * SECOND;
        while self.now < end {
            self.advance();
        }
        while let Some(told) = self.waiting.pop_front() {
            self.store(&told);
        }
        let seed = self.seed;
        let stage = self.follower.status().stage;
        assert!(stage == Stage::Live || self.weather.poll, "seed {seed}: {stage:?}");
        assert_eq!(self.follower.status().online, Some(true), "seed {seed}");
        // State equals the list.
        let plain = |containers: &BTreeMap<String, Container>| -> Vec<(String, State)> {
            containers.iter().map(|(id, container)| (id.clone(), container.state)).collect()
        };
        assert_eq!(plain(&self.resume.containers), plain(&self.engine.containers), "seed {seed}");
        // Every hole is a gap.
        let floor = self.resume.standing.floor.expect("it was asked");
        let stored: BTreeSet<(Nanos, String, String)> =
            self.store.values().filter_map(|event| Some((event.at?, event.action.clone(), event.id.clone()))).collect();
        for key in self.engine.truth.iter().filter(|key| key.at > floor) {
            let has = stored.contains(&(key.at, key.action.clone(), key.id.clone()));
            let gap =
                self.gaps.iter().any(|(from, to, _)| from.before(OVERLAP) <= key.at && key.at <= to.after(OVERLAP));
            assert!(has || gap, "seed {seed}: {key:?} is missing without a gap: {:?}", self.gaps);
        }
        for event in self.store.values() {
            let known = self
                .engine
                .truth
                .iter()
                .any(|key| Some(key.at) == event.at && key.id == event.id && key.action == event.action);
            assert!(known, "seed {seed}: {event:?} never happened");
        }
        if !self.weather.rough {
            assert!(self.gaps.is_empty(), "seed {seed}: nothing was lost: {:?}", self.gaps);
            assert_eq!(self.inferred, 0, "seed {seed}: nothing had to be inferred");
        }
    }
}

mod scene;
mod tests;
