//! Probes against real sockets, with an impostor beside the run.

use super::*;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use vigie_core::clock::Wall;
use vigie_core::identity::RunId;
use vigie_core::ladder::Ladder;
use vigie_core::launch::{Group, Input as StdInput, Limits, Origin, Orphans, Output, Overflow, Scope};
use vigie_core::logindex::{Entry, Kind, file_names};
use vigie_core::name::Name;
use vigie_os::proc::Proc;

use crate::test::run;

/// Ends with the test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Of the tree below this test, which thereby plays the keeper: its children are the run, itself is not.
fn live() -> LiveRun {
    let me = Proc::system().expect("/proc").key(std::process::id()).expect("readable").expect("alive");
    LiveRun { id: RunId(7), keeper: me, main: None, cgroup: None, adopted: false }
}

/// A child that inherits this socket, and so is its owner beside this test.
fn heir(socket: impl Into<std::os::fd::OwnedFd>) -> Guard {
    let stdin = Stdio::from(socket.into());
    Guard(Command::new("sleep").arg("600").stdin(stdin).spawn().expect("sleep"))
}

#[test]
fn a_connection_counts_only_if_the_run_listens() {
    run(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound").to_string();
        let me = format!("PID {} (", std::process::id());
        match listen::tcp(&address, &live()).await {
            ProbeOutcome::Other { who } => assert!(who.starts_with(&me), "{who}"),
            other => panic!("an impostor answered: {other:?}"),
        }
        let child = heir(listener);
        assert_eq!(listen::tcp(&address, &live()).await, ProbeOutcome::Good);
        drop(child);
        assert!(matches!(listen::tcp(&address, &live()).await, ProbeOutcome::Bad { why } if why.contains(&address)));
        assert!(matches!(listen::tcp("127.0.0.1", &live()).await, ProbeOutcome::Bad { .. }));
    });
}

#[test]
fn a_unix_socket_counts_only_if_the_run_listens() {
    run(async {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("s");
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("bound");
        assert!(matches!(listen::unix(&path, &live()).await, ProbeOutcome::Other { .. }));
        let child = heir(listener);
        assert_eq!(listen::unix(&path, &live()).await, ProbeOutcome::Good);
        drop(child);
        assert!(matches!(listen::unix(&path, &live()).await, ProbeOutcome::Bad { .. }));
    });
}

/// Answers every connection with these bytes and closes it.
fn answering(bytes: &'static [u8]) -> (String, std::net::TcpListener, tokio::task::AbortHandle) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = format!("http://{}/health?x=1", listener.local_addr().expect("bound"));
    let second = listener.try_clone().expect("cloned");
    second.set_nonblocking(true).expect("set");
    let accepting = tokio::net::TcpListener::from_std(second).expect("listener");
    let task = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut stream, _)) = accepting.accept().await {
            let mut request = [0; 1024];
            let length = stream.read(&mut request).await.unwrap_or(0);
            if length == 0 || request.starts_with(b"GET /health?x=1 HTTP/1.1\r\n") {
                let _ = stream.write_all(bytes).await;
            }
        }
    });
    (url, listener, task.abort_handle())
}

#[test]
fn http_asks_for_one_status_and_follows_nothing() {
    run(async {
        let (url, listener, task) = answering(b"HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n");
        assert!(matches!(http::ask(&url, 302, &live()).await, ProbeOutcome::Other { .. }));
        let child = heir(listener);
        assert_eq!(http::ask(&url, 302, &live()).await, ProbeOutcome::Good);
        let other = http::ask(&url, 200, &live()).await;
        assert!(matches!(&other, ProbeOutcome::Bad { why } if why.contains("status 302")), "{other:?}");
        task.abort();
        drop(child);
        let (url, listener, task) = answering(b"");
        let silent = http::ask(&url, 200, &live()).await;
        assert!(
            matches!(&silent, ProbeOutcome::Other { .. }),
            "a stranger that says nothing is a stranger: {silent:?}"
        );
        let child = heir(listener);
        let closed = http::ask(&url, 200, &live()).await;
        assert!(matches!(&closed, ProbeOutcome::Bad { .. }), "{closed:?}");
        task.abort();
        drop(child);
        for bad in ["https://127.0.0.1/", "127.0.0.1:80", "http://"] {
            assert!(matches!(http::ask(bad, 200, &live()).await, ProbeOutcome::Bad { .. }), "{bad}");
        }
    });
}

fn launch(cwd: &Path, logs: PathBuf) -> Launch {
    let name = |text| Name::new(text).expect("name");
    Launch {
        key: ServiceKey::new(Scope::User, cwd, name("api")),
        project: name("demo"),
        mode: None,
        run: RunId(7),
        lock: cwd.into(),
        folder: cwd.into(),
        argv: Vec::new(),
        env: vec![
            ("PATH".into(), "/usr/bin:/bin".into()),
            ("KEY".into(), "value".into()),
            ("VIGIE_RUN".into(), "x".into()),
        ],
        cwd: cwd.into(),
        input: StdInput::Null,
        output: Output::Segments { dir: logs.into(), max_size: 1 << 20, keep: 2, overflow: Overflow::Block },
        group: Group::Own,
        ladder: Ladder::default(),
        orphans: Orphans::End,
        limits: Limits::default(),
        origin: Origin::default(),
        managed: false,
        attempt: 0,
        adopt: None,
    }
}

#[test]
fn a_command_runs_as_the_service_and_not_as_a_part_of_it() {
    run(async {
        let folder = tempfile::tempdir().expect("folder");
        let launch = launch(folder.path(), folder.path().join("logs"));
        let children = Children::reap().expect("signals");
        let shell = |script: &str| ["sh", "-c", script].map(str::to_owned);
        let good = shell("test \"$KEY\" = value && test -z \"$VIGIE_RUN\" && touch here");
        assert_eq!(exec::run(&good, &launch, &children).await, ProbeOutcome::Good);
        assert!(folder.path().join("here").exists());
        let bad = exec::run(&shell("exit 3"), &launch, &children).await;
        assert!(matches!(&bad, ProbeOutcome::Bad { why } if why == "sh ended with exit code 3"), "{bad:?}");
        let none = exec::run(&["/nonexistent/x".to_owned()], &launch, &children).await;
        assert!(matches!(&none, ProbeOutcome::Bad { why } if why.contains("/nonexistent/x")), "{none:?}");
        // Given up: it ends with its children.
        let endless = shell("echo $$ >pid; sleep 600 & echo $! >>pid; wait");
        let written = || std::fs::read_to_string(folder.path().join("pid")).unwrap_or_default();
        let both = async {
            while written().lines().count() < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            outcome = exec::run(&endless, &launch, &children) => panic!("it ended: {outcome:?}"),
            () = both => {}
        }
        let proc = Proc::system().expect("/proc");
        let pids = written();
        for pid in pids.lines() {
            let pid: u32 = pid.parse().expect("number");
            let mut buffer = Vec::new();
            while proc.stat(pid, &mut buffer).expect("readable").is_some_and(|stat| !stat.is_zombie()) {
                tokio::task::yield_now().await;
            }
        }
    });
}

/// Appends a line as a keeper does.
fn write(logs: &Path, run: u64, text: &str) {
    use std::io::Write as _;
    let (log, index) = file_names(1);
    let open = |name: &str| std::fs::File::options().append(true).create(true).open(logs.join(name)).expect("file");
    let mut log = open(&log);
    let offset = log.metadata().expect("file").len();
    log.write_all(text.as_bytes()).expect("written");
    let length = u32::try_from(text.len()).expect("short");
    let entry = Entry { kind: Kind::Out, length, offset, at: Wall(1), run: RunId(run) };
    open(&index).write_all(&entry.encode()).expect("written");
}

#[test]
fn a_line_of_this_run_matches_when_it_is_written() {
    run(async {
        let folder = tempfile::tempdir().expect("folder");
        let logs = folder.path().join("a/logs");
        let launch = launch(folder.path(), logs.clone());
        let matched = log::matched(&launch, "^ready on [0-9]+$");
        tokio::pin!(matched);
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut matched).await.is_err(), "no output yet");
        write(&logs, 6, "ready on 1\n");
        write(&logs, 7, "not ready on x\nrea");
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut matched).await.is_err(), "another run's");
        write(&logs, 7, "dy on 80\n");
        assert_eq!(matched.await, ProbeOutcome::Good);
        assert!(matches!(log::matched(&launch, "(").await, ProbeOutcome::Bad { .. }));
    });
}

#[test]
fn who_listens_is_asked_of_the_kernel_not_of_the_connection() {
    run(async {
        // Nobody accepts, and still it is known whose queue it is.
        let listener = std::net::TcpListener::bind("[::1]:0");
        let Ok(listener) = listener else {
            println!("skipped: this machine has no IPv6");
            return;
        };
        let port = listener.local_addr().expect("bound").port();
        let child = heir(listener);
        assert_eq!(listen::tcp(&format!("localhost:{port}"), &live()).await, ProbeOutcome::Good);
        drop(child);
    });
}
