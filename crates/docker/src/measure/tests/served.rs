//! An engine for the tests of measuring, on a socket of its own.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{Engine, Files, Gauge};

/// What a [`Served`] does with a question about one container.
#[derive(Debug, Clone)]
pub(super) enum Say {
    /// An answer with this body.
    Body(String),
    /// A status.
    Refuse(u16),
    /// Nothing, and the connection stays open.
    Hang,
    /// It closes the connection after the answer.
    BodyAndClose(String),
    /// Pieces of a body that goes on; it ends with them, or hangs.
    Stream(Vec<String>, bool),
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) paths: Vec<String>,
    pub(super) connections: usize,
    pub(super) open: usize,
    pub(super) asking: usize,
    pub(super) most_asking: usize,
}

type Answering = dyn Fn(&str, usize) -> Say + Send + Sync;

/// An engine whose containers say what a test says. Connections are used again.
pub(super) struct Served {
    pub(super) socket: PathBuf,
    pub(super) shared: Arc<Shared>,
    task: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

pub(super) struct Shared {
    api: &'static str,
    /// Id and status.
    list: Mutex<Vec<(String, String)>>,
    /// By id, and how often it was asked about before.
    answering: Box<Answering>,
    seen: Mutex<Seen>,
    pub(super) changed: Notify,
}

impl Served {
    pub(super) fn start(
        api: &'static str,
        ids: &[&str],
        answering: impl Fn(&str, usize) -> Say + Send + Sync + 'static,
    ) -> Self {
        let dir = tempfile::tempdir().expect("folder");
        let socket = dir.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).expect("bound");
        let list = ids.iter().map(|id| ((*id).to_owned(), "Up 2 hours".to_owned())).collect();
        let shared = Arc::new(Shared {
            api,
            list: Mutex::new(list),
            answering: Box::new(answering),
            seen: Mutex::default(),
            changed: Notify::new(),
        });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                tokio::spawn(async move { shared.serve(stream).await });
            }
        });
        Self { socket, shared, task, _dir: dir }
    }

    pub(super) fn gauge(&self, files: Option<Box<dyn Files>>, parallel: usize) -> Gauge {
        Gauge::new(Arc::new(Engine::at(&self.socket)), files, parallel)
    }

    pub(super) fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.shared.seen.lock().expect("no test panics with it"))
    }

    pub(super) fn set(&self, list: &[(&str, &str)]) {
        let list = list.iter().map(|(id, status)| ((*id).to_owned(), (*status).to_owned())).collect();
        *self.shared.list.lock().expect("no test panics with it") = list;
    }

    /// Waits until all connections are closed.
    pub(super) async fn closed(&self) {
        loop {
            let changed = self.shared.changed.notified();
            if self.seen(|seen| seen.open == 0) {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn see<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        let changed = change(&mut self.seen.lock().expect("no test panics with it"));
        self.changed.notify_one();
        changed
    }

    async fn serve(&self, mut stream: UnixStream) {
        self.see(|seen| {
            seen.connections += 1;
            seen.open += 1;
        });
        let mut rest = Vec::new();
        while let Some(path) = question(&mut stream, &mut rest).await {
            let number = self.see(|seen| {
                let before = seen.paths.iter().filter(|known| **known == path).count();
                seen.paths.push(path.clone());
                seen.asking += 1;
                seen.most_asking = seen.most_asking.max(seen.asking);
                before
            });
            let goes_on = self.answer(&mut stream, &path, number).await;
            self.see(|seen| seen.asking -= 1);
            if !goes_on {
                break;
            }
        }
        drop(stream);
        self.see(|seen| seen.open -= 1);
    }

    /// Whether the connection stays open.
    async fn answer(&self, stream: &mut UnixStream, path: &str, number: usize) -> bool {
        let plain = path.split('?').next().unwrap_or_default();
        let plain = plain.strip_prefix(&format!("/v{}", self.api)).unwrap_or(plain);
        let say = match plain {
            "/_ping" => Say::Body("OK".to_owned()),
            "/info" => Say::Body(r#"{"NCPU":8,"MemTotal":1073741824}"#.to_owned()),
            "/containers/json" => {
                let list = self.list.lock().expect("no test panics with it");
                let entry = |(id, status): &(String, String)| {
                    format!(r#"{{"Id":"{id}","Names":["/{id}-name"],"State":"running","Status":"{status}"}}"#)
                };
                Say::Body(format!("[{}]", list.iter().map(entry).collect::<Vec<_>>().join(",")))
            }
            _ => {
                let id = plain.split('/').nth(2).unwrap_or_default().to_owned();
                // Whoever asks several at a time gets to do so.
                tokio::task::yield_now().await;
                (self.answering)(&id, number)
            }
        };
        let (body, status, close) = match say {
            Say::Body(body) => (body, 200, false),
            Say::BodyAndClose(body) => (body, 200, true),
            Say::Refuse(status) => (r#"{"message":"no"}"#.to_owned(), status, false),
            Say::Hang => {
                // Until whoever asked has had enough.
                let _ = stream.read(&mut [0]).await;
                return false;
            }
            Say::Stream(pieces, hangs) => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
                for piece in pieces {
                    let _ = stream.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).await;
                }
                if hangs {
                    let _ = stream.read(&mut [0]).await;
                } else {
                    let _ = stream.write_all(b"0\r\n\r\n").await;
                }
                return false;
            }
        };
        let head =
            format!("HTTP/1.1 {status} X\r\nApi-Version: {}\r\nContent-Length: {}\r\n\r\n", self.api, body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await.is_ok() && !close
    }
}

/// The path of the next question.
async fn question(stream: &mut UnixStream, rest: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&rest[..end]).into_owned();
            rest.drain(..end + 4);
            return Some(head.split(' ').nth(1).unwrap_or_default().to_owned());
        }
        if stream.read_buf(rest).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

/// A container that has used so many seconds of CPU time at this second.
pub(super) fn body(id: &str, second: u64, cpu_seconds: u64) -> String {
    let (cpu, system) = (cpu_seconds * 1_000_000_000, second * 4_000_000_000);
    format!(
        r#"{{"id":"{id}","read":"2026-11-20T10:00:{second:02}Z","pids_stats":{{"current":2}},
        "cpu_stats":{{"cpu_usage":{{"total_usage":{cpu}}},"system_cpu_usage":{system},"online_cpus":4}},
        "memory_stats":{{"usage":5000,"stats":{{"inactive_file":1000}},"limit":1073741824}}}}"#
    )
}
