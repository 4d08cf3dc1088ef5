//! One source: the shell around [`Follower`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use vigie_core::docker::follower::{Asked, Follower, Input, Output, Response};
use vigie_core::docker::lines::{Line, Lines};
use vigie_core::docker::source::Source;
use vigie_core::docker::told::{Resume, Status, Told};
use vigie_docker::http::Pieces;
use vigie_docker::{Dial, Engine, Error};
use vigie_os::clock;
use vigie_wire::worker::Said;

use super::outbox::{Full, Outbox};
use crate::aside::off_thread;

/// How long an engine may take for what it knows by heart, and for the head of its events.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a poll may take to read.
const WINDOW: Duration = Duration::from_secs(60);

/// So many things are told together at most: what an engine tells in one piece.
const TOGETHER: usize = 128;

/// And no more bytes than about these, so that no message is longer than the daemon reads, however it is escaped.
const HEAVY: usize = 256 << 10;

/// The longest sleep: timers of the runtime stand still during suspend, deadlines do not.
const NAP: Duration = Duration::from_secs(30);

/// What came of a question.
enum Came {
    Answer(u32, Response),
    /// A connection for who asks next, with who it is.
    Reached(u32, Arc<Engine>, Response),
    Stream(u32, Result<Pieces, Error>, bool),
}

/// A stream that is open.
struct Stream {
    ticket: u32,
    pieces: Pieces,
    lines: Lines,
    /// A poll has to be over by then.
    ends: Option<tokio::time::Instant>,
}

struct Shell {
    source: Source,
    follower: Follower,
    /// Where a follower goes on that replaces this one: after the last message that found a place.
    resume: Resume,
    outbox: Outbox,
    engine: Option<Arc<Engine>>,
    questions: JoinSet<Came>,
    stream: Option<Stream>,
    /// What there is to tell: of one piece of a stream, it is one message.
    telling: Vec<Told>,
    /// About how many bytes that has.
    weight: usize,
    told: Option<Status>,
    dropped: u64,
    /// The queue is full: nothing goes on before there is a place.
    is_full: bool,
}

/// Follows a source until `stopped` says so, or is dropped. `reachable`: its engine answered somebody else.
pub(super) async fn follow(
    source: Source,
    resume: Resume,
    outbox: Outbox,
    reachable: Arc<Notify>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut shell = Shell {
        follower: Follower::new(&source, resume.clone(), seed()),
        source,
        resume,
        outbox,
        engine: None,
        questions: JoinSet::new(),
        stream: None,
        telling: Vec::new(),
        weight: 0,
        told: None,
        dropped: 0,
        is_full: false,
    };
    shell.give(Input::Tick);
    loop {
        shell.say();
        if shell.is_full {
            tokio::select! {
                _ = &mut stopped => return,
                has_room = shell.outbox.has_room() => if !has_room { return },
            }
            shell.begin_again();
        }
        let nap = shell.follower.deadline().map(|deadline| deadline.since(clock::mono()).min(NAP));
        tokio::select! {
            _ = &mut stopped => break,
            Some(came) = shell.questions.join_next(), if !shell.questions.is_empty() => {
                // One that was given up is nobody's.
                if let Ok(came) = came {
                    shell.came(came);
                }
            }
            piece = read(&mut shell.stream) => shell.piece(piece),
            () = reachable.notified() => shell.give(Input::Reachable),
            () = tokio::time::sleep(nap.unwrap_or(NAP)) => shell.give(Input::Tick),
        }
    }
    if let Some(told) = shell.follower.farewell() {
        shell.tell(told);
    }
    shell.say();
}

/// The next piece of a stream, if there is one.
async fn read(stream: &mut Option<Stream>) -> Result<Option<bytes::Bytes>, String> {
    match stream {
        None => std::future::pending().await,
        Some(Stream { pieces, ends: None, .. }) => pieces.next().await.map_err(|error| error.reason()),
        Some(Stream { pieces, ends: Some(ends), .. }) => match tokio::time::timeout_at(*ends, pieces.next()).await {
            Ok(piece) => piece.map_err(|error| error.reason()),
            Err(_) => Err(format!("its events were not read within {WINDOW:?}")),
        },
    }
}

impl Shell {
    fn give(&mut self, input: Input) {
        let outputs = self.follower.step(clock::now(), input);
        for output in outputs {
            match output {
                Output::Ask { ticket, asked } => self.ask(ticket, asked),
                Output::Subscribe { ticket, since, until } => {
                    let Some(engine) = self.engine.clone() else { continue };
                    let is_poll = until.is_some();
                    self.questions
                        .spawn(async move { Came::Stream(ticket, engine.events(since, until).await, is_poll) });
                }
                Output::HangUp => {
                    self.stream = None;
                    self.questions.abort_all();
                }
                Output::Tell(told) => self.tell(told),
            }
        }
    }

    /// After the first that finds no place, nothing more is told: the daemon would take it for all.
    fn tell(&mut self, told: Told) {
        if self.is_full {
            self.dropped += 1;
            return;
        }
        self.weight += told.weight();
        self.telling.push(told);
        if self.telling.len() >= TOGETHER || self.weight >= HEAVY {
            self.hand_over();
        }
    }

    /// Says what there is to tell, and how things stand.
    fn say(&mut self) {
        self.hand_over();
        let status = self.follower.status();
        if self.told.as_ref() != Some(&status) {
            let said = Said::SourceStatus {
                source: self.source.name.clone(),
                status: Box::new(status.clone()),
                dropped: self.dropped,
            };
            // One that finds no place is outdated by the next.
            if self.outbox.put(said).is_ok() {
                self.told = Some(status);
            }
        }
    }

    fn hand_over(&mut self) {
        self.weight = 0;
        if self.telling.is_empty() {
            return;
        }
        let mut told = std::mem::take(&mut self.telling);
        // All of it is stored or nothing: where the last one stands is where all of them do.
        if let Some(last) = told.iter().rposition(|told| told.cursor.is_some()) {
            told[..last].iter_mut().for_each(|told| told.cursor = None);
        }
        match self.outbox.reserve(told.len()) {
            Ok(place) => {
                told.iter().for_each(|told| self.resume.absorb(told));
                place.put(Said::ContainerEvent { source: self.source.name.clone(), told });
            }
            Err(Full) => {
                self.dropped += told.len() as u64;
                self.is_full = true;
            }
        }
    }

    /// There is a place again: from where the daemon stands.
    fn begin_again(&mut self) {
        self.is_full = false;
        self.telling.clear();
        self.weight = 0;
        self.stream = None;
        self.questions.abort_all();
        self.follower = Follower::new(&self.source, self.resume.clone(), seed());
        self.told = None;
        self.give(Input::Tick);
    }

    fn ask(&mut self, ticket: u32, asked: Asked) {
        let engine = self.engine.clone();
        let source = self.source.clone();
        self.questions.spawn(async move {
            let answered = match (asked, engine) {
                (Asked::Identity, _) => return reach(ticket, source).await,
                (Asked::List, Some(engine)) => engine.all().await.map(Response::List),
                (Asked::Ping, Some(engine)) => engine.is_there().await.map(|()| Response::Pong),
                (Asked::List | Asked::Ping, None) => {
                    return Came::Answer(ticket, Response::Failed("it was not reached".to_owned()));
                }
            };
            Came::Answer(ticket, answered.unwrap_or_else(|error| Response::Failed(error.reason())))
        });
    }

    fn came(&mut self, came: Came) {
        match came {
            Came::Answer(ticket, response) => self.give(Input::Answered { ticket, response }),
            Came::Reached(ticket, engine, response) => {
                self.engine = Some(engine);
                self.give(Input::Answered { ticket, response });
            }
            Came::Stream(ticket, Err(error), _) => {
                self.give(Input::Answered { ticket, response: Response::Failed(error.reason()) });
            }
            Came::Stream(ticket, Ok(pieces), is_poll) => {
                let ends = is_poll.then(|| tokio::time::Instant::now() + WINDOW);
                self.stream = Some(Stream { ticket, pieces, lines: Lines::default(), ends });
                self.give(Input::Answered { ticket, response: Response::Subscribed });
            }
        }
    }

    fn piece(&mut self, piece: Result<Option<bytes::Bytes>, String>) {
        let Some(mut stream) = self.stream.take() else { return };
        let ticket = stream.ticket;
        match piece {
            Ok(Some(bytes)) => {
                stream.lines.push(&bytes);
                let lines: Vec<Line> = std::iter::from_fn(|| stream.lines.next()).collect();
                // Put back first: what a line leads to may be to hang up.
                self.stream = Some(stream);
                for line in lines {
                    self.give(Input::Heard { ticket, line });
                }
            }
            Ok(None) => {
                if let Some(line) = stream.lines.finish() {
                    self.give(Input::Heard { ticket, line });
                }
                self.give(Input::Ended { ticket, why: None });
            }
            Err(why) => self.give(Input::Ended { ticket, why: Some(why) }),
        }
    }
}

/// Looks up how the engine is reached, which may be different by now, and asks who it is.
async fn reach(ticket: u32, source: Source) -> Came {
    let resolve = move || Dial::resolve(&source.endpoint, source.tls.as_ref(), &|name| std::env::var_os(name));
    let dial = match off_thread(resolve).await {
        Ok(Ok(dial)) => dial,
        Ok(Err(error)) => return Came::Answer(ticket, Response::Failed(error.reason())),
        Err(error) => return Came::Answer(ticket, Response::Failed(error.to_string())),
    };
    let engine = Arc::new(Engine::over(dial, PATIENCE));
    match engine.about().await {
        Ok(about) => Came::Reached(ticket, engine, Response::Identity(about.identity)),
        Err(error) => Came::Answer(ticket, Response::Failed(error.reason())),
    }
}

/// For jitter: without randomness all sources would be asked at once.
fn seed() -> u64 {
    vigie_os::random::u64().unwrap_or_else(|_| clock::now().wall.0)
}
