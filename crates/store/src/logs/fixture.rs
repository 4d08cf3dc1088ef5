//! A writer of segments for tests, and lines that outlive their cursor.

use std::fs;
use std::io::Write;
use std::path::Path;

use vigie_core::clock::Wall;
use vigie_core::identity::RunId;
use vigie_core::logindex::{Entry, Kind, file_names};

use super::{End, Item, Line, Lines, LogDir, Lost, Stream};

/// Writes as a keeper does.
pub(super) struct Log {
    dir: tempfile::TempDir,
    pub(super) number: u32,
    len: u64,
}

impl Log {
    pub(super) fn new() -> Self {
        let log = Self { dir: tempfile::tempdir().expect("folder"), number: 1, len: 0 };
        log.append_log(b"");
        log.append_index(b"");
        log
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn reader(&self) -> LogDir {
        LogDir::new(self.path())
    }

    pub(super) fn write(&mut self, kind: Kind, at: u64, run: u64, bytes: &[u8]) {
        self.append_log(bytes);
        self.enter(kind, at, run, bytes.len());
    }

    pub(super) fn out(&mut self, at: u64, text: &str) {
        self.write(Kind::Out, at, 1, text.as_bytes());
    }

    pub(super) fn err(&mut self, at: u64, text: &str) {
        self.write(Kind::Err, at, 1, text.as_bytes());
    }

    pub(super) fn lose(&mut self, at: u64, run: u64, bytes: u32) {
        let entry = Entry { kind: Kind::Lost, length: bytes, offset: self.len, at: Wall(at), run: RunId(run) };
        self.append_index(&entry.encode());
    }

    /// The entry for bytes that [`Log::append_log`] wrote.
    pub(super) fn enter(&mut self, kind: Kind, at: u64, run: u64, length: usize) {
        let length = u32::try_from(length).expect("short");
        let entry = Entry { kind, length, offset: self.len, at: Wall(at), run: RunId(run) };
        self.append_index(&entry.encode());
        self.len += u64::from(length);
    }

    /// Bytes that get no entry.
    pub(super) fn write_without_entry(&mut self, bytes: &[u8]) {
        self.append_log(bytes);
        self.len += bytes.len() as u64;
    }

    pub(super) fn rotate(&mut self) {
        self.number += 1;
        self.len = 0;
        self.append_log(b"");
        self.append_index(b"");
    }

    pub(super) fn remove(&self, number: u32) {
        let (log, index) = file_names(number);
        fs::remove_file(self.path().join(index)).expect("removed");
        fs::remove_file(self.path().join(log)).expect("removed");
    }

    pub(super) fn append_log(&self, bytes: &[u8]) {
        append(&self.path().join(file_names(self.number).0), bytes);
    }

    pub(super) fn append_index(&self, bytes: &[u8]) {
        append(&self.path().join(file_names(self.number).1), bytes);
    }

    /// Changes the index of a segment by force.
    pub(super) fn harm_index(&self, number: u32, harm: impl FnOnce(&mut Vec<u8>)) {
        let path = self.path().join(file_names(number).1);
        let mut bytes = fs::read(&path).expect("bytes");
        harm(&mut bytes);
        fs::write(&path, bytes).expect("harmed");
    }
}

fn append(path: &Path, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).expect("opens");
    file.write_all(bytes).expect("writes");
}

/// An [`Item`] that outlives its cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owned {
    Line { at: Option<u64>, stream: Option<Stream>, run: Option<u64>, bytes: Vec<u8>, first: bool, end: End },
    Lost(Lost),
}

impl From<Item<'_>> for Owned {
    fn from(item: Item<'_>) -> Self {
        match item {
            Item::Lost(lost) => Owned::Lost(lost),
            Item::Line(Line { at, stream, run, bytes, first, end }) => Owned::Line {
                at: at.map(|at| at.0),
                stream,
                run: run.map(|run| run.0),
                bytes: bytes.to_vec(),
                first,
                end,
            },
        }
    }
}

/// Everything that there is now.
pub(super) fn drain(lines: &mut Lines) -> Vec<Owned> {
    let mut items = Vec::new();
    while lines.advance().expect("reads") {
        items.push(lines.item().expect("stands on something").into());
    }
    items
}

/// Everything, unfinished lines too.
pub(super) fn all(mut lines: Lines) -> Vec<Owned> {
    lines.finish();
    drain(&mut lines)
}

/// `12 out 1 |text|` for a whole line, `|text` for an unfinished one, `|text+` for a piece, `+text` for what goes on.
pub(super) fn shown(items: &[Owned]) -> Vec<String> {
    items
        .iter()
        .map(|item| match item {
            Owned::Lost(lost) => format!("lost {:?}", lost.amount),
            Owned::Line { at, stream, run, bytes, first, end } => {
                let or = |number: &Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
                let stream = match stream {
                    Some(Stream::Out) => "out",
                    Some(Stream::Err) => "err",
                    None => "-",
                };
                let first = if *first { "|" } else { "+" };
                let end = match end {
                    End::Newline => "|",
                    End::Continues => "+",
                    End::Open => "",
                };
                format!("{} {stream} {} {first}{}{end}", or(at), or(run), String::from_utf8_lossy(bytes))
            }
        })
        .collect()
}
