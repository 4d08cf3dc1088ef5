//! The server and the client of the API, with a test in the place of the dispatcher.

use super::*;

use vigie_api::report::{Daemon, SessionOpened};
use vigie_api::stream::Line;
use vigie_api::time::Millis;
use vigie_api::{Client, Error, SCHEMA, journal::JournalLine, path};
use vigie_core::clock::Wall;
use vigie_core::identity::{BootId, ProcKey};
use vigie_core::journal::{Entry, Subject, What};
use vigie_core::name::Name;
use vigie_core::supervisor::{Outcome, Request as Asked, SessionId};
use vigie_store::journal::Journal;

use crate::dispatch::Seen;
use crate::ledger::News;
use crate::sessions::Sessions;
use crate::test::run;

struct Stage {
    client: Client,
    queue: mpsc::Receiver<Input>,
    lines: Lines,
    folder: tempfile::TempDir,
    journal: Journal,
    ending: watch::Sender<bool>,
    desk: Arc<Desk>,
}

/// A server on a socket of its own.
fn stage() -> Stage {
    stage_with(16)
}

/// As [`stage`], with so many places for news.
fn stage_with(ring: usize) -> Stage {
    let folder = tempfile::tempdir().expect("folder");
    let socket = folder.path().join("daemon.sock");
    let listener = UnixListener::bind(&socket).expect("bound");
    let (inputs, queue) = mpsc::channel(16);
    let (lines, _) = tokio::sync::broadcast::channel(ring);
    let (journal, _) = Journal::open(folder.path(), Wall(1)).expect("opened");
    let log = Log::open(folder.path());
    let (ending, ends) = watch::channel(false);
    let desk = Arc::new(Desk {
        inputs,
        lines: lines.clone(),
        about: Daemon {
            schema: SCHEMA,
            pid: 1,
            version: "0".to_owned(),
            started: Millis(Wall(0)),
            home: folder.path().into(),
        },
        services: folder.path().join("services"),
        state: folder.path().to_owned(),
        config: folder.path().to_owned(),
        ports: Arc::default(),
        access: Access::read(&journal, &log).expect("read"),
        visitors: Arc::new(Semaphore::new(VISITORS)),
        streams: Arc::default(),
        imports: Imports::default(),
        ending: ends,
        log,
    });
    tokio::spawn(serve(listener, Arc::clone(&desk), Arc::new(Semaphore::new(CONNECTIONS))));
    Stage { client: Client::new(socket), queue, lines, folder, journal, ending, desk }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("name")
}

fn line(seq: u64, service: &str) -> JournalLine {
    let subject = Subject::Service { project: name("demo"), service: name(service), mode: None };
    JournalLine::new(seq, &Entry::new(Wall(1), subject, None, What::Locked))
}

fn news(seq: u64, service: &str) -> News {
    News::new(line(seq, service))
}

fn refusal(error: &Error) -> ExitCode {
    match error {
        Error::Refused(detail) => detail.code,
        other => panic!("{other}"),
    }
}

/// R5.5: the session lives exactly as long as its connection.
#[test]
fn a_session_ends_with_its_connection() {
    run(async {
        let mut stage = stage();
        let command = ProcKey { boot_id: BootId("b".into()), pid: 7, start_ticks: 9 };
        let (client, body) = (stage.client.clone(), SessionOpened { pid: command.clone() });
        let opening = tokio::spawn(async move { client.post_stream::<_, Line>(path::SESSIONS, &body).await });
        let Some(Input::OpenSession { command: told, resume: None, reply }) = stage.queue.recv().await else {
            panic!("no session was asked for")
        };
        assert_eq!(told, command);
        let mut sessions = Sessions::default();
        let (session, _) = sessions.open(&command).expect("opened");
        sessions.tie(session.id, &name("demo"), &name("api"));
        assert!(reply.send(Some(session.clone())).is_ok());
        let mut lines = opening.await.expect("no panic").expect("a stream");
        assert_eq!(lines.next().await.expect("line"), Some(Line::Session(session.id)));
        for (seq, service) in [(1, "db"), (2, "api")] {
            stage.lines.send(Arc::new(news(seq, service))).expect("somebody listens");
        }
        assert_eq!(lines.next().await.expect("line"), Some(Line::Entry(line(2, "api"))), "only what is tied to it");
        drop(lines);
        assert!(matches!(stage.queue.recv().await, Some(Input::CloseSession(id)) if id == session.id));
    });
}

#[test]
fn a_session_that_is_over_cannot_be_resumed() {
    run(async {
        let mut stage = stage();
        let body = SessionOpened { pid: ProcKey { boot_id: BootId("b".into()), pid: 7, start_ticks: 9 } };
        let client = stage.client.clone();
        let resume = format!("{}?resume=5", path::SESSIONS);
        let opening = tokio::spawn(async move { client.post_stream::<_, Line>(&resume, &body).await });
        let Some(Input::OpenSession { resume: Some(SessionId(5)), reply, .. }) = stage.queue.recv().await else {
            panic!("no session was asked for")
        };
        assert!(reply.send(None).is_ok());
        let error = opening.await.expect("no panic").expect_err("it is over");
        assert_eq!(refusal(&error), ExitCode::NotFound);
    });
}

#[test]
fn entries_come_before_the_outcome() {
    run(async {
        let mut stage = stage();
        let client = stage.client.clone();
        let request = Asked::Skip { keys: Vec::new() };
        let asking = tokio::spawn(async move { client.post_stream::<_, Line>(path::REQUESTS, &request).await });
        let Some(Input::Look { reply, .. }) = stage.queue.recv().await else { panic!("whom is it about?") };
        assert!(reply.send(Vec::new()).is_ok());
        let Some(Input::Request { request: Asked::Skip { .. }, reply }) = stage.queue.recv().await else {
            panic!("nothing was asked for")
        };
        stage.lines.send(Arc::new(news(1, "another"))).expect("somebody listens");
        let outcome = Outcome { code: ExitCode::No, why: None, services: Vec::new() };
        assert!(reply.send(outcome.clone()).is_ok());
        let mut lines = asking.await.expect("no panic").expect("a stream");
        assert_eq!(lines.next().await.expect("line"), Some(Line::Outcome(outcome)));
        assert_eq!(lines.next().await.expect("end"), None);
    });
}

/// `vigie daemon stop` with a thousand services: there is more to be read than waits for a client.
#[test]
fn a_daemon_that_ends_tells_the_outcome_however_much_comes_before() {
    const ENTRIES: u64 = 300;
    run(async {
        let mut stage = stage_with(512);
        let client = stage.client.clone();
        let asking = tokio::spawn(async move { client.post_stream::<_, Line>(path::REQUESTS, &Asked::ShutDown).await });
        let Some(Input::Look { reply, .. }) = stage.queue.recv().await else { panic!("whom is it about?") };
        let key = serde_json::json!({"scope": "project", "dir": "/srv/demo", "service": "api"});
        let service = serde_json::json!({
            "project": "demo", "service": "api", "wanted": "up", "state": "running", "restarts": 0, "findings": [],
            "claims": [], "project_dir": "/srv/demo", "scope": "project", "key": key,
        });
        let service = serde_json::from_value(service).expect("a service");
        assert!(reply.send(vec![Seen { service, keeper: None }]).is_ok());
        let Some(Input::Request { reply, .. }) = stage.queue.recv().await else { panic!("nothing was asked for") };
        // Nobody else gets a turn meanwhile.
        for seq in 1..=ENTRIES {
            stage.lines.send(Arc::new(news(seq, "api"))).expect("somebody listens");
        }
        let outcome = Outcome { code: ExitCode::Done, why: None, services: Vec::new() };
        assert!(reply.send(outcome.clone()).is_ok());
        stage.ending.send_replace(true);
        let mut lines = asking.await.expect("no panic").expect("a stream");
        for seq in 1..=ENTRIES {
            assert_eq!(lines.next().await.expect("line"), Some(Line::Entry(line(seq, "api"))));
        }
        assert_eq!(lines.next().await.expect("line"), Some(Line::Outcome(outcome)));
        assert_eq!(lines.next().await.expect("end"), None);
    });
}

/// The daemon ends before the request is over: that is said, not left open.
#[test]
fn an_end_without_an_outcome_is_told() {
    run(async {
        let mut stage = stage();
        let client = stage.client.clone();
        let asking = tokio::spawn(async move { client.post_stream::<_, Line>(path::REQUESTS, &Asked::ShutDown).await });
        let Some(Input::Look { reply, .. }) = stage.queue.recv().await else { panic!("whom is it about?") };
        assert!(reply.send(Vec::new()).is_ok());
        drop(stage.queue.recv().await);
        let mut lines = asking.await.expect("no panic").expect("a stream");
        match lines.next().await.expect("line") {
            Some(Line::Error(detail)) => assert_eq!(detail.code, ExitCode::Unreachable),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn the_journal_is_read_and_followed_without_a_gap_or_a_repetition() {
    run(async {
        let mut stage = stage();
        let entry = |what| Entry::new(Wall(1), Subject::Daemon, None, what);
        stage.journal.append(&[entry(What::Locked), entry(What::KeeperLost), entry(What::Locked)]).expect("written");
        let client = stage.client.clone();
        let asked = format!("{}?after=1&follow=1", path::EVENTS);
        let asking = tokio::spawn(async move { client.get_stream::<JournalLine>(&asked).await });
        let Some(Input::Import(done)) = stage.queue.recv().await else { panic!("nothing was imported") };
        assert!(done.send(()).is_ok());
        let mut lines = asking.await.expect("no panic").expect("a stream");
        for seq in [3, 4] {
            // The first was stored before it was read, the second comes after it.
            stage.lines.send(Arc::new(news(seq, "api"))).expect("somebody listens");
        }
        let mut numbers = Vec::new();
        for _ in 0..3 {
            numbers.push(lines.next().await.expect("line").expect("more").seq);
        }
        assert_eq!(numbers, [Some(2), Some(3), Some(4)]);
    });
}

#[test]
fn what_is_wrong_is_refused() {
    run(async {
        let stage = stage();
        let nowhere = stage.client.get_json::<u32>("/v1/nowhere").await.expect_err("nothing there");
        assert_eq!(refusal(&nowhere), ExitCode::Internal);
        let method = stage.client.get_json::<u32>(path::REQUESTS).await.expect_err("POST it");
        assert_eq!(refusal(&method), ExitCode::Usage);
        let number = stage.client.get_json::<u32>("/v1/events?after=x").await.expect_err("no number");
        assert_eq!(refusal(&number), ExitCode::Usage);
        let body = stage.client.post_stream::<_, Line>(path::REQUESTS, &"nonsense").await.expect_err("no request");
        assert_eq!(refusal(&body), ExitCode::Usage);
        let large = "x".repeat(path::MANIFEST_LIMIT + 1);
        let large = stage.client.post_stream::<_, Line>(path::REQUESTS, &large).await.expect_err("too large");
        assert_eq!(
            large.exit_code(),
            if let Error::Refused(_) = large { ExitCode::Usage } else { ExitCode::Unreachable }
        );
        assert_eq!(stage.client.get_json::<Daemon>(path::DAEMON).await.expect("it goes on").pid, 1);
    });
}

/// Reads a stream until something stands in it, or it ends.
async fn read_until(stream: &mut tokio::net::UnixStream, text: &mut String, wanted: &str) {
    use tokio::io::AsyncReadExt as _;
    let mut buffer = [0; 4096];
    while !text.contains(wanted) {
        let count = stream.read(&mut buffer).await.expect("read");
        assert_ne!(count, 0, "it ended without {wanted:?}: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}

/// Opens a stream, with a test in the place of the dispatcher.
async fn open_stream(stage: &mut Stage, path: &str) -> (tokio::net::UnixStream, String) {
    use tokio::io::AsyncWriteExt as _;
    let mut stream = tokio::net::UnixStream::connect(stage.client.socket()).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let Some(Input::Import(done)) = stage.queue.recv().await else { panic!("nothing was imported") };
    assert!(done.send(()).is_ok());
    let mut text = String::new();
    read_until(&mut stream, &mut text, "event: ").await;
    (stream, text)
}

/// The ring has 16 places here: whoever is further behind is told, with the number from which it goes on.
#[test]
fn a_client_that_is_left_behind_is_told_where_it_goes_on() {
    run(async {
        let mut stage = stage();
        let (mut stream, mut text) = open_stream(&mut stage, path::STREAM).await;
        assert!(text.contains("event: hello\nid: 0\n"), "{text}");
        stage.lines.send(Arc::new(news(1, "api"))).expect("somebody listens");
        read_until(&mut stream, &mut text, "\"seq\":1,").await;
        // Nobody else gets a turn meanwhile.
        for seq in 2..=101 {
            stage.lines.send(Arc::new(news(seq, "api"))).expect("somebody listens");
        }
        read_until(&mut stream, &mut text, "\"seq\":101,").await;
        let resync = "event: resync\nid: 85\ndata: {\"schema\":1,\"why\":\"slow\",\"after\":85}\n\n";
        let (before, after) = text.split_once(resync).expect("it is told");
        assert!(before.contains("\"seq\":1,") && !before.contains("\"seq\":2,"), "{before}");
        assert_eq!(after.matches("\"seq\":").count(), 16, "{after}");
        assert_eq!(stage.desk.streams.resyncs(), 1);
    });
}

#[test]
fn streams_end_before_the_daemon_and_leave_their_places() {
    run(async {
        let mut stage = stage();
        let mut streams = Vec::new();
        for _ in 0..3 {
            streams.push(open_stream(&mut stage, path::STREAM).await);
        }
        assert_eq!(stage.desk.streams.clients(), 3);
        stage.ending.send_replace(true);
        for (mut stream, mut text) in streams {
            read_until(&mut stream, &mut text, "\r\n0\r\n\r\n").await;
        }
        while stage.desk.streams.clients() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(stage.folder.path().exists());
    });
}
