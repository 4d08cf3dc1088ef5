//! What the daemon keeps in the database about incidents: read there, so that looking needs no daemon; changed by it.

use serde::de::DeserializeOwned;

use vigie_api::path;
use vigie_api::settings::{Change, Changed};
use vigie_os::place::Place;
use vigie_store::journal::Reader;

use crate::daemon;
use crate::failure::Failure;

/// All documents of a kind, by key. What this version does not understand is left out; none when there is no database yet.
pub(crate) fn documents<T: DeserializeOwned>(place: &Place, kind: &str) -> Result<Vec<(String, T)>, Failure> {
    let reader = match Reader::open(&place.state) {
        Ok(reader) => reader,
        Err(vigie_store::Error::Absent { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let documents = reader.documents(kind)?;
    Ok(documents.into_iter().filter_map(|document| Some((document.key.clone(), document.parse().ok()?))).collect())
}

/// Has the daemon change something; starts it when it is not there.
pub(crate) fn change(place: &Place, change: &Change) -> Result<Changed, Failure> {
    daemon::runtime()?.block_on(async {
        let client = daemon::connect(place).await?;
        Ok(daemon::patiently(place, &client, client.post_json(path::SETTINGS, change)).await??)
    })
}
