//! Push services: ntfy, Gotify, Pushover, Apprise.

use serde_json::{Value, json};

use vigie_core::incidents::Message;

use super::webhook::host as shown_host;
use super::{Http, Kind, origin, parts, path};
use crate::dial::Reach;
use crate::text::{cut, details, title, urgency};
use crate::url::{Url, encode};

/// <https://docs.ntfy.sh/publish/#publish-as-json>
pub(super) fn ntfy(url: &mut Url, reach: &Reach) -> Result<(Http, String), String> {
    let found = parts(url, reach)?;
    let [folders @ .., topic] = &found.segments[..] else { return Err("the topic is missing".to_owned()) };
    let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
    // At a public server the name of a topic is its password.
    let shown = format!("ntfy://{}/***", shown_host(&found.place, found.tls));
    let root = if folders.is_empty() { "/".to_owned() } else { path(&folders) };
    let extra = vec![topic.clone()];
    let http = Http { kind: Kind::Ntfy, tls: found.tls, place: found.place, path: root, login: found.basic, extra };
    Ok((http, shown))
}

pub(super) fn ntfy_body(extra: &[String], message: &Message, host: &str) -> Value {
    json!({
        "topic": extra[0],
        "title": cut(&title(message, host), 250),
        "message": cut(&details(message, host), 3500),
        "priority": urgency(message, [5, 4, 3, 2]),
        "tags": [urgency(message, ["rotating_light", "warning", "information_source", "white_check_mark"])],
    })
}

/// <https://gotify.net/docs/pushmsg>
pub(super) fn gotify(url: &mut Url, reach: &Reach) -> Result<(Http, String), String> {
    let found = parts(url, reach)?;
    let [folders @ .., token] = &found.segments[..] else { return Err("the token is missing".to_owned()) };
    let mut parts: Vec<&str> = folders.iter().map(String::as_str).collect();
    parts.push("message");
    let shown = format!("gotify://{}/***", shown_host(&found.place, found.tls));
    let http = Http {
        kind: Kind::Gotify,
        tls: found.tls,
        path: path(&parts),
        login: Some(("X-Gotify-Key", token.clone())),
        extra: Vec::new(),
        place: found.place,
    };
    Ok((http, shown))
}

pub(super) fn gotify_body(message: &Message, host: &str) -> Value {
    json!({
        "title": title(message, host),
        "message": details(message, host),
        "priority": urgency(message, [8, 5, 3, 2]),
    })
}

/// <https://pushover.net/api>
pub(super) fn pushover(url: &mut Url, reach: &Reach) -> Result<(Http, String), String> {
    let (tls, place, shown) = origin(url, "https://api.pushover.net", reach)?;
    let extra = match &url.segments()?[..] {
        [user] if !url.host.is_empty() => vec![url.host.clone(), user.clone()],
        _ => return Err("the token of the application and the key of the user are needed".to_owned()),
    };
    let path = "/1/messages.json".to_owned();
    Ok((Http { kind: Kind::Pushover, tls, place, path, login: None, extra }, format!("pushover://***{shown}")))
}

pub(super) fn pushover_body(extra: &[String], message: &Message, host: &str) -> Vec<u8> {
    let fields = [
        ("token", extra[0].clone()),
        ("user", extra[1].clone()),
        ("title", cut(&title(message, host), 250)),
        ("message", cut(&details(message, host), 1024)),
        ("priority", urgency(message, ["1", "0", "-1", "-1"]).to_owned()),
    ];
    fields.map(|(key, value)| format!("{key}={}", encode(&value))).join("&").into_bytes()
}

/// <https://github.com/caronc/apprise-api#api-details>
pub(super) fn apprise(url: &mut Url, reach: &Reach) -> Result<(Http, String), String> {
    let tag = url.take("tag");
    let found = parts(url, reach)?;
    let [folders @ .., key] = &found.segments[..] else {
        return Err("the key of the configuration is missing".to_owned());
    };
    let mut parts: Vec<&str> = folders.iter().map(String::as_str).collect();
    parts.extend(["notify", key]);
    let shown = format!("apprise://{}/***", shown_host(&found.place, found.tls));
    let http = Http {
        kind: Kind::Apprise,
        tls: found.tls,
        path: path(&parts),
        login: found.basic,
        extra: tag.into_iter().collect(),
        place: found.place,
    };
    Ok((http, shown))
}

pub(super) fn apprise_body(extra: &[String], message: &Message, host: &str) -> Value {
    let mut body = json!({
        "title": title(message, host),
        "body": details(message, host),
        "type": urgency(message, ["failure", "warning", "info", "success"]),
    });
    if let Some(tag) = extra.first() {
        body["tag"] = json!(tag);
    }
    body
}
