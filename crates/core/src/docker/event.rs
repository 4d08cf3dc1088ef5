//! What an engine tells on `GET /events`, from API 1.41 to 1.53 and from Podman.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970 on the clock of an engine. Always a whole number: as a double it would be wrong by up to 128.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nanos(pub u64);

impl Nanos {
    /// Earlier by so much.
    pub fn before(self, time: std::time::Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Later by so much.
    pub fn after(self, time: std::time::Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// `1700000000.000000001`, as the API takes it for `since` and `until`.
    pub fn for_query(self) -> String {
        format!("{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// What makes an event *this* event, together with its source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// When, on the engine's clock.
    pub at: Nanos,
    /// `container`, `network` …
    pub kind: String,
    /// All of it: `exec_create: sh -c date`, `health_status: healthy`.
    pub action: String,
    /// Of what.
    pub id: String,
}

/// One event, of any type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// What makes it this one.
    pub key: Key,
    /// `name`, `image`, `exitCode`, `signal`, and all labels.
    pub attributes: BTreeMap<String, String>,
}

impl Happened {
    /// It is about a container.
    pub fn is_of_container(&self) -> bool {
        self.key.kind == "container"
    }

    /// The action without what follows a colon: `exec_create`, `health_status`; in Docker's words where Podman has its own.
    pub fn action(&self) -> &str {
        let base = self.key.action.split_once(':').map_or(&*self.key.action, |(base, _)| base).trim();
        match base {
            "remove" if self.is_of_container() => "destroy",
            // Its compatible interface translates this one, the older ones did not.
            "died" if self.is_of_container() => "die",
            base => base,
        }
    }

    /// What follows the colon.
    pub fn detail(&self) -> Option<&str> {
        self.key.action.split_once(':').map(|(_, detail)| detail.trim())
    }

    /// An attribute that is not empty.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// An event as it is written. Engines before 29 repeat type, action and actor as `status`, `id` and `from`; the oldest
/// have only these.
#[derive(Debug, Deserialize)]
struct Written {
    #[serde(rename = "Type")]
    kind: Option<String>,
    #[serde(rename = "Action")]
    action: Option<String>,
    #[serde(rename = "Actor")]
    actor: Option<Actor>,
    status: Option<String>,
    id: Option<String>,
    from: Option<String>,
    time: Option<u64>,
    #[serde(rename = "timeNano")]
    time_nano: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Actor {
    #[serde(rename = "ID")]
    id: Option<String>,
    #[serde(rename = "Attributes")]
    attributes: Option<BTreeMap<String, Option<String>>>,
}

/// Reads a line.
///
/// # Errors
/// Says what is wrong with it: no JSON, no time, no action.
pub fn parse(line: &[u8]) -> Result<Happened, String> {
    let written: Written = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let seconds = |time: u64| time.checked_mul(1_000_000_000);
    let at = written.time_nano.or(written.time.and_then(seconds)).filter(|at| *at > 0).ok_or("it has no time")?;
    let action = written.action.or(written.status).filter(|action| !action.is_empty()).ok_or("it has no action")?;
    let (id, attributes) = match written.actor {
        Some(actor) => (actor.id, actor.attributes.unwrap_or_default()),
        None => (None, BTreeMap::new()),
    };
    let mut attributes: BTreeMap<String, String> =
        attributes.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect();
    if let Some(image) = written.from {
        attributes.entry("image".to_owned()).or_insert(image);
    }
    let id = id.filter(|id| !id.is_empty()).or(written.id).unwrap_or_default();
    let kind = written.kind.unwrap_or_else(|| "container".to_owned());
    Ok(Happened { key: Key { at: Nanos(at), kind, action, id }, attributes })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Docker 20.10 wrote it, with the fields of old; as 29 does, without; as Podman does.
    #[test]
    fn what_engines_write() {
        let old = br#"{"status":"die","id":"ab12","from":"busybox","Type":"container","Action":"die",
            "Actor":{"ID":"ab12","Attributes":{"exitCode":"137","image":"busybox","name":"web"}},
            "scope":"local","time":1795179461,"timeNano":1795179461123456789}"#;
        let event = parse(old).expect("understood");
        assert_eq!(event.key.at, Nanos(1_795_179_461_123_456_789), "to the last nanosecond");
        assert_eq!((event.action(), event.detail(), event.key.id.as_str()), ("die", None, "ab12"));
        assert_eq!((event.attribute("exitCode"), event.attribute("name")), (Some("137"), Some("web")));
        assert!(event.is_of_container());

        let new = br#"{"Type":"container","Action":"health_status: unhealthy","Actor":{"ID":"ab12",
            "Attributes":{"image":"busybox","name":"web","label":null}},"scope":"local","timeNano":5}"#;
        let event = parse(new).expect("understood");
        assert_eq!(
            (event.action(), event.detail(), event.attribute("label")),
            ("health_status", Some("unhealthy"), None)
        );

        let oldest = parse(br#"{"status":"start","id":"ab","from":"img","time":7}"#).expect("understood");
        assert_eq!((oldest.key.at, oldest.attribute("image")), (Nanos(7_000_000_000), Some("img")));
        let unknown = parse(br#"{"Type":"wormhole","Action":"opened","timeNano":9,"Actor":null,"more":[1]}"#);
        let unknown = unknown.expect("an unknown type is an event all the same");
        assert!(!unknown.is_of_container());
    }

    /// Podman's own words, as `pkg/api/handlers/compat/events.go` lets them through.
    #[test]
    fn what_podman_calls_things() {
        for (kind, action, wanted) in [
            ("container", "remove", "destroy"),
            ("container", "died", "die"),
            ("container", "health_status", "health_status"),
            ("image", "remove", "remove"),
        ] {
            let line = format!(r#"{{"Type":"{kind}","Action":"{action}","Actor":{{"ID":"ab"}},"timeNano":5}}"#);
            let event = parse(line.as_bytes()).expect("understood");
            assert_eq!((event.action(), event.key.action.as_str()), (wanted, action), "the key keeps what was said");
        }
    }

    #[test]
    fn what_is_no_event() {
        for (line, why) in [
            (&b"{"[..], "EOF"),
            (b"[]", "invalid"),
            (br#"{"Type":"container","Action":"die"}"#, "no time"),
            (br#"{"Type":"container","Action":"die","timeNano":0}"#, "no time"),
            (br#"{"Type":"container","timeNano":1}"#, "no action"),
            (br#"{"Action":"die","timeNano":1.5}"#, "invalid type"),
            (br#"{"Action":"die","timeNano":-1}"#, "invalid"),
            (b"\xff\xfe", "expected value"),
        ] {
            let error = parse(line).expect_err("no event");
            assert!(error.contains(why), "{error} has no {why:?}");
        }
    }

    #[test]
    fn times_for_queries() {
        assert_eq!(Nanos(1_700_000_000_000_000_021).for_query(), "1700000000.000000021");
        assert_eq!(Nanos(5).before(std::time::Duration::from_secs(1)), Nanos(0));
        assert_eq!(Nanos(u64::MAX).after(std::time::Duration::from_secs(1)), Nanos(u64::MAX));
    }
}
