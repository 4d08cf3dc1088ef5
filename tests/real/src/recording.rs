//! What an engine tells on its own, without vigie between: somebody who was connected all the time.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::wait::until;

/// An event of a container: when in nanoseconds, what without what follows a colon, of which id.
pub type Told = (u64, String, String);

/// A recording of the events of containers, from its beginning on. It ends with the stream.
#[derive(Debug)]
pub struct Recording {
    told: Arc<Mutex<BTreeSet<Told>>>,
}

impl Recording {
    /// Begins one: when it returns, nothing is missed any more.
    ///
    /// # Panics
    /// When the engine does not answer.
    #[track_caller]
    pub fn begin(socket: &Path) -> Self {
        let mut stream = UnixStream::connect(socket).expect("it listens");
        stream.write_all(b"GET /v1.41/events HTTP/1.1\r\nHost: d\r\n\r\n").expect("it reads");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        let told = Arc::new(Mutex::new(BTreeSet::new()));
        let recorded = Arc::clone(&told);
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let mut piece = vec![0; 64 << 10];
            while let Ok(count @ 1..) = stream.read(&mut piece) {
                bytes.extend_from_slice(&piece[..count]);
                // Sizes of chunks stand on lines of their own, and are no JSON.
                while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = bytes.drain(..=end).collect();
                    if let Some(event) = event(&line) {
                        recorded.lock().unwrap_or_else(PoisonError::into_inner).insert(event);
                    }
                }
            }
        });
        Self { told }
    }

    /// What was told until now.
    pub fn told(&self) -> BTreeSet<Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until this was told of this container.
    #[track_caller]
    pub fn wait(&self, action: &str, id: &str) {
        until(&format!("the engine tells that {id} {action}"), || {
            self.told().iter().any(|(_, told, of)| told == action && of == id).then_some(())
        });
    }
}

fn event(line: &[u8]) -> Option<Told> {
    let event: Value = serde_json::from_slice(line).ok()?;
    (event["Type"] == "container").then_some(())?;
    let action = event["Action"].as_str()?.split(':').next()?.to_owned();
    Some((event["timeNano"].as_u64()?, action, event["Actor"]["ID"].as_str()?.to_owned()))
}
