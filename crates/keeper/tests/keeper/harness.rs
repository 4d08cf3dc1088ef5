//! A client of a keeper, and waiting for what must happen.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use vigie_core::clock::{Mono, Wall};
use vigie_core::identity::{ProcKey, RunId};
use vigie_core::ladder::Ladder;
use vigie_core::launch::{Group, Input, Launch, Limits, Origin, Orphans, Output, Overflow, Scope, ServiceKey};
use vigie_core::logindex::segment_number;
use vigie_core::name::Name;
use vigie_os::clock::{mono, now};
use vigie_os::pidfd::Target;
use vigie_os::proc::Proc;
use vigie_wire::frame::{Lines, encode};
use vigie_wire::keeper::{Answer, Event, Request, State, StopCause, What};

/// Far more than anything here takes; a test that reaches it has failed.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A folder for one service, and what its runs have in common.
pub(crate) struct Service {
    dir: tempfile::TempDir,
}

impl Service {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary folder");
        std::fs::create_dir(dir.path().join("services")).expect("folder");
        Self { dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.dir().join("services/it")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.dir().join("logs")
    }

    /// A launch of a shell script. `$DIR` is the test's folder.
    pub(crate) fn launch(&self, script: &str) -> Launch {
        Launch {
            key: ServiceKey::new(Scope::Project, self.dir(), Name::new("it").expect("name")),
            project: Name::new("test").expect("name"),
            mode: None,
            run: RunId::new(now().wall, vigie_os::random::u32().expect("random")),
            lock: self.folder().join("lock").into(),
            folder: self.folder().into(),
            argv: ["sh", "-c", script].map(Into::into).to_vec(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("DIR".into(), self.dir().into())],
            cwd: self.dir().into(),
            input: Input::Null,
            output: Output::Segments {
                dir: self.logs().into(),
                max_size: 16 << 20,
                keep: 5,
                overflow: Overflow::Block,
            },
            group: Group::Own,
            ladder: ladder(&["TERM 30s", "KILL 30s"]),
            orphans: Orphans::End,
            limits: Limits::default(),
            origin: Origin::default(),
            managed: false,
            attempt: 0,
            adopt: None,
        }
    }

    /// Starts a keeper and its run.
    pub(crate) fn start(&self, launch: Launch) -> Keeper {
        let mut keeper = Keeper::spawn("best");
        keeper.launch(launch);
        keeper.until(|what| matches!(what, What::Locked { .. }));
        keeper.send(&Request::Go);
        keeper
    }

    /// A keeper, its run and that run's main process.
    pub(crate) fn run(&self, launch: Launch) -> (Keeper, ProcKey) {
        let mut keeper = self.start(launch);
        let main = keeper.started();
        (keeper, main)
    }

    /// What the file in the test's folder holds, once a line is in it.
    pub(crate) fn line_in(&self, file: &str) -> String {
        let path = self.dir().join(file);
        let line = vigie_os::watch::until(self.dir(), mono() + LONG, || {
            let content = std::fs::read_to_string(&path).unwrap_or_default();
            Ok::<_, vigie_os::error::OsError>(content.split_once('\n').map(|(line, _)| line.to_owned()))
        });
        line.expect("watch").unwrap_or_else(|| panic!("{file} was not written"))
    }

    /// The process whose PID is in the file.
    pub(crate) fn process_in(&self, file: &str) -> Process {
        Process::new(self.line_in(file).trim().parse().expect("a PID"))
    }

    /// The segments of the log by number.
    pub(crate) fn segments(&self) -> Vec<(u32, PathBuf)> {
        let Ok(entries) = std::fs::read_dir(self.logs()) else { return Vec::new() };
        let mut segments: Vec<_> = entries
            .filter_map(|entry| {
                let path = entry.expect("entry").path();
                Some((segment_number(path.file_name()?.to_str()?)?, path))
            })
            .collect();
        segments.sort();
        segments
    }

    /// All bytes of the log, in order.
    pub(crate) fn log(&self) -> Vec<u8> {
        self.segments().into_iter().flat_map(|(_, path)| std::fs::read(path).expect("segment")).collect()
    }

    /// Another client of its keeper.
    pub(crate) fn connect(&self) -> Client {
        let path = self.folder().join("control.sock");
        Client::new(vigie_os::socket::connect(&path, LONG).expect("the keeper listens"))
    }

    pub(crate) fn record(&self) -> State {
        let content = std::fs::read(self.folder().join("record.json")).expect("record");
        serde_json::from_slice(&content).expect("record")
    }
}

pub(crate) fn ladder(rungs: &[&str]) -> Ladder {
    Ladder::new(rungs.iter().map(|rung| rung.parse().expect("rung")).collect()).expect("ladder")
}

/// A process that is held, so that its end cannot be mistaken.
pub(crate) struct Process(Target);

impl Process {
    pub(crate) fn new(pid: u32) -> Self {
        let proc = Proc::system().expect("/proc");
        Self(Target::open_pid(&proc, pid).expect("opens").unwrap_or_else(|| panic!("process {pid} is gone")))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.key().pid
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.0.is_dead().expect("poll")
    }

    /// Ends it.
    pub(crate) fn end(&self) {
        self.0.send(vigie_core::ladder::Signal::Kill).expect("signals");
        assert!(self.0.wait(mono() + LONG).expect("poll"), "process {} does not end", self.pid());
    }
}

/// A connection to a keeper.
pub(crate) struct Client {
    pub(crate) socket: UnixStream,
    lines: Lines,
    pub(crate) events: Vec<Event>,
}

impl Client {
    pub(crate) fn new(socket: UnixStream) -> Self {
        Self { socket, lines: Lines::default(), events: Vec::new() }
    }

    pub(crate) fn send(&mut self, request: &Request) {
        self.socket.write_all(&encode(request).expect("encodes")).expect("the keeper listens");
    }

    /// To one that may have refused already, and is gone then: its answer can be read all the same.
    pub(crate) fn send_unless_gone(&mut self, request: &Request) {
        match self.socket.write_all(&encode(request).expect("encodes")) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            sent => sent.expect("the keeper listens"),
        }
    }

    /// The next answer; `None` when the keeper has closed the connection.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        let deadline = mono() + LONG;
        loop {
            if let Some(answer) = self.lines.message().expect("the protocol") {
                if let Answer::Event(event) = &answer {
                    self.events.push(event.clone());
                }
                return Some(answer);
            }
            let left = deadline.since(mono()).max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(left)).expect("timeout");
            let mut buffer = [0; 4096];
            match self.socket.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.lines.push(&buffer[..count]).expect("short lines"),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no answer: {error}; so far {:?}", self.events),
            }
        }
    }

    /// The next answer that is no event.
    pub(crate) fn reply(&mut self) -> Answer {
        loop {
            match self.answer().expect("an answer") {
                Answer::Event(_) => {}
                other => return other,
            }
        }
    }

    /// Reads events until one is as wanted.
    pub(crate) fn until(&mut self, wanted: impl Fn(&What) -> bool) -> Event {
        loop {
            match self.answer() {
                Some(Answer::Event(event)) if wanted(&event.what) => return event,
                Some(Answer::Event(_) | Answer::State(_)) => {}
                other => panic!("not what was waited for: {other:?}; events {:?}", self.events),
            }
        }
    }

    pub(crate) fn started(&mut self) -> ProcKey {
        match self.until(|what| matches!(what, What::Started { .. })).what {
            What::Started { main, .. } => main,
            _ => unreachable!("just matched"),
        }
    }

    pub(crate) fn until_empty(&mut self) {
        self.until(|what| *what == What::Empty);
    }

    /// The names of all events so far.
    pub(crate) fn story(&self) -> String {
        let names = self.events.iter().map(|event| {
            let json = serde_json::to_value(&event.what).expect("json");
            json["event"].as_str().expect("tag").to_owned()
        });
        names.collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn stop(&mut self) {
        self.send(&Request::Stop { ladder: None, cause: StopCause::Asked });
    }
}

/// A keeper that this test started. When it is dropped, what it holds is killed.
pub(crate) struct Keeper {
    pub(crate) child: Child,
    pub(crate) client: Client,
}

impl std::ops::Deref for Keeper {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl std::ops::DerefMut for Keeper {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Keeper {
    pub(crate) fn spawn(containment: &str) -> Self {
        Self::spawn_with(containment, Stdio::null())
    }

    pub(crate) fn spawn_with(containment: &str, stdout: Stdio) -> Self {
        let (ours, theirs) = UnixStream::pair().expect("socket pair");
        let child = Command::new(env!("CARGO_BIN_EXE_keeper-under-test"))
            .arg(containment)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(stdout)
            .spawn()
            .expect("starts");
        Self { child, client: Client::new(ours) }
    }

    pub(crate) fn launch(&mut self, launch: Launch) {
        self.send(&Request::Launch(Box::new(launch)));
    }

    pub(crate) fn launch_with(&mut self, launch: Launch, stdin: BorrowedFd<'_>) {
        let line = encode(&Request::Launch(Box::new(launch))).expect("encodes");
        let sent = vigie_os::rights::send(self.socket.as_fd(), &line, Some(stdin)).expect("sends");
        assert_eq!(sent, line.len());
    }

    /// Waits until the keeper has ended by itself; gives its exit code.
    pub(crate) fn wait(&mut self) -> i32 {
        let target = Process::new_of(&self.child);
        if let Some(target) = target {
            assert!(target.0.wait(mono() + LONG).expect("poll"), "the keeper does not end: {}", self.story());
        }
        self.child.wait().expect("own child").code().unwrap_or(-1)
    }

    pub(crate) fn release(&mut self) -> i32 {
        self.send(&Request::Release);
        self.wait()
    }

    /// `kill -9`
    pub(crate) fn murder(&mut self) {
        self.child.kill().expect("own child");
        self.child.wait().expect("own child");
    }
}

impl Process {
    fn new_of(child: &Child) -> Option<Self> {
        let proc = Proc::system().expect("/proc");
        Target::open_pid(&proc, child.id()).expect("opens").map(Self)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return;
        }
        let stop = Request::Stop { ladder: Some(Ladder::kill()), cause: StopCause::Asked };
        for request in [stop, Request::Skip, Request::Skip, Request::Skip, Request::Release] {
            let _ = self.client.socket.write_all(&encode(&request).expect("encodes"));
        }
        let ended = Process::new_of(&self.child).is_none_or(|keeper| keeper.0.wait(mono() + LONG).unwrap_or(false));
        if !ended {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// For states that must not change: nothing to compare with but zero.
pub(crate) fn is_set(wall: Wall, mono: Mono) -> bool {
    wall > Wall(0) && mono > Mono(0)
}

/// Lets time pass, for what must be hit at a certain moment or must not happen at all. Never to wait for something.
pub(crate) fn pause(time: Duration) {
    vigie_os::poll::PollSet::default().wait(Some(time)).expect("waits");
}

/// Who still bears the mark of the run.
pub(crate) fn marked(run: RunId) -> Vec<u32> {
    let proc = Proc::system().expect("/proc");
    let mut pids = Vec::new();
    proc.pids(&mut pids).expect("reads");
    let mark = run.to_string();
    pids.retain(|pid| {
        let mut buffer = Vec::new();
        proc.variable(*pid, "VIGIE_RUN", &mut buffer).ok().flatten() == Some(mark.as_bytes())
    });
    pids
}
