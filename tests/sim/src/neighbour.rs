//! An engine beside the services of a schedule: what happens to its containers, and what is measured of them, goes through
//! the incident engine in between everything else.
//!
//! Three containers: `wild` crashes, runs out of memory and is unhealthy as it comes; `loops` crashes and is started again by
//! its engine; to `calm` nothing happens that nobody asked for.

use vigie_core::clock::{Now, Wall};
use vigie_core::incidents::{RuleId, Rules};
use vigie_core::journal::{Entry, Subject, What};
use vigie_core::name::Name;
use vigie_core::policy::Draws;
use vigie_core::samples::{self, Metric, pack_readings};

/// The one to which nothing happens that is worth a word.
pub const CALM: &str = "calm";

/// Between two samples, in seconds.
pub const EVERY: u64 = 30;

/// How far the engine's clock is behind.
const SKEW: u64 = 5_400_000_000_000;

/// What follows from one look at it.
#[derive(Debug)]
pub enum News {
    /// For the journal.
    Entries(Vec<Entry>),
    /// A round of samples.
    Round(Vec<(samples::Subject, Vec<u8>)>),
}

fn source() -> Name {
    Name::lossy("nas")
}

/// The rules with which a schedule begins: one more than there always are.
pub fn rules() -> Rules {
    let mut rules = Rules::default();
    let text = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let limit =
        [text("metric", "cpu_percent_of_core"), text("of", "container:*"), text("above", "80"), text("for", "1m")];
    let exited = [text("on", "yes")];
    let all = [("busy", &limit[..]), ("container-exited", &exited[..])];
    for (name, settings) in all {
        let id: Result<RuleId, _> = name.parse();
        let done = id.map(|id| if name == "busy" { rules.add(&id, settings) } else { rules.set(&id, settings) });
        assert!(matches!(done, Ok(Ok(()))), "{name}: {done:?}");
    }
    rules
}

/// What may happen next.
pub fn next(draws: &mut Draws, now: Now) -> News {
    let mut below = |bound: u64| draws.bits() % bound;
    let wild = [
        "start",
        "die 1",
        "die 0",
        "oom",
        "die 137 oom",
        "health unhealthy",
        "health healthy",
        "kill 15",
        "die 1 inferred",
    ];
    let calm: [&[&str]; 5] = [
        &["kill 15", "kill 9", "die 137", "stop", "start", "restart"],
        &["kill 15", "die 143", "stop", "start"],
        &["kill 9", "die 137", "start"],
        &["kill 1"],
        &["die 0", "start"],
    ];
    let many = |name: &str, texts: &[&str]| {
        let each = texts.iter().zip(1_u64..).map(|(text, place)| event(name, text, now, place));
        News::Entries(each.collect())
    };
    match below(12) {
        0..=2 => many("wild", &[wild[below(wild.len() as u64) as usize]]),
        3..=5 => many("loops", &["die 7", "start"]),
        6 | 7 => many(CALM, calm[below(5) as usize]),
        8 => {
            let what = match below(5) {
                0 => What::SourceOffline { why: "refused".to_owned() },
                1 | 2 => What::SourceOnline { after: None },
                3 => What::Gap { from: Wall(1), to: Wall(2), why: "forgotten".to_owned() },
                _ => What::SourceChanged { how: "paused".to_owned(), by: "anna".to_owned() },
            };
            News::Entries(vec![Entry::new(now.wall, Subject::Source(source()), None, what)])
        }
        _ => {
            let row = |metric, value| {
                let mut row = Vec::new();
                pack_readings(&[(metric, value)], &mut row);
                row
            };
            let subject = |name: &str, key: &str| samples::Subject { name: name.to_owned(), key: key.to_owned() };
            News::Round(vec![
                (subject("container nas/id-wild", "wild"), row(Metric::CpuOfCore, below(110) * 1000)),
                (subject("container nas/id-loops", "loops"), row(Metric::CpuOfCore, 60_000 + below(50) * 1000)),
                (subject("container nas/id-calm", CALM), row(Metric::CpuOfCore, below(80) * 1000)),
                (subject("source nas", ""), row(Metric::DiskUsedPercent, 70_000 + below(30) * 1000)),
            ])
        }
    }
}

/// The source is removed, and with it everything that is known of it.
pub fn end(now: Now) -> Entry {
    let what = What::SourceChanged { how: "removed".to_owned(), by: "anna".to_owned() };
    Entry::new(now.wall, Subject::Source(source()), None, what)
}

fn event(name: &str, text: &str, now: Now, place: u64) -> Entry {
    let words: Vec<&str> = text.split(' ').collect();
    let (action, word) = (words[0], words.get(1).copied());
    let inferred = words.contains(&"inferred");
    let number = |wanted| word.filter(|_| action == wanted).and_then(|word| word.parse().ok());
    let at = now.wall.0.saturating_sub(SKEW) + place * 1_000_000;
    let what = What::ContainerEvent {
        action: if action == "health" { "health_status" } else { action }.to_owned(),
        id: format!("id-{name}"),
        image: "image".to_owned(),
        time_nano: Some(at).filter(|_| !inferred),
        exit_code: number("die"),
        signal: number("kill"),
        oom: (action == "die" && !inferred).then(|| words.contains(&"oom")),
        health: word.filter(|_| action == "health").map(str::to_owned),
        old_name: None,
        inferred,
    };
    let subject = Subject::Container { source: source(), name: name.to_owned(), id: format!("id-{name}") };
    Entry::new(if inferred { now.wall } else { Wall(at) }, subject, None, what)
}
