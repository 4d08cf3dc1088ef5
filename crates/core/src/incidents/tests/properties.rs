//! What holds for any sequence of events.

use proptest::prelude::*;

use super::limits::of;
use super::sources::{nas, offline};
use super::*;
use crate::samples::Metric;
use crate::units::Span;

/// One thing that happens to one of two containers, or to their source, or is measured.
fn happens_elsewhere(bench: &mut Bench, one: &str, kind: u8) {
    let text = |text: &str| text.to_owned();
    let gap = || What::Gap { from: Wall(0), to: Wall(1), why: String::new() };
    let changed = |how| What::SourceChanged { how: text(how), by: String::new() };
    match kind {
        0..=13 => {
            let all = [
                "start",
                "start",
                "die 7",
                "die 7",
                "die 7",
                "die 0",
                "die 137 oom",
                "die 7 inferred",
                "kill 15",
                "stop",
                "oom",
                "health_status unhealthy",
                "health_status healthy",
                "destroy",
            ];
            bench.docker_of(one, all[usize::from(kind)]);
        }
        14 => bench.hear_about(nas(), offline()),
        15 => bench.hear_about(nas(), What::SourceOnline { after: None }),
        16 => bench.hear_about(nas(), gap()),
        17 => bench.hear_about(nas(), changed("paused")),
        18 => bench.hear_about(nas(), changed("changed: unix:///x")),
        _ => {
            let percent = |kind: u8| Metric::CpuOfCore.stored(f64::from(kind % 5) * 25.0).expect("a number");
            let container = of(&format!("container nas/id-{one}"), one, &[(Metric::CpuOfCore, percent(kind))]);
            let disk = of("source nas", "", &[(Metric::DiskUsedPercent, percent(kind / 2))]);
            bench.measure(30, &[container, disk]);
        }
    }
}

/// One thing that happens to one of two services.
fn happens(bench: &mut Bench, service: &str, kind: u8) {
    let text = String::new;
    let what = match kind {
        0 => What::Started { main_pid: 1, containment: Containment::Cgroup2, by: text(), attempt: 0 },
        1 | 2 => What::Exited { exit: Exit::Code(i32::from(kind)), ran: None },
        3 => What::Empty { after: None },
        4 | 5 => What::RestartScheduled { delay: Span::millis(1), attempt: 1, of: None },
        6 => What::GaveUp { reason: text() },
        7 => What::NotReady { within: Span::secs(1), why: text() },
        8 => What::Ready { after: Span::secs(1) },
        9 => What::Degraded { failures: 1, why: text() },
        10 => What::Healthy { after: Span::secs(1) },
        11 => What::Stuck { count: 1, left: Vec::new() },
        12 => What::GhostGone { after: None, reboot: false },
        13 => What::KeeperLost,
        14 => What::WantedDown { by: text() },
        15 => {
            bench.run += 1;
            What::Locked
        }
        _ => What::Stopping { cause: text() },
    };
    bench.hear_of(service, what);
}

fn holds(bench: &Bench) -> Result<(), TestCaseError> {
    let mut open = BTreeSet::new();
    for incident in bench.shown.values().filter(|incident| incident.is_open()) {
        prop_assert!(open.insert((incident.subject.clone(), incident.cause())), "two of one cause: {:?}", incident);
    }
    let live: BTreeSet<u64> = bench.engine.live().map(|incident| incident.id).collect();
    let lost: Vec<u64> =
        bench.shown.values().filter(|one| one.is_open() && !live.contains(&one.id)).map(|one| one.id).collect();
    prop_assert!(lost.is_empty(), "shown as open, and nobody ends it: {:?}", lost);
    prop_assert!(keys_differ(&bench.messages));
    // Of each incident: opened at most once, resolved at most once and only after that, nothing afterwards.
    let mut stories: BTreeMap<u64, Vec<Occasion>> = BTreeMap::new();
    for message in &bench.messages {
        stories.entry(message.incident.unwrap_or(0)).or_default().push(message.occasion);
    }
    for (id, told) in stories {
        let place = |wanted| told.iter().filter(move |occasion| **occasion == wanted).count();
        prop_assert_eq!(told[0], Occasion::Opened, "{}: {:?}", id, &told);
        prop_assert!(place(Occasion::Opened) == 1 && place(Occasion::Resolved) <= 1, "{}: {:?}", id, &told);
        prop_assert!(place(Occasion::Resolved) == 0 || told.last() == Some(&Occasion::Resolved), "{}: {:?}", id, &told);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// At most one open incident per subject and cause; every one that was opened is resolved, or still true; messages are
    /// bounded by the time that passed, not by what happens; and a daemon may die anywhere.
    #[test]
    fn one_story_per_cause(steps in proptest::collection::vec((0..2_u8, 0..20_u8, 0..120_u32), 1..250)) {
        let mut bench = Bench::new();
        let begun = bench.second;
        for (service, kind, pause) in steps {
            let service = ["api", "db"][usize::from(service)];
            match kind {
                17 => bench.restart(true),
                18 => bench.restart(false),
                19 => {
                    let scope = Scope { service: Some(name(service)), ..Scope::default() };
                    let length = Duration::from_secs(u64::from(pause) * 10);
                    let (_, turn) = bench.engine.silence(bench.at(), scope, length, String::new(), None);
                    bench.take(turn);
                }
                kind => happens(&mut bench, service, kind),
            }
            bench.pass(f64::from(pause * pause) / 100.0);
            holds(&bench)?;
        }
        let cooldowns = (bench.second - begun) / 300.0 + 1.0;
        // Two services, four causes, and two messages for each cooldown; reminders after hours.
        prop_assert!(bench.messages.len() as f64 <= cooldowns * 2.0 * 4.0 * 2.0, "{} messages", bench.messages.len());

        // Everything is seen to: what was opened is resolved.
        for service in ["api", "db"] {
            bench.hear_of(service, What::WantedDown { by: String::new() });
            let runs: BTreeSet<RunId> = bench.engine.live().flat_map(|one| one.clock.runs.clone()).collect();
            for run in runs {
                bench.run = run.0;
                bench.hear_of(service, What::GhostGone { after: None, reboot: false });
            }
        }
        bench.pass(86_400.0);
        holds(&bench)?;
        let open: Vec<&Incident> = bench.shown.values().filter(|incident| incident.standing != Standing::Resolved).collect();
        prop_assert!(open.is_empty(), "never resolved: {:?}", open);
        let told: BTreeSet<Option<u64>> = bench.messages.iter().filter(|one| one.occasion == Occasion::Opened).map(|one| one.incident).collect();
        let over: BTreeSet<Option<u64>> = bench.messages.iter().filter(|one| one.occasion == Occasion::Resolved).map(|one| one.incident).collect();
        prop_assert_eq!(told, over, "what was told to be open is told to be over");
        prop_assert_eq!(bench.engine.deadline(bench.at()), None, "nothing wakes while nothing happens");
    }

    /// The same of containers, their source, and what is measured of them.
    #[test]
    fn one_story_per_cause_elsewhere(steps in proptest::collection::vec((0..2_u8, 0..34_u8, 0..120_u32), 1..250)) {
        let mut bench = Bench::new();
        bench.set(RuleName::ContainerExited, "on", "yes");
        bench.add("busy", "metric=cpu_percent_of_core of=container:* above=80 clear=60 for=1m");
        let begun = bench.second;
        for (which, kind, pause) in steps {
            let one = ["web", "db"][usize::from(which)];
            match kind {
                32 => bench.restart(true),
                33 => bench.restart(false),
                kind => happens_elsewhere(&mut bench, one, kind),
            }
            bench.pass(f64::from(pause * pause) / 100.0);
            holds(&bench)?;
        }
        let time = bench.second - begun;
        // Of containers four causes each, of the source two, one of which is told once an hour at most.
        let most = (time / 300.0 + 1.0) * 2.0 * (2.0 * 4.0 + 1.0) + (time / 3600.0 + 1.0) * 2.0;
        prop_assert!(bench.messages.len() as f64 <= most, "{} messages", bench.messages.len());
        for one in ["web", "db"] {
            bench.docker_of(one, "destroy");
        }
        bench.hear_about(nas(), What::SourceChanged { how: "removed".to_owned(), by: String::new() });
        bench.pass(86_400.0);
        holds(&bench)?;
        let open: Vec<&Incident> = bench.shown.values().filter(|incident| incident.standing != Standing::Resolved).collect();
        prop_assert!(open.is_empty(), "never resolved: {:?}", open);
        let told = |wanted| bench.messages.iter().filter(|one| one.occasion == wanted).filter_map(|one| one.incident).collect::<BTreeSet<_>>();
        prop_assert_eq!(told(Occasion::Opened), told(Occasion::Resolved), "what was told to be open is told to be over");
        prop_assert_eq!(bench.engine.deadline(bench.at()), None, "nothing wakes while nothing happens");
        prop_assert!(bench.engine.stretches.is_empty() && bench.engine.containers.is_empty());
    }

    /// A daemon that dies anywhere goes on from what it stored: the entries behind the cursor are heard again, and what was
    /// told before is not told again.
    #[test]
    fn hearing_again_tells_nothing_twice(steps in proptest::collection::vec((0..17_u8, 0..80_u32), 1..200)) {
        let mut engine = Engine::new(7, 0);
        let mut stored = engine.kept(Now::default());
        let mut journal: Vec<Entry> = Vec::new();
        let mut messages: Vec<Message> = Vec::new();
        let (mut nanos, mut run) = (1_000 * SECOND, 1);
        for (kind, pause) in steps {
            nanos += u64::from(pause) * SECOND / 4;
            let at = Moment { now: Now { mono: Mono(nanos), wall: Wall(NOON * SECOND + nanos) }, offset: 0 };
            let mut bench = Bench::new();
            (bench.run, bench.second) = (run, nanos as f64 / 1e9);
            // The bench only makes the entry.
            if kind == 16 {
                engine = Engine::restore(stored.clone(), [], [], at.now, true);
                for (seq, entry) in journal.clone().iter().enumerate().skip(usize::try_from(engine.cursor()).expect("small")) {
                    let turn = engine.hear(at, seq as u64 + 1, entry);
                    note(&engine, turn, at, &mut journal, &mut messages, &mut stored);
                }
            } else {
                let subject = Subject::Service { project: name("demo"), service: name("api"), mode: None };
                let what = match kind {
                    0..=5 => What::Exited { exit: Exit::Code(1), ran: None },
                    6..=11 => What::RestartScheduled { delay: Span::millis(1), attempt: 1, of: None },
                    12 => What::GaveUp { reason: String::new() },
                    13 => { run += 1; What::Started { main_pid: 1, containment: Containment::Cgroup2, by: String::new(), attempt: 0 } }
                    14 => What::Degraded { failures: 1, why: String::new() },
                    _ => What::Healthy { after: Span::secs(1) },
                };
                journal.push(Entry::new(at.now.wall, subject, Some(RunId(run)), what));
            }
            loop {
                let seq = engine.cursor();
                let Some(entry) = journal.get(usize::try_from(seq).expect("small")).cloned() else { break };
                let turn = engine.hear(at, seq + 1, &entry);
                note(&engine, turn, at, &mut journal, &mut messages, &mut stored);
            }
            let turn = engine.tick(at);
            note(&engine, turn, at, &mut journal, &mut messages, &mut stored);
        }
        prop_assert!(keys_differ(&messages), "{:?}", messages);
        let opened = journal.iter().filter(|entry| matches!(entry.what, What::IncidentOpened { .. })).count();
        let resolved = journal.iter().filter(|entry| matches!(entry.what, What::IncidentResolved { .. })).count();
        prop_assert!(opened >= resolved && opened - resolved <= 2);
    }
}

/// What the daemon does with a turn: all of it is stored in one go, or nothing.
fn note(
    engine: &Engine,
    turn: Turn,
    at: Moment,
    journal: &mut Vec<Entry>,
    messages: &mut Vec<Message>,
    stored: &mut Kept,
) {
    assert!(turn.store || turn.entries.is_empty() && turn.messages.is_empty(), "what is seen is stored");
    journal.extend(turn.entries);
    messages.extend(turn.messages);
    if turn.store {
        *stored = engine.kept(at.now);
    }
}
