//! Two lists that have to agree.

use std::collections::BTreeSet;

use super::SETTLE;
use crate::clock::Mono;
use crate::docker::event::Happened;
use crate::docker::known::Difference;

/// A comparison that is under way: the first list was asked for.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// What the first list showed.
    first: Option<Vec<Difference>>,
    /// When the second is to be asked for.
    again: Option<Mono>,
    /// Containers of which events came since the last question.
    touched: BTreeSet<String>,
    /// The last list differed in more than is proven: another look is due soon.
    pub(super) is_unsure: bool,
}

impl Survey {
    /// When it goes on.
    pub(super) fn due(&self) -> Option<Mono> {
        self.again
    }

    pub(super) fn is_due(&self, now: Mono) -> bool {
        self.again.is_some_and(|again| again <= now)
    }

    /// The second list is being asked for.
    pub(super) fn ask_again(&mut self) {
        self.again = None;
        self.touched.clear();
    }

    pub(super) fn touch(&mut self, event: &Happened) {
        if event.is_of_container() {
            self.touched.insert(event.key.id.clone());
        }
    }

    pub(super) fn is_touched(&self, id: &str) -> bool {
        self.touched.contains(id)
    }

    /// The second list was asked for.
    pub(super) fn was_asked_twice(&self) -> bool {
        self.first.is_some() && self.again.is_none()
    }

    /// Nothing differs, and yet a second look is needed.
    pub(super) fn wait(&mut self, now: Mono) -> Option<Vec<Difference>> {
        self.first = Some(Vec::new());
        self.again = Some(now + SETTLE);
        None
    }

    /// A list was answered, and differs so. Returns what is proven, once it is; `None` while another list is needed.
    pub(super) fn answered(&mut self, now: Mono, found: Vec<Difference>) -> Option<Vec<Difference>> {
        if found.is_empty() {
            return Some(found);
        }
        match self.first.take() {
            None => {
                self.first = Some(found);
                self.again = Some(now + SETTLE);
                None
            }
            Some(first) => {
                let again = |one: &Difference| first.iter().any(|other| other.id == one.id && other.now == one.now);
                let differing = found.len();
                let proven: Vec<_> =
                    found.into_iter().filter(|one| again(one) && !self.touched.contains(&one.id)).collect();
                self.is_unsure = proven.len() != differing;
                Some(proven)
            }
        }
    }
}
