//! What an engine tells on `GET /events`, from API 1.41 to 1.53 and from Podman.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970 on the clock of an engine. Always a whole number: as a double it would be wrong by up to 128.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "EngineTime"))]
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

    /// Reads a time as RFC 3339 writes it: `2026-01-02T03:04:05.123456789Z`, or with an offset. `None` for one before 1970, too:
    /// engines write year 1 for what never was.
    pub fn of_rfc3339(text: &str) -> Option<Self> {
        let (date, time) = text.split_once('T')?;
        // Nothing that fits into 32 bits can overflow below.
        let whole = |text: &str| text.parse::<u32>().ok().map(i64::from);
        let mut date = date.split('-').map(whole);
        let (year, month, day) = (date.next()??, date.next()??, date.next()??);
        let zone = time.find(['Z', '+', '-'])?;
        let (time, zone) = time.split_at(zone);
        let offset = match zone.strip_prefix('Z') {
            Some(_) => 0,
            None => {
                let (hours, minutes) = zone[1..].split_once(':')?;
                let minutes = whole(hours)? * 60 + whole(minutes)?;
                if zone.starts_with('-') { -minutes * 60 } else { minutes * 60 }
            }
        };
        let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
        let mut time = time.split(':').map(whole);
        let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
        let fraction: u64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
        // Days since 1970 in the proleptic Gregorian calendar, counted from the first of March so that a leap day is the last.
        let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
        let days =
            year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (month * 153 + 2) / 5 + day
                - 1
                - 719_468;
        let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
        u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(fraction).map(Nanos)
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
    /// Those of `name`, `image`, `exitCode`, `containerExitCode`, `signal`, `oldName` and `health_status` that it has.
    pub attributes: BTreeMap<&'static str, String>,
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
struct Written<'a> {
    #[serde(rename = "Type", borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(rename = "Action", borrow)]
    action: Option<Cow<'a, str>>,
    #[serde(rename = "Actor", borrow)]
    actor: Option<Actor<'a>>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    from: Option<Cow<'a, str>>,
    time: Option<u64>,
    #[serde(rename = "timeNano")]
    time_nano: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Actor<'a> {
    #[serde(rename = "ID", borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(rename = "Attributes", borrow)]
    attributes: Option<Attributes<'a>>,
}

/// Those that are looked at. The rest, all labels among them, is passed over.
#[derive(Debug, Default, Deserialize)]
struct Attributes<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    image: Option<Cow<'a, str>>,
    #[serde(rename = "exitCode", borrow)]
    exit_code: Option<Cow<'a, str>>,
    #[serde(rename = "containerExitCode", borrow)]
    container_exit_code: Option<Cow<'a, str>>,
    #[serde(borrow)]
    signal: Option<Cow<'a, str>>,
    #[serde(rename = "oldName", borrow)]
    old_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    health_status: Option<Cow<'a, str>>,
}

/// No name, image, id or action is longer, in bytes: what is longer is cut. An engine has them shorter, but for the command in
/// the action of an `exec`; one that lies must not fill journal and memory with them.
const TEXT: usize = 1024;

/// A text that is not longer than [`TEXT`].
pub fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT)]
}

/// Reads a line.
///
/// # Errors
/// Says what is wrong with it: no JSON, no time, no action.
pub fn parse(line: &[u8]) -> Result<Happened, String> {
    let written: Written<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let seconds = |time: u64| time.checked_mul(1_000_000_000);
    let at = written.time_nano.or(written.time.and_then(seconds)).filter(|at| *at > 0).ok_or("it has no time")?;
    let action = written.action.or(written.status).filter(|action| !action.is_empty()).ok_or("it has no action")?;
    let (id, given) = match written.actor {
        Some(actor) => (actor.id, actor.attributes.unwrap_or_default()),
        None => (None, Attributes::default()),
    };
    let image = given.image.or(written.from);
    let named = [
        ("name", given.name),
        ("image", image),
        ("exitCode", given.exit_code),
        ("containerExitCode", given.container_exit_code),
        ("signal", given.signal),
        ("oldName", given.old_name),
        ("health_status", given.health_status),
    ];
    let present = named.into_iter().filter_map(|(name, value)| Some((name, bounded(&value?).to_owned())));
    let id = id.filter(|id| !id.is_empty()).or(written.id).unwrap_or_default();
    let kind = written.kind.unwrap_or(Cow::Borrowed("container"));
    let text = |text: &str| bounded(text).to_owned();
    let key = Key { at: Nanos(at), kind: text(&kind), action: text(&action), id: text(&id) };
    Ok(Happened { key, attributes: present.collect() })
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

    /// One that lies cannot make anything grow.
    #[test]
    fn texts_are_bounded() {
        let long = "gr\u{fc}n".repeat(100_000);
        let line = format!(
            r#"{{"Type":"{long}","Action":"{long}","Actor":{{"ID":"{long}","Attributes":{{"name":"{long}","{long}":"{long}"}}}},"timeNano":9}}"#
        );
        let event = parse(line.as_bytes()).expect("understood");
        for text in [&event.key.kind, &event.key.action, &event.key.id, &event.attributes["name"]] {
            assert!(text.len() <= TEXT && long.starts_with(text.as_str()), "{} bytes", text.len());
        }
        assert_eq!(event.attributes.len(), 1);
    }

    #[test]
    fn times_of_engines() {
        for (text, wanted) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-20T10:20:30.5Z", Some(1_795_170_030_500_000_000)),
            ("2024-02-29T23:59:59.123456789Z", Some(1_709_251_199_123_456_789)),
            ("2024-03-01T01:59:59.123456789+02:00", Some(1_709_251_199_123_456_789)),
            ("2000-03-01T00:00:00-01:30", Some(951_874_200_000_000_000)),
            ("1969-01-01T00:00:00Z", None),
            ("yesterday", None),
            ("9223372036854775807-01-01T00:00:00Z", None),
            ("4294967295-4294967295-4294967295T4294967295:4294967295:4294967295+4294967295:4294967295", None),
            ("2026-11-20", None),
        ] {
            assert_eq!(Nanos::of_rfc3339(text), wanted.map(Nanos), "{text}");
        }
    }

    #[test]
    fn times_for_queries() {
        assert_eq!(Nanos(1_700_000_000_000_000_021).for_query(), "1700000000.000000021");
        assert_eq!(Nanos(5).before(std::time::Duration::from_secs(1)), Nanos(0));
        assert_eq!(Nanos(u64::MAX).after(std::time::Duration::from_secs(1)), Nanos(u64::MAX));
    }
}
