//! `up` in the foreground: a session with the daemon, the output of all services, Ctrl-C.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use vigie_api::journal::JournalLine;
use vigie_api::report::SessionOpened;
use vigie_api::status::{Report, Service};
use vigie_api::stream::Line;
use vigie_api::{Client, Lines, path};
use vigie_core::exit_code::ExitCode;
use vigie_core::launch::{Origin, ServiceKey, Tie};
use vigie_core::name::Name;
use vigie_core::service::State;
use vigie_core::supervisor::{Outcome, Request, SessionId, Up};
use vigie_os::place::Place;
use vigie_os::proc::Proc;
use vigie_os::proc::status::Status;

use super::output::Output;
use super::ties::Ties;
use crate::failure::{Failure, Verdict};
use crate::out::{Screen, style};
use crate::{act, daemon, scene};

/// When nothing is told, it is looked all the same: what was told may have been lost on the way.
const LOOK: Duration = Duration::from_secs(10);

/// How many entries are remembered; the two streams are never so far apart.
const REMEMBERED: usize = 4096;

/// What is started, and who asks.
pub(super) struct Start {
    pub(super) up: Up,
    /// The services that it is about, and whether they are tied to this terminal.
    pub(super) services: BTreeMap<Name, (ServiceKey, Tie)>,
}

/// Starts, shows, stops.
pub(super) async fn run(start: Start, place: &Place, proc: &Proc) -> Verdict {
    let mut signals = Signals::take(proc)?;
    let client = daemon::connect(place).await?;
    // Those that run already are another's: neither shown nor stopped by us.
    let before = daemon::status(place, false).await?;
    let is_running = |key: &ServiceKey| {
        before.as_ref().is_some_and(|report| report.services.iter().any(|one| one.key == *key && scene::is_up(one)))
    };
    let ours: BTreeMap<Name, (ServiceKey, Tie)> =
        start.services.into_iter().filter(|(_, (key, _))| !is_running(key)).collect();
    let keys: Vec<ServiceKey> = ours.values().map(|(key, _)| key.clone()).collect();
    let output = Output::new(&keys, vigie_os::clock::now().wall, place)?;
    let origin = start.up.origin.clone();
    let (session, session_lines) = open_session(&client, proc, None).await?;
    let up = Request::Up(Box::new(Up { session: Some(session), ..start.up }));
    let request = daemon::patiently(place, &client, client.post_stream(path::REQUESTS, &up)).await??;
    let mut foreground = Foreground {
        place,
        proc,
        client,
        origin,
        ours,
        session,
        session_lines,
        request: Some((Asked::Up, request)),
        output,
        ties: Ties::default(),
        seen: BTreeSet::new(),
        look: false,
        screen: Screen::stderr(),
        stopping: false,
        worst: ExitCode::Done,
    };
    foreground.work(&mut signals).await
}

/// What the request under way is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Up,
    Down,
}

struct Foreground<'a> {
    place: &'a Place,
    proc: &'a Proc,
    client: Client,
    origin: Origin,
    ours: BTreeMap<Name, (ServiceKey, Tie)>,
    session: SessionId,
    session_lines: Lines<Line>,
    request: Option<(Asked, Lines<Line>)>,
    output: Output,
    ties: Ties,
    /// The numbers of the last entries: each comes over both streams.
    seen: BTreeSet<u64>,
    /// Something happened after which it may be over.
    look: bool,
    screen: Screen,
    stopping: bool,
    worst: ExitCode,
}

/// What happened.
enum Happened {
    Output,
    Session(Result<Option<Line>, vigie_api::Error>),
    Request(Result<Option<Line>, vigie_api::Error>),
    Interrupted,
    HungUp,
    Nothing,
}

impl Foreground<'_> {
    async fn work(&mut self, signals: &mut Signals) -> Verdict {
        loop {
            match self.next(signals).await? {
                Happened::Output => self.output.write()?,
                Happened::Session(Ok(Some(Line::Entry(entry)))) => self.entry(&entry)?,
                Happened::Session(Ok(Some(_))) => {}
                Happened::Session(Ok(None) | Err(_)) => self.resume().await?,
                Happened::Request(line) => self.answer(line)?,
                Happened::Interrupted => self.interrupted().await?,
                // The terminal is gone: nobody is left to show anything to. Our end ends the session and the ties, and
                // the ladders are climbed without us.
                Happened::HungUp => return Ok(128 + 1),
                Happened::Nothing => self.look = true,
            }
            if self.request.is_none()
                && std::mem::take(&mut self.look)
                && let Some(code) = self.is_over().await?
            {
                self.output.finish()?;
                return Ok(code);
            }
        }
    }

    async fn next(&mut self, signals: &mut Signals) -> Result<Happened, Failure> {
        let Self { request, output, session_lines, .. } = self;
        let request = async {
            match request {
                Some((_, lines)) => lines.next().await,
                None => pending().await,
            }
        };
        let output = async { if output.more { Ok(()) } else { output.changed().await } };
        Ok(tokio::select! {
            biased;
            happened = signals.next() => happened,
            line = request => Happened::Request(line),
            line = session_lines.next() => Happened::Session(line),
            changed = output => {
                changed?;
                Happened::Output
            }
            () = tokio::time::sleep(LOOK) => Happened::Nothing,
        })
    }

    fn entry(&mut self, entry: &JournalLine) -> Result<(), Failure> {
        if entry.seq.is_some_and(|seq| !self.seen.insert(seq)) {
            return Ok(());
        }
        if self.seen.len() > REMEMBERED {
            self.seen.pop_first();
        }
        self.look = true;
        let Some((key, tie)) = entry.service.as_ref().and_then(|service| self.ours.get(service)) else { return Ok(()) };
        if *tie == Tie::Terminal && matches!(entry.kind.as_str(), "locked" | "started" | "adopted_stray") {
            self.ties.tie(key, self.place)?;
        }
        // What was written before this happened stands before it.
        self.output.write()?;
        if self.is_worth_showing(&entry.kind) {
            eprintln!("{}", act::event(entry, self.screen));
        }
        Ok(())
    }

    /// Not every step of a life: who wants those asks for `events`.
    fn is_worth_showing(&self, kind: &str) -> bool {
        match kind {
            "wanted_up" | "wanted_down" | "locked" => false,
            // After an exit it goes without saying; of a stop it is what one waits for.
            "empty" => self.stopping,
            _ => true,
        }
    }

    fn answer(&mut self, line: Result<Option<Line>, vigie_api::Error>) -> Result<(), Failure> {
        match line {
            Ok(Some(Line::Entry(entry))) => self.entry(&entry),
            Ok(Some(Line::Outcome(outcome))) => {
                self.look = true;
                let asked = self.request.take().map(|(asked, _)| asked);
                self.outcome(asked, &outcome)
            }
            Ok(Some(Line::Error(error))) => Err(Failure::new(error.code, error.message)),
            Ok(Some(Line::Session(_))) => Ok(()),
            // The session's stream tells of the daemon's end too, and takes care of it.
            Ok(None) | Err(_) => {
                self.request = None;
                Ok(())
            }
        }
    }

    fn outcome(&mut self, asked: Option<Asked>, outcome: &Outcome) -> Result<(), Failure> {
        if let Some(why) = &outcome.why {
            return Err(Failure::new(outcome.code, why.clone()));
        }
        for service in outcome.services.iter().filter(|service| service.code != ExitCode::Done) {
            // Somebody else has it: it is not ours to wait for.
            if asked == Some(Asked::Up) && service.code == ExitCode::AlreadyRunning {
                self.ours.retain(|_, (key, _)| *key != service.key);
            }
        }
        let told = Outcome {
            services: outcome.services.iter().filter(|service| service.code != ExitCode::Done).cloned().collect(),
            ..outcome.clone()
        };
        act::tell(&told)?;
        if outcome.code != ExitCode::Done {
            self.worst = outcome.code;
        }
        Ok(())
    }

    /// Ctrl-C: stop. Again: the next rung.
    async fn interrupted(&mut self) -> Result<(), Failure> {
        let keys: Vec<ServiceKey> = self.ours.values().map(|(key, _)| key.clone()).collect();
        if self.stopping {
            self.say("next rung…");
            let skip = Request::Skip { keys };
            // It is answered at once; what it brings about is told by the session.
            let asked = self.client.post_stream(path::REQUESTS, &skip);
            let mut lines: Lines<Line> = daemon::patiently(self.place, &self.client, asked).await??;
            while let Ok(Some(Line::Entry(entry))) = lines.next().await {
                self.entry(&entry)?;
            }
            return Ok(());
        }
        self.stopping = true;
        self.say("stopping… (Ctrl-C again: the next rung at once)");
        self.stop(keys).await
    }

    async fn stop(&mut self, keys: Vec<ServiceKey>) -> Result<(), Failure> {
        self.worst = ExitCode::Done;
        let down =
            Request::Down { keys: self.live(keys).await?, origin: self.origin.clone(), timeout: None, ladder: None };
        let asked = self.client.post_stream(path::REQUESTS, &down);
        let lines = daemon::patiently(self.place, &self.client, asked).await??;
        self.request = Some((Asked::Down, lines));
        Ok(())
    }

    /// Those of `keys` that there is something to stop of.
    async fn live(&self, keys: Vec<ServiceKey>) -> Result<Vec<ServiceKey>, Failure> {
        let report = self.report().await?;
        let is_up = |key: &ServiceKey| report.services.iter().any(|one| one.key == *key && scene::is_up(one));
        Ok(keys.into_iter().filter(|key| is_up(key)).collect())
    }

    /// The daemon is gone. Services and their output go on; another daemon takes them over, and our session with them.
    async fn resume(&mut self) -> Result<(), Failure> {
        self.say("the daemon is gone; starting another");
        self.client = daemon::connect(self.place).await?;
        let (session, lines) = open_session(&self.client, self.proc, Some(self.session)).await?;
        (self.session, self.session_lines) = (session, lines);
        // Its numbers go on where the old one's ended, except after damage.
        self.seen.clear();
        self.look = true;
        self.request = None;
        if self.stopping {
            let keys = self.ours.values().map(|(key, _)| key.clone()).collect();
            self.stop(keys).await?;
        }
        Ok(())
    }

    /// The exit code, once nothing of ours runs or is on its way.
    async fn is_over(&mut self) -> Result<Option<u8>, Failure> {
        let report = self.report().await?;
        let ours: Vec<&Service> =
            report.services.iter().filter(|service| self.ours.values().any(|(key, _)| *key == service.key)).collect();
        if ours.iter().any(|service| service.state != State::Ghost && scene::is_up(service)) {
            return Ok(None);
        }
        let failed = ours.iter().any(|service| service.state == State::Failed) && !self.stopping;
        Ok(Some(if failed && self.worst == ExitCode::Done { ExitCode::No.number() } else { self.worst.number() }))
    }

    async fn report(&self) -> Result<Report, Failure> {
        match daemon::status(self.place, false).await? {
            Some(report) => Ok(report),
            // Between two daemons; the session's stream says so next.
            None => {
                daemon::connect(self.place).await?;
                daemon::status(self.place, false).await?.ok_or_else(|| daemon::silent(self.place))
            }
        }
    }

    fn say(&self, text: &str) {
        eprintln!("{}", self.screen.paint(style::DIM, format_args!("vigie: {text}")));
    }
}

async fn open_session(
    client: &Client,
    proc: &Proc,
    resume: Option<SessionId>,
) -> Result<(SessionId, Lines<Line>), Failure> {
    let own = proc.key(std::process::id())?;
    let Some(pid) = own else {
        return Err(Failure::new(ExitCode::Internal, "cannot tell this process's own start time"));
    };
    let path = match resume {
        Some(SessionId(id)) => format!("{}?resume={id}", path::SESSIONS),
        None => path::SESSIONS.to_owned(),
    };
    let mut lines = client.post_stream(&path, &SessionOpened { pid }).await?;
    match lines.next().await? {
        Some(Line::Session(session)) => Ok((session, lines)),
        _ => Err(Failure::new(ExitCode::Internal, "the daemon opened no session")),
    }
}

/// The signals that mean something in the foreground; absent are those that whoever started us wants ignored (nohup(1),
/// the `&` of a script).
struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hang_up: Option<Signal>,
}

impl Signals {
    fn take(proc: &Proc) -> Result<Self, Failure> {
        let mut buffer = Vec::new();
        let ignored = proc.status(std::process::id(), &mut buffer)?.map_or(0, |status| status.ignored);
        let take = |kind: SignalKind| {
            let wanted = !Status::has(ignored, kind.as_raw_value());
            let taken = wanted.then(|| signal(kind)).transpose();
            taken.map_err(|error| Failure::io("cannot take over signals", &error))
        };
        Ok(Self {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
            hang_up: take(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Happened {
        tokio::select! {
            () = come(&mut self.interrupt) => Happened::Interrupted,
            () = come(&mut self.terminate) => Happened::Interrupted,
            () = come(&mut self.hang_up) => Happened::HungUp,
        }
    }
}

/// Waits for a signal; for one that is ignored, for ever.
async fn come(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => pending().await,
    }
}
