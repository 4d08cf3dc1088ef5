//! Settings of the whole as the daemon holds them: with what of them lies in the database.

use vigie_core::settings::{Key, Settings};
use vigie_store::journal::Journal;
use vigie_store::state::DocumentChange;

use crate::log::Log;

/// The kind of the documents that keep settings, each the text of a value under the name of its key.
pub const SETTING: &str = "setting";

/// Reads what an earlier daemon kept. What is not understood is as if nobody had set it, and told of.
///
/// # Errors
/// When the journal cannot be read.
pub(crate) fn read(journal: &Journal, log: &Log) -> Result<Settings, vigie_store::Error> {
    let mut pairs = Vec::new();
    for document in journal.reader().documents(SETTING)? {
        match document.parse::<String>() {
            Ok(value) => pairs.push((document.key, value)),
            Err(error) => log.line(&error.to_string()),
        }
    }
    Ok(Settings::kept(pairs))
}

/// The document of a setting, or its end.
///
/// # Errors
/// None: a text can be written as JSON.
pub(crate) fn document(settings: &Settings, key: Key) -> Result<DocumentChange, vigie_store::Error> {
    if settings.is_changed(key) {
        return DocumentChange::put(SETTING, key.name(), &settings.get(key).to_string());
    }
    Ok(DocumentChange::delete(SETTING, key.name()))
}

/// All documents, for a new journal.
pub(crate) fn documents(settings: &Settings, log: &Log) -> Vec<DocumentChange> {
    let changed = Key::ALL.into_iter().filter(|key| settings.is_changed(*key));
    let document = |key| document(settings, key).map_err(|error| log.line(&error.to_string())).ok();
    changed.filter_map(document).collect()
}
