//! What keepers leave in the folders of their services: where their run stands, and what nobody has acknowledged yet.

use std::path::{Path, PathBuf};

use vigie_core::identity::RunId;
use vigie_core::run::{Event, Left, What};
use vigie_os::error::OsError;
use vigie_wire::keeper::State;

/// The record's name.
const RECORD: &str = "record.json";

/// The file of events.
const EVENTS: &str = "events.jsonl";

/// The record in a folder; absent when there is none, or when it is not understood.
pub(crate) fn read(folder: &Path) -> Option<State> {
    serde_json::from_slice(&std::fs::read(folder.join(RECORD)).ok()?).ok()
}

/// Writes the record. Only for whoever holds the lock.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(folder: &Path, state: &State) -> Result<(), OsError> {
    let path = folder.join(RECORD);
    let text = serde_json::to_vec(state).map_err(|error| OsError::on("write", &path)(std::io::Error::from(error)))?;
    vigie_os::atomic::write(&path, &text)
}

/// Adds an event to those that nobody has acknowledged. Only for whoever holds the lock.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn append(folder: &Path, event: &Event) -> Result<(), OsError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = folder.join(EVENTS);
    let fail = |error| OsError::on("write", &path)(error);
    // A line that was torn when its writer was killed harms only itself.
    let torn = std::fs::read(&path).is_ok_and(|text| text.last().is_some_and(|last| *last != b'\n'));
    let line = serde_json::to_string(event).map_err(|error| fail(std::io::Error::from(error)))?;
    let line = format!("{}{line}\n", if torn { "\n" } else { "" });
    let mut file = std::fs::File::options().append(true).create(true).mode(0o600).open(&path).map_err(fail)?;
    file.write_all(line.as_bytes()).map_err(fail)
}

/// The events in a folder. A torn line is none.
pub(crate) fn events(folder: &Path) -> Vec<Event> {
    let text = std::fs::read(folder.join(EVENTS)).unwrap_or_default();
    text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// Those of a run that no signal ended, as they were named last.
pub(crate) fn left(folder: &Path, run: RunId) -> Vec<Left> {
    let stuck = events(folder).into_iter().rev().find_map(|event| match event.what {
        What::Stuck { left, .. } if event.run == run => Some(left),
        _ => None,
    });
    stuck.unwrap_or_default()
}

/// How the file of events looks from outside: as long as it stays so, there is nothing new in it.
pub(crate) fn events_mark(folder: &Path) -> Option<(u64, i64, i64)> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::symlink_metadata(folder.join(EVENTS)).ok()?;
    Some((metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

/// The folders of all services that were ever held.
///
/// # Errors
/// When the folder above them cannot be read.
pub(crate) fn folders(services: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(services)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    // As bytes: to compare a thousand paths part by part takes longer than to list them.
    folders.sort_unstable_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    Ok(folders)
}
