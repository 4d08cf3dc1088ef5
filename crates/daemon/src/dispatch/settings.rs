//! Settings of the whole are changed: stored, and told to whom they concern.

use tokio::sync::oneshot;

use vigie_api::SCHEMA;
use vigie_api::settings::Changed;
use vigie_core::settings::Key;
use vigie_store::state::DocumentChange;

use super::{Deed, Dispatch};
use crate::input::Refused;
use crate::settings;

impl Dispatch {
    pub(super) fn set(&mut self, pairs: &[(String, String)], reply: oneshot::Sender<Result<Changed, Refused>>) {
        match self.parts.settings.set(pairs) {
            Ok(keys) => self.store_settings(&keys, reply),
            Err(error) => drop(reply.send(Err(Refused::usage(error)))),
        }
    }

    pub(super) fn reset(&mut self, keys: &[Key], reply: oneshot::Sender<Result<Changed, Refused>>) {
        keys.iter().for_each(|key| self.parts.settings.reset(*key));
        self.store_settings(keys, reply);
    }

    fn store_settings(&mut self, keys: &[Key], reply: oneshot::Sender<Result<Changed, Refused>>) {
        let document = |key: &Key| settings::document(&self.parts.settings, *key);
        let documents: Result<Vec<DocumentChange>, _> = keys.iter().map(document).collect();
        match documents {
            Ok(documents) => {
                self.parts.sources.pace(&self.parts.settings, &self.parts.log);
                let ticket = self.record(Vec::new(), documents);
                let changed = Changed { schema: SCHEMA, silence: None };
                self.after(ticket, Deed::Answer { reply, changed });
            }
            Err(error) => drop(reply.send(Err(Refused::usage(error)))),
        }
    }
}
