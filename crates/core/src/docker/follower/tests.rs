//! Stage × input, one story a test.

use super::*;
use crate::clock::Wall;
use crate::docker::event::Key;
use crate::docker::known::{Container, State};
use crate::docker::told::Cursor;
use crate::name::Name;

const T: u64 = 1_700_000_000_000_000_000;

struct Desk {
    follower: Follower,
    now: Mono,
    resume: Resume,
    entries: Vec<Saying>,
    asked: Vec<String>,
    ticket: u32,
}

fn source(mode: Mode) -> Source {
    let endpoint = "/run/d.sock".parse().expect("endpoint");
    Source { mode, ..Source::new(Name::new("nas").expect("name"), endpoint) }
}

impl Desk {
    fn new(mode: Mode, resume: Resume) -> Self {
        let follower = Follower::new(&source(mode), resume.clone(), 1);
        Self { follower, now: Mono(0), resume, entries: Vec::new(), asked: Vec::new(), ticket: 0 }
    }

    fn give(&mut self, input: Input) {
        let now = Now { mono: self.now, wall: Wall(T + self.now.0) };
        for output in self.follower.step(now, input) {
            match output {
                Output::Ask { ticket, asked } => {
                    self.ticket = ticket;
                    self.asked.push(format!("{asked:?}"));
                }
                Output::Subscribe { ticket, since, until } => {
                    self.ticket = ticket;
                    let until = until.map(|until| format!(" until {}", until.0 - T)).unwrap_or_default();
                    self.asked.push(format!("since {}{until}", since.0.cast_signed() - T.cast_signed()));
                }
                Output::HangUp => self.asked.push("hang up".to_owned()),
                Output::Tell(told) => {
                    self.resume.absorb(&told);
                    if told.saying != Saying::Nothing {
                        self.entries.push(told.saying);
                    }
                }
            }
        }
    }

    fn answer(&mut self, response: Response) {
        self.give(Input::Answered { ticket: self.ticket, response });
    }

    fn identity(&mut self) {
        let at = Some(Nanos(T + self.now.0));
        self.answer(Response::Identity(Identity { id: Some("E".into()), at, ..Identity::default() }));
    }

    fn list(&mut self, list: &[(&str, State)]) {
        let listed =
            |(id, state): &(&str, State)| Listed { id: (*id).into(), container: web(id, *state), exit_code: None };
        self.answer(Response::List(list.iter().map(listed).collect()));
    }

    fn hear(&mut self, at: u64, action: &str, id: &str) {
        let line = format!(
            r#"{{"Type":"container","Action":"{action}","timeNano":{},"Actor":{{"ID":"{id}","Attributes":{{"name":"{id}","image":"i"}}}}}}"#,
            T + at
        );
        self.line(&line);
    }

    fn line(&mut self, line: &str) {
        self.give(Input::Heard { ticket: self.ticket, line: Line::Whole(line.as_bytes().to_vec()) });
    }

    /// Goes on to the next deadline.
    fn wait(&mut self) {
        self.now = self.follower.deadline().expect("a deadline").max(self.now);
        self.give(Input::Tick);
    }

    fn asked(&mut self) -> Vec<String> {
        std::mem::take(&mut self.asked)
    }

    fn told(&mut self) -> Vec<String> {
        let line = |saying: Saying| match saying {
            Saying::Event(event) => {
                format!("{}{} {}", if event.inferred { "inferred " } else { "" }, event.action, event.id)
            }
            Saying::Gap { .. } => "gap".to_owned(),
            Saying::Online { .. } => "online".to_owned(),
            Saying::Offline { why } => format!("offline: {why}"),
            Saying::BadLines { count, .. } => format!("{count} bad"),
            Saying::Nothing => "nothing".to_owned(),
        };
        std::mem::take(&mut self.entries).into_iter().map(line).collect()
    }

    fn stage(&self) -> Stage {
        self.follower.status().stage
    }

    /// Up to live, with these containers.
    fn live(list: &[(&str, State)]) -> Self {
        let mut desk = Self::new(Mode::Stream, Resume::default());
        desk.give(Input::Tick);
        desk.identity();
        desk.answer(Response::Subscribed);
        desk.list(list);
        assert_eq!(desk.stage(), Stage::Live);
        assert_eq!(desk.told(), [""; 0], "how it was found is no news");
        desk.asked();
        desk
    }
}

fn web(id: &str, state: State) -> Container {
    Container { name: id.to_owned(), image: "i".to_owned(), state, health: None, oom: false }
}

fn seconds(count: u64) -> u64 {
    count * 1_000_000_000
}

fn resume(at: u64) -> Resume {
    let key = Key { at: Nanos(T + at), kind: "container".into(), action: "start".into(), id: "a".into() };
    Resume {
        cursor: Some(Cursor { at: key.at, event: Some(key) }),
        standing: crate::docker::told::Standing { offline: false, engine: Some("E".into()), floor: None },
        containers: [("a".to_owned(), web("a", State::Running))].into(),
    }
}

#[test]
fn the_first_time() {
    let mut desk = Desk::new(Mode::Stream, Resume::default());
    desk.give(Input::Tick);
    assert_eq!((desk.asked(), desk.stage()), (vec!["Identity".to_owned()], Stage::Connecting));
    desk.now = Mono(seconds(5));
    desk.identity();
    assert_eq!(desk.asked(), [format!("since {}", seconds(1).cast_signed() - T.cast_signed())], "all that it has");
    desk.answer(Response::Subscribed);
    assert_eq!((desk.asked(), desk.stage()), (vec!["List".to_owned()], Stage::Syncing));
    desk.hear(seconds(4), "die", "old");
    desk.hear(seconds(6), "start", "new");
    desk.list(&[("new", State::Running), ("there", State::Running)]);
    assert_eq!((desk.told(), desk.stage()), (vec!["start new".to_owned()], Stage::Live));
    assert_eq!(desk.resume.containers.len(), 2);
    assert_eq!(desk.resume.standing.floor, Some(Nanos(T + seconds(5))));
    desk.hear(seconds(4), "die", "late");
    assert_eq!(desk.told(), [""; 0], "that was before");
}

#[test]
fn it_goes_on_where_it_was() {
    let mut desk = Desk::new(Mode::Stream, resume(seconds(100)));
    desk.give(Input::Tick);
    desk.identity();
    assert_eq!(desk.asked()[1], format!("since {}", seconds(98)), "a little before");
    desk.answer(Response::Subscribed);
    desk.hear(seconds(100), "start", "a");
    desk.hear(seconds(101), "die", "a");
    desk.hear(seconds(101), "die", "a");
    desk.list(&[("a", State::Exited)]);
    assert_eq!(desk.told(), ["start a", "die a"], "a store that has the first takes it for known");
    assert_eq!(desk.stage(), Stage::Live);
    desk.hear(seconds(101), "die", "a");
    desk.hear(seconds(102), "destroy", "a");
    assert_eq!(desk.told(), ["destroy a"]);
    assert!(desk.resume.containers.is_empty());
}

/// The cursor's event has to come back.
#[test]
fn history_that_is_lost_is_a_gap() {
    let mut desk = Desk::new(Mode::Stream, resume(seconds(100)));
    desk.now = Mono(seconds(500));
    desk.give(Input::Tick);
    desk.identity();
    desk.answer(Response::Subscribed);
    desk.hear(seconds(300), "start", "b");
    assert_eq!(desk.stage(), Stage::Gap);
    // What the list shows is believed when a second one shows it, and the engine has no event for it even then.
    let list = [("a", State::Exited), ("b", State::Running)];
    desk.list(&list);
    desk.wait();
    desk.list(&list);
    let told = desk.entries.clone();
    let Saying::Gap { from, to, why } = &told[0] else { panic!("{told:?}") };
    assert_eq!((*from, *to), (Nanos(T + seconds(100)), Nanos(T + seconds(300))));
    assert!(why.contains("forgotten"), "{why}");
    assert_eq!(desk.told(), ["gap", "start b"]);
    desk.identity();
    desk.answer(Response::Subscribed);
    desk.hear(seconds(300), "start", "b");
    desk.list(&list);
    desk.wait();
    desk.list(&list);
    assert_eq!(desk.told(), ["inferred die a"]);
    assert_eq!((desk.stage(), desk.resume.containers["a"].state), (Stage::Live, State::Exited));
}

/// The list was faster than the event: nothing is inferred.
#[test]
fn an_event_that_is_on_its_way() {
    let mut desk = Desk::new(Mode::Stream, resume(seconds(100)));
    desk.give(Input::Tick);
    desk.identity();
    desk.answer(Response::Subscribed);
    desk.hear(seconds(100), "start", "a");
    desk.list(&[("a", State::Exited)]);
    assert_eq!(desk.stage(), Stage::Syncing);
    desk.hear(seconds(101), "die", "a");
    desk.wait();
    desk.list(&[("a", State::Exited)]);
    assert_eq!((desk.told(), desk.stage()), (vec!["start a".to_owned(), "die a".to_owned()], Stage::Live));
}

/// Offline once, after three attempts or thirty seconds; online once.
#[test]
fn offline_and_online_are_told_once() {
    let mut desk = Desk::live(&[]);
    desk.hear(seconds(1), "create", "a");
    desk.told();
    desk.give(Input::Ended { ticket: desk.ticket, why: Some("broke".to_owned()) });
    assert_eq!((desk.told(), desk.stage()), (vec![], Stage::Backoff));
    let mut delays = Vec::new();
    for attempt in 0..6 {
        let before = desk.now;
        while desk.stage() == Stage::Backoff {
            desk.wait();
        }
        delays.push(desk.now.since(before).as_secs());
        desk.answer(Response::Failed("refused".to_owned()));
        let told = desk.told();
        assert_eq!(told.len(), usize::from(attempt == 1), "{attempt}: {told:?}");
        if attempt == 1 {
            assert_eq!(told, ["offline: refused"]);
        }
    }
    for (delay, plain) in delays.iter().zip([5, 10, 20, 40, 60, 60]) {
        assert!((plain * 79 / 100..=(plain * 121 / 100).min(60)).contains(delay), "{delays:?}");
    }
    // Another daemon takes over: it was told already.
    let mut desk = Desk { follower: Follower::new(&source(Mode::Stream), desk.resume.clone(), 2), ..desk };
    desk.give(Input::Tick);
    for _ in 0..4 {
        desk.answer(Response::Failed("refused".to_owned()));
        while desk.stage() == Stage::Backoff {
            desk.wait();
        }
    }
    assert_eq!(desk.told(), [""; 0]);
    desk.identity();
    desk.answer(Response::Subscribed);
    desk.hear(seconds(1), "create", "a");
    desk.list(&[("a", State::Created)]);
    assert_eq!(desk.told()[0], "online");
    assert_eq!(desk.follower.status().online, Some(true));
}

/// Of an engine that is back, the other worker may know first.
#[test]
fn who_could_not_reach_it_waits_no_longer_once_it_is_seen() {
    let mut desk = Desk::live(&[]);
    desk.give(Input::Reachable);
    assert_eq!((desk.asked(), desk.stage()), (vec![], Stage::Live), "nobody waits");
    desk.give(Input::Ended { ticket: desk.ticket, why: None });
    for _ in 0..5 {
        desk.wait();
        desk.answer(Response::Failed("refused".to_owned()));
    }
    desk.asked();
    desk.give(Input::Reachable);
    assert_eq!((desk.asked(), desk.stage()), (vec!["Identity".to_owned()], Stage::Connecting));
    // It is there, and refuses its events: that others reach it says nothing.
    desk.identity();
    desk.answer(Response::Failed("403".to_owned()));
    desk.asked();
    desk.give(Input::Reachable);
    assert_eq!((desk.asked(), desk.stage()), (vec![], Stage::Backoff));
}

#[test]
fn one_that_was_never_there_is_told_after_a_grace() {
    let mut desk = Desk::new(Mode::Stream, Resume::default());
    desk.give(Input::Tick);
    desk.answer(Response::Failed("refused".to_owned()));
    assert_eq!((desk.told().len(), desk.follower.status().online), (0, None));
    // A question that hangs: time counts too.
    desk.wait();
    assert_eq!(desk.stage(), Stage::Connecting);
    desk.wait();
    assert_eq!((desk.told(), desk.now), (vec!["offline: refused".to_owned()], Mono(seconds(30))));
}

#[test]
fn silence_is_looked_into() {
    let mut desk = Desk::live(&[]);
    desk.hear(1, "create", "a");
    desk.wait();
    assert_eq!((desk.asked(), desk.now), (vec!["Ping".to_owned()], Mono(seconds(90))));
    desk.answer(Response::Pong);
    assert_eq!(desk.stage(), Stage::Live);
    let mut asked = Vec::new();
    while desk.stage() == Stage::Live {
        desk.wait();
        match desk.asked().as_slice() {
            [one] if one == "List" => desk.list(&[("a", State::Created)]),
            other => asked.extend(other.to_vec()),
        }
    }
    assert_eq!(desk.now, Mono(seconds(900)), "a connection that something between has forgotten answers no ping");
    assert_eq!(asked[asked.len() - 2..], ["hang up", "Identity"]);
    let mut desk = Desk::live(&[]);
    desk.wait();
    desk.answer(Response::Failed("no pong".to_owned()));
    assert_eq!(desk.stage(), Stage::Backoff);
}

/// The engine left somebody out who was slow; it still has the event.
#[test]
fn what_was_left_out_is_asked_for() {
    let mut desk = Desk::live(&[("a", State::Running)]);
    desk.hear(seconds(1), "start", "b");
    while desk.asked() != ["List"] {
        desk.wait();
        desk.give(Input::Answered { ticket: desk.ticket, response: Response::Pong });
    }
    let list = [("a", State::Exited), ("b", State::Running)];
    desk.list(&list);
    desk.wait();
    desk.list(&list);
    assert_eq!(desk.asked()[1..], ["hang up", "Identity"]);
    desk.identity();
    desk.answer(Response::Subscribed);
    desk.hear(seconds(1), "start", "b");
    desk.hear(seconds(2), "die", "a");
    desk.list(&list);
    assert_eq!(desk.told(), ["start b", "die a"]);
}

#[test]
fn a_poll_reads_from_where_it_was_to_now() {
    let mut desk = Desk::new(Mode::Poll { every: Span::secs(60) }, resume(seconds(100)));
    desk.now = Mono(seconds(130));
    desk.give(Input::Tick);
    desk.identity();
    assert_eq!(desk.asked()[1], format!("since {} until {}", seconds(98), seconds(130)));
    desk.answer(Response::Subscribed);
    desk.hear(seconds(100), "start", "a");
    desk.hear(seconds(110), "pause", "a");
    assert_eq!(desk.asked(), [""; 0], "not before it is read");
    desk.give(Input::Ended { ticket: desk.ticket, why: None });
    desk.list(&[("a", State::Paused)]);
    assert_eq!((desk.told(), desk.stage()), (vec!["start a".to_owned(), "pause a".to_owned()], Stage::Backoff));
    assert_eq!(desk.follower.deadline(), Some(Mono(seconds(190))));
    desk.wait();
    desk.identity();
    assert_eq!(desk.asked()[2], format!("since {} until {}", seconds(108), seconds(190)), "no part is left out");
}

#[test]
fn bad_lines_are_counted_and_told_now_and_then() {
    let mut desk = Desk::live(&[]);
    for _ in 0..5 {
        desk.line("{\"Type\":");
    }
    desk.give(Input::Heard { ticket: desk.ticket, line: Line::TooLong(b"xx".to_vec()) });
    assert_eq!(desk.told(), ["1 bad"]);
    assert_eq!((desk.follower.status().bad_lines, desk.stage()), (6, Stage::Live), "they end nothing");
    desk.line(r#"{"Type":"wormhole","Action":"opened","timeNano":9}"#);
    assert_eq!(desk.follower.status().bad_lines, 6);
    desk.now = Mono(seconds(3601));
    desk.line("x");
    assert_eq!(desk.told(), ["6 bad"]);
}

#[test]
fn facts_are_kept() {
    let mut desk = Desk::live(&[("a", State::Running)]);
    let line = |at: u64, action: &str, attributes: &str| {
        format!(
            r#"{{"Type":"container","Action":"{action}","timeNano":{},"Actor":{{"ID":"a","Attributes":{{{attributes}}}}}}}"#,
            T + at
        )
    };
    desk.line(&line(1, "kill", r#""signal":"15","name":"a""#));
    desk.line(&line(2, "oom", r#""name":"a""#));
    desk.line(&line(3, "die", r#""exitCode":"137","name":"a""#));
    desk.line(&line(4, "rename", r#""name":"b","oldName":"/a""#));
    desk.line(&line(5, "exec_create: sh -c 'x: y'", r#""name":"b""#));
    let mut events = std::mem::take(&mut desk.entries).into_iter().filter_map(|saying| match saying {
        Saying::Event(event) => Some(*event),
        _ => None,
    });
    let kill = events.next().expect("kill");
    assert_eq!((kill.signal, kill.exit_code, kill.oom), (Some(15), None, None));
    assert_eq!(events.next().expect("oom").action, "oom");
    let die = events.next().expect("die");
    assert_eq!((die.exit_code, die.oom, die.at), (Some(137), Some(true), Some(Nanos(T + 3))));
    let rename = events.next().expect("rename");
    assert_eq!((rename.name.as_str(), rename.old_name.as_deref()), ("b", Some("a")));
    assert_eq!(events.next(), None, "nobody asked for what runs inside");
}

/// Health is worth a word when it changes.
#[test]
fn health_is_told_when_it_changes() {
    let mut desk = Desk::live(&[("a", State::Running)]);
    for (at, health) in ["healthy", "healthy", "unhealthy", "unhealthy", "healthy"].iter().enumerate() {
        desk.hear(at as u64 + 1, &format!("health_status: {health}"), "a");
    }
    assert_eq!(desk.told(), ["health_status a"; 3]);
}

#[test]
fn what_is_filtered_is_known_all_the_same() {
    let mut settings = source(Mode::Stream);
    settings.filters.ignored_names = vec!["tool-*".to_owned()];
    settings.filters.actions.retain(|action| action != "pause");
    let mut desk = Desk::live(&[]);
    desk.follower = Follower::new(&settings, desk.resume.clone(), 1);
    desk.give(Input::Tick);
    desk.identity();
    desk.answer(Response::Subscribed);
    desk.list(&[]);
    for action in ["create", "start"] {
        desk.hear(7, action, "tool-1");
        desk.hear(8, action, "web");
    }
    desk.hear(9, "pause", "web");
    assert_eq!(desk.told(), ["create web", "start web"]);
    assert_eq!(desk.resume.containers["web"].state, State::Paused);
    assert_eq!(desk.resume.containers["tool-1"].state, State::Running);
}

/// Somebody moved the name to another machine.
#[test]
fn another_engine_is_a_new_beginning() {
    let mut desk = Desk::new(Mode::Stream, resume(seconds(100)));
    desk.now = Mono(seconds(200));
    desk.give(Input::Tick);
    let at = Some(Nanos(T + seconds(200)));
    desk.answer(Response::Identity(Identity { id: Some("F".into()), at, ..Identity::default() }));
    desk.answer(Response::Subscribed);
    desk.hear(seconds(150), "start", "x");
    desk.list(&[("x", State::Running)]);
    assert_eq!(desk.told(), ["gap"], "neither ends of old containers nor starts of others");
    assert_eq!(desk.resume.containers.keys().collect::<Vec<_>>(), ["x"]);
    assert_eq!(desk.resume.standing.engine.as_deref(), Some("F"));
}

/// Answers of connections that were given up are nobody's.
#[test]
fn late_answers_change_nothing() {
    let mut desk = Desk::live(&[]);
    let old = desk.ticket;
    desk.give(Input::Ended { ticket: old, why: None });
    assert_eq!(desk.stage(), Stage::Backoff);
    desk.give(Input::Answered { ticket: old, response: Response::Subscribed });
    desk.give(Input::Answered { ticket: old, response: Response::List(Vec::new()) });
    desk.give(Input::Heard { ticket: old, line: Line::Whole(b"x".to_vec()) });
    desk.give(Input::Ended { ticket: old, why: None });
    let status = desk.follower.status();
    assert_eq!((desk.stage(), status.failures), (Stage::Backoff, 1));
    assert_eq!(
        (status.retry_at.is_some(), status.retry_at),
        (true, desk.follower.deadline()),
        "it says when it asks again"
    );
}

#[test]
fn keys_tell_events_apart() {
    let mut desk = Desk::live(&[("a", State::Running)]);
    desk.hear(5, "die", "a");
    desk.hear(5, "stop", "a");
    desk.hear(5, "destroy", "a");
    let keys: std::collections::BTreeSet<_> = desk.entries.iter().map(once).collect();
    assert_eq!(keys.len(), 3);
    assert!(keys.contains(&Some(format!("nas {} container die a ", T + 5))));
}

fn once(saying: &Saying) -> Option<String> {
    saying.entry(&Name::new("nas").expect("name"), Wall(1)).and_then(|entry| entry.once())
}
