//! `GET /v1/stream`: the journal as server-sent events (the form is described in [`vigie_api::stream`]).
//!
//! # Who waits for whom
//!
//! Nobody waits for a client. Entries go into one ring for all listeners ([`crate::ledger`], 1,024 of them); each client has
//! a task that moves them into its own short queue, from which the connection is written. One that reads slowly fills its
//! queue, its task stands still, the ring goes on; when the task gets its turn again, the ring tells how far it was left
//! behind, and the client gets `resync`. What a client may hold in memory is the bound of its queue, of the connection's
//! buffer and of the kernel's.
//!
//! An entry is written as bytes once for all clients, and entries that come together go out together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use serde::Serialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::MissedTickBehavior;

use vigie_api::SCHEMA;
use vigie_api::journal::JournalLine;
use vigie_api::stream::{Hello, Missing, Resync};
use vigie_core::exit_code::ExitCode;
use vigie_store::journal::{Query as JournalQuery, Reader};

use super::Desk;
use super::answer::{Body, Gone, Refusal, Writer, endless};
use super::events::Pages;
use super::filter::Filter;
use super::follow::Stay;
use super::query::Query;
use crate::aside::off_thread;
use crate::input::Input;
use crate::ledger::News;

/// So many clients at once.
pub(crate) const CLIENTS: usize = 256;

/// How many pieces may wait for a client that reads slowly.
const QUEUE: usize = 8;

/// Entries that wait are put together until a piece has so many bytes.
const PIECE: usize = 4 << 10;

/// A comment shows that the stream lives. Proxies cut what is silent, the strictest known after ten seconds.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// After how many milliseconds a client that lost its connection is to come back.
const RETRY: &str = "retry: 2000\n\n";

/// The clients of all streams.
#[derive(Debug)]
pub(crate) struct Streams {
    places: Arc<Semaphore>,
    resyncs: AtomicU64,
}

impl Default for Streams {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(CLIENTS)), resyncs: AtomicU64::new(0) }
    }
}

impl Streams {
    /// How many clients there are.
    pub(super) fn clients(&self) -> u64 {
        (CLIENTS - self.places.available_permits()) as u64
    }

    /// How often one was told that something is missing.
    pub(super) fn resyncs(&self) -> u64 {
        self.resyncs.load(Ordering::Relaxed)
    }

    fn enter(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let message = format!("there are {CLIENTS} streams already; try again when one has ended");
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ExitCode::Unreachable, message).with(RETRY_AFTER, "5")
        })
    }
}

/// Opens a stream.
pub(super) async fn open(
    desk: &Desk,
    query: &Query,
    request: &Request<Incoming>,
    stay: Stay,
) -> Result<Response<Body>, Refusal> {
    let filter = Filter::of(query)?;
    // A browser that comes back asks for the same path as before: what it has seen since counts.
    let after = match last_event_id(request)? {
        Some(last) => Some(last),
        None => query.number("after")?,
    };
    let place = desk.streams.enter()?;
    desk.ask(Input::Import).await?;
    // Listened to before it is looked how far the journal is: what is stored between the two is in both.
    let listener = desk.lines.subscribe();
    let bounds = Bounds::read(desk).await?;
    let (writer, mut response) = endless("text/event-stream", QUEUE);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    let importer = desk.imports.join(&desk.inputs);
    let mut client = Client { writer, desk: Arc::clone(&desk.streams), filter, last: 0 };
    let pages = Pages { folder: desk.state.clone(), query: client.query() };
    let lines = desk.lines.clone();
    tokio::spawn(async move {
        let told = async {
            client.begin(after, bounds).await?;
            let listener = client.catch_up(pages, listener, &lines).await?;
            client.follow(listener).await
        };
        tokio::select! {
            _ = told => {}
            () = stay.over() => {}
        }
        drop((place, importer));
    });
    Ok(response)
}

/// The number that a client that comes back has seen last. An empty one is none: a browser sends that when no event had one.
fn last_event_id(request: &Request<Incoming>) -> Result<Option<u64>, Refusal> {
    let mut headers = request.headers().get_all("last-event-id").iter();
    let Some(header) = headers.next() else { return Ok(None) };
    let text = header.to_str().ok().filter(|_| headers.next().is_none());
    match text.map(str::trim) {
        Some("") => Ok(None),
        Some(text) if text.parse::<u64>().is_ok() => Ok(text.parse().ok()),
        _ => Err(Refusal::not_understood("the header Last-Event-ID is no number of an entry")),
    }
}

/// How far the journal reaches.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// The oldest entry that is left; absent when none is.
    first: Option<u64>,
    /// The newest that there ever was.
    last: u64,
}

impl Bounds {
    async fn read(desk: &Desk) -> Result<Self, Refusal> {
        let folder = desk.state.clone();
        let read = off_thread(move || {
            let reader = Reader::open(&folder)?;
            Ok::<_, vigie_store::Error>(Self { first: reader.first_seq()?, last: reader.last_seq()? })
        });
        read.await.map_err(Refusal::internal)?.map_err(Refusal::internal)
    }

    /// Why not everything after a number can be told.
    fn missing(self, after: u64) -> Option<Missing> {
        if after > self.last {
            return Some(Missing::Unknown);
        }
        let first = self.first.unwrap_or(self.last + 1);
        // Who asks for everything means everything that is kept.
        (after > 0 && after + 1 < first).then_some(Missing::Expired)
    }
}

/// One client.
struct Client {
    writer: Writer,
    desk: Arc<Streams>,
    filter: Filter,
    /// The number of the last entry that was told or left out.
    last: u64,
}

impl Client {
    fn query(&self) -> JournalQuery {
        let Filter { subjects, kinds } = self.filter.clone();
        JournalQuery { subjects, kinds, ..JournalQuery::default() }
    }

    async fn begin(&mut self, after: Option<u64>, bounds: Bounds) -> Result<(), Gone> {
        self.writer.send(Bytes::from_static(RETRY.as_bytes())).await?;
        match after.map(|after| (after, bounds.missing(after))) {
            Some((_, Some(why))) => self.resync(why, bounds.last).await,
            Some((after, None)) => self.hello(after).await,
            None => self.hello(bounds.last).await,
        }
    }

    async fn hello(&mut self, after: u64) -> Result<(), Gone> {
        self.last = after;
        self.writer.send(event("hello", after, &Hello { schema: SCHEMA, after })).await
    }

    async fn resync(&mut self, why: Missing, after: u64) -> Result<(), Gone> {
        self.last = after;
        self.desk.resyncs.fetch_add(1, Ordering::Relaxed);
        self.writer.send(event("resync", after, &Resync { schema: SCHEMA, why, after })).await
    }

    /// Tells what the journal has already, at the pace of the client. Whoever needs long for it meanwhile listens to
    /// nothing; what comes back listens from where the journal was read to the end.
    async fn catch_up(
        &mut self,
        mut pages: Pages,
        mut listener: Receiver<Arc<News>>,
        lines: &crate::ledger::Lines,
    ) -> Result<Receiver<Arc<News>>, Gone> {
        // How many pages were read since it is listened.
        let mut read = 0;
        loop {
            pages.query.after = self.last;
            let (page, last) = pages.next().await.map_err(|_| Gone)?;
            read += 1;
            for stored in &page {
                self.last = stored.seq;
                self.writer.send(frame(&JournalLine::new(stored.seq, &stored.entry))).await?;
            }
            if last && read == 1 {
                return Ok(listener);
            }
            if last {
                (listener, read) = (lines.subscribe(), 0);
            }
        }
    }

    async fn follow(&mut self, mut listener: Receiver<Arc<News>>) -> Result<(), Gone> {
        let mut beat = tokio::time::interval_at(tokio::time::Instant::now() + HEARTBEAT, HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut lagged = false;
        loop {
            tokio::select! {
                line = listener.recv() => match line {
                    Ok(line) => {
                        let seq = line.seq.unwrap_or(0);
                        // What was read already comes a second time.
                        if seq <= self.last {
                            continue;
                        }
                        if std::mem::take(&mut lagged) {
                            self.resync(Missing::Slow, seq - 1).await?;
                        }
                        self.tell(&line, &mut listener, &mut lagged).await?;
                    }
                    Err(RecvError::Lagged(_)) => lagged = true,
                    Err(RecvError::Closed) => return Ok(()),
                },
                _ = beat.tick() => self.writer.send_if_idle(Bytes::from_static(b": \n\n")),
                () = self.writer.gone() => return Err(Gone),
            }
        }
    }

    /// Tells an entry, and with it those that wait behind it.
    async fn tell(
        &mut self,
        first: &Arc<News>,
        listener: &mut Receiver<Arc<News>>,
        lagged: &mut bool,
    ) -> Result<(), Gone> {
        let mut piece = self.piece(first);
        let mut more = Vec::new();
        while piece.as_ref().map_or(0, Bytes::len) + more.len() < PIECE {
            let line = match listener.try_recv() {
                Ok(line) => line,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                Err(TryRecvError::Lagged(_)) => {
                    *lagged = true;
                    break;
                }
            };
            match (self.piece(&line), &piece) {
                (None, _) => {}
                (next, None) => piece = next,
                (Some(next), Some(_)) => more.extend_from_slice(&next),
            }
        }
        match piece {
            None => Ok(()),
            // Nothing is copied where there is only one: all clients send the same bytes.
            Some(piece) if more.is_empty() => self.writer.send(piece).await,
            Some(piece) => {
                more.splice(0..0, piece.iter().copied());
                self.writer.send(more.into()).await
            }
        }
    }

    /// An entry as it is sent; absent when it is not wanted.
    fn piece(&mut self, line: &Arc<News>) -> Option<Bytes> {
        self.last = line.seq.unwrap_or(self.last);
        self.filter.lets(line).then(|| line.frame(frame))
    }
}

/// An entry: an event without a name.
fn frame(line: &JournalLine) -> Bytes {
    write("", line.seq, line)
}

fn event(name: &str, id: u64, data: &impl Serialize) -> Bytes {
    write(name, Some(id), data)
}

/// JSON has no newline in it, so that one line of data is enough.
fn write(name: &str, id: Option<u64>, data: &impl Serialize) -> Bytes {
    let mut bytes = Vec::with_capacity(512);
    if !name.is_empty() {
        bytes.extend_from_slice(format!("event: {name}\n").as_bytes());
    }
    if let Some(id) = id {
        bytes.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    bytes.extend_from_slice(b"data: ");
    // The types of the API are objects with names as keys: they cannot fail.
    let _ = serde_json::to_writer(&mut bytes, data);
    bytes.extend_from_slice(b"\n\n");
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_told_any_more() {
        let kept = Bounds { first: Some(10), last: 20 };
        for (after, missing) in [
            (0, None),
            (1, Some(Missing::Expired)),
            (8, Some(Missing::Expired)),
            (9, None),
            (20, None),
            (21, Some(Missing::Unknown)),
            (u64::MAX, Some(Missing::Unknown)),
        ] {
            assert_eq!(kept.missing(after), missing, "{after}");
        }
        let empty = Bounds { first: None, last: 20 };
        assert_eq!((empty.missing(20), empty.missing(19), empty.missing(0)), (None, Some(Missing::Expired), None));
        let new = Bounds { first: None, last: 0 };
        assert_eq!((new.missing(0), new.missing(1)), (None, Some(Missing::Unknown)));
    }

    #[test]
    fn the_form_of_events() {
        assert_eq!(
            event("hello", 7, &Hello { schema: 1, after: 7 }),
            "event: hello\nid: 7\ndata: {\"schema\":1,\"after\":7}\n\n"
        );
        let resync = event("resync", 9, &Resync { schema: 1, why: Missing::Slow, after: 9 });
        assert_eq!(resync, "event: resync\nid: 9\ndata: {\"schema\":1,\"why\":\"slow\",\"after\":9}\n\n");
    }
}
