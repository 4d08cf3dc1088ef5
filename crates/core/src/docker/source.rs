//! What is configured for one engine (R11.6).

use serde::{Deserialize, Serialize};

use crate::docker::endpoint::Endpoint;
use crate::docker::filter::Filters;
use crate::name::Name;
use crate::text::OsText;
use crate::units::Span;

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
}

impl Source {
    /// Its events are to be followed now.
    pub fn follows_events(&self) -> bool {
        self.events && !self.paused
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
        let again = serde_json::to_string(&source).expect("encodes");
        assert_eq!(serde_json::from_str::<Source>(&again).expect("reads"), source);
        let poll = serde_json::to_string(&Mode::Poll { every: Span::secs(60) }).expect("encodes");
        assert_eq!(poll, r#"{"poll":{"every":"1m"}}"#);
    }
}
