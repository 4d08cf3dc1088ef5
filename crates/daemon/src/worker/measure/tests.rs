//! Sources that are measured, with engines that hang, count and go away, and a test in the place of the daemon.

use super::*;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use vigie_core::docker::told::Saying;
use vigie_core::docker::usage::DiskHow;
use vigie_core::samples::Metric;
use vigie_wire::worker::{Cycle, Disk, Said};

use crate::test::run;

/// What happened at an engine.
#[derive(Default)]
struct Seen {
    /// Of containers.
    lists: AtomicUsize,
    /// Lists whose connection was closed before there was an answer.
    given_up: AtomicUsize,
    /// Engines that count at this moment, and the most that ever did.
    counting: AtomicUsize,
    most: AtomicUsize,
}

/// An engine without containers.
#[derive(Clone)]
struct Engine {
    socket: PathBuf,
    _dir: Arc<tempfile::TempDir>,
    seen: Arc<Seen>,
}

/// What it does.
#[derive(Clone)]
struct Manner {
    /// The name of its machine.
    host: String,
    root: String,
    /// It does not answer who asks for a list.
    hangs: bool,
    /// So long it counts.
    counts: Duration,
}

impl Manner {
    fn usual() -> Self {
        Self { host: "elsewhere".to_owned(), root: "/nowhere".to_owned(), hangs: false, counts: Duration::ZERO }
    }
}

impl Engine {
    fn start(manner: &Manner, seen: &Arc<Seen>) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let socket = dir.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).expect("bound");
        let (manner, shared) = (manner.clone(), Arc::clone(seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, manner.clone(), Arc::clone(&shared)));
            }
        });
        Self { socket, _dir: Arc::new(dir), seen: Arc::clone(seen) }
    }

    fn source(&self, name: &str) -> Source {
        let endpoint = format!("unix://{}", self.socket.display()).parse().expect("an endpoint");
        Source::new(Name::lossy(name), endpoint)
    }
}

async fn answer(mut stream: UnixStream, manner: Manner, seen: Arc<Seen>) {
    let mut request = vec![0; 4096];
    loop {
        let Ok(length @ 1..) = stream.read(&mut request).await else { return };
        let text = String::from_utf8_lossy(&request[..length]).into_owned();
        let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
        let body = match path.trim_start_matches("/v1.41").split('?').next().unwrap_or_default() {
            "/info" => format!(r#"{{"ID":"E","Name":"{}","DockerRootDir":"{}","NCPU":4}}"#, manner.host, manner.root),
            "/containers/json" => {
                seen.lists.fetch_add(1, Ordering::SeqCst);
                if manner.hangs {
                    // Until whoever asked closes the connection.
                    assert!(matches!(stream.read(&mut request).await, Ok(0) | Err(_)));
                    seen.given_up.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                "[]".to_owned()
            }
            "/system/df" => {
                let now = seen.counting.fetch_add(1, Ordering::SeqCst) + 1;
                seen.most.fetch_max(now, Ordering::SeqCst);
                tokio::time::sleep(manner.counts).await;
                seen.counting.fetch_sub(1, Ordering::SeqCst);
                r#"{"LayersSize":1000,"Containers":[{"SizeRw":500}]}"#.to_owned()
            }
            _ => "OK".to_owned(),
        };
        let head = format!("HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: {}\r\n\r\n", body.len());
        if stream.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The sources, and what is told of them.
struct Bench {
    crew: Crew,
    said: mpsc::Receiver<crate::worker::outbox::Waiting>,
}

impl Bench {
    fn new() -> Self {
        let (outbox, said) = Outbox::new(64);
        Self { crew: Crew::new(outbox), said }
    }

    async fn put(&mut self, source: Source, number: u64, tells: bool) {
        let put = vec![Assigned { source, resume: vigie_core::docker::told::Resume::default(), number, tells }];
        super::super::end(self.crew.refresh(put, &[])).await;
    }

    async fn cycle(&mut self) -> (u64, Cycle) {
        loop {
            if let Said::Metric { number, cycle, .. } = self.said.recv().await.expect("it goes on").said {
                return (number, *cycle);
            }
        }
    }

    async fn disk(&mut self) -> Disk {
        loop {
            match self.said.recv().await.expect("it goes on").said {
                Said::DiskUsage { disk, .. } => return *disk,
                Said::Error { message, .. } => panic!("{message}"),
                _ => {}
            }
        }
    }
}

fn only_disk(source: Source) -> Source {
    Source { metrics: false, disk: true, ..source }
}

fn reading(readings: &[(u8, u64)], metric: Metric) -> Option<u64> {
    readings.iter().find(|(number, _)| *number == metric.number()).map(|(_, value)| *value)
}

/// That nothing runs is seen, and is not the same as that nothing was seen.
#[test]
fn an_engine_without_containers() {
    run(async {
        let engine = Engine::start(&Manner::usual(), &Arc::default());
        let mut bench = Bench::new();
        bench.put(engine.source("nas"), 7, true).await;
        let (number, cycle) = bench.cycle().await;
        let whole = cycle.whole.expect("the whole");
        assert_eq!((number, cycle.every, cycle.begins, cycle.containers.len()), (7, 30_000, true, 0));
        assert_eq!((whole.measured, whole.running, whole.how), (0, 0, None));
        for metric in [Metric::Containers, Metric::ContainersRunning, Metric::ContainersMemory] {
            assert_eq!(reading(&whole.readings, metric), Some(0), "{metric:?}");
        }
        assert_eq!(reading(&whole.readings, Metric::HostMemory), None, "this machine is not the engine's");
        assert!(whole.readings.is_sorted(), "{:?}", whole.readings);
    });
}

/// R11.3: who is removed in the middle of a question leaves nothing behind: its connection is closed, and nothing is told.
#[test]
fn a_source_that_goes_while_it_is_asked() {
    run(async {
        let engine = Engine::start(&Manner { hangs: true, ..Manner::usual() }, &Arc::default());
        let mut bench = Bench::new();
        bench.put(Source { disk: false, ..engine.source("nas") }, 1, false).await;
        let seen = Arc::clone(&engine.seen);
        let until = |what: &'static str, done: fn(&Seen) -> bool| {
            let seen = Arc::clone(&seen);
            async move {
                while !done(&seen) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                what
            }
        };
        until("it is asked", |seen| seen.lists.load(Ordering::SeqCst) > 0).await;
        super::super::end(bench.crew.refresh(Vec::new(), &[Name::lossy("nas")])).await;
        until("the connection is closed", |seen| seen.given_up.load(Ordering::SeqCst) > 0).await;
        assert_eq!(bench.crew.len(), 0);
        assert!(bench.said.try_recv().is_err(), "nothing is told");

        // The same when only its containers are of no interest any more.
        bench.put(engine.source("nas"), 2, false).await;
        until("it is asked", |seen| seen.lists.load(Ordering::SeqCst) > 1).await;
        bench.put(only_disk(engine.source("nas")), 2, false).await;
        until("the connection is closed", |seen| seen.given_up.load(Ordering::SeqCst) > 1).await;
    });
}

/// R11.6: what is put again at the same place goes on; another interval holds from the next cycle on.
#[test]
fn changes_touch_what_they_are_about() {
    run(async {
        let (engine, other) =
            (Engine::start(&Manner::usual(), &Arc::default()), Engine::start(&Manner::usual(), &Arc::default()));
        let mut bench = Bench::new();
        let source = Source { disk: false, ..engine.source("nas") };
        bench.put(source.clone(), 1, false).await;
        assert!(bench.cycle().await.1.begins);
        bench.put(Source { disk: true, ..source.clone() }, 1, false).await;
        assert_eq!(bench.disk().await.how, DiskHow::SystemDf);
        bench.crew.pace(Span::secs(10), Span::secs(300));
        let (_, cycle) = bench.cycle().await;
        assert_eq!((cycle.every, cycle.begins), (10_000, false), "it is the same that goes on");
        bench.put(Source { endpoint: other.source("nas").endpoint, ..source }, 2, false).await;
        let (number, cycle) = bench.cycle().await;
        assert_eq!((number, cycle.begins), (2, true), "another place is another source");
    });
}

/// R11.5: one after the other, whoever's they are.
#[test]
fn disks_are_counted_one_at_a_time() {
    run(async {
        let seen = Arc::default();
        let manner = Manner { counts: Duration::from_millis(300), ..Manner::usual() };
        let mut bench = Bench::new();
        let engines: Vec<Engine> = (0..4).map(|_| Engine::start(&manner, &seen)).collect();
        for (place, engine) in engines.iter().enumerate() {
            bench.put(only_disk(engine.source(&format!("nas{place}"))), 1, false).await;
        }
        for _ in &engines {
            let disk = bench.disk().await;
            assert_eq!((disk.how, reading(&disk.readings, Metric::DiskUsed)), (DiskHow::SystemDf, Some(1_500)));
            assert_eq!((reading(&disk.readings, Metric::DiskTotal), disk.begins), (None, true));
            assert!(disk.every >= 290_000, "{}", disk.every);
        }
        assert_eq!(seen.most.load(Ordering::SeqCst), 1);
    });
}

/// What lies at that path here is the engine's only if the engine is of this machine.
#[test]
fn a_file_system_of_this_machine() {
    run(async {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().display().to_string();
        let here = rustix::system::uname().nodename().to_string_lossy().into_owned();
        for (host, how) in [(here, DiskHow::Statfs), ("elsewhere".to_owned(), DiskHow::SystemDf)] {
            let engine = Engine::start(&Manner { host, root: root.clone(), ..Manner::usual() }, &Arc::default());
            let mut bench = Bench::new();
            bench.put(only_disk(engine.source("nas")), 1, false).await;
            let disk = bench.disk().await;
            let total = reading(&disk.readings, Metric::DiskTotal);
            assert_eq!((disk.how, total.is_some()), (how, how == DiskHow::Statfs));
        }
    });
}

/// Where nobody follows events, whoever measures tells whether a source is there.
#[test]
fn who_tells_that_a_source_is_there() {
    run(async {
        let engine = Engine::start(&Manner::usual(), &Arc::default());
        let mut bench = Bench::new();
        let mut source = Source { disk: false, ..engine.source("nas") };
        let standing = Standing { offline: true, ..Standing::default() };
        let resume = vigie_core::docker::told::Resume { standing, ..Default::default() };
        let put = vec![Assigned { source: source.clone(), resume, number: 1, tells: true }];
        super::super::end(bench.crew.refresh(put, &[])).await;
        let mut told = Vec::new();
        loop {
            match bench.said.recv().await.expect("it goes on").said {
                Said::ContainerEvent { told: one, .. } => told.extend(one.into_iter().map(|one| one.saying)),
                Said::SourceStatus { status, .. } => {
                    assert_eq!(
                        (status.online, status.engine.and_then(|engine| engine.id)),
                        (Some(true), Some("E".to_owned()))
                    );
                    break;
                }
                _ => {}
            }
        }
        assert_eq!(told, [Saying::Online { after: None }], "the store says that it was offline");

        source.name = Name::lossy("other");
        bench.put(source, 2, false).await;
        let mut cycles = 0;
        while cycles == 0 {
            match bench.said.recv().await.expect("it goes on").said {
                Said::Metric { source, .. } if source.as_str() == "other" => cycles += 1,
                Said::SourceStatus { source, .. } => assert_ne!(source.as_str(), "other", "somebody else tells"),
                _ => {}
            }
        }
    });
}
