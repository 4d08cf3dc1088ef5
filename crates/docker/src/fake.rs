//! An engine that says what it was told to say, and hangs where it was told to hang.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

/// The end of an answer after which nothing more comes, and the connection stays open.
const HANG: &str = "HANG";

/// One of them. Dropping it ends it.
pub(crate) struct Fake {
    socket: PathBuf,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Fake {
    /// Answers each path with the bytes beside it; a path that is not there with 404.
    pub(crate) fn start(answers: &[(&str, &str)]) -> Self {
        Self::below("", answers)
    }

    /// The same, at a path that no address of a socket can hold.
    pub(crate) fn start_deep(answers: &[(&str, &str)]) -> Self {
        Self::below(&"deep".repeat(30), answers)
    }

    fn below(folder: &str, answers: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("folder");
        let home = dir.path().join(folder);
        std::fs::create_dir_all(&home).expect("folder");
        let opened = File::open(&home).expect("folder");
        let short = Path::new("/proc/self/fd").join(opened.as_raw_fd().to_string()).join("engine.sock");
        let listener = UnixListener::bind(short).expect("bound");
        listener.set_nonblocking(true).expect("non-blocking");
        let listener = tokio::net::UnixListener::from_std(listener).expect("listener");
        let answers: HashMap<String, String> =
            answers.iter().map(|(path, answer)| ((*path).to_owned(), (*answer).to_owned())).collect();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (answers, seen) = (Arc::new(answers), Arc::clone(&requests));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answers), Arc::clone(&seen)));
            }
        });
        Self { socket: home.join("engine.sock"), requests, task, _dir: dir }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Method and path of every request until now.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no test panics with it").clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: UnixStream, answers: Arc<HashMap<String, String>>, seen: Arc<Mutex<Vec<String>>>) {
    let mut request = vec![0; 4096];
    let length = stream.read(&mut request).await.expect("request");
    // Somebody only looked who listens.
    if length == 0 {
        return;
    }
    let text = String::from_utf8_lossy(&request[..length]).into_owned();
    let line = text.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let path = line.split_once(' ').map_or("", |(_, path)| path).to_owned();
    seen.lock().expect("no test panics with it").push(line);
    let answer = answers.get(&path).map_or("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", String::as_str);
    let (bytes, hangs) = match answer.strip_suffix(HANG) {
        Some(bytes) => (bytes, true),
        None => (answer, false),
    };
    // Whoever asked may have had enough.
    let _ = stream.write_all(bytes.as_bytes()).await;
    if hangs {
        std::future::pending::<()>().await;
    }
}

/// Runs a test; it may take twenty seconds.
pub(crate) fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime").block_on(async {
        tokio::time::timeout(std::time::Duration::from_secs(20), test).await.expect("in time");
    });
}
