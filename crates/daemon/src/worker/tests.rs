//! The worker with an engine that does things wrong, and a test in the place of the daemon.

use super::*;

use vigie_core::docker::source::{Mode, Source, Tls};
use vigie_core::docker::told::{Resume, Saying, Stage, Status};
use vigie_fake_engine::{FakeEngine, Faults};

use crate::test::run;

/// A worker, and what it has told.
pub(super) struct Bench {
    asked: tokio::net::unix::OwnedWriteHalf,
    said: tokio::net::unix::OwnedReadHalf,
    lines: Lines,
    resume: Resume,
    /// `action id`, as they came.
    pub(super) told: Vec<String>,
    live: bool,
    /// As it was told last.
    pub(super) status: Option<Status>,
    worker: JoinHandle<Result<(), WorkerError>>,
}

fn source(model: &FakeEngine, mode: Mode) -> Source {
    let endpoint = model.endpoint().parse().expect("endpoint");
    Source { mode, ..Source::new(Name::new("nas").expect("name"), endpoint) }
}

impl Bench {
    pub(super) async fn begin(model: &FakeEngine, mode: Mode, resume: Resume) -> Self {
        Self::begin_over(model, None, mode, resume).await
    }

    pub(super) async fn begin_over(model: &FakeEngine, tls: Option<Tls>, mode: Mode, resume: Resume) -> Self {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let worker = tokio::spawn(serve(theirs, Role::Events));
        let (said, asked) = ours.into_split();
        let mut stage =
            Self { asked, said, lines: Lines::default(), resume, told: Vec::new(), live: false, status: None, worker };
        match stage.next().await {
            Some(Said::Ready { version: VERSION, role: Role::Events, .. }) => {}
            other => panic!("{other:?}"),
        }
        let source = Source { tls, ..source(model, mode) };
        let put = vec![Assigned { source, resume: stage.resume.clone(), number: 0, tells: true }];
        stage.ask(&Asked::RefreshSources { put, remove: Vec::new() }).await;
        stage
    }

    async fn ask(&mut self, asked: &Asked) {
        self.asked.write_all(&encode(asked).expect("encodes")).await.expect("it reads");
    }

    /// The next message; absent at the end.
    async fn next(&mut self) -> Option<Said> {
        let mut buffer = vec![0; 4096];
        loop {
            if let Some(said) = self.lines.message().expect("understood") {
                return Some(said);
            }
            match self.said.read(&mut buffer).await.expect("readable") {
                0 => return None,
                count => self.lines.push(&buffer[..count]).expect("short"),
            }
        }
    }

    fn note(&mut self, said: Said) {
        match said {
            Said::ContainerEvent { told, .. } => {
                for told in told {
                    self.resume.absorb(&told);
                    self.told.extend(match told.saying {
                        Saying::Event(event) if event.inferred => {
                            Some(format!("inferred {} {}", event.action, event.id))
                        }
                        Saying::Event(event) => Some(format!("{} {}", event.action, event.id)),
                        Saying::Gap { .. } => Some("gap".to_owned()),
                        Saying::BadLines { .. } => Some("bad lines".to_owned()),
                        Saying::Online { .. } => Some("online".to_owned()),
                        Saying::Offline { .. } => Some("offline".to_owned()),
                        Saying::Nothing => None,
                    });
                }
            }
            Said::SourceStatus { status, .. } => {
                self.live = status.stage == Stage::Live;
                self.status = Some(*status);
            }
            Said::Ready { .. } | Said::Memory { .. } => {}
            Said::Error { message, .. } => panic!("{message}"),
            Said::Metric { .. } | Said::DiskUsage { .. } => panic!("nobody asked for it"),
        }
    }

    /// Reads until it is so. A test has a minute for all of it.
    pub(super) async fn until(&mut self, what: impl Fn(&Self) -> bool) {
        while !what(self) {
            let said = self.next().await.expect("it goes on");
            self.note(said);
        }
    }

    pub(super) async fn live(&mut self) {
        self.until(|stage| stage.live).await;
    }

    /// Ends it by order.
    pub(super) async fn end(mut self) {
        self.ask(&Asked::Shutdown).await;
        while let Some(said) = self.next().await {
            self.note(said);
        }
        self.worker.await.expect("no panic").expect("in order");
    }

    pub(super) async fn told(&mut self, count: usize) -> Vec<String> {
        self.until(|stage| stage.told.len() >= count).await;
        std::mem::take(&mut self.told)
    }
}

/// Whatever shape its answers have, and however its lines arrive.
#[test]
fn engines_of_all_ages_and_manners() {
    for faults in [
        Faults::default(),
        Faults::of("1.53"),
        Faults { split: 7, ..Faults::default() },
        Faults { doubles: true, split: 1, ..Faults::default() },
        Faults { skew: -3600, ..Faults::default() },
        Faults { skew: 86_400, slow: Duration::from_millis(50), ..Faults::default() },
        Faults { bloat: 8 << 20, ..Faults::default() },
    ] {
        run(async {
            let model = FakeEngine::start(faults.clone());
            model.happen("create", "old");
            let mut stage = Bench::begin(&model, Mode::Stream, Resume::default()).await;
            stage.live().await;
            for action in ["create", "start", "pause", "unpause", "die", "destroy"] {
                model.happen(action, "web");
            }
            let wanted = ["create web", "start web", "pause web", "unpause web", "die web", "destroy web"];
            assert_eq!(stage.told(6).await, wanted, "{faults:?}");
            assert!(model.requests().iter().any(|path| path.starts_with(&format!("/v{}/events", faults.api))));
        });
    }
}

#[test]
fn what_is_not_understood_ends_nothing() {
    run(async {
        let model = FakeEngine::start(Faults { babbles: true, ..Faults::default() });
        let mut stage = Bench::begin(&model, Mode::Stream, Resume::default()).await;
        stage.live().await;
        model.happen("create", "a");
        model.happen("start", "a");
        assert_eq!(stage.told(3).await, ["create a", "bad lines", "start a"], "told of the first, then counted");
    });
}

/// A worker is killed; another goes on where the store stands.
#[test]
fn another_worker_goes_on() {
    run(async {
        let model = FakeEngine::start(Faults::default());
        let mut stage = Bench::begin(&model, Mode::Stream, Resume::default()).await;
        stage.live().await;
        model.happen("create", "a");
        model.happen("start", "a");
        stage.told(2).await;
        stage.worker.abort();
        for _ in 0..100 {
            model.happen("kill", "a");
        }
        model.happen("die", "a");
        let mut stage = Bench::begin(&model, Mode::Stream, stage.resume.clone()).await;
        let told = stage.told(103).await;
        // What lies within the overlap comes again: the store has its key.
        assert_eq!((told[0].as_str(), told[1].as_str(), told[102].as_str()), ("create a", "start a", "die a"));
        assert!(told[2..102].iter().all(|told| told == "kill a"));
        stage.worker.abort();
        for _ in 0..600 {
            model.happen("kill", "a");
        }
        let mut stage = Bench::begin(&model, Mode::Stream, stage.resume.clone()).await;
        let told = stage.told(257).await;
        assert_eq!(told[0], "gap", "the engine keeps 256");
        assert!(told[1..].iter().all(|told| told == "kill a"));
    });
}

/// An engine that is back is followed when the other worker has seen it, not when the delay of many failures is over.
#[test]
fn who_waits_for_an_engine_is_told_that_it_is_back() {
    run(async {
        let model = FakeEngine::start(Faults::default());
        model.be_gone(true);
        let mut stage = Bench::begin(&model, Mode::Stream, Resume::default()).await;
        let reachable = Asked::Reachable { source: Name::new("nas").expect("name") };
        let failed = |count: u32| {
            move |stage: &Bench| {
                let waits = |status: &Status| status.stage == Stage::Backoff && status.failures >= count;
                stage.status.as_ref().is_some_and(waits)
            }
        };
        // Each try at once: by themselves, six take two minutes.
        for count in 1..=6 {
            stage.until(failed(count)).await;
            if count < 6 {
                stage.ask(&reachable).await;
            }
        }
        model.be_gone(false);
        stage.ask(&reachable).await;
        stage.live().await;
        // Of a source that nobody follows any more, it means nothing.
        stage.ask(&Asked::Reachable { source: Name::new("other").expect("name") }).await;
        stage.end().await;
    });
}

/// R11.2: changes touch what they are about; the end of the socket ends the worker, and so does an order, with the place
/// that was reached.
#[test]
fn orders_and_ends() {
    run(async {
        let model = FakeEngine::start(Faults::default());
        let mut stage = Bench::begin(&model, Mode::Stream, Resume::default()).await;
        stage.live().await;
        model.happen("exec_start: sh", "a");
        model.happen("create", "a");
        stage.told(1).await;
        model.happen("exec_start: sh", "a");
        let reached = |stage: &Bench| stage.resume.cursor.as_ref().map(|cursor| cursor.at);
        let before = reached(&stage);
        let nas = Name::new("nas").expect("name");
        stage.ask(&Asked::RefreshSources { put: Vec::new(), remove: vec![nas] }).await;
        stage.ask(&Asked::Shutdown).await;
        while let Some(said) = stage.next().await {
            stage.note(said);
        }
        assert!(before.is_some() && reached(&stage) >= before, "what it tells last is the place that it reached");
        stage.worker.await.expect("no panic").expect("in order");

        let stage = Bench::begin(&model, Mode::Stream, Resume::default()).await;
        drop((stage.said, stage.asked));
        stage.worker.await.expect("no panic").expect("the daemon is gone, which is no fault of the worker");
    });
}

/// A poll reads from where it was to the present on the engine's clock.
#[test]
fn a_poll() {
    run(async {
        let model = FakeEngine::start(Faults { skew: -7200, ..Faults::default() });
        model.happen("create", "a");
        let mode = Mode::Poll { every: vigie_core::units::Span::secs(30) };
        let mut stage = Bench::begin(&model, mode, Resume::default()).await;
        stage.until(|stage| stage.resume.cursor.is_some()).await;
        stage.worker.abort();
        model.happen("start", "a");
        model.happen("die", "a");
        let mut stage = Bench::begin(&model, mode, stage.resume.clone()).await;
        assert_eq!(stage.told(2).await, ["start a", "die a"]);
    });
}
