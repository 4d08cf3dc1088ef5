//! `events.jsonl`: what happened and no daemon has acknowledged yet, one event a line.
//!
//! The file outlives the keeper: a daemon that comes back reads there what it missed. It is bounded ([`MAX`]); when
//! nobody acknowledges for very long, the oldest go.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use vigie_core::identity::RunId;
use vigie_os::atomic;
use vigie_os::error::OsError;
use vigie_wire::keeper::Event;

/// The file's name in the folder of a service.
pub(crate) const FILE: &str = "events.jsonl";

/// The largest size of the file, in bytes.
const MAX: u64 = 256 << 10;

/// What is left of a file that has become too large.
const AFTER_CUT: usize = 192 << 10;

/// Lines that wait because the disk does not take them, in bytes.
const MAX_WAITING: usize = 64 << 10;

/// The file, open for appending.
#[derive(Debug)]
pub(crate) struct EventLog {
    path: PathBuf,
    file: File,
    size: u64,
    /// Lines that the disk did not take. They are tried again before the next one.
    waiting: Vec<u8>,
    acknowledged: Vec<(RunId, u64)>,
}

impl EventLog {
    /// Opens or makes it. A torn line at its end is ended, so that it harms only itself.
    ///
    /// # Errors
    /// With the path.
    pub(crate) fn open(dir: &Path) -> Result<Self, OsError> {
        let path = dir.join(FILE);
        let content = read(&path);
        let (file, size) = append_to(&path).map_err(OsError::on("open", &path))?;
        let waiting = if content.last().is_some_and(|last| *last != b'\n') { b"\n".to_vec() } else { Vec::new() };
        Ok(Self { path, file, size, waiting, acknowledged: Vec::new() })
    }

    /// Writes an event down.
    pub(crate) fn append(&mut self, event: &Event) {
        if let Ok(line) = vigie_wire::frame::encode(event)
            && self.waiting.len() + line.len() <= MAX_WAITING
        {
            self.waiting.extend(line);
        }
        self.write_waiting();
        if self.size > MAX {
            self.cut();
        }
    }

    /// The events of a run above a number.
    pub(crate) fn after(&mut self, run: RunId, seq: u64) -> Vec<Event> {
        let mut events = Vec::new();
        for line in [read(&self.path), self.waiting.clone()].concat().split(|byte| *byte == b'\n') {
            if let Ok(event) = serde_json::from_slice::<Event>(line)
                && event.run == run
                && event.seq > seq
            {
                events.push(event);
            }
        }
        events
    }

    /// The events of this run up to this number need not be kept any longer than until [`EventLog::forget`].
    pub(crate) fn acknowledge(&mut self, run: RunId, seq: u64) {
        match self.acknowledged.iter_mut().find(|(known, _)| *known == run) {
            Some((_, known)) => *known = seq.max(*known),
            None => self.acknowledged.push((run, seq)),
        }
    }

    /// Drops what was acknowledged. Not to be called during a run, whose watchers may ask for all its events.
    pub(crate) fn forget(&mut self) {
        if self.acknowledged.is_empty() {
            return;
        }
        let acknowledged = std::mem::take(&mut self.acknowledged);
        let content = read(&self.path);
        let kept = content.split_inclusive(|byte| *byte == b'\n').filter(|line| {
            // What cannot be understood is nobody's event.
            serde_json::from_slice::<Event>(line)
                .is_ok_and(|event| !acknowledged.iter().any(|(run, seq)| event.run == *run && event.seq <= *seq))
        });
        let kept = kept.collect::<Vec<_>>().concat();
        // Whoever reads it at this moment may see a part of what nobody needs any more. So the file need not be another one:
        // making and removing many is slow on some file systems.
        let ours = content.len() as u64 == self.size;
        if kept.is_empty() && ours && self.file.set_len(0).is_ok() {
            self.size = 0;
        } else {
            self.replace(&kept);
        }
    }

    fn write_waiting(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        match self.file.write_all(&self.waiting) {
            Ok(()) => {
                self.size += self.waiting.len() as u64;
                self.waiting = Vec::new();
            }
            // Half a line would spoil the next one.
            Err(_) => {
                let _ = self.file.set_len(self.size);
            }
        }
    }

    /// Drops the oldest lines.
    fn cut(&mut self) {
        let content = read(&self.path);
        let from = content.len().saturating_sub(AFTER_CUT);
        let start = content[from..].iter().position(|byte| *byte == b'\n').map_or(content.len(), |end| from + end + 1);
        self.replace(&content[start..]);
    }

    fn replace(&mut self, content: &[u8]) {
        // When it cannot be replaced the old file stays as it is, and is only larger than it need be.
        if atomic::write(&self.path, content).is_ok()
            && let Ok((file, size)) = append_to(&self.path)
        {
            (self.file, self.size) = (file, size);
        }
    }
}

fn append_to(path: &Path) -> io::Result<(File, u64)> {
    let file = File::options().append(true).create(true).mode(0o600).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use vigie_core::clock::{Mono, Wall};
    use vigie_wire::keeper::What;

    use super::*;

    fn event(run: u64, seq: u64) -> Event {
        Event { run: RunId(run), seq, at: Wall(1), mono: Mono(1), what: What::Empty }
    }

    fn numbers(log: &mut EventLog, run: u64) -> Vec<u64> {
        log.after(RunId(run), 0).iter().map(|event| event.seq).collect()
    }

    #[test]
    fn what_was_not_acknowledged_outlives_the_keeper() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = EventLog::open(dir.path()).unwrap();
        (1..=3).for_each(|seq| log.append(&event(1, seq)));
        log.append(&event(2, 1));
        log.acknowledge(RunId(1), 2);
        log.acknowledge(RunId(1), 1);
        assert_eq!(numbers(&mut log, 1), [1, 2, 3], "nothing goes before it may");
        log.forget();
        drop(log);
        let mut log = EventLog::open(dir.path()).unwrap();
        assert_eq!((numbers(&mut log, 1), numbers(&mut log, 2)), (vec![3], vec![1]));
        assert_eq!(log.after(RunId(1), 3), []);
    }

    #[test]
    fn a_torn_line_harms_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "{\"run\":\"00").unwrap();
        let mut log = EventLog::open(dir.path()).unwrap();
        log.append(&event(1, 1));
        assert_eq!(numbers(&mut log, 1), [1]);
    }

    #[test]
    fn the_file_is_bounded_and_the_newest_stay() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = EventLog::open(dir.path()).unwrap();
        (1..=5_000).for_each(|seq| log.append(&event(1, seq)));
        assert!(std::fs::metadata(dir.path().join(FILE)).unwrap().len() <= MAX);
        let numbers = numbers(&mut log, 1);
        assert_eq!(numbers.last(), Some(&5_000));
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "a hole");
    }
}
