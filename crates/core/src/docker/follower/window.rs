//! The keys of the last events, to tell what comes twice.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use crate::docker::event::{Key, Nanos};

/// More than these are not remembered; whoever stores them has every one for ever.
const MOST: usize = 16_384;

/// Keys by time.
#[derive(Debug)]
pub(super) struct Window {
    length: Duration,
    /// A hash will do: two of one nanosecond would have to collide.
    keys: BTreeSet<(Nanos, u64)>,
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        Self { length, keys: BTreeSet::new() }
    }

    /// Whether it did not come before. From now on it did.
    pub(super) fn is_new(&mut self, key: &Key) -> bool {
        let mut hasher = DefaultHasher::new();
        (&key.kind, &key.action, &key.id).hash(&mut hasher);
        if !self.keys.insert((key.at, hasher.finish())) {
            return false;
        }
        if let Some((newest, _)) = self.keys.last() {
            let oldest = newest.before(self.length);
            while self.keys.len() > MOST || self.keys.first().is_some_and(|(at, _)| *at < oldest) {
                self.keys.pop_first();
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_long_as_it_has_to_be_and_no_longer() {
        let key = |at, action: &str| Key { at: Nanos(at), kind: "c".into(), action: action.into(), id: "a".into() };
        let mut window = Window::new(Duration::from_nanos(100));
        assert!(window.is_new(&key(1000, "die")) && window.is_new(&key(1000, "stop")));
        assert!(!window.is_new(&key(1000, "die")));
        assert!(window.is_new(&key(1100, "die")));
        assert!(!window.is_new(&key(1000, "stop")), "just within it");
        assert!(window.is_new(&key(1101, "die")));
        assert_eq!(window.keys.len(), 2);
        for at in 0..20_000 {
            window.is_new(&key(2000 + at % 100, &at.to_string()));
        }
        assert_eq!(window.keys.len(), MOST);
    }
}
