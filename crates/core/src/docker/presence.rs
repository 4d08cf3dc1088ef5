//! Whether a source is there, for one of which only measuring tells: by the same rules as of one whose events are followed.
//! Offline is told once, after three attempts or thirty seconds, and so is the return; how it was at the beginning is no
//! news.

use std::time::Duration;

use crate::clock::Mono;
use crate::docker::told::{Saying, Standing, Told};
use crate::units::Span;

/// Told to be offline after so many attempts, or so much time.
const OFFLINE: (u32, Duration) = (3, Duration::from_secs(30));

/// What is known of it.
#[derive(Debug, Clone)]
pub struct Presence {
    standing: Standing,
    online: Option<bool>,
    since: Option<Mono>,
    failures: u32,
    why: Option<String>,
}

impl Presence {
    /// It was told of it until now that it stands so.
    pub fn new(standing: Standing) -> Self {
        let online = standing.offline.then_some(false);
        Self { standing, online, since: None, failures: 0, why: None }
    }

    /// Whether it is there; absent until that is known.
    pub fn online(&self) -> Option<bool> {
        self.online
    }

    /// Why it is not, and how often in a row it was not.
    pub fn why(&self) -> (Option<&str>, u32) {
        (self.why.as_deref(), self.failures)
    }

    /// It answered.
    pub fn answered(&mut self, now: Mono) -> Option<Told> {
        let after = self.since.take().map(|since| Span(now.since(since)));
        (self.failures, self.why, self.online) = (0, None, Some(true));
        std::mem::take(&mut self.standing.offline).then(|| self.told(Saying::Online { after }))
    }

    /// It did not.
    pub fn failed(&mut self, now: Mono, why: String) -> Option<Told> {
        self.since.get_or_insert(now);
        self.failures = self.failures.saturating_add(1);
        self.why = Some(why);
        self.judge(now)
    }

    /// When to look at the clock, while it fails.
    pub fn due(&self) -> Option<Mono> {
        self.since.filter(|_| self.online != Some(false)).map(|since| since + OFFLINE.1)
    }

    /// Looks at the clock.
    pub fn judge(&mut self, now: Mono) -> Option<Told> {
        let since = self.since.filter(|_| self.online != Some(false))?;
        if self.failures < OFFLINE.0 && now.since(since) < OFFLINE.1 {
            return None;
        }
        self.online = Some(false);
        self.standing.offline = true;
        let why = self.why.clone().unwrap_or_default();
        Some(self.told(Saying::Offline { why }))
    }

    fn told(&self, saying: Saying) -> Told {
        Told { saying, cursor: None, changes: Vec::new(), standing: Some(self.standing.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }

    fn offline(told: Option<Told>) -> bool {
        matches!(
            told,
            Some(Told { saying: Saying::Offline { .. }, standing: Some(Standing { offline: true, .. }), .. })
        )
    }

    #[test]
    fn offline_and_back_are_told_once() {
        // Three attempts, or thirty seconds.
        for (times, told_at) in [(vec![0, 5, 10, 60, 120], 10), (vec![0, 30, 90], 30), (vec![0, 29, 31], 31)] {
            let mut presence = Presence::new(Standing::default());
            assert_eq!(presence.answered(at(0)), None, "how it was at the beginning is no news");
            let told: Vec<u64> =
                times.iter().copied().filter(|time| offline(presence.failed(at(*time), "gone".to_owned()))).collect();
            assert_eq!(told, [told_at], "{times:?}");
            let back = presence.answered(at(200)).expect("told");
            assert_eq!(back.saying, Saying::Online { after: Some(Span::secs(200)) });
            assert_eq!(back.standing.map(|standing| standing.offline), Some(false));
            assert_eq!(presence.answered(at(230)), None);
        }
    }

    /// The time alone is enough.
    #[test]
    fn nobody_has_to_fail_again() {
        let mut presence = Presence::new(Standing::default());
        assert_eq!(presence.due(), None);
        assert_eq!(presence.failed(at(5), "gone".to_owned()), None);
        assert_eq!((presence.due(), presence.judge(at(34))), (Some(at(35)), None));
        assert!(offline(presence.judge(at(35))));
        assert_eq!((presence.due(), presence.judge(at(90))), (None, None));
    }

    /// Another worker goes on where the store stands; what the cursor is of is left alone.
    #[test]
    fn another_goes_on() {
        let standing = Standing { offline: true, engine: Some("E".to_owned()), floor: None };
        let mut presence = Presence::new(standing);
        assert_eq!(presence.online(), Some(false));
        assert_eq!(presence.failed(at(0), "gone".to_owned()), None);
        assert_eq!(presence.failed(at(60), "gone".to_owned()), None);
        let back = presence.answered(at(90)).expect("told");
        assert_eq!(back.standing.and_then(|standing| standing.engine).as_deref(), Some("E"));
    }
}
