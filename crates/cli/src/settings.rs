//! What the daemon keeps in the database about incidents is read there, so that looking needs no daemon
//! ([`vigie_daemon::views`]); it is changed by the daemon.

use vigie_api::path;
use vigie_api::settings::{Change, Changed};
use vigie_os::place::Place;

use crate::daemon;
use crate::failure::Failure;

/// Has the daemon change something; starts it when it is not there.
pub(crate) fn change(place: &Place, change: &Change) -> Result<Changed, Failure> {
    daemon::runtime()?.block_on(async {
        let client = daemon::connect(place).await?;
        Ok(daemon::patiently(place, &client, client.post_json(path::SETTINGS, change)).await??)
    })
}
