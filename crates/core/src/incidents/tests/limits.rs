//! Limits of what is measured.

use std::sync::Arc;

use super::sources::nas;
use super::*;
use crate::samples::{self, Metric, pack_readings};

/// What was measured of one subject.
type Row = (Arc<samples::Subject>, Vec<u8>);

pub(super) fn of(subject: &str, key: &str, readings: &[(Metric, u64)]) -> Row {
    let mut row = Vec::new();
    pack_readings(readings, &mut row);
    (Arc::new(samples::Subject { name: subject.to_owned(), key: key.to_owned() }), row)
}

fn cpu(percent: f64) -> Row {
    let stored = Metric::CpuOfCore.stored(percent).expect("a number");
    of("service demo/api:headless", "folder", &[(Metric::CpuOfCore, stored), (Metric::Memory, 1 << 20)])
}

fn disk(percent: f64) -> Row {
    let stored = Metric::DiskUsedPercent.stored(percent).expect("a number");
    of("source nas", "", &[(Metric::DiskUsed, 1 << 40), (Metric::DiskUsedPercent, stored)])
}

impl Bench {
    pub(super) fn measure(&mut self, every: u64, rows: &[Row]) {
        let round = rows.iter().map(|(subject, row)| (&**subject, row.as_slice()));
        let turn = self.engine.judge(self.at(), Duration::from_secs(every), round, &());
        self.take(turn);
    }

    /// So many rounds, and then the time until the next.
    fn rounds(&mut self, count: u32, every: u64, row: &Row) {
        for _ in 0..count {
            self.measure(every, std::slice::from_ref(row));
            self.pass(every as f64);
        }
    }

    pub(super) fn add(&mut self, rule: &str, settings: &str) {
        let id = rule.parse().expect("a name");
        let turn = self.engine.add_rule(self.at(), &id, &pairs(settings)).expect("it fits");
        self.take(turn);
    }
}

const BUSY: &str = "metric=cpu_percent_of_core of=service:demo/api above=80 clear=70 for=1m";

#[test]
fn beyond_for_long_enough() {
    let mut bench = Bench::new();
    bench.add("busy", BUSY);
    bench.rounds(12, 5, &cpu(95.0));
    assert!(bench.messages.is_empty(), "55 seconds lie between the first and the twelfth");
    bench.rounds(1, 5, &cpu(97.5));
    assert_eq!(bench.told(), [(Occasion::Opened, 1)]);
    assert_eq!(bench.messages[0].title(), "demo/api: cpu_percent_of_core is 97.5 %, above 80 % for 1m");
    assert_eq!(
        (bench.messages[0].severity, bench.messages[0].rule.as_ref().map(RuleId::name)),
        (Severity::Warning, Some("busy"))
    );
    bench.rounds(100, 5, &cpu(75.0));
    assert_eq!(bench.told().len(), 1, "neither wrong nor well");
    let texts: Vec<&str> = bench.engine.live().map(|incident| incident.text.as_str()).collect();
    assert_eq!(texts, ["cpu_percent_of_core is 75 %, not yet down to 70 %"]);
    bench.rounds(1, 5, &cpu(70.0));
    assert_eq!(bench.told().len(), 2);
    assert!(bench.messages[1].text.starts_with("cpu_percent_of_core is 70 % (after 9m"), "{}", bench.messages[1].text);
    let kinds: Vec<&str> = bench.entries.iter().map(|entry| entry.what.kind()).collect();
    assert_eq!(kinds, ["incident_opened", "incident_resolved"]);
    bench.pass(1e6);
    assert_eq!((bench.engine.live().count(), bench.engine.deadline(bench.at())), (0, None));
}

/// What is measured at an edge opens and resolves nothing again and again.
#[test]
fn at_the_edge() {
    let mut bench = Bench::new();
    for round in 0..2000 {
        bench.rounds(1, 300, &disk(if round % 2 == 0 { 85.1 } else { 84.9 }));
    }
    let resolved = bench.told().iter().filter(|(occasion, _)| *occasion == Occasion::Resolved).count();
    assert_eq!((resolved, bench.engine.live().count()), (0, 1), "a week is one story, with a reminder each day");
    assert_eq!(bench.messages[0].title(), "source:nas: disk_used_percent is 85.1 %, above 85 %");
    assert!(bench.told().len() <= 8, "{:?}", bench.told());
    bench.rounds(1, 300, &disk(79.0));
    assert_eq!(bench.told().last().map(|told| told.0), Some(Occasion::Resolved));
    // The cooldown of an hour outlives the daemon.
    let told = bench.told().len();
    bench.restart(true);
    bench.rounds(1, 300, &disk(90.0));
    bench.pass(2900.0);
    assert_eq!(bench.told().len(), told);
    bench.rounds(1, 300, &disk(90.0));
    bench.pass(300.0);
    assert_eq!(bench.told().len(), told + 1, "and then what is still so is told");
}

/// A gap is neither wrong nor well, and a few samples are no proof for a long time.
#[test]
fn gaps_prove_nothing() {
    // (seconds until the next sample, percent, how often) …, and whether it is told.
    let long = |rows: &[(u64, f64, u32)]| {
        let mut bench = Bench::new();
        bench.add("busy", "metric=cpu_percent_of_core of=service:* above=80 clear=70 for=10m");
        for (every, percent, count) in rows {
            for _ in 0..*count {
                bench.measure(5, &[cpu(*percent)]);
                bench.pass(*every as f64);
            }
        }
        bench.messages.len()
    };
    assert_eq!(long(&[(5, 90.0, 122)]), 1);
    assert_eq!(long(&[(600, 90.0, 2)]), 0, "two samples");
    assert_eq!(long(&[(60, 90.0, 30)]), 0, "one sample in twelve");
    assert_eq!(long(&[(5, 90.0, 60), (400, 90.0, 1), (5, 90.0, 3)]), 0, "a hole of 400 s");
    assert_eq!(long(&[(5, 90.0, 60), (400, 90.0, 1), (5, 90.0, 110)]), 1, "and then enough of it");
    assert_eq!(long(&[(5, 90.0, 60), (5, 69.0, 1), (5, 90.0, 61)]), 0, "it was well for a moment");
    assert_eq!(long(&[(5, 90.0, 60), (5, 75.0, 5), (5, 90.0, 58)]), 1, "dips that are not well, and not many");
    assert_eq!(long(&[(5, 90.0, 60), (5, 75.0, 65)]), 0, "most of the last ten minutes was not beyond");
    assert_eq!(long(&[(5, 90.0, 1), (5, 75.0, 500), (5, 90.0, 90)]), 0, "what counts are the last ten minutes");
    assert_eq!(long(&[(5, 90.0, 1), (5, 75.0, 500), (5, 90.0, 105)]), 1);
    // Somebody watches: the rate changes, the time does not.
    assert_eq!(long(&[(5, 90.0, 60), (1, 90.0, 200), (5, 90.0, 22)]), 1);
    assert_eq!(long(&[(1, 90.0, 300), (5, 90.0, 50)]), 0);
}

/// A daemon that dies, and a machine that is restarted, do not begin to count anew.
#[test]
fn a_stretch_outlives_the_daemon() {
    for same_boot in [true, false] {
        let mut bench = Bench::new();
        bench.add("busy", "metric=cpu_percent_of_core of=service:demo/* above=80 for=10m");
        bench.rounds(110, 5, &cpu(90.0));
        bench.restart(same_boot);
        bench.rounds(12, 5, &cpu(90.0));
        assert_eq!(bench.messages.len(), usize::from(same_boot), "an hour of which nothing is known otherwise");
        bench.rounds(100, 5, &cpu(90.0));
        assert_eq!(bench.told(), [(Occasion::Opened, 1)]);
        bench.restart(same_boot);
        bench.rounds(1, 5, &cpu(10.0));
        assert_eq!(bench.told().len(), 2);
    }
}

#[test]
fn what_ends_ends_what_was_measured_of_it() {
    let mut bench = Bench::new();
    bench.add("busy", "metric=cpu_percent_of_core of=service:demo/api above=80");
    bench.start();
    bench.rounds(3, 5, &cpu(90.0));
    assert_eq!(bench.told(), [(Occasion::Opened, 1)]);
    bench.hear(What::WantedDown { by: "anna".to_owned() });
    assert!(bench.messages[1].text.starts_with("it ended"), "{}", bench.messages[1].text);
    let row = |percent: u64| of("container nas/ab12", "web", &[(Metric::CpuOfCore, percent * 1000)]);
    bench.add("busy-too", "metric=cpu_percent_of_core of=container:nas/w* above=80");
    bench.rounds(1, 30, &row(90));
    assert_eq!(bench.messages[2].title(), "container:nas/web: cpu_percent_of_core is 90 %, above 80 %");
    bench.hear_about(nas(), What::SourceChanged { how: "set metrics=off".to_owned(), by: "anna".to_owned() });
    assert_eq!(bench.told().len(), 4);
    // Still so afterwards, and told when the cooldown is over.
    bench.rounds(20, 30, &row(90));
    assert_eq!(bench.told().len(), 5);
    // Of whom nothing is measured any more for a day nothing is known.
    bench.pass(90_000.0);
    let last = bench.messages.last().expect("one");
    assert!(last.text.starts_with("nothing was measured of it for 1d"), "{}", last.text);
    assert_eq!((bench.engine.live().count(), bench.engine.stretches.len()), (0, 0));
}

#[test]
fn only_whom_it_means() {
    let row = |subject: &str, key: &str| of(subject, key, &[(Metric::Memory, 100), (Metric::MemoryLimit, 110)]);
    let rows = [
        row("service demo/api", "k"),
        row("service demo/api2", "k"),
        row("service shop/api:fast", "k"),
        row("container nas/ab", "web"),
        row("container lab/cd", "web2"),
        row("container lab/ef", ""),
        row("source nas", ""),
        row("planet nas", ""),
        row("nothing", ""),
    ];
    for (pattern, metric, wanted) in [
        ("service:demo/api", "memory_bytes", &["demo/api"][..]),
        ("service:api", "memory_bytes", &["demo/api", "shop/api"]),
        ("service:demo/*", "memory_bytes", &["demo/api", "demo/api2"]),
        ("service:demo/api*", "memory_bytes", &["demo/api", "demo/api2"]),
        ("service:*", "memory_bytes", &["demo/api", "demo/api2", "shop/api"]),
        ("service:dem*", "memory_bytes", &[]),
        ("container:web", "memory_bytes", &["container:nas/web"]),
        ("container:web*", "memory_percent_of_limit", &["container:lab/web2", "container:nas/web"]),
        ("container:nas/*", "memory_percent_of_limit", &["container:nas/web"]),
        ("container:ef", "memory_bytes", &["container:lab/ef"]),
    ] {
        let mut bench = Bench::new();
        bench.add(
            "r",
            &format!("metric={metric} of={pattern} above={}", if metric == "memory_bytes" { "50B" } else { "50" }),
        );
        bench.measure(5, &rows);
        let found: BTreeSet<String> = bench.engine.live().map(|incident| incident.subject.to_string()).collect();
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), wanted, "{pattern}");
    }
}

/// Who has no limit, and of whom memory is not known, is not judged by it.
#[test]
fn memory_of_its_limit() {
    let mut bench = Bench::new();
    bench.add("hungry", "metric=memory_percent_of_limit of=container:* above=90");
    let row = |readings: &[(Metric, u64)]| of("container nas/ab", "web", readings);
    for readings in [
        &[(Metric::Memory, 1 << 40)][..],
        &[(Metric::MemoryLimit, 1)],
        &[(Metric::Memory, 1), (Metric::MemoryLimit, 0)],
        &[(Metric::Memory, 90), (Metric::MemoryLimit, 100)],
        &[],
    ] {
        bench.rounds(2, 30, &row(readings));
        assert_eq!(bench.engine.live().count(), 0, "{readings:?}");
    }
    bench.rounds(1, 30, &row(&[(Metric::Memory, u64::MAX), (Metric::MemoryLimit, 1 << 30)]));
    assert_eq!(bench.told(), [(Occasion::Opened, 1)], "numbers that lie do no harm");
    bench.rounds(1, 30, &row(&[(Metric::Memory, 500 << 20), (Metric::MemoryLimit, 1 << 30)]));
    assert!(bench.messages[1].text.starts_with("memory_percent_of_limit is 48.8 %"), "{}", bench.messages[1].text);
}

#[test]
fn below() {
    let mut bench = Bench::new();
    bench.add("asleep", "metric=threads of=service:* below=4 severity=notice");
    let row = |threads| of("service demo/api", "", &[(Metric::Threads, threads)]);
    bench.rounds(1, 5, &row(4));
    assert!(bench.messages.is_empty());
    bench.rounds(1, 5, &row(3));
    assert_eq!(bench.messages[0].text, "threads is 3, below 4");
    bench.rounds(1, 5, &row(0));
    bench.rounds(1, 5, &row(4));
    assert_eq!(bench.told(), [(Occasion::Opened, 1), (Occasion::Resolved, 2)]);
}

/// A limit that a subject brings with it takes the place of that of the rule.
#[test]
fn limits_of_a_subject() {
    struct Own(Bound);
    impl Standards for Own {
        fn bound(&self, rule: &RuleId, subject: &samples::Subject) -> Option<Bound> {
            (*rule == RuleName::DiskLow && subject.name == "source nas").then_some(self.0)
        }
    }
    let bytes = Measure::Metric(Metric::DiskUsed);
    let own = Own(Bound::parse(bytes, Side::Above, "50GB", None).expect("a bound"));
    let mut bench = Bench::new();
    for (used, told) in [(49_u64, 0), (51, 1), (46, 1), (45, 2)] {
        let row = of("source nas", "", &[(Metric::DiskUsed, used * 1_000_000_000)]);
        let turn = bench.engine.judge(bench.at(), Duration::from_secs(300), [(&*row.0, &*row.1)].into_iter(), &own);
        bench.take(turn);
        assert_eq!(bench.told().len(), told, "{used}");
    }
    assert_eq!(bench.messages[0].text, "disk_used_bytes is 47.5 GiB, above 46.6 GiB");
}

/// A rule that is changed, turned off or removed ends what it found.
#[test]
fn rules_that_go() {
    let mut bench = Bench::new();
    let busy: RuleId = "busy".parse().expect("a name");
    bench.add("busy", "metric=cpu_percent_of_core of=service:* above=80 cooldown=0s");
    bench.rounds(1, 5, &cpu(90.0));
    bench.set(busy.clone(), "above", "95");
    assert!(bench.messages[1].text.starts_with("its rule was changed"), "{}", bench.messages[1].text);
    bench.rounds(1, 5, &cpu(90.0));
    assert_eq!(bench.told().len(), 2);
    bench.rounds(1, 5, &cpu(96.0));
    bench.set(busy.clone(), "on", "no");
    assert!(bench.messages[3].text.starts_with("its rule was turned off"), "{}", bench.messages[3].text);
    bench.rounds(1, 5, &cpu(96.0));
    bench.set(busy.clone(), "on", "yes");
    bench.rounds(1, 5, &cpu(96.0));
    assert_eq!(bench.told().len(), 5);
    let turn = bench.engine.remove_rule(bench.at(), &busy).expect("there is one");
    bench.take(turn);
    assert!(bench.messages[5].text.starts_with("its rule was removed"), "{}", bench.messages[5].text);
    bench.rounds(1, 5, &cpu(96.0));
    assert_eq!((bench.told().len(), bench.engine.live().count()), (6, 0));
    assert!(bench.engine.remove_rule(bench.at(), &busy).is_err());
    // The end is told although the rule is gone.
    bench.add("busy", "metric=cpu_percent_of_core of=service:* above=80 quiet=00:00-23:59");
    bench.rounds(1, 5, &cpu(90.0));
    let turn = bench.engine.remove_rule(bench.at(), &busy).expect("there is one");
    bench.take(turn);
    bench.pass(1e5);
    assert_eq!((bench.told().len(), bench.engine.live().count()), (6, 0));
}

#[test]
fn what_is_no_rule() {
    let mut rules = Rules::default();
    for (name, settings, word) in [
        ("crash-loop", "exits=3", "there is a rule crash-loop already"),
        ("r", "of=service:*", "say what is measured: metric="),
        ("r", "metric=memory_bytes above=1", "say of whom: of="),
        ("r", "metric=memory_bytes of=service:*", "say from where on: above="),
        ("r", "metric=memory_bytes of=service:* above=1 below=2", "not both"),
        ("r", "metric=cpu of=service:* above=1", "it is not measured of a service"),
        ("r", "metric=cpu_percent_of_cor of=container:* above=1", "did you mean \"cpu_percent_of_core\"?"),
        ("r", "metric=memori_bytes of=container:* above=1", "measured are cpu_percent_of_core, cpu_percent_of_host"),
        ("r", "metric=disk_used_percent of=service:* above=1", "it is not measured of a service"),
        ("r", "metric=memory_bytes of=web above=1", "of=web: write service:NAME"),
        ("r", "metric=memory_bytes of=pod:web above=1", "of=pod:web: write"),
        ("r", "metric=memory_bytes of=service:a/b/c above=1", "write service:NAME"),
        ("r", "metric=memory_bytes of=service:a*b above=1", "write service:NAME"),
        ("r", "metric=memory_bytes of=service: above=1", "write service:NAME"),
        ("r", "metric=memory_bytes of=service:a above=lots", "64MiB"),
        ("r", "metric=cpu_percent_of_core of=service:a above=-1", "a percentage, as 80"),
        ("r", "metric=cpu_percent_of_core of=service:a above=nan", "a percentage, as 80"),
        ("r", "metric=threads of=service:a above=1e300", "a number, as 200"),
        ("r", "metric=threads of=service:a above=10 clear=11", "clear=11: at most 10, where it begins"),
        ("r", "metric=threads of=service:a below=10 clear=9", "clear=9: at least 10, where it begins"),
        ("r", "metric=threads of=service:a above=10 coverage=0", "from 1 to 100"),
        ("r", "metric=threads of=service:a above=10 for=2d", "between"),
        ("r", "metric=threads of=service:a above=10 exits=3", "rule r has no setting \"exits\""),
        ("r", "metric=threads of=service:a abov=10", "did you mean \"above\"?"),
    ] {
        let id: RuleId = name.parse().expect("a name");
        let error = rules.add(&id, &pairs(settings)).expect_err(settings).to_string();
        assert!(error.contains(word), "{settings}: {error}");
        assert_eq!(rules, Rules::default(), "{settings}");
    }
    assert!("no name".parse::<RuleId>().is_err() && "".parse::<RuleId>().is_err());
    let id: RuleId = "busy".parse().expect("a name");
    rules.add(&id, &pairs(BUSY)).expect("it fits");
    assert!(rules.add(&id, &pairs(BUSY)).expect_err("twice").to_string().contains("already"));
    assert!(rules.remove(&RuleName::DiskLow.into()).expect_err("always").to_string().contains("on=no"));
    let near = rules.set(&"busi".parse().expect("a name"), &pairs("for=1m")).expect_err("none").to_string();
    assert_eq!(near, "there is no rule \"busi\"; did you mean \"busy\"?");
    // One takes the place of the other; what was written otherwise stays.
    rules.set(&id, &pairs("below=5 clear=default")).expect("it fits");
    let shown = rules.get(&id).shown(&id);
    let value = |key: &str| shown.iter().find(|(known, _)| *known == key).map(|(_, value)| value.as_str());
    assert_eq!(
        (value("above"), value("below"), value("clear"), value("for")),
        (None, Some("5"), Some("7.5"), Some("1m"))
    );
    // And is read back as it was kept, or shown.
    let edits = rules.edits(&id).cloned().expect("kept");
    assert_eq!(Rules::new([(id.clone(), edits)]).get(&id).shown(&id), shown);
    let written: Vec<(String, String)> = shown.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let mut again = Rules::default();
    again.add(&id, &written).expect("it fits");
    assert_eq!(again.get(&id).shown(&id), shown);
    // What a newer version wrote and this one cannot understand does nothing, and stays.
    let odd: Edits = pairs("metric=phase_of_moon of=service:a above=1").into_iter().collect();
    let rules = Rules::new([(id.clone(), odd.clone())]);
    assert!(rules.exists(&id).is_err() && rules.edits(&id) == Some(&odd));
}

#[test]
fn how_a_bound_is_chosen() {
    let metric = |text: &str| Measure::Metric(Metric::ALL.into_iter().find(|one| one.name() == text).expect("one"));
    for (measure, side, raise, values) in [
        (metric("disk_used_percent"), Side::Above, "85", [(80_000, "clear"), (80_001, "between"), (85_001, "beyond")]),
        (metric("disk_used_percent"), Side::Above, "4%", [(2_000, "clear"), (2_001, "between"), (4_001, "beyond")]),
        (metric("memory_bytes"), Side::Above, "100B", [(90, "clear"), (100, "between"), (101, "beyond")]),
        (metric("threads"), Side::Below, "10", [(11, "clear"), (10, "between"), (9, "beyond")]),
        (metric("threads"), Side::Above, "0", [(0, "clear"), (0, "clear"), (1, "beyond")]),
    ] {
        let bound = Bound::parse(measure, side, raise, None).expect("a bound");
        for (value, wanted) in values {
            let is = if bound.is_beyond(value) {
                "beyond"
            } else if bound.is_clear(value) {
                "clear"
            } else {
                "between"
            };
            assert_eq!(is, wanted, "{raise} {value}");
        }
    }
}

/// The time that this thread had a processor, in nanoseconds.
fn on_processor() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split(' ').next().and_then(|first| first.parse().ok()).expect("a number")
}

/// Rules that find nothing tell nothing, however many there are. What a round of a thousand subjects costs then, `--nocapture`
/// shows; `VIGIE_ROUNDS` for more rounds, of a release build.
#[test]
fn what_a_round_costs() {
    let row = |number: usize| {
        let readings =
            [(Metric::CpuOfCore, 50_000), (Metric::Memory, 1 << 30), (Metric::MemoryLimit, 1 << 31), (Metric::Sent, 1)];
        of(&format!("container nas/{number:064x}"), &format!("web-{number}"), &readings)
    };
    let rows: Vec<Row> = (0..1000).map(row).collect();
    let rounds = std::env::var("VIGIE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_u32);
    let time = |bench: &mut Bench, what: &str| {
        let begin = on_processor();
        for _ in 0..rounds {
            bench.measure(10, &rows);
        }
        println!("{what}: {:?} a round of 1,000", Duration::from_nanos(on_processor() - begin) / rounds);
    };
    let mut bench = Bench::new();
    time(&mut bench, "no rule about containers");
    bench.add("busy", "metric=cpu_percent_of_core of=container:* above=80 for=10m");
    time(&mut bench, "one rule, nothing beyond");
    for number in 0..9 {
        bench
            .add(&format!("r{number}"), &format!("metric=memory_percent_of_limit of=container:web-{number}* above=80"));
    }
    time(&mut bench, "ten rules, nothing beyond");
    assert!(bench.messages.is_empty());
    bench.set("busy".parse::<RuleId>().expect("a name"), "above", "40");
    time(&mut bench, "and one of them pending for all");
}
