//! Values about what is asked of a service: URLs, addresses, expressions.

use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::DeValue;

use super::reader::Reader;
use super::shown::Shown;
use super::table::Value;

/// `http://host:port/path`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url(pub(super) String);

/// `host:port`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address(pub(super) String);

/// A regular expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(pub(super) String);

/// Reads a string, checks it, keeps it as it is.
macro_rules! checked {
    ($type:ident, $wanted:literal, $check:expr, $schema:expr) => {
        impl Value for $type {
            fn read(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
                let text = reader.text(value, $wanted)?;
                let check: fn(&str) -> Result<(), (String, &'static str)> = $check;
                match check(&text) {
                    Ok(()) => Some(Self(text)),
                    Err((message, hint)) => {
                        reader.error_hint(value.span(), message, hint);
                        None
                    }
                }
            }

            fn schema() -> Json {
                $schema
            }

            fn show(&self) -> Shown {
                Shown::Text(self.0.clone())
            }
        }
    };
}

checked!(Url, "a URL", url, json!({"type": "string", "examples": ["http://127.0.0.1:8000/health"]}));
checked!(
    Address,
    "an address such as \"127.0.0.1:8000\"",
    address,
    json!({"type": "string", "examples": ["127.0.0.1:8000", "[::1]:8000"]})
);
checked!(Pattern, "a regular expression", pattern, json!({"type": "string", "format": "regex"}));

fn url(text: &str) -> Result<(), (String, &'static str)> {
    let hint = "write for example http://127.0.0.1:8000/health";
    let error = |why: &str| Err((format!("{text:?} is not a URL that can be asked: {why}"), hint));
    let Some((scheme, rest)) = text.split_once("://") else {
        return error("it does not start with http://");
    };
    if scheme != "http" {
        return error("only http is asked, without TLS");
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return error("it holds a blank or a control character");
    }
    let place = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if place.contains('@') {
        return error("it holds a user name");
    }
    if text.contains('#') {
        return error("it holds a fragment, which no server ever sees");
    }
    match host_and_port(place) {
        Some((_, Some(0))) | None => error("its host or port is wrong"),
        Some(_) => Ok(()),
    }
}

fn address(text: &str) -> Result<(), (String, &'static str)> {
    match host_and_port(text) {
        Some((_, Some(1..))) => Ok(()),
        _ => Err((format!("{text:?} is not an address"), "write host:port, for example 127.0.0.1:8000 or [::1]:8000")),
    }
}

/// `host`, `host:port`, `[v6]:port`
fn host_and_port(place: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => {
            let (host, port) = place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port)));
            let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            (Some(host).filter(|host| !host.is_empty() && host.chars().all(known))?, port)
        }
    };
    match port {
        None => Some((host, None)),
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some((host, Some(port.parse().ok()?))),
        Some(_) => None,
    }
}

fn pattern(text: &str) -> Result<(), (String, &'static str)> {
    let hint = "it is matched against each line of the output; a literal sign needs a backslash";
    if text.is_empty() {
        return Err(("an empty expression matches every line".to_owned(), hint));
    }
    match regex_lite::Regex::new(text) {
        Ok(_) => Ok(()),
        Err(error) => Err((format!("{text:?} is not a regular expression: {error}"), hint)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_addresses() {
        for good in ["http://a", "http://127.0.0.1:80", "http://[::1]:8000/x?y=z", "http://a.b-c_d:1/ä"] {
            assert_eq!(url(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a",
            "https://a",
            "http://",
            "http://:80",
            "http://a:0",
            "http://a:65536",
            "http://a:+1",
            "http://a b",
            "http://u:p@a/",
            "http://a/#x",
            "http://[::1",
            "http://[x]:1",
            "http://a:1:2/",
            "ftp://a",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
        for good in ["a:1", "127.0.0.1:65535", "[::1]:80"] {
            assert_eq!(address(good), Ok(()), "{good}");
        }
        for bad in ["", "a", ":1", "a:", "a:0", "::1:80", "http://a:1", "[::1]", "a:1/"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
