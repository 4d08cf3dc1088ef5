//! What is configured for one engine (R11.6).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::docker::endpoint::Endpoint;
use crate::docker::filter::Filters;
use crate::name::Name;
use crate::text::OsText;
use crate::units::{Span, format_size, parse_size_with_unit};

/// How seldom and how often an engine may be polled.
pub const POLL: std::ops::RangeInclusive<u64> = 30..=300;

/// The default in seconds.
pub const POLL_DEFAULT: u64 = 60;

/// An engine that is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Source {
    /// Its name.
    pub name: Name,
    /// Where it is asked.
    pub endpoint: Endpoint,
    /// With TLS; absent: without, or as the context says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Its events are followed.
    pub events: bool,
    /// How.
    pub mode: Mode,
    /// Which are kept.
    #[serde(default)]
    pub filters: Filters,
    /// Nothing is asked for now.
    #[serde(default)]
    pub paused: bool,
    /// What its containers use is measured.
    #[serde(default = "on")]
    pub metrics: bool,
    /// How full its disk is, is measured.
    #[serde(default)]
    pub disk: bool,
    /// From where on its disk is too full; absent: as the rule says that is there for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_above: Option<Full>,
}

const fn on() -> bool {
    true
}

impl Source {
    /// One as it is when nobody says otherwise. Asking a file system of this machine how full it is costs nothing; what a
    /// disk elsewhere holds its engine has to count, which may take minutes: that somebody has to want.
    pub fn new(name: Name, endpoint: Endpoint) -> Self {
        Self {
            name,
            tls: None,
            events: true,
            mode: Mode::Stream,
            filters: Filters::default(),
            paused: false,
            metrics: true,
            disk: matches!(endpoint, Endpoint::Unix(_)),
            disk_above: None,
            endpoint,
        }
    }

    /// Its events are to be followed now.
    pub fn follows_events(&self) -> bool {
        self.events && !self.paused
    }

    /// What its containers use is to be measured now.
    pub fn measures_containers(&self) -> bool {
        self.metrics && !self.paused
    }

    /// How full its disk is, is to be measured now.
    pub fn measures_disk(&self) -> bool {
        self.disk && !self.paused
    }

    /// Anything of it is to be measured now.
    pub fn is_measured(&self) -> bool {
        self.measures_containers() || self.measures_disk()
    }

    /// Whether whoever measures it would do the same with this one: what events are kept, and from where on a disk is too
    /// full, is no matter of its.
    pub fn measures_like(&self, other: &Self) -> bool {
        self.measures_containers() == other.measures_containers()
            && self.measures_disk() == other.measures_disk()
            && self.endpoint == other.endpoint
            && self.tls == other.tls
    }

    /// Whether whoever follows its events would do the same with this one.
    pub fn follows_like(&self, other: &Self) -> bool {
        self.follows_events() == other.follows_events()
            && self.mode == other.mode
            && self.filters == other.filters
            && self.endpoint == other.endpoint
            && self.tls == other.tls
    }

    /// Changes settings: all of them, or none.
    ///
    /// # Errors
    /// The first key that there is not, or value that it cannot have.
    pub fn set(&mut self, settings: &[(String, String)]) -> Result<(), String> {
        let mut changed = self.clone();
        for (key, value) in settings {
            let switch = || match value.as_str() {
                "on" => Ok(true),
                "off" => Ok(false),
                _ => Err(format!("{key} is on or off, not {value:?}")),
            };
            match key.as_str() {
                "events" => changed.events = switch()?,
                "metrics" => changed.metrics = switch()?,
                "disk" => changed.disk = switch()?,
                "disk-above" if value == "default" => changed.disk_above = None,
                "disk-above" => changed.disk_above = Some(value.parse()?),
                _ => {
                    let known: Vec<&str> = SWITCHES.iter().map(|switch| switch.0).collect();
                    return Err(format!("a source has no setting {key:?}; known: {}", known.join(", ")));
                }
            }
        }
        *self = changed;
        Ok(())
    }
}

/// The settings that [`Source::set`] knows, with what they are about.
pub const SWITCHES: [(&str, &str); 4] = [
    ("events", "on or off: what happens to its containers is followed"),
    ("metrics", "on or off: what its containers use is measured"),
    ("disk", "on or off: how full its disk is, is measured"),
    ("disk-above", "from where on its disk is too full: 90%, 200GB, or default"),
];

/// When a disk is too full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub enum Full {
    /// With more than so many percent in use: `90%`.
    Percent(u8),
    /// With more than so many bytes in use: `200GB`.
    Bytes(u64),
}

impl FromStr for Full {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no part of a disk: write it as 90% or 200GB");
        match text.strip_suffix('%') {
            Some(number) => match number.parse() {
                Ok(percent @ 1..=99) => Ok(Self::Percent(percent)),
                _ => Err(wrong()),
            },
            None => match parse_size_with_unit(text) {
                Ok(bytes) if bytes > 0 => Ok(Self::Bytes(bytes)),
                _ => Err(wrong()),
            },
        }
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Bytes(bytes) => f.write_str(&format_size(*bytes)),
        }
    }
}

impl TryFrom<String> for Full {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Full> for String {
    fn from(full: Full) -> String {
        full.to_string()
    }
}

/// Files for TLS. Keys stay where they lie; only their paths are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tls {
    /// The certificates of whoever signs for the engine, as PEM.
    pub ca: OsText,
    /// Our certificate and its key, as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientCertificate>,
}

/// What an engine that asks who we are gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClientCertificate {
    /// The certificate.
    pub cert: OsText,
    /// Its key.
    pub key: OsText,
}

/// How events are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "SourceMode"))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One connection that stays.
    Stream,
    /// A question now and then.
    Poll {
        /// How often.
        every: Span,
    },
}

impl Mode {
    /// To poll at this interval.
    ///
    /// # Errors
    /// When it is out of [`POLL`].
    pub fn poll(every: Span) -> Result<Self, String> {
        let seconds = every.0.as_secs();
        if POLL.contains(&seconds) && every.0.subsec_nanos() == 0 {
            return Ok(Self::Poll { every });
        }
        Err(format!("an engine is polled every {} to {} seconds, not every {every}", POLL.start(), POLL.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_has_its_bounds() {
        for (seconds, good) in [(29, false), (30, true), (60, true), (300, true), (301, false)] {
            assert_eq!(Mode::poll(Span::secs(seconds)).is_ok(), good, "{seconds}");
        }
        assert!(Mode::poll(Span::millis(60_500)).is_err());
    }

    /// What an earlier version stored is read; what it did not know has its default.
    #[test]
    fn settings_are_documents() {
        let text = r#"{"name":"nas","endpoint":"tcp://nas","events":true,"mode":"stream"}"#;
        let source: Source = serde_json::from_str(text).expect("reads");
        assert_eq!((source.filters.clone(), source.paused, source.follows_events()), (Filters::default(), false, true));
        assert_eq!((source.metrics, source.disk, source.disk_above), (true, false, None));
        let again = serde_json::to_string(&source).expect("encodes");
        assert_eq!(serde_json::from_str::<Source>(&again).expect("reads"), source);
        let poll = serde_json::to_string(&Mode::Poll { every: Span::secs(60) }).expect("encodes");
        assert_eq!(poll, r#"{"poll":{"every":"1m"}}"#);
    }

    #[test]
    fn what_is_measured_when_nobody_says() {
        for (endpoint, disk) in
            [("unix:///d.sock", true), ("tcp://nas", false), ("ssh://nas", false), ("context:nas", false)]
        {
            let source = Source::new(Name::lossy("nas"), endpoint.parse().expect("an endpoint"));
            assert_eq!((source.events, source.metrics, source.disk), (true, true, disk), "{endpoint}");
        }
    }

    #[test]
    fn settings_change_together_or_not_at_all() {
        let before = Source::new(Name::lossy("nas"), "unix:///d.sock".parse().expect("an endpoint"));
        let mut source = before.clone();
        let pairs = |settings: &[(&str, &str)]| -> Vec<(String, String)> {
            settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        for (settings, why) in [
            (pairs(&[("metrics", "off"), ("disc", "on")]), "disk-above"),
            (pairs(&[("metrics", "off"), ("disk", "yes")]), "on or off"),
            (pairs(&[("events", "off"), ("disk-above", "100%")]), "90%"),
            (pairs(&[("disk-above", "90")]), "90%"),
        ] {
            let error = source.set(&settings).expect_err("refused");
            assert!(error.contains(why), "{error}");
            assert_eq!(source, before);
        }
        source.set(&pairs(&[("metrics", "off"), ("disk", "off"), ("disk-above", "90%")])).expect("fine");
        assert!(!source.is_measured() && source.follows_events() && source.disk_above == Some(Full::Percent(90)));
        assert!(source.follows_like(&before) && !source.measures_like(&before));
        source
            .set(&pairs(&[("metrics", "on"), ("disk", "on"), ("events", "off"), ("disk-above", "1GiB")]))
            .expect("fine");
        assert!(
            !source.follows_like(&before) && source.measures_like(&before),
            "a threshold is no matter of who measures"
        );
        source.set(&pairs(&[("disk-above", "default")])).expect("fine");
        assert_eq!(source.disk_above, None);
    }

    #[test]
    fn how_full_is_written() {
        for (text, shown) in [("90%", "90%"), ("200GB", "200GB"), ("1.5TB", "1500GB"), ("64MiB", "64MiB"), ("7B", "7B")]
        {
            let full: Full = text.parse().expect("understood");
            assert_eq!(full.to_string(), shown);
            assert_eq!(full.to_string().parse(), Ok(full));
        }
        for text in ["", "%", "0%", "100%", "x", "0", "7", "-1GB", "1.5%"] {
            assert!(text.parse::<Full>().is_err(), "{text}");
        }
    }
}
