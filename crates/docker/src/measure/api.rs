//! Asking an engine about many containers: so many at a time, on connections that are used again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use vigie_core::docker::stats::{Counters, parse};

use crate::engine::{Engine, segment};
use crate::error::Error;
use crate::http::Connection;

/// The largest answer about one container, in bytes; Docker's own have two thousand.
const ANSWER: usize = 1 << 20;

/// How long one container may take. An engine before 25 waits for its collector, which takes a second and more.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of one container.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Its counters.
    Told(Box<Counters>),
    /// It does not run any more.
    Gone,
    /// The engine does not say it.
    Failed(Error),
}

/// Answers as they arrive. Dropping it gives up the rest, and closes the connections.
pub(super) struct Answers {
    results: mpsc::Receiver<(usize, Outcome)>,
    _askers: JoinSet<()>,
}

/// What is to be asked.
struct Questions {
    engine: Arc<Engine>,
    ids: Vec<Arc<str>>,
    next: AtomicUsize,
    end: Instant,
}

impl Answers {
    /// Asks about all of `ids`, of `parallel` at a time.
    pub(super) async fn ask(
        engine: &Arc<Engine>,
        ids: Vec<Arc<str>>,
        parallel: usize,
        end: Instant,
    ) -> Result<Self, Error> {
        // So that not each of the first asks for the version.
        engine.spoken().await?;
        let parallel = parallel.min(ids.len());
        let questions = Arc::new(Questions { engine: Arc::clone(engine), ids, next: AtomicUsize::new(0), end });
        let (sender, results) = mpsc::channel(parallel.max(1));
        let mut askers = JoinSet::new();
        for _ in 0..parallel {
            let (questions, sender) = (Arc::clone(&questions), sender.clone());
            askers.spawn(async move { questions.work(&sender).await });
        }
        Ok(Self { results, _askers: askers })
    }

    /// The next one, with its place among the ids. `None` when there are no more, or `end` has come.
    pub(super) async fn next(&mut self, end: Instant) -> Option<(usize, Outcome)> {
        tokio::time::timeout_at(end, self.results.recv()).await.ok()?
    }
}

impl Questions {
    async fn work(&self, sender: &mpsc::Sender<(usize, Outcome)>) {
        let mut connection = Connection::new(self.engine.dial().clone());
        loop {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(id) = self.ids.get(place) else { return };
            let left = self.end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let outcome = ask(&self.engine, &mut connection, id, left.min(PATIENCE)).await;
            if sender.send((place, outcome)).await.is_err() {
                return;
            }
        }
    }
}

async fn ask(engine: &Engine, connection: &mut Connection, id: &str, deadline: Duration) -> Outcome {
    // One that knows no single samples leaves out of account what it does not know.
    let path = match engine.versioned(&format!("/containers/{}/stats?stream=false&one-shot=true", segment(id))).await {
        Ok(path) => path,
        Err(error) => return Outcome::Failed(error),
    };
    let answer = match connection.get(&path, ANSWER, deadline).await {
        Ok(answer) => answer,
        Err(Error::Refused { status: 404 | 409, .. }) => return Outcome::Gone,
        Err(error) => return Outcome::Failed(error),
    };
    // Docker 20.10 begins its answer before the sample is there; when the container ends meanwhile, nothing follows.
    if answer.body.trim_ascii().is_empty() {
        return Outcome::Gone;
    }
    match parse(&answer.body) {
        Ok(body) if body.id.as_deref().is_some_and(|told| told != id) => {
            Outcome::Failed(malformed(engine, &path, "it is about another container"))
        }
        Ok(body) if says_nothing(&body.counters) => Outcome::Gone,
        Ok(body) => match engine.spoken().await {
            Ok(spoken) => Outcome::Told(Box::new(spoken.counters(body.counters))),
            Err(error) => Outcome::Failed(error),
        },
        Err(why) => Outcome::Failed(malformed(engine, &path, &why)),
    }
}

/// The empty shape with which engines answer for a container that does not run.
pub(super) fn says_nothing(counters: &Counters) -> bool {
    let used = counters.memory.and_then(|memory| memory.usage.or(memory.private_working_set));
    counters.cpu_nanos.is_none() && used.is_none_or(|bytes| bytes == 0)
}

fn malformed(engine: &Engine, path: &str, why: &str) -> Error {
    Error::Malformed { at: engine.dial().to_string(), request: format!("GET {path}"), why: why.to_owned() }
}
