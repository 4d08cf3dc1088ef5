//! What happens, and what is made of it.

use super::*;
use crate::units::Span;

fn gave_up() -> What {
    What::GaveUp { reason: "exit code 7 after 10 restarts".to_owned() }
}

fn wanted_down() -> What {
    What::WantedDown { by: "anna".to_owned() }
}

fn degraded() -> What {
    What::Degraded { failures: 3, why: "status 500".to_owned() }
}

fn healthy() -> What {
    What::Healthy { after: Span::secs(1) }
}

/// R6.3: a crash loop is one incident with a count, opened once and resolved once.
#[test]
fn two_hundred_crashes_are_one_story() {
    let mut bench = Bench::new();
    bench.start();
    for crash in 1..=200 {
        bench.crash();
        assert_eq!(bench.messages.len(), usize::from(crash >= 5), "{crash}");
        bench.pass(0.0625);
    }
    assert_eq!(bench.messages[0].text, "crash loop: 5 ends in 250ms, the last: exited with code 7");
    assert_eq!((bench.messages[0].wants_lines, bench.messages[0].run.is_some()), (10, true));
    bench.pass(59.0);
    assert_eq!(bench.messages.len(), 1);
    bench.pass(2.0);
    assert_eq!(bench.told(), [(Occasion::Opened, 5), (Occasion::Resolved, 200)]);
    assert!(
        bench.messages[1].text.starts_with("it stays up again, for 1m now (after 1m"),
        "{}",
        bench.messages[1].text
    );
    let kinds: Vec<&str> = bench.entries.iter().map(|entry| entry.what.kind()).collect();
    assert_eq!(kinds, ["incident_opened", "incident_resolved"]);
    assert_eq!((bench.shown.len(), bench.shown[&1].count, bench.engine.live().count()), (1, 200, 0));
    bench.pass(1e6);
    assert_eq!(bench.messages.len(), 2);
    assert_eq!(bench.engine.deadline(bench.at()), None, "nothing is waited for");
}

/// What is asked for and what ends well alarms nobody.
#[test]
fn ordinary_life_is_no_incident() {
    let mut bench = Bench::new();
    for _ in 0..50 {
        // A stop that was asked for.
        bench.start();
        bench.hear(What::Ready { after: Span::secs(1) });
        bench.hear(wanted_down());
        bench.hear(What::Stopping { cause: "asked".to_owned() });
        bench.exit();
        // A task that ends well.
        bench.start();
        bench.hear(What::Exited { exit: Exit::Code(0), ran: None });
        bench.hear(What::Empty { after: None });
        // A restart that was asked for.
        bench.start();
        bench.hear(What::Stopping { cause: "restart".to_owned() });
        bench.exit();
        bench.pass(0.1);
    }
    // Four crashes in a minute, and then some, but never five.
    for _ in 0..20 {
        bench.crash();
        bench.pass(15.5);
    }
    assert!(bench.messages.is_empty() && bench.entries.is_empty() && bench.shown.is_empty());
    assert_eq!(bench.engine.live().count(), 0);
}

#[test]
fn giving_up_is_told_and_open_until_it_runs_again() {
    let mut bench = Bench::new();
    bench.start();
    bench.exit();
    bench.hear(gave_up());
    assert_eq!(bench.told(), [(Occasion::Opened, 1)]);
    assert_eq!(bench.messages[0].text, "gave up: exit code 7 after 10 restarts");
    bench.pass(3600.0);
    assert_eq!(bench.messages.len(), 1);
    bench.start();
    bench.pass(61.0);
    assert_eq!(bench.told(), [(Occasion::Opened, 1), (Occasion::Resolved, 1)]);
}

/// Of a service whose project is gone nothing can be taken down.
#[test]
fn a_reset_ends_it_too() {
    let mut bench = Bench::new();
    bench.start();
    bench.exit();
    bench.hear(gave_up());
    bench.hear(What::Reset { cause: "asked for".to_owned() });
    assert_eq!(bench.told(), [(Occasion::Opened, 1), (Occasion::Resolved, 1)]);
}

/// The end of a crash loop by giving up is the same story.
#[test]
fn giving_up_in_a_crash_loop_is_the_same_story() {
    let mut bench = Bench::new();
    bench.start();
    for _ in 0..10 {
        bench.crash();
        bench.pass(1.0);
    }
    bench.exit();
    bench.hear(gave_up());
    bench.pass(7200.0);
    assert_eq!(bench.told(), [(Occasion::Opened, 5)]);
    let incident = bench.engine.live().next().expect("open").clone();
    assert_eq!((incident.count, incident.text.as_str()), (11, "gave up: exit code 7 after 10 restarts"));
    bench.hear(wanted_down());
    assert_eq!(bench.told(), [(Occasion::Opened, 5), (Occasion::Resolved, 11)]);
    assert!(bench.messages[1].text.contains("stopped by anna"), "{}", bench.messages[1].text);
}

#[test]
fn a_service_that_is_never_ready_is_one_story_too() {
    let mut bench = Bench::new();
    for _ in 0..10 {
        bench.start();
        bench.pass(5.0);
        bench.hear(What::NotReady { within: Span::secs(5), why: "refused".to_owned() });
        bench.hear(What::Stopping { cause: "not ready".to_owned() });
        bench.exit();
        bench.hear(What::RestartScheduled { delay: Span::millis(1), attempt: 1, of: None });
    }
    bench.hear(gave_up());
    assert_eq!(bench.told(), [(Occasion::Opened, 1)]);
    assert_eq!(bench.engine.live().next().map(|incident| incident.count), Some(11));
    bench.start();
    bench.pass(100.0);
    assert_eq!(bench.messages.len(), 1, "it runs, and is not ready");
    bench.hear(What::Ready { after: Span::secs(1) });
    assert_eq!(bench.told().len(), 2);
}

#[test]
fn what_lasts_too_short_is_not_opened() {
    let mut bench = Bench::new();
    bench.start();
    for _ in 0..10 {
        bench.hear(degraded());
        bench.pass(59.0);
        bench.hear(healthy());
        bench.pass(1.0);
    }
    assert!(bench.messages.is_empty() && bench.entries.is_empty());
    bench.hear(degraded());
    bench.pass(61.0);
    assert_eq!(bench.told(), [(Occasion::Opened, 1)]);
    bench.hear(healthy());
    assert_eq!(bench.told().len(), 2);
}

/// What comes back at once is not told again at once.
#[test]
fn flapping_is_held_back_by_the_cooldown() {
    let mut bench = Bench::new();
    bench.set(RuleName::Degraded, "for", "0s");
    bench.start();
    for _ in 0..100 {
        bench.hear(degraded());
        bench.pass(1.0);
        bench.hear(healthy());
        bench.pass(1.0);
    }
    // 200 seconds, and the cooldown is 300: the first of them.
    assert_eq!(bench.told().len(), 2);
    bench.hear(degraded());
    bench.pass(150.0);
    assert_eq!(bench.told().len(), 3, "still true when the cooldown ends");
    bench.hear(healthy());
    assert_eq!(bench.told().len(), 4);
}

#[test]
fn what_stays_open_is_told_again_with_a_count() {
    let mut bench = Bench::new();
    bench.start();
    bench.exit();
    bench.hear(gave_up());
    bench.pass(13.0 * 3600.0);
    assert_eq!(bench.told(), [(Occasion::Opened, 1), (Occasion::Reminder, 1), (Occasion::Reminder, 1)]);
    assert!(keys_differ(&bench.messages));
    bench.set(RuleName::GaveUp, "renotify", "never");
    bench.pass(1e6);
    assert_eq!(bench.messages.len(), 3);
}

#[test]
fn a_silence_holds_back_and_loses_nothing_that_is_still_true() {
    let mut bench = Bench::new();
    let scope = Scope { project: Some(name("demo")), service: Some(name("api")), ..Scope::default() };
    let hour = Duration::from_secs(3600);
    let (silence, turn) = bench.engine.silence(bench.at(), scope, hour, "anna".to_owned(), Some("deploy".to_owned()));
    bench.take(turn);
    assert_eq!(silence.id, 1);
    bench.start();
    bench.exit();
    bench.hear(gave_up());
    bench.hear_of("db", gave_up());
    assert_eq!(bench.told().len(), 1, "another service is told of");
    bench.pass(3500.0);
    assert_eq!(bench.told().len(), 1);
    bench.pass(200.0);
    assert_eq!((bench.told().len(), bench.engine.silences().count()), (2, 0));

    // What came and went meanwhile is not told; what ended is told afterwards.
    let (silence, turn) = bench.engine.silence(bench.at(), Scope::default(), hour, String::new(), None);
    bench.take(turn);
    bench.hear(wanted_down());
    bench.hear_of("web", gave_up());
    bench.hear_of("web", wanted_down());
    assert_eq!(bench.told().len(), 2);
    assert_eq!(bench.shown.len(), 3, "all of it can be seen");
    let turn = bench.engine.end_silence(bench.at(), silence.id).expect("there is one");
    bench.take(turn);
    assert_eq!(bench.told()[2..], [(Occasion::Resolved, 1)]);
    assert!(bench.engine.end_silence(bench.at(), silence.id).is_none());
}

#[test]
fn quiet_hours_hold_back() {
    let mut bench = Bench::new();
    bench.set(RuleName::GaveUp, "quiet", "11:00-13:00");
    bench.start();
    bench.exit();
    bench.hear(gave_up());
    assert!(bench.engine.has_quiet_hours() && bench.messages.is_empty());
    bench.pass(2500.0);
    assert!(bench.messages.is_empty());
    bench.pass(200.0);
    assert_eq!(bench.told(), [(Occasion::Opened, 1)]);
}

/// Back before its end was told: one story, and no second message.
#[test]
fn what_comes_back_while_nothing_may_be_told_goes_on() {
    let mut bench = Bench::new();
    bench.start();
    bench.exit();
    bench.hear(gave_up());
    let (silence, turn) =
        bench.engine.silence(bench.at(), Scope::default(), Duration::from_secs(60), String::new(), None);
    bench.take(turn);
    for _ in 0..5 {
        bench.hear(wanted_down());
        bench.start();
        bench.exit();
        bench.hear(gave_up());
    }
    let turn = bench.engine.end_silence(bench.at(), silence.id).expect("there is one");
    bench.take(turn);
    assert_eq!(bench.told(), [(Occasion::Opened, 1)]);
    assert_eq!((bench.shown.len(), bench.shown[&1].count), (1, 6));
    bench.hear(wanted_down());
    assert_eq!(bench.told(), [(Occasion::Opened, 1), (Occasion::Resolved, 6)]);
}

#[test]
fn ghosts_are_open_until_the_last_is_gone() {
    let mut bench = Bench::new();
    let stuck = || What::Stuck { count: 1, left: vec!["dd (12, D)".to_owned()] };
    bench.start();
    bench.hear(wanted_down());
    bench.hear(stuck());
    let first = bench.run;
    bench.hear(What::Quarantined { count: 1, left: Vec::new() });
    bench.start();
    bench.hear(stuck());
    assert_eq!(bench.told(), [(Occasion::Opened, 1)]);
    bench.hear(What::Empty { after: None });
    assert_eq!(bench.messages.len(), 1);
    bench.run = first;
    bench.hear(What::GhostGone { after: None, reboot: false });
    assert_eq!(bench.told(), [(Occasion::Opened, 1), (Occasion::Resolved, 3)]);
}

#[test]
fn a_lost_keeper_is_over_when_it_does_not_happen_again() {
    let mut bench = Bench::new();
    bench.start();
    bench.hear(What::KeeperLost);
    bench.hear(What::RestartScheduled { delay: Span::millis(1), attempt: 1, of: None });
    bench.start();
    bench.pass(61.0);
    assert_eq!(bench.told(), [(Occasion::Opened, 1), (Occasion::Resolved, 1)]);
}

#[test]
fn a_rule_that_is_off_finds_nothing_and_ends_what_it_found() {
    let mut bench = Bench::new();
    bench.start();
    bench.exit();
    bench.hear(gave_up());
    bench.set(RuleName::GaveUp, "on", "no");
    assert_eq!(bench.told().len(), 2);
    assert!(bench.messages[1].text.contains("turned off"));
    bench.hear(gave_up());
    bench.pass(1000.0);
    assert_eq!((bench.told().len(), bench.entries.len()), (2, 2));
}

/// Pending timers outlive the daemon, and a restart of the machine.
#[test]
fn timers_survive() {
    for same_boot in [true, false] {
        let mut bench = Bench::new();
        bench.start();
        bench.hear(degraded());
        bench.pass(30.0);
        bench.restart(same_boot);
        bench.pass(if same_boot { 29.0 } else { 0.0 });
        assert_eq!(bench.messages.is_empty(), same_boot, "an hour has passed otherwise");
        bench.pass(2.0);
        assert_eq!(bench.told(), [(Occasion::Opened, 1)]);
        bench.restart(same_boot);
        bench.hear(healthy());
        assert_eq!(bench.told().len(), 2);
        // The cooldown counts on.
        bench.hear(degraded());
        bench.pass(100.0);
        bench.restart(true);
        bench.pass(100.0);
        assert_eq!(bench.told().len(), 2, "{same_boot}");
    }
}

/// An entry that was journalled late counts for when it happened.
#[test]
fn old_entries_are_old() {
    let mut bench = Bench::new();
    let subject = Subject::Service { project: name("demo"), service: name("api"), mode: None };
    for back in (0..6).rev() {
        let at = Wall(bench.at().now.wall.0 - back * 60 * SECOND);
        for what in [
            What::Exited { exit: Exit::Code(1), ran: None },
            What::RestartScheduled { delay: Span::millis(1), attempt: 1, of: None },
        ] {
            bench.seq += 1;
            let entry = Entry::new(at, subject.clone(), Some(RunId(back)), what);
            let turn = bench.engine.hear(bench.at(), bench.seq, &entry);
            bench.take(turn);
        }
    }
    assert!(bench.messages.is_empty(), "six in six minutes, heard at once");
}

#[test]
fn the_past_is_bounded() {
    let mut bench = Bench::new();
    for _ in 0..HISTORY + 20 {
        bench.hear(gave_up());
        bench.hear(wanted_down());
        bench.pass(400.0);
    }
    assert_eq!(bench.shown.len(), HISTORY);
    assert_eq!(bench.shown.keys().next(), Some(&21));
}

#[test]
fn the_lines_that_explain_are_kept() {
    let mut bench = Bench::new();
    bench.hear(gave_up());
    let turn = bench.engine.explain(1, vec!["panic".to_owned()]);
    assert!(turn.store);
    bench.take(turn);
    assert_eq!(bench.shown[&1].output, ["panic"]);
    assert_eq!(bench.engine.explain(7, Vec::new()), Turn::default());
}
