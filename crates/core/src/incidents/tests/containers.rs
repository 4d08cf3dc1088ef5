//! What is made of the events of containers. Sequences are those that were measured at engines.

use super::sources::{nas, offline};
use super::*;

/// A container of `nas`, by its name; its id is derived from it.
fn container(name: &str) -> Subject {
    Subject::Container { source: super::name("nas"), name: name.to_owned(), id: format!("id-{name}") }
}

/// `die 7`, `kill 15`, `health_status unhealthy`, `die 137 oom`, `die 7 inferred`; otherwise only the action.
fn event(text: &str, at: u64) -> What {
    let words: Vec<&str> = text.split(' ').collect();
    let word = words.get(1).copied();
    let number = |action| word.filter(|_| words[0] == action).and_then(|word| word.parse().ok());
    let inferred = words.contains(&"inferred");
    What::ContainerEvent {
        action: words[0].to_owned(),
        id: "id".to_owned(),
        image: "web:1".to_owned(),
        time_nano: Some(at).filter(|_| !inferred),
        exit_code: number("die"),
        signal: number("kill"),
        oom: (words[0] == "die" && !inferred).then(|| words.contains(&"oom")),
        health: word.filter(|_| words[0] == "health_status").map(str::to_owned),
        old_name: None,
        inferred,
    }
}

impl Bench {
    /// An event of a container, at the present time of an engine whose clock is wrong by an hour.
    pub(super) fn docker_of(&mut self, name: &str, text: &str) {
        let at = self.at().now.wall.0 - 3600 * SECOND;
        self.docker_at(name, text, at);
    }

    fn docker_at(&mut self, name: &str, text: &str, at: u64) {
        let what = event(text, at);
        let at = if text.contains("inferred") { self.at().now.wall } else { Wall(at) };
        self.hear_entry(Entry::new(at, container(name), None, what));
    }

    /// Several events of one container, a few milliseconds apart.
    fn docker(&mut self, all: &[&str]) {
        for text in all {
            self.docker_of("web", text);
            self.pass(0.005);
        }
    }

    /// It exits again and again, and the engine waits longer each time, as it does.
    fn back_off(&mut self, exits: u32, ran: f64) {
        let mut pause = 0.1;
        for _ in 0..exits {
            self.pass(ran);
            self.docker(&["die 7"]);
            self.pass(pause);
            self.docker(&["start"]);
            pause = if ran >= 10.0 { 0.1 } else { f64::min(pause * 2.0, 60.0) };
        }
    }
}

/// R10.3: one action is many events, and what is asked for alarms nobody.
#[test]
fn what_is_asked_for_alarms_nobody() {
    for (what, events) in [
        ("a stop that TERM is enough for", &["kill 15", "die 0", "stop"][..]),
        ("a stop of one that ignores TERM", &["kill 15", "kill 9", "die 137", "stop"]),
        ("a stop that TERM ends", &["kill 15", "die 143", "stop"]),
        ("a restart", &["kill 15", "kill 9", "die 137", "stop", "start", "restart"]),
        ("a kill", &["kill 9", "die 137"]),
        ("a reload", &["kill 1"]),
        ("a reload of one that has no handler", &["kill 1", "die 129"]),
        ("USR1 to one that has no handler", &["kill 10", "die 138"]),
        ("a stop by a signal of its own", &["kill 37", "die 1", "stop"]),
        ("a removal by force", &["kill 9", "die 137", "destroy"]),
        ("a stop after memory had run out for a child of it", &["kill 15", "die 143 oom", "stop"]),
        ("a job that ends well", &["die 0", "start"]),
        ("a new version of it", &["kill 15", "die 1", "stop", "rename", "destroy"]),
        ("events that came late", &["die 137", "kill 9", "stop"]),
        ("a kill that came late", &["die 137", "kill 9"]),
        ("what the engine does itself at a checkpoint", &["pause", "unpause", "update", "rename"]),
    ] {
        let mut bench = Bench::new();
        // Even one who wants to hear of every crash does not hear of these.
        for (rule, key, value) in [
            (RuleName::ContainerExited, "on", "yes"),
            (RuleName::ContainerExited, "for", "0s"),
            (RuleName::CrashLoop, "exits", "2"),
        ] {
            bench.set(rule, key, value);
        }
        let late = what.contains("late");
        if late {
            bench.set(RuleName::ContainerExited, "for", "1s");
        }
        bench.docker(&["create", "start"]);
        for _ in 0..20 {
            bench.docker(events);
            bench.docker(&["start"]);
            bench.pass(1.0);
        }
        bench.pass(100.0);
        assert!(bench.messages.is_empty() && bench.entries.is_empty(), "{what}: {:#?}", bench.messages);
        assert_eq!(bench.engine.live().count(), 0, "{what}");
    }
}

/// R6.3: a container that exits 200 times by the back-off of its engine is one story, with a count and the last exit code;
/// that is some three hours.
#[test]
fn two_hundred_exits() {
    let mut bench = Bench::new();
    bench.docker(&["create", "start"]);
    bench.back_off(4, 0.01);
    assert!(bench.messages.is_empty(), "four");
    bench.back_off(1, 0.01);
    assert_eq!(bench.told(), [(Occasion::Opened, 5)]);
    assert!(
        bench.messages[0]
            .title()
            .starts_with("container:nas/web: crash loop: 5 ends in 1.5s, the last: exited with code 7"),
        "{}",
        bench.messages[0].title()
    );
    bench.set(RuleName::CrashLoop, "renotify", "never");
    bench.back_off(195, 0.5);
    assert_eq!(bench.told().len(), 1, "down for a minute is not up for a minute");
    bench.pass(55.0);
    assert_eq!(bench.told().len(), 1);
    bench.pass(6.0);
    assert_eq!(bench.told(), [(Occasion::Opened, 5), (Occasion::Resolved, 200)]);
    assert!(bench.messages[1].text.starts_with("it stays up again, for 1m now"), "{}", bench.messages[1].text);
    assert_eq!((bench.entries.len(), bench.engine.live().count()), (2, 0));
    bench.pass(1e5);
    assert_eq!(bench.messages.len(), 2);
    assert_eq!(bench.engine.deadline(bench.at()), None, "nothing is waited for");
}

/// Whoever stops a container has seen to it: one crash after it was started again is one crash.
#[test]
fn a_stop_is_a_new_beginning() {
    for stop in [&["kill 15", "die 143", "stop"][..], &["kill 9", "die 137"], &["stop"]] {
        let mut bench = Bench::new();
        bench.docker(&["create", "start"]);
        bench.back_off(6, 0.01);
        assert_eq!(bench.messages.len(), 1, "{stop:?}");
        bench.docker(stop);
        assert_eq!(bench.told(), [(Occasion::Opened, 5), (Occasion::Resolved, 6)], "{stop:?}");
        bench.pass(1.0);
        bench.docker(&["start", "die 7", "start"]);
        bench.pass(1.0);
        assert_eq!(bench.engine.live().filter(|incident| incident.opened.is_some()).count(), 0, "{stop:?}");
    }
}

/// The time that a crash loop tells is that since the first end, however many are counted.
#[test]
fn how_long_a_loop_lasts() {
    let mut bench = Bench::new();
    bench.docker(&["create", "start"]);
    bench.back_off(5, 0.01);
    bench.back_off(1, 0.01);
    let incident = bench.engine.live().next().expect("one");
    assert_eq!(incident.text, "crash loop: 6 ends in 3.1s, the last: exited with code 7");
}

/// What ran for ten seconds is started again after 100 ms.
#[test]
fn loops_of_every_pace() {
    // How long it runs each time, and whether five ends come within a minute.
    for (ran, told) in [(0.0, true), (1.0, true), (9.0, true), (10.0, true), (14.0, true), (15.5, false), (70.0, false)]
    {
        let mut bench = Bench::new();
        bench.docker(&["create", "start"]);
        bench.back_off(20, ran);
        assert_eq!(bench.messages.len(), usize::from(told), "{ran}");
    }
}

#[test]
fn a_loop_ends_in_many_ways() {
    for (what, events, why) in [
        ("stopped", &["kill 15", "die 143", "stop"][..], "somebody stopped it"),
        ("stopped between two runs", &["die 7", "stop"], "somebody stopped it"),
        ("killed", &["kill 9", "die 137"], "somebody stopped it"),
        ("removed", &["die 7", "destroy"], "it was removed"),
    ] {
        let mut bench = Bench::new();
        bench.docker(&["create", "start"]);
        bench.back_off(6, 0.0);
        bench.docker(events);
        assert_eq!(bench.told().len(), 2, "{what}");
        assert!(bench.messages[1].text.starts_with(why), "{what}: {}", bench.messages[1].text);
        bench.pass(1000.0);
        assert_eq!(bench.engine.live().count(), 0, "{what}");
    }
    // It ends at last, and ends well.
    let mut bench = Bench::new();
    bench.docker(&["create", "start"]);
    bench.back_off(6, 0.0);
    bench.docker(&["die 0"]);
    bench.pass(61.0);
    assert!(bench.messages[1].text.starts_with("it ended with exit code 0, for 1m now"), "{}", bench.messages[1].text);
    // The engine gives it up: nothing of that is good news.
    let mut bench = Bench::new();
    bench.docker(&["create", "start"]);
    bench.back_off(6, 0.0);
    bench.docker(&["die 7"]);
    bench.pass(7000.0);
    assert_eq!(bench.told(), [(Occasion::Opened, 5)]);
    bench.docker(&["destroy"]);
    assert_eq!(bench.told(), [(Occasion::Opened, 5), (Occasion::Resolved, 7)]);
}

/// R10.3: memory that runs out is one story, however its engine tells of it.
#[test]
fn memory_that_runs_out() {
    for (what, events, count) in [
        ("told before the end", &["oom", "die 137 oom"][..], 20),
        ("told after it", &["die 137", "oom"], 20),
        ("only the end is kept", &["die 137 oom"], 20),
        ("of a child, and it goes on", &["oom"], 20),
        ("of two children", &["oom", "oom", "die 137 oom"], 40),
    ] {
        let mut bench = Bench::new();
        bench.docker(&["create", "start"]);
        for _ in 0..20 {
            bench.docker(events);
            bench.pass(6.0);
            bench.docker(&["start"]);
        }
        let rules: Vec<&str> = bench.messages.iter().filter_map(|one| Some(one.rule.as_ref()?.name())).collect();
        assert_eq!(rules, ["container-oom"], "{what}");
        bench.pass(601.0);
        assert_eq!(bench.told(), [(Occasion::Opened, 1), (Occasion::Resolved, count)], "{what}");
        assert!(bench.messages[1].text.contains(&format!(", {count} times; it was: ")), "{}", bench.messages[1].text);
    }
    // Yesterday memory ran out for a child of it; today it crashes.
    let mut bench = Bench::new();
    bench.docker(&["create", "start", "oom"]);
    bench.pass(86_400.0);
    assert_eq!(bench.told().len(), 2);
    for _ in 0..5 {
        bench.docker(&["die 1 oom", "start"]);
    }
    assert_eq!(bench.messages[2].rule.as_ref().map(RuleId::name), Some("crash-loop"));
    // Who wants to hear nothing of memory hears of the crashes.
    let mut bench = Bench::new();
    bench.set(RuleName::ContainerOom, "on", "no");
    for _ in 0..5 {
        bench.docker(&["start", "oom", "die 137 oom"]);
    }
    assert_eq!(
        bench.messages.iter().filter_map(|one| Some(one.rule.as_ref()?.name())).collect::<Vec<_>>(),
        ["crash-loop"]
    );
}

#[test]
fn health() {
    let mut bench = Bench::new();
    bench.docker(&["create", "start"]);
    for _ in 0..20 {
        bench.docker(&["health_status unhealthy"]);
        bench.pass(50.0);
        bench.docker(&["health_status healthy"]);
        bench.pass(5.0);
    }
    assert_eq!(bench.messages.len(), 0, "for a minute");
    bench.docker(&["health_status unhealthy"]);
    bench.pass(61.0);
    assert_eq!(bench.told(), [(Occasion::Opened, 1)]);
    assert_eq!(bench.messages[0].title(), "container:nas/web: its health check fails");
    bench.docker(&["kill 15", "die 143", "stop", "start"]);
    assert_eq!(bench.told(), [(Occasion::Opened, 1), (Occasion::Resolved, 1)]);
    bench.docker(&["health_status starting", "health_status healthy"]);
    bench.pass(1000.0);
    assert_eq!(bench.messages.len(), 2);
}

/// One crash is worth a message only to those who say so, and only when it is not started again.
#[test]
fn a_crash_that_stays_one() {
    let mut bench = Bench::new();
    bench.docker(&["start", "die 1"]);
    bench.pass(1000.0);
    assert_eq!(bench.messages.len(), 0);
    bench.set(RuleName::ContainerExited, "on", "yes");
    for _ in 0..10 {
        bench.docker(&["start", "die 1"]);
        bench.pass(60.0);
    }
    assert_eq!(bench.messages.len(), 0, "the engine starts it again within a minute");
    bench.pass(61.0);
    assert_eq!(bench.told(), [(Occasion::Opened, 1)]);
    assert_eq!(bench.messages[0].title(), "container:nas/web: exited with code 1");
    bench.docker(&["start"]);
    assert_eq!(bench.told().len(), 2);
    // A loop is told at once all the same, and is one story with it.
    bench.pass(400.0);
    for _ in 0..5 {
        bench.docker(&["die 1", "start", "die 1"]);
    }
    assert_eq!(bench.told().len(), 3);
    assert!(bench.messages[2].text.starts_with("crash loop: 5 ends"), "{}", bench.messages[2].text);
}

/// A rename tells nothing of what is so; what is told later bears the new name.
#[test]
fn another_name() {
    let mut bench = Bench::new();
    bench.docker(&["create", "start"]);
    bench.back_off(5, 0.0);
    let at = bench.at().now.wall.0;
    let renamed = Subject::Container { source: name("nas"), name: "api".to_owned(), id: "id-web".to_owned() };
    for text in ["rename", "die 7", "start"] {
        bench.hear_entry(Entry::new(bench.at().now.wall, renamed.clone(), None, event(text, at)));
    }
    bench.pass(61.0);
    assert_eq!(bench.told(), [(Occasion::Opened, 5), (Occasion::Resolved, 6)]);
    assert_eq!(bench.messages[1].subject, Some(renamed));
}

/// What the list of containers shows and nobody saw opens nothing: a restart of the engine ends all of them.
#[test]
fn the_end_of_an_engine_is_its_own_story() {
    let names: Vec<String> = (0..50).map(|number| format!("c{number}")).collect();
    let mut bench = Bench::new();
    bench.set(RuleName::ContainerExited, "on", "yes");
    for name in &names {
        bench.docker_of(name, "start");
    }
    let gap = |why: &str| What::Gap { from: Wall(1), to: Wall(2), why: why.to_owned() };
    for _ in 0..6 {
        bench.hear_about(nas(), gap("the engine has forgotten its events"));
        for name in &names {
            bench.docker_of(name, "die 255 inferred");
            bench.docker_of(name, "start inferred");
        }
        bench.pass(5.0);
    }
    bench.pass(500.0);
    assert_eq!(bench.messages.len(), 0);
    // An orderly end: the engine asks each of them to end.
    for name in &names {
        for text in ["kill 15", "die 143", "stop"] {
            bench.docker_of(name, text);
        }
    }
    // One that falls: ends without a signal, and then it is away.
    for name in &names {
        bench.docker_of(name, "start");
        bench.docker_of(name, "die 255");
    }
    bench.hear_about(nas(), offline());
    bench.pass(600.0);
    assert_eq!(bench.told(), [(Occasion::Opened, 1)]);
    assert_eq!(bench.messages[0].title(), "source:nas: does not answer: connection refused");
    bench.hear_about(nas(), What::SourceOnline { after: None });
    for name in &names {
        bench.docker_of(name, "start inferred");
    }
    bench.pass(600.0);
    assert_eq!(bench.told(), [(Occasion::Opened, 1), (Occasion::Resolved, 1)]);
}

/// While nobody sees it, nothing is resolved and nothing is opened.
#[test]
fn what_nobody_sees() {
    let gap = || What::Gap { from: Wall(1), to: Wall(2), why: "more happened than it keeps".to_owned() };
    let mut bench = Bench::new();
    bench.docker(&["create", "start"]);
    bench.back_off(6, 0.0);
    bench.pass(50.0);
    bench.hear_about(nas(), gap());
    bench.pass(55.0);
    assert_eq!(bench.told().len(), 1, "it was seen to be up for so long only since");
    // Ends that the list shows count in what is open.
    bench.docker(&["die 7 inferred", "start inferred"]);
    bench.pass(30.0);
    bench.hear_about(nas(), offline());
    bench.pass(3600.0);
    assert!(!bench.told().contains(&(Occasion::Resolved, 7)), "it is away");
    bench.restart(true);
    bench.hear_about(nas(), What::SourceOnline { after: None });
    bench.pass(59.0);
    let over =
        |bench: &Bench| bench.messages.iter().any(|one| one.incident == Some(1) && one.occasion == Occasion::Resolved);
    assert!(!over(&bench));
    bench.pass(2.0);
    assert!(over(&bench) && bench.messages.iter().any(|one| one.count == 7), "{:#?}", bench.messages);

    // Unhealthy, and then nobody knows.
    let mut bench = Bench::new();
    bench.docker(&["start", "health_status unhealthy"]);
    bench.pass(40.0);
    bench.hear_about(nas(), gap());
    bench.pass(50.0);
    assert!(bench.messages.is_empty());
    bench.pass(11.0);
    assert_eq!(bench.told(), [(Occasion::Opened, 1)]);
}

/// R10.3: whoever pauses or removes a source is told that its stories are over, and why.
#[test]
fn a_source_that_goes_takes_its_stories_with_it() {
    for how in ["paused", "removed", "moved: tcp://nas"] {
        let mut bench = Bench::new();
        bench.docker(&["create", "start"]);
        bench.back_off(5, 0.0);
        bench.docker(&["health_status unhealthy", "oom"]);
        bench.pass(61.0);
        let open = bench.engine.live().filter(|incident| incident.is_open()).count();
        assert!(open >= 2, "{how}");
        bench.hear_about(nas(), What::SourceChanged { how: how.to_owned(), by: "anna".to_owned() });
        assert_eq!(bench.engine.live().count(), 0, "{how}");
        let last = bench.messages.last().expect("one");
        assert!(last.text.starts_with(&format!("its source was {how} by anna")), "{}", last.text);
    }
    // Another setting of the same engine ends none.
    let mut bench = Bench::new();
    bench.docker(&["create", "start"]);
    bench.back_off(5, 0.0);
    bench.hear_about(nas(), What::SourceChanged { how: "changed: unix:///x".to_owned(), by: "anna".to_owned() });
    assert_eq!(bench.told().len(), 1);
    // Another engine under the same name does.
    let why = crate::docker::follower::OTHER_ENGINE.to_owned();
    bench.hear_about(nas(), What::Gap { from: Wall(1), to: Wall(2), why });
    assert_eq!(bench.told().len(), 2);
}

/// What an engine tells late and out of order is counted as it happened.
#[test]
fn late_and_out_of_order() {
    let mut bench = Bench::new();
    let begin = bench.at().now.wall.0;
    bench.docker_at("web", "start", begin);
    // Six ends in six hours, heard at once.
    for hour in 1..=6 {
        bench.docker_at("web", "die 1", begin + hour * 3600 * SECOND);
        bench.docker_at("web", "start", begin + hour * 3600 * SECOND + SECOND);
    }
    assert!(bench.messages.is_empty());
    // Five in five seconds, each after the start that follows it.
    let begin = begin + 10 * 3600 * SECOND;
    for second in 1..=5 {
        bench.docker_at("web", "start", begin + second * SECOND + SECOND / 2);
        bench.docker_at("web", "die 1", begin + second * SECOND);
    }
    assert_eq!(bench.told(), [(Occasion::Opened, 5)]);
    bench.pass(61.0);
    assert_eq!(bench.told().len(), 2, "the last that happened is a start");
}

/// A thousand containers that crashed once do not stay in memory.
#[test]
fn what_is_over_is_forgotten() {
    let mut bench = Bench::new();
    for number in 0..1000 {
        bench.docker_of(&format!("c{number}"), "die 1");
        bench.pass(0.2);
    }
    assert!(bench.engine.containers.len() < 400, "{}", bench.engine.containers.len());
}
