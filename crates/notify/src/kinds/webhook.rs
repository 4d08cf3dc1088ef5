//! A webhook: the whole message as one JSON object, the same that a command gets.

use serde_json::{Value, json};

use vigie_core::incidents::Message;
use vigie_core::journal::Subject;

use super::{Http, Kind, parts};
use crate::dial::Reach;
use crate::text::{details, time, title};
use crate::url::Url;

pub(super) fn parse(url: &mut Url, reach: &Reach) -> Result<(Http, String), String> {
    // Whatever stands behind the `?` is the receiver's, `tls` included: http and https say it already.
    let query = url.written_query();
    let kept = std::mem::take(&mut url.query);
    let found = parts(url, reach)?;
    url.query = kept;
    let mut path = if url.path.is_empty() { "/".to_owned() } else { url.path.clone() };
    if !query.is_empty() {
        path.push_str(&format!("?{query}"));
    }
    let hidden = if path == "/" { "/" } else { "/***" };
    let shown = format!("{}://{}{hidden}", if found.tls { "https" } else { "http" }, host(&found.place, found.tls));
    let http =
        Http { kind: Kind::Webhook, tls: found.tls, place: found.place, path, login: found.basic, extra: Vec::new() };
    Ok((http, shown))
}

pub(super) fn host(place: &crate::dial::Place, tls: bool) -> String {
    let usual = if tls { 443 } else { 80 };
    if place.port == usual { place.host.clone() } else { place.to_string() }
}

/// The message for programs.
pub(crate) fn object(message: &Message, host: &str) -> Value {
    let subject = message.subject.as_ref();
    json!({
        "schema": 1,
        "key": message.key,
        "occasion": message.occasion,
        "severity": message.severity,
        "host": host,
        "project": subject.and_then(Subject::project),
        "service": subject.and_then(Subject::service),
        "source": subject.and_then(Subject::source),
        "container": subject.and_then(Subject::container),
        "rule": message.rule,
        "incident": message.incident,
        "count": message.count,
        "title": title(message, host),
        "text": message.text,
        "details": details(message, host),
        "lines": message.lines,
        "opened": message.opened.map(time),
        "at": time(message.at),
    })
}
