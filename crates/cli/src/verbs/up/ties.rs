//! The second tie of a service to its terminal (R5.5): a connection to its keeper that closes when this process ends,
//! however it ends. So `kill -9` of the command stops its services also when there is no daemon to see it.

use std::collections::HashMap;

use vigie_core::clock::Mono;
use vigie_core::launch::ServiceKey;
use vigie_os::place::Place;
use vigie_wire::keeper::Request;

use crate::failure::Failure;
use crate::keeper::Link;

/// The connections, by service.
#[derive(Debug, Default)]
pub(super) struct Ties(HashMap<ServiceKey, Link>);

impl Ties {
    /// Ties the keeper that holds `key` now, unless that was done before. One that cannot be reached is not there any
    /// more, or not yet: the next event of its run calls again, and the daemon's tie holds all the same.
    pub(super) fn tie(&mut self, key: &ServiceKey, place: &Place) -> Result<(), Failure> {
        if let Some(link) = self.0.get_mut(key) {
            // To close the connection of a keeper that lives would stop what it holds.
            if link.wait(Mono(0))? {
                link.read()?;
            }
            if !link.gone {
                return Ok(());
            }
        }
        self.0.remove(key);
        if let Ok(Some(mut link)) = Link::open(&place.service_dir(key)) {
            link.send(&Request::Tie)?;
            self.0.insert(key.clone(), link);
        }
        Ok(())
    }
}
