//! Receivers that speak HTTP: from a URL to a place, and from a message to a request.

mod chat;
mod push;
mod webhook;

use vigie_core::incidents::Message;

use crate::dial::{Place, Reach};
use crate::http::Post;
use crate::text::base64;
use crate::url::Url;

pub(crate) use webhook::object;

/// What kind of receiver it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Webhook,
    Ntfy,
    Gotify,
    Slack,
    Discord,
    Telegram,
    Teams,
    Mattermost,
    Pushover,
    Apprise,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Webhook => "webhook",
            Kind::Ntfy => "ntfy",
            Kind::Gotify => "gotify",
            Kind::Slack => "slack",
            Kind::Discord => "discord",
            Kind::Telegram => "telegram",
            Kind::Teams => "teams",
            Kind::Mattermost => "mattermost",
            Kind::Pushover => "pushover",
            Kind::Apprise => "apprise",
        }
    }
}

/// A receiver that speaks HTTP.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Http {
    pub(crate) kind: Kind,
    tls: bool,
    place: Place,
    /// Path and query of the request.
    path: String,
    /// A header that lets us in.
    login: Option<(&'static str, String)>,
    /// What this kind puts into the body: a topic, a chat, keys.
    extra: Vec<String>,
}

/// What is left of a URL when the general parts were taken out.
struct Parts {
    tls: bool,
    place: Place,
    /// Folders before the receiver's own path, for servers that live below one.
    segments: Vec<String>,
    basic: Option<(&'static str, String)>,
}

fn parts(url: &mut Url, reach: &Reach) -> Result<Parts, String> {
    let tls = match url.take("tls").as_deref() {
        None | Some("on") => url.scheme != "http",
        Some("off") => false,
        Some(_) => return Err("tls is on or off".to_owned()),
    };
    if url.host.is_empty() {
        return Err("the host is missing".to_owned());
    }
    let port = url.port.unwrap_or(if tls { 443 } else { 80 });
    let basic = match (&url.user, &url.password) {
        (Some(user), Some(password)) if user.is_empty() => Some(("Authorization", format!("Bearer {password}"))),
        (Some(user), password) => {
            let pair = format!("{user}:{}", password.as_deref().unwrap_or_default());
            Some(("Authorization", format!("Basic {}", base64(pair.as_bytes()))))
        }
        (None, _) => None,
    };
    Ok(Parts {
        tls,
        place: Place { host: url.host.clone(), port, reach: reach.clone() },
        segments: url.segments()?,
        basic,
    })
}

/// Reads the rest of the URL. The second value is what may be shown of it.
pub(crate) fn parse(scheme: &str, url: &mut Url, reach: &Reach) -> Result<(Http, String), String> {
    match scheme {
        "ntfy" => push::ntfy(url, reach),
        "gotify" => push::gotify(url, reach),
        "pushover" => push::pushover(url, reach),
        "apprise" => push::apprise(url, reach),
        "slack" => chat::slack(url, reach),
        "discord" => chat::discord(url, reach),
        "telegram" => chat::telegram(url, reach),
        "teams" => chat::teams(url, reach),
        "mattermost" => chat::mattermost(url, reach),
        _ => match url.host.as_str() {
            "hooks.slack.com" => chat::slack(url, reach),
            "discord.com" | "discordapp.com" => chat::discord(url, reach),
            _ => webhook::parse(url, reach),
        },
    }
}

impl Http {
    /// Where it is.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The request that tells the message.
    pub(crate) fn post(&self, message: &Message, host: &str) -> Post {
        let (content, body) = match self.kind {
            Kind::Webhook => ("application/json", json(&object(message, host))),
            Kind::Ntfy => ("application/json", json(&push::ntfy_body(&self.extra, message, host))),
            Kind::Gotify => ("application/json", json(&push::gotify_body(message, host))),
            Kind::Pushover => ("application/x-www-form-urlencoded", push::pushover_body(&self.extra, message, host)),
            Kind::Apprise => ("application/json", json(&push::apprise_body(&self.extra, message, host))),
            Kind::Slack => ("application/json", json(&chat::slack_body(message, host))),
            Kind::Discord => ("application/json", json(&chat::discord_body(message, host))),
            Kind::Telegram => ("application/json", json(&chat::telegram_body(&self.extra, message, host))),
            Kind::Teams => ("application/json", json(&chat::teams_body(message, host))),
            Kind::Mattermost => ("application/json", json(&chat::mattermost_body(message, host))),
        };
        let mut headers = vec![("Content-Type", content.to_owned()), ("Idempotency-Key", message.key.clone())];
        headers.extend(self.login.clone());
        Post { tls: self.tls, place: self.place.clone(), path: self.path.clone(), headers, body }
    }
}

fn json(value: &serde_json::Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// A path of these parts.
fn path(parts: &[&str]) -> String {
    parts.iter().map(|part| format!("/{}", crate::url::encode(part))).collect()
}

/// Services of one company have one address. `api=http://HOST:PORT` names another that speaks the same: a relay, or a server
/// of one's own.
fn origin(url: &mut Url, usual: &str, reach: &Reach) -> Result<(bool, Place, String), String> {
    let named = url.take("api");
    let text = named.clone().unwrap_or_else(|| usual.to_owned());
    let mut base = Url::parse(&text).map_err(|why| format!("api: {why}"))?;
    if !matches!(base.scheme.as_str(), "http" | "https") {
        return Err("api is http://… or https://…".to_owned());
    }
    let parts = parts(&mut base, reach)?;
    let shown = if named.is_some() { format!("?api={}", parts.place) } else { String::new() };
    Ok((parts.tls, parts.place, shown))
}
