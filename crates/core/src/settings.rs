//! Settings of the whole: few, in the database, changed while everything runs (R11.6). What belongs to one source, rule or
//! channel is kept with it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::{Span, format_duration};

/// Something that can be set. All of them are lengths of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Key {
    /// How often containers are measured.
    MetricsInterval,
    /// How often disks of sources are.
    DiskInterval,
}

/// Why a setting is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// There is no such key.
    #[error("there is no setting {0:?}; known: {known}", known = Key::ALL.map(Key::name).join(", "))]
    Unknown(String),
    /// It cannot be that.
    #[error("{key} cannot be {value:?}: {why}", key = .key.name())]
    Value {
        /// Which.
        key: Key,
        /// As it was written.
        value: String,
        /// Why not.
        why: String,
    },
}

impl Key {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 2] = [Self::MetricsInterval, Self::DiskInterval];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MetricsInterval => "metrics.interval",
            Self::DiskInterval => "disk.interval",
        }
    }

    /// What it is about, in a line.
    pub const fn about(self) -> &'static str {
        match self {
            Self::MetricsInterval => "how often containers of sources are measured: 10s to 5m",
            Self::DiskInterval => "how often disks of sources are measured: 1m to 1d",
        }
    }

    /// What it is when nobody changed it.
    pub const fn default(self) -> Span {
        match self {
            Self::MetricsInterval => Span::secs(30),
            Self::DiskInterval => Span::secs(300),
        }
    }

    /// From where to where it can be set.
    const fn bounds(self) -> (Duration, Duration) {
        let (least, most) = match self {
            Self::MetricsInterval => (10, 300),
            Self::DiskInterval => (60, 86_400),
        };
        (Duration::from_secs(least), Duration::from_secs(most))
    }

    /// Reads a value for it.
    ///
    /// # Errors
    /// When it is none, or out of bounds.
    pub fn read(self, value: &str) -> Result<Span, SettingError> {
        let wrong = |why: String| SettingError::Value { key: self, value: value.to_owned(), why };
        let span = Span::try_from(value.to_owned()).map_err(|error| wrong(error.to_string()))?;
        let (least, most) = self.bounds();
        if (least..=most).contains(&span.0) {
            return Ok(span);
        }
        Err(wrong(format!("it is from {} to {}", format_duration(least), format_duration(most))))
    }
}

impl std::str::FromStr for Key {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        Self::ALL.into_iter().find(|key| key.name() == text).ok_or_else(|| SettingError::Unknown(text.to_owned()))
    }
}

impl TryFrom<String> for Key {
    type Error = SettingError;

    fn try_from(text: String) -> Result<Self, SettingError> {
        text.parse()
    }
}

impl From<Key> for String {
    fn from(key: Key) -> String {
        key.name().to_owned()
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// All settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<Key, Span>);

impl Settings {
    /// From what was kept, as key and value. What there is no more, or out of bounds by now, is as if nobody had set it.
    pub fn kept(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let read = |(key, value): (String, String)| {
            let key: Key = key.parse().ok()?;
            Some((key, key.read(&value).ok()?))
        };
        Self(pairs.into_iter().filter_map(read).collect())
    }

    /// What a key is set to.
    pub fn get(&self, key: Key) -> Span {
        self.0.get(&key).copied().unwrap_or(key.default())
    }

    /// Whether somebody changed it.
    pub fn is_changed(&self, key: Key) -> bool {
        self.0.contains_key(&key)
    }

    /// Sets keys: all of them or none. What is set to its default is set all the same.
    ///
    /// # Errors
    /// The first that is none.
    pub fn set(&mut self, pairs: &[(String, String)]) -> Result<Vec<Key>, SettingError> {
        let mut changed = self.0.clone();
        let mut keys = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let key: Key = key.parse()?;
            changed.insert(key, key.read(value)?);
            keys.push(key);
        }
        self.0 = changed;
        Ok(keys)
    }

    /// As if nobody had set it.
    pub fn reset(&mut self, key: Key) {
        self.0.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn keys_have_names_bounds_and_defaults_within_them() {
        for key in Key::ALL {
            assert_eq!(key.name().parse(), Ok(key));
            assert_eq!(key.read(&key.default().to_string()), Ok(key.default()));
            let (least, most) = key.bounds();
            for beyond in [least - Duration::from_millis(1), most + Duration::from_millis(1)] {
                assert!(key.read(&Span(beyond).to_string()).is_err(), "{key} {beyond:?}");
            }
        }
    }

    #[test]
    fn all_or_none() {
        let mut settings = Settings::default();
        for (wrong, why) in [
            (pairs(&[("disk.interval", "2m"), ("metrics.intervall", "20s")]), "metrics.interval, disk.interval"),
            (pairs(&[("disk.interval", "2m"), ("metrics.interval", "9s")]), "from 10s to 5m"),
            (pairs(&[("disk.interval", "2m"), ("metrics.interval", "fast")]), "duration"),
        ] {
            let error = settings.set(&wrong).expect_err("refused").to_string();
            assert!(error.contains(why), "{error}");
            assert_eq!(settings, Settings::default());
        }
        settings.set(&pairs(&[("metrics.interval", "10s")])).expect("fine");
        assert_eq!(settings.get(Key::MetricsInterval), Span::secs(10));
        assert!(settings.is_changed(Key::MetricsInterval) && !settings.is_changed(Key::DiskInterval));
        settings.reset(Key::MetricsInterval);
        assert_eq!(settings, Settings::default());
    }

    /// Of another version.
    #[test]
    fn what_is_not_understood_is_as_if_not_set() {
        let kept = pairs(&[("metrics.interval", "1s"), ("heat", "5"), ("disk.interval", "10m")]);
        let settings = Settings::kept(kept);
        assert_eq!(settings.get(Key::MetricsInterval), Key::MetricsInterval.default());
        assert_eq!(settings.get(Key::DiskInterval), Span::secs(600));
    }
}
