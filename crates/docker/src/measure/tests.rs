mod served;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Mutex;

use vigie_core::docker::stats::Memory;
use vigie_core::samples::Metric;

use super::*;
use crate::fake::run;
use served::{Say, Served, body};

const LONG: Duration = Duration::from_secs(15);

fn of(measured: &[Measured], id: &str, metric: Metric) -> Option<u64> {
    let readings = &measured.iter().find(|one| &*one.id == id).expect("measured").readings;
    readings.iter().find_map(|(other, value)| (*other == metric).then_some(*value))
}

#[test]
fn the_second_round_knows_cpu_by_counters_of_our_own() {
    run(async {
        let served = Served::start("1.41", &["a", "b"], |id, number| {
            // The first closes its connection each time, which is its right.
            let body = body(id, 2 * number as u64 + 10, 10 + number as u64);
            if id == "a" { Say::BodyAndClose(body) } else { Say::Body(body) }
        });
        let mut gauge = served.gauge(None, 4);
        let first = gauge.round(LONG).await.expect("answered");
        assert_eq!((first.running, first.measured.len(), first.how), (2, 2, Some(How::OneShot)));
        assert_eq!((&first.remark, first.missing.len()), (&None, 0));
        assert_eq!(first.host, Host { cpus: Some(8), memory: Some(1 << 30) });
        assert_eq!(of(&first.measured, "a", Metric::CpuOfCore), None);
        assert_eq!(of(&first.measured, "a", Metric::Memory), Some(4_000));
        assert_eq!(of(&first.measured, "a", Metric::MemoryLimit), None, "the machine has no more");
        assert_eq!(
            first.measured.iter().map(|one| one.name.as_str()).collect::<HashSet<_>>(),
            ["a-name", "b-name"].into()
        );
        let second = gauge.round(LONG).await.expect("answered");
        for id in ["a", "b"] {
            assert_eq!(of(&second.measured, id, Metric::CpuOfCore), Some(50_000));
            assert_eq!(of(&second.measured, id, Metric::CpuOfHost), Some(12_500), "of the four that its body names");
        }
        let asked =
            served.seen(|seen| seen.paths.iter().filter(|path| path.contains("one-shot")).cloned().collect::<Vec<_>>());
        assert!(asked.contains(&"/v1.41/containers/a/stats?stream=false&one-shot=true".to_owned()), "{asked:?}");
        assert_eq!(asked.len(), 4);
        served.closed().await;
    });
}

/// R11.3: a sample says n of m; one that is away is no 0, and takes nothing from the others.
#[test]
fn some_cannot_be_measured() {
    run(async {
        let ids = ["good", "removed", "stopped", "empty", "nothing", "other", "broken", "long", "good2"];
        let served = Served::start("1.53", &ids, |id, _| match id {
            "removed" => Say::Refuse(404),
            "stopped" => Say::Refuse(409),
            "empty" => Say::Body(
                r#"{"read":"0001-01-01T00:00:00Z","cpu_stats":{"cpu_usage":{"total_usage":0}},"memory_stats":{}}"#
                    .to_owned(),
            ),
            "nothing" => Say::Body(String::new()),
            "other" => Say::Body(body("good", 1, 1)),
            "broken" => Say::Body("{\"cpu_stats\":".to_owned()),
            "long" => Say::Body(" ".repeat(2 << 20)),
            _ => Say::Body(body(id, 1, 1)),
        });
        let round = served.gauge(None, 3).round(LONG).await.expect("answered");
        let measured: HashSet<&str> = round.measured.iter().map(|one| &*one.id).collect();
        assert_eq!((round.running, measured), (9, ["good", "good2"].into()));
        assert_eq!(round.missing.len(), TOLD);
        let why = |id: &str| round.missing.iter().find(|one| &*one.id == id).map(|one| one.why.as_str());
        for id in ["removed", "stopped", "empty", "nothing"] {
            assert!(why(id).is_none_or(|why| why == "it did not run any more"), "{round:?}");
        }
        assert!(why("other").is_none_or(|why| why.contains("another container")), "{round:?}");
        assert!(served.seen(|seen| seen.connections) < 14, "a connection is used again after a refusal");
    });
}

#[test]
fn only_so_many_at_a_time_on_as_many_connections() {
    run(async {
        let ids: Vec<String> = (0..60).map(|number| format!("c{number}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let served = Served::start("1.44", &ids, |id, _| Say::Body(body(id, 1, 1)));
        let round = served.gauge(None, 5).round(LONG).await.expect("answered");
        assert_eq!(round.measured.len(), 60);
        served.seen(|seen| {
            assert!((2..=5).contains(&seen.most_asking), "{}", seen.most_asking);
            // Beside them: the version, the list, the host.
            assert!(seen.connections <= 5 + 3, "{}", seen.connections);
        });
    });
}

/// What has not answered at the deadline is given up, and nothing of it goes on.
#[test]
fn a_round_ends_at_its_deadline() {
    run(async {
        let served = Served::start("1.41", &["a", "b", "c"], |id, number| match (id, number) {
            ("b", 0) => Say::Hang,
            _ => Say::Body(body(id, 1, 1)),
        });
        let mut gauge = served.gauge(None, 2);
        let round = gauge.round(Duration::from_millis(700)).await.expect("answered");
        assert_eq!((round.running, round.measured.len()), (3, 2));
        assert_eq!(round.missing[0].why, "there was no time left for it");
        served.closed().await;
        // Whoever was left out comes first.
        let before = served.seen(|seen| seen.paths.len());
        assert_eq!(gauge.round(LONG).await.expect("answered").measured.len(), 3);
        let next = served.seen(|seen| seen.paths[before..].iter().find(|path| path.contains("stats")).cloned());
        assert!(next.is_some_and(|path| path.contains("/b/")));
    });
}

#[test]
fn a_round_that_is_given_up_closes_its_connections() {
    run(async {
        let served = Served::start("1.41", &["a", "b"], |_, _| Say::Hang);
        let mut gauge = served.gauge(None, 2);
        let asking = async {
            loop {
                let changed = served.shared.changed.notified();
                if served.seen(|seen| seen.asking == 2) {
                    return;
                }
                changed.await;
            }
        };
        tokio::select! {
            round = gauge.round(LONG) => panic!("{round:?}"),
            () = asking => {}
        }
        served.closed().await;
    });
}

#[test]
fn an_engine_that_is_not_there_or_knows_no_single_samples() {
    run(async {
        let dir = tempfile::tempdir().expect("folder");
        let nobody = Arc::new(Engine::at(dir.path().join("none.sock")));
        assert!(Gauge::new(nobody, None, 1).round(LONG).await.is_err_and(|error| error.is_absent()));
        let served = Served::start("1.40", &["a"], |id, _| Say::Body(body(id, 1, 1)));
        let round = served.gauge(None, 1).round(LONG).await.expect("answered");
        assert_eq!((round.how, round.remark), (Some(How::TwoSamples), Some(Remark::TwoSamples)));
        let none = Served::start("1.41", &[], |_, _| Say::Hang);
        let round = none.gauge(None, 1).round(LONG).await.expect("answered");
        assert_eq!((round.running, round.how), (0, None));
    });
}

/// Counters that went on growing after a start that nobody saw are those of another life: the list tells.
#[test]
fn a_container_that_was_started_in_between() {
    run(async {
        let served = Served::start("1.41", &["a"], |id, number| {
            Say::Body(body(id, 10 * number as u64 + 10, 10 + number as u64))
        });
        let mut gauge = served.gauge(None, 1);
        gauge.round(LONG).await.expect("answered");
        let cpu = async |gauge: &mut Gauge| {
            // On our clock a second and more has passed since the look before.
            gauge.epoch -= Duration::from_secs(10);
            of(&gauge.round(LONG).await.expect("answered").measured, "a", Metric::CpuOfCore)
        };
        assert_eq!(cpu(&mut gauge).await, Some(10_000));
        served.set(&[("a", "Up 3 seconds")]);
        assert_eq!(cpu(&mut gauge).await, None, "it has not run for ten seconds");
        served.set(&[("a", "Up 13 seconds")]);
        assert_eq!(cpu(&mut gauge).await, Some(10_000));
        served.set(&[("a", "up, so to say")]);
        assert_eq!(cpu(&mut gauge).await, Some(10_000), "who does not tell is believed to run on");
    });
}

#[test]
fn uptimes_and_rounds() {
    let ran = |up, ago| ran_then(Duration::from_millis(up), Duration::from_millis(ago));
    assert!(ran(10_000, 10_000) && ran(7_200_000, 30_000));
    assert!(!ran(9_000, 9_500), "it may have been started in between");
    assert!(ran(60_000, 60_100), "a round is a little late, and it runs for one to two minutes");
    assert!(!ran(60_000, 61_100) && !ran(0, 1));
}

/// Files that a test says.
#[derive(Default)]
struct Script {
    here: HashSet<&'static str>,
    known: HashSet<String>,
    cpu_seconds: u64,
    finds: Arc<Mutex<Vec<usize>>>,
    denied: bool,
}

impl Files for Script {
    fn find(&mut self, wanted: &[Wanted<'_>]) -> Result<(), String> {
        self.finds.lock().expect("no test panics with it").push(wanted.len());
        if self.denied {
            return Err("no".to_owned());
        }
        self.known.extend(wanted.iter().filter(|one| self.here.contains(one.id)).map(|one| one.id.to_owned()));
        Ok(())
    }

    fn knows(&self, id: &str) -> bool {
        self.known.contains(id)
    }

    fn begin(&mut self) {
        self.cpu_seconds += 1;
    }

    fn read(&mut self, id: &str) -> Option<Look> {
        let memory = Memory { usage: Some(100), ..Memory::default() };
        let counters =
            Counters { cpu_nanos: Some(self.cpu_seconds * 1_000_000_000), memory: Some(memory), ..Counters::default() };
        let key = Key { id: id.into(), life: 1 };
        let at = Mono(self.cpu_seconds * 2_000_000_000);
        self.known.contains(id).then_some(Look { key, at, how: How::Files, counters })
    }

    fn retain(&mut self, keep: &dyn Fn(&str) -> bool) {
        self.known.retain(|id| keep(id));
    }

    fn host(&self) -> Host {
        Host { cpus: Some(2), memory: Some(1_000) }
    }
}

#[test]
fn what_is_here_is_read_from_files_and_the_rest_by_the_engine() {
    run(async {
        let served = Served::start("1.41", &["a", "b", "far"], |id, number| Say::Body(body(id, number as u64, 1)));
        let finds = Arc::new(Mutex::new(Vec::new()));
        let files = Script { here: ["a", "b"].into(), finds: Arc::clone(&finds), ..Script::default() };
        let mut gauge = served.gauge(Some(Box::new(files)), 2);
        let first = gauge.round(LONG).await.expect("answered");
        let how = |round: &Round, id: &str| round.measured.iter().find(|one| &*one.id == id).map(|one| one.how);
        assert_eq!((how(&first, "a"), how(&first, "far")), (Some(How::Files), Some(How::OneShot)));
        assert_eq!((first.how, first.measured.len(), &first.remark), (Some(How::Files), 3, &None));
        assert_eq!(first.host, Host { cpus: Some(2), memory: Some(1_000) });
        let second = gauge.round(LONG).await.expect("answered");
        assert_eq!(of(&second.measured, "a", Metric::CpuOfCore), Some(50_000));
        assert_eq!(of(&second.measured, "a", Metric::CpuOfHost), Some(25_000));
        for _ in 0..4 {
            gauge.round(LONG).await.expect("answered");
        }
        assert_eq!(*finds.lock().expect("no test panics with it"), [3, 1, 1], "not looked for again and again");
        // A glance has counters of its own.
        assert_eq!(of(&gauge.glance(["a", "far", "none"]), "a", Metric::CpuOfCore), None);
        let glance = gauge.glance(["a", "far", "none"]);
        assert_eq!((glance.len(), of(&glance, "a", Metric::CpuOfCore)), (1, Some(50_000)));
        assert_eq!(of(&gauge.round(LONG).await.expect("answered").measured, "a", Metric::CpuOfCore), Some(50_000));
        served.set(&[("b", "Up 2 hours")]);
        assert_eq!(gauge.round(LONG).await.expect("answered").measured.len(), 1);
        assert_eq!(gauge.glance(["a"]), [], "forgotten");
    });
}

#[test]
fn an_engine_whose_containers_are_elsewhere() {
    run(async {
        let served = Served::start("1.41", &["a"], |id, _| Say::Body(body(id, 1, 1)));
        let mut gauge = served.gauge(Some(Box::new(Script::default())), 2);
        assert_eq!(gauge.round(LONG).await.expect("answered").remark, None, "it may have been started a moment ago");
        let second = gauge.round(LONG).await.expect("answered");
        assert_eq!((second.how, second.remark), (Some(How::OneShot), Some(Remark::Elsewhere)));
        assert_eq!(second.host.cpus, Some(8), "its own, not this machine's");
        let denied = Script { denied: true, ..Script::default() };
        let round = served.gauge(Some(Box::new(denied)), 2).round(LONG).await.expect("answered");
        assert_eq!((round.measured.len(), round.remark), (1, Some(Remark::NotPermitted("no".to_owned()))));
    });
}

#[test]
fn a_stream() {
    run(async {
        let line = |second, cpu| body("a", second, cpu).replace('\n', " ") + "\n";
        let empty = "{\"read\":\"0001-01-01T00:00:00Z\",\"cpu_stats\":{},\"memory_stats\":{}}\n".to_owned();
        let second = line(12, 2);
        let (first, rest) = second.split_at(40);
        let pieces = vec![
            line(10, 1),
            first.to_owned(),
            rest.to_owned() + &empty,
            line(13, 9),
            line(14, 10).trim_end().to_owned(),
        ];
        let served = Served::start("1.41", &["a"], move |_, _| Say::Stream(pieces.clone(), false));
        let engine = Engine::at(&served.socket);
        let mut stream = Stream::open(&engine, "a", Host::default()).await.expect("opened");
        let mut cpu = Vec::new();
        while let Some(readings) = stream.next().await.expect("a sample") {
            cpu.push(readings.iter().find(|(metric, _)| *metric == Metric::CpuOfCore).map(|(_, value)| *value));
        }
        assert_eq!(cpu, [None, Some(50_000), None, Some(100_000)], "what ran before the empty one is another life");
        assert!(stream.next().await.expect("still over").is_none());
    });
}

#[test]
fn streams_that_go_wrong() {
    run(async {
        let say = |id: &str, _: usize| match id {
            "silent" => Say::Stream(vec![body("silent", 1, 1).replace('\n', " ") + "\n"], true),
            "broken" => Say::Stream(vec!["{\"cpu_stats\":\n".to_owned()], true),
            "long" => Say::Stream(vec![" x".repeat(1 << 20)], true),
            _ => Say::Refuse(404),
        };
        let served = Served::start("1.41", &[], say);
        let engine = Engine::at(&served.socket);
        let open = async |id: &str| Stream::open(&engine, id, Host::default()).await;
        let mut silent = open("silent").await.expect("opened").with_silence(Duration::from_millis(200));
        assert!(silent.next().await.expect("a sample").is_some());
        assert!(matches!(silent.next().await, Err(Error::Late { .. })));
        for id in ["broken", "long"] {
            let mut stream = open(id).await.expect("opened");
            assert!(matches!(stream.next().await, Err(Error::Malformed { .. })), "{id}");
        }
        assert!(matches!(open("none").await, Err(Error::Refused { status: 404, .. })));
        drop(silent);
        served.closed().await;
    });
}

/// Over SSH a connection is a process: few of them; files are for engines of this machine.
#[test]
fn what_is_asked_of_whom() {
    let ssh = Dial::Ssh { arguments: Vec::new(), shown: "ssh://nas".to_owned() };
    let tcp = Dial::Tcp { host: "nas".to_owned(), port: 2375, tls: None };
    let unix = Dial::Unix(Path::new("/run/d.sock").to_owned());
    run(async {
        for (dial, parallel, files) in [(ssh, 4, false), (tcp, PARALLEL, false), (unix, PARALLEL, true)] {
            let engine = Arc::new(Engine::over(dial, LONG));
            let gauge = Gauge::new(engine, Some(Box::new(Script::default())), PARALLEL);
            assert_eq!((gauge.parallel, gauge.files.is_some()), (parallel, files));
        }
    });
}
