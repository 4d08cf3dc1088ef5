//! A fake engine that tells of many events a second.

use std::time::Duration;

use vigie_fake_engine::{FakeEngine, Faults};

use crate::time::{Stopwatch, pass};

/// So many containers take turns.
const CONTAINERS: usize = 100;

/// What happens to each of them, over and over: all of it is kept, and half of it changes what is known.
const LIFE: [(&str, &[(&str, &str)]); 4] =
    [("start", &[]), ("kill", &[("signal", "15")]), ("die", &[("exitCode", "143")]), ("stop", &[])];

/// Labels as compose gives them: they make the lines as long as real ones.
const LABELS: [(&str, &str); 4] = [
    ("com.docker.compose.config-hash", "5b6e3ac07d3d4c4a9d3f7ab1f6f1f3f0e46a5d92c3c1f1c5d5f0f9a27e3b6c11"),
    ("com.docker.compose.project", "shop"),
    ("com.docker.compose.service", "web"),
    ("com.docker.compose.version", "2.29.7"),
];

/// An engine with its containers.
pub(crate) struct Pour {
    pub(crate) engine: FakeEngine,
    told: usize,
}

impl Pour {
    pub(crate) fn new() -> Self {
        let engine = FakeEngine::start(Faults::of("1.53"));
        for number in 0..CONTAINERS {
            let (id, name) = (id(number), format!("shop-web-{number}"));
            engine.happen_with("create", &id, &[("name", name.as_str()), ("image", "registry.lab/shop/web:4.2")]);
        }
        Self { engine, told: 0 }
    }

    /// Tells so many at once.
    pub(crate) fn tell(&mut self, count: usize) {
        let begin = self.told;
        self.told += count;
        self.engine.change(|state| {
            for number in begin..begin + count {
                let (action, own) = LIFE[number / CONTAINERS % LIFE.len()];
                state.happen(action, &id(number % CONTAINERS), &[own, &LABELS].concat());
            }
        });
    }

    /// Tells `count` at this rate; the time that it took.
    pub(crate) fn at(&mut self, rate: usize, count: usize) -> Duration {
        let watch = Stopwatch::start();
        let end = self.told + count;
        let begin = self.told;
        while self.told < end {
            let due = (watch.elapsed().as_secs_f64() * rate as f64) as usize;
            let now = (begin + due).min(end) - self.told;
            if now > 0 {
                self.tell(now);
            }
            pass(Duration::from_millis(2));
        }
        watch.elapsed()
    }
}

fn id(number: usize) -> String {
    format!("{number:08x}c0ffee{:050x}", 0)
}
