//! A container that somebody looks at: the engine's own stream of samples, about one a second.
//!
//! An engine takes a fifth of a core for a hundred of them, all the time; so it is for what is looked at, and ended when
//! nobody looks any more.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::time::Instant;

use vigie_core::clock::Mono;
use vigie_core::docker::lines::{Line, Lines};
use vigie_core::docker::stats::{Host, How, Key, Look, parse, readings};
use vigie_core::samples::Readings;

use super::api::says_nothing;
use crate::engine::{Engine, Spoken, segment};
use crate::error::Error;
use crate::http::{Asked, Pieces};

/// An engine that says nothing for so long has forgotten us, or its collector is stuck: with 1,000 containers a sample takes
/// it four seconds.
const SILENCE: Duration = Duration::from_secs(20);

/// The longest sample, in bytes.
const LONGEST: usize = 1 << 20;

/// Bytes of one container's samples as they arrive. Dropping it closes the connection.
pub struct Stream {
    at: String,
    id: Arc<str>,
    pieces: Pieces,
    lines: Lines,
    host: Host,
    spoken: Spoken,
    before: Option<Look>,
    life: u64,
    began: Instant,
    silence: Duration,
}

impl Stream {
    /// Opens it. `host`: of the engine, as a round of the gauge tells it.
    ///
    /// # Errors
    /// When the engine cannot be asked, or has no such container.
    pub async fn open(engine: &Engine, id: &str, host: Host) -> Result<Self, Error> {
        let path = engine.versioned(&format!("/containers/{}/stats?stream=true", segment(id))).await?;
        // Its head comes with the first sample.
        let pieces = Asked { dial: &engine.dial, method: Method::GET, path: &path }.stream(SILENCE).await?;
        Ok(Self {
            at: engine.dial().to_string(),
            id: id.into(),
            pieces,
            lines: Lines::with_limit(LONGEST),
            host,
            spoken: engine.spoken().await?,
            before: None,
            life: 0,
            began: Instant::now(),
            silence: SILENCE,
        })
    }

    /// The next sample. The first has no CPU and no rates. `None` when the engine has ended it: the container is gone. Safe to
    /// drop while it waits.
    ///
    /// # Errors
    /// When the connection breaks, when nothing comes for twenty seconds, and for what is no sample: then nothing more is to be
    /// expected either.
    pub async fn next(&mut self) -> Result<Option<Readings>, Error> {
        loop {
            while let Some(line) = self.lines.next() {
                if let Some(readings) = self.take(line)? {
                    return Ok(Some(readings));
                }
            }
            let waiting = tokio::time::timeout(self.silence, self.pieces.next()).await;
            let silent = |_| Error::Late { at: self.at.clone(), request: self.request(), after: self.silence };
            match waiting.map_err(silent)?? {
                Some(bytes) => self.lines.push(&bytes),
                None => match self.lines.finish() {
                    Some(line) => return self.take(line),
                    None => return Ok(None),
                },
            }
        }
    }

    /// Nothing for the samples of a container that does not run: engines go on with empty ones.
    fn take(&mut self, line: Line) -> Result<Option<Readings>, Error> {
        let malformed = |why| Error::Malformed { at: self.at.clone(), request: self.request(), why };
        let body = match line {
            Line::Whole(line) => parse(&line).map_err(malformed)?,
            Line::TooLong(_) => return Err(malformed("a sample is too long".to_owned())),
        };
        if says_nothing(&body.counters) {
            self.before = None;
            self.life += 1;
            return Ok(None);
        }
        let at = Mono(u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX));
        let key = Key { id: Arc::clone(&self.id), life: self.life };
        let look = Look { key, at, how: How::Stream, counters: self.spoken.counters(body.counters) };
        let readings = readings(self.before.as_ref(), &look, &self.host);
        self.before = Some(look);
        Ok(Some(readings))
    }

    fn request(&self) -> String {
        format!("the stream of {}", self.id.get(..12).unwrap_or(&self.id))
    }

    /// With less patience, for tests.
    #[cfg(test)]
    pub(super) fn with_silence(self, silence: Duration) -> Self {
        Self { silence, ..self }
    }
}
