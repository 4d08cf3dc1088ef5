//! What the daemon keeps in the database about incidents is read there, so that looking needs no daemon
//! ([`vigie_daemon::views`]); it is changed by the daemon.

use vigie_api::path;
use vigie_api::settings::{Change, Changed};
use vigie_os::place::Place;

use crate::daemon;
use crate::failure::Failure;

/// What the heads of help say of a daemon, where looking needs none: the same everywhere.
macro_rules! needs_no_daemon {
    ($looking:literal, $what:literal) => {
        concat!($looking, " needs no daemon; what changes ", $what, " starts it when it is not there.")
    };
}
pub(crate) use needs_no_daemon;

/// Has the daemon change something; starts it when it is not there.
pub(crate) fn change(place: &Place, change: &Change) -> Result<Changed, Failure> {
    daemon::runtime()?.block_on(async {
        let client = daemon::connect(place).await?;
        Ok(daemon::patiently(place, &client, client.post_json(path::SETTINGS, change)).await??)
    })
}

/// One setting of a command line, for whoever knows the key and the value.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}
