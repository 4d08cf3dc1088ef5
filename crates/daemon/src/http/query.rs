//! What stands behind the `?`.

use std::str::FromStr;

use hyper::Request;

use vigie_api::time;
use vigie_core::clock::Wall;

use super::answer::Refusal;

/// The query of a request: names and values, decoded, in their order.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads it.
    ///
    /// # Errors
    /// When it has a name that is not `known`: a filter that is not applied would show what nobody asked for. When it
    /// cannot be decoded.
    pub(super) fn of<B>(request: &Request<B>, known: impl Iterator<Item = &'static str>) -> Result<Self, Refusal> {
        let known: Vec<&str> = known.collect();
        let text = request.uri().query().unwrap_or_default();
        let mut pairs = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
                return Err(Refusal::not_understood("its query is not percent-encoded UTF-8"));
            };
            if !known.contains(&name.as_str()) {
                let all = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(Refusal::not_understood(format!("there is no parameter {name:?} here, but {all}")));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// The values of this name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of this name; absent when it is not there.
    ///
    /// # Errors
    /// When it is there twice, or is not of this type.
    pub(super) fn one<T: FromStr>(&self, name: &str, what: &str) -> Result<Option<T>, Refusal> {
        let mut values = self.all(name);
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(Refusal::not_understood(format!("{name} is there twice")));
        }
        value.parse().map(Some).map_err(|_| Refusal::not_understood(format!("{name}={value:?} is no {what}")))
    }

    /// A number.
    ///
    /// # Errors
    /// As of [`Query::one`].
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        self.one(name, "number")
    }

    /// Whether this name is there with a number other than 0.
    ///
    /// # Errors
    /// As of [`Query::one`].
    pub(super) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        Ok(self.number(name)?.is_some_and(|number| number != 0))
    }

    /// A point in time: nanoseconds of UTC since 1970, or RFC 3339 in UTC.
    ///
    /// # Errors
    /// As of [`Query::one`].
    pub(super) fn time(&self, name: &str) -> Result<Option<Wall>, Refusal> {
        Ok(self.one::<Time>(name, "time, such as 2026-01-31T12:00:00Z")?.map(|Time(wall)| wall))
    }
}

struct Time(Wall);

impl FromStr for Time {
    type Err = time::TimeError;

    fn from_str(text: &str) -> Result<Self, time::TimeError> {
        match text.parse() {
            Ok(nanos) => Ok(Self(Wall(nanos))),
            Err(_) => time::parse(text).map(Self),
        }
    }
}

/// A part of a query as the form of a browser encodes it: `+` is a space, `%` begins two hexadecimal digits.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || (rest.next()? as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digit()? << 4 | digit()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<Query, Refusal> {
        let request = Request::builder().uri(format!("/v1/events?{text}")).body(()).expect("a request");
        Query::of(&request, ["after", "since", "follow", "watch", "bad", "target"].into_iter())
    }

    #[test]
    fn numbers_flags_and_times() {
        let query = query("after=7&follow=1&watch=0&bad=x&since=2026-01-01T00:00:00.5Z").expect("a query");
        assert!(matches!(query.number("after"), Ok(Some(7))));
        assert!(query.number("bad").is_err());
        assert!(matches!(query.flag("follow"), Ok(true)));
        assert!(matches!(query.flag("watch"), Ok(false)));
        assert!(matches!(query.flag("other"), Ok(false)));
        assert!(matches!(query.time("since"), Ok(Some(Wall(1_767_225_600_500_000_000)))));
        assert!(matches!(query.time("after"), Ok(Some(Wall(7)))));
        assert!(query.time("bad").is_err());
    }

    #[test]
    fn what_is_encoded_is_decoded_and_what_is_unknown_is_refused() {
        let decoded = query("target=container%3anas%2Fweb+1&target=%C3%A9&&target").expect("a query");
        assert_eq!(decoded.all("target").collect::<Vec<_>>(), ["container:nas/web 1", "é", ""]);
        for bad in ["x=1", "target=%", "target=%4", "target=%zz", "target=%ff", "%74oken=1"] {
            assert!(query(bad).is_err(), "{bad}");
        }
        assert!(query("after=1&after=2").expect("a query").number("after").is_err(), "which of them?");
    }
}
