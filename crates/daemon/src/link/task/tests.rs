use super::*;

use std::path::Path;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use vigie_core::clock::{Mono, Wall};
use vigie_core::identity::ProcKey;
use vigie_core::ladder::Ladder;
use vigie_core::launch::{Group, Input as StandardInput, Limits, Origin, Orphans, Output, Overflow, Scope};
use vigie_core::name::Name;
use vigie_core::run::{self, StopCause};
use vigie_os::proc::Proc;
use vigie_wire::frame::encode;

use crate::children::Children;
use crate::link::Spawner;
use crate::log::Log;
use crate::test::run;

/// A link, and the keeper at its other end, played by the test.
struct Stage {
    commands: mpsc::Sender<Command>,
    keeper: BufReader<UnixStream>,
    inputs: mpsc::Receiver<Input>,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// The keeper was told to launch `first`.
    fn new(first: Launch) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let (ours, theirs) = UnixStream::pair().expect("sockets");
        let (commands, queue) = mpsc::channel(8);
        let (sender, inputs) = mpsc::channel(64);
        let surroundings = Surroundings {
            inputs: sender,
            children: Children::reap().expect("signals"),
            spawner: Spawner::new("/nowhere".into(), None).expect("/dev/null and /proc"),
            log: Log::open(folder.path()),
        };
        let connection = Connection {
            talk: Talk::new(ours),
            keeper: Keeper::Found(own()),
            run: first.run,
            seq: 0,
            over: false,
            launching: Some(Launching { launch: Box::new(first), again: false }),
            released: false,
        };
        let link = Link::new(key(), folder.path().to_owned(), surroundings, queue, Some(connection));
        tokio::spawn(link.serve());
        Self { commands, keeper: BufReader::new(theirs), inputs, _folder: folder }
    }

    async fn command(&self, command: Command) {
        self.commands.send(command).await.expect("the link is there");
    }

    async fn say(&mut self, answer: Answer) {
        self.keeper.write_all(&encode(&answer).expect("encodes")).await.expect("the link listens");
    }

    async fn happens(&mut self, run: RunId, seq: u64, what: What) {
        self.say(Answer::Event(run::Event { run, seq, at: Wall(1), mono: Mono(1), what })).await;
    }

    /// The next request.
    async fn hears(&mut self) -> Request {
        let mut line = String::new();
        self.keeper.read_line(&mut line).await.expect("the link speaks");
        serde_json::from_str(&line).expect("a request")
    }

    /// What the daemon is told next.
    async fn told(&mut self) -> Event {
        match self.inputs.recv().await {
            Some(Input::Event(event)) => event,
            _ => panic!("another input, or the end"),
        }
    }
}

fn key() -> ServiceKey {
    ServiceKey::new(Scope::User, Path::new("/"), Name::new("a").expect("name"))
}

fn launch(run: u64) -> Launch {
    Launch {
        key: key(),
        project: Name::new("demo").expect("name"),
        mode: None,
        run: RunId(run),
        lock: "/nowhere/lock".into(),
        folder: "/nowhere".into(),
        argv: vec!["true".into()],
        env: Vec::new(),
        cwd: "/".into(),
        input: StandardInput::Null,
        output: Output::Segments { dir: "/nowhere".into(), max_size: 1, keep: 1, overflow: Overflow::Block },
        group: Group::Own,
        ladder: Ladder::default(),
        orphans: Orphans::End,
        limits: Limits::default(),
        origin: Origin::default(),
        managed: true,
        attempt: 0,
        adopt: None,
    }
}

fn own() -> ProcKey {
    let proc = Proc::system().expect("/proc");
    proc.key(std::process::id()).expect("/proc").expect("this process")
}

fn locked() -> What {
    What::Locked { keeper: own() }
}

/// A stop, a start and a restart in one moment: the keeper's complaint about what was asked of the first run must not be
/// taken for one about the second, which runs by then.
#[test]
fn a_complaint_is_about_the_run_that_it_names() {
    run(async {
        let mut stage = Stage::new(launch(1));
        stage.happens(RunId(1), 1, locked()).await;
        assert!(matches!(stage.told().await, Event::Keeper { .. }));
        assert_eq!(stage.hears().await, Request::Go);
        stage.happens(RunId(1), 2, What::Empty).await;
        assert!(matches!(stage.told().await, Event::Keeper { .. }));
        stage.command(Command::Launch(Box::new(launch(2)), Claims::default())).await;
        assert_eq!(stage.hears().await, Request::Again(Box::new(launch(2))));
        stage.say(Answer::Failed { run: None, message: "this run was started already".to_owned() }).await;
        stage.say(Answer::Failed { run: Some(RunId(1)), message: "so was this one".to_owned() }).await;
        stage.happens(RunId(2), 1, locked()).await;
        assert!(matches!(stage.told().await, Event::Keeper { event, .. } if event.run == RunId(2)));
        stage.happens(RunId(2), 2, What::Empty).await;
        assert!(matches!(stage.told().await, Event::Keeper { event, .. } if event.run == RunId(2)));
        stage.command(Command::Launch(Box::new(launch(3)), Claims::default())).await;
        assert_eq!(stage.hears().await, Request::Again(Box::new(launch(3))));
        stage.say(Answer::Failed { run: Some(RunId(3)), message: "no room".to_owned() }).await;
        let told = stage.told().await;
        assert!(matches!(&told, Event::LaunchFailed { run: RunId(3), why, .. } if why == "no room"), "{told:?}");
    });
}

/// What cannot hold its first run says why.
#[test]
fn a_keeper_that_cannot_begin_is_let_go() {
    run(async {
        let mut stage = Stage::new(launch(1));
        stage.say(Answer::Failed { run: Some(RunId(1)), message: "survivors".to_owned() }).await;
        let told = stage.told().await;
        assert!(matches!(&told, Event::LaunchFailed { run: RunId(1), why, .. } if why == "survivors"), "{told:?}");
    });
}

#[test]
fn what_is_told_to_stop_is_not_told_to_go() {
    run(async {
        let mut stage = Stage::new(launch(1));
        let stop = Request::Stop { ladder: None, cause: StopCause::Asked };
        stage.command(Command::Tell(Box::new(stop.clone()))).await;
        assert_eq!(stage.hears().await, stop);
        stage.happens(RunId(1), 1, locked()).await;
        stage.happens(RunId(1), 2, What::Empty).await;
        for _ in 0..2 {
            assert!(matches!(stage.told().await, Event::Keeper { .. }));
        }
        stage.command(Command::Launch(Box::new(launch(2)), Claims::default())).await;
        assert_eq!(stage.hears().await, Request::Again(Box::new(launch(2))), "and nothing before");
    });
}

/// What is to be adopted holds its ports itself: they are no reason to let its keeper go.
#[test]
fn what_is_adopted_may_hold_its_own_claims() {
    run(async {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let claim = taken.local_addr().expect("bound").to_string().parse().expect("a claim");
        let claims = Claims { ports: vec![claim], legacy_pidfile: None };
        let mut stage = Stage::new(launch(1));
        stage.happens(RunId(1), 1, What::Empty).await;
        assert!(matches!(stage.told().await, Event::Keeper { .. }));
        let adopts = Launch { adopt: Some(own()), ..launch(2) };
        stage.command(Command::Launch(Box::new(adopts.clone()), claims.clone())).await;
        assert_eq!(stage.hears().await, Request::Again(Box::new(adopts)));
        stage.happens(RunId(2), 1, What::Empty).await;
        assert!(matches!(stage.told().await, Event::Keeper { .. }));
        stage.command(Command::Launch(Box::new(launch(3)), claims)).await;
        assert_eq!(stage.hears().await, Request::Release, "what is spawned needs them free");
        assert!(matches!(stage.told().await, Event::Occupied { run: RunId(3), .. }));
    });
}

/// R4.4: who has the port of a run that crashed is told before its end is.
#[test]
fn a_crash_is_explained() {
    run(async {
        let mut stage = Stage::new(launch(1));
        stage.happens(RunId(1), 1, What::Empty).await;
        assert!(matches!(stage.told().await, Event::Keeper { .. }));
        // A loopback address of its own: whatever else runs on this machine is given no port of that one meanwhile.
        let [_, a, b, c] = std::process::id().to_be_bytes();
        let address = std::net::Ipv4Addr::new(127, a | 0x80, b, c);
        let taken = std::net::TcpListener::bind((address, 0)).expect("a port");
        let port = taken.local_addr().expect("bound").port();
        let claim: vigie_core::claim::PortClaim = format!("{address}:{port}").parse().expect("a claim");
        drop(taken);
        let claims = Claims { ports: vec![claim], legacy_pidfile: None };
        for (number, code, explained) in [(2, 1, true), (3, 0, false)] {
            stage.command(Command::Launch(Box::new(launch(number)), claims.clone())).await;
            assert!(matches!(stage.hears().await, Request::Again(_)));
            let taken = std::net::TcpListener::bind((address, port)).expect("it is free");
            stage.happens(RunId(number), 1, What::Exited { exit: vigie_core::exit::Exit::Code(code) }).await;
            stage.happens(RunId(number), 2, What::Empty).await;
            assert!(matches!(stage.told().await, Event::Keeper { .. }));
            if explained {
                let told = stage.told().await;
                assert!(matches!(&told, Event::ClaimHeld { what, .. } if what.contains(&port.to_string())), "{told:?}");
            }
            let told = stage.told().await;
            let is_end = matches!(&told, Event::Keeper { event, .. } if event.what == What::Empty);
            assert!(is_end, "{told:?}");
            drop(taken);
        }
    });
}
