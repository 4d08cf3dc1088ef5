//! Chats: Slack, Mattermost, Discord, Telegram, Teams.

use serde_json::{Value, json};

use vigie_core::incidents::Message;

use super::webhook::host as shown_host;
use super::{Http, Kind, origin, parts, path};
use crate::dial::Reach;
use crate::text::{cut, details, title, urgency};
use crate::url::Url;

/// <https://api.slack.com/messaging/webhooks>
pub(super) fn slack(url: &mut Url, reach: &Reach) -> Result<(Http, String), String> {
    let (tls, place, shown) = origin(url, "https://hooks.slack.com", reach)?;
    let segments = url.segments()?;
    let keys = match (&url.scheme[..], &segments[..]) {
        ("slack", [bot, key]) if !url.host.is_empty() => [url.host.clone(), bot.clone(), key.clone()],
        ("http" | "https", [services, team, bot, key]) if services == "services" => {
            [team.clone(), bot.clone(), key.clone()]
        }
        _ => return Err("the three parts of the webhook are needed".to_owned()),
    };
    let path = path(&["services", &keys[0], &keys[1], &keys[2]]);
    let http = Http { kind: Kind::Slack, tls, place, path, login: None, extra: Vec::new() };
    Ok((http, format!("slack://***{shown}")))
}

pub(super) fn slack_body(message: &Message, host: &str) -> Value {
    // <https://api.slack.com/reference/surfaces/formatting#escaping>
    let safe = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let sign = urgency(message, [":rotating_light:", ":warning:", ":information_source:", ":white_check_mark:"]);
    json!({ "text": cut(&format!("{sign} *{}*\n{}", safe(&title(message, host)), safe(&details(message, host))), 3900) })
}

/// <https://developers.mattermost.com/integrate/webhooks/incoming/>
pub(super) fn mattermost(url: &mut Url, reach: &Reach) -> Result<(Http, String), String> {
    let found = parts(url, reach)?;
    let [folders @ .., key] = &found.segments[..] else { return Err("the key of the webhook is missing".to_owned()) };
    let mut parts: Vec<&str> = folders.iter().map(String::as_str).collect();
    if parts.last() != Some(&"hooks") {
        parts.push("hooks");
    }
    parts.push(key);
    let shown = format!("mattermost://{}/***", shown_host(&found.place, found.tls));
    let http = Http {
        kind: Kind::Mattermost,
        tls: found.tls,
        path: path(&parts),
        login: found.basic,
        extra: Vec::new(),
        place: found.place,
    };
    Ok((http, shown))
}

pub(super) fn mattermost_body(message: &Message, host: &str) -> Value {
    let sign = urgency(message, [":rotating_light:", ":warning:", ":information_source:", ":white_check_mark:"]);
    // Output stands in a block of code, where nothing of it means anything; nobody is called by it.
    let quiet = |text: &str| text.replace("```", "'''").replace('@', "@\u{200b}");
    let text = format!("{sign} **{}**\n```\n{}\n```", quiet(&title(message, host)), quiet(&details(message, host)));
    json!({ "username": "vigie", "text": text })
}

/// <https://discord.com/developers/docs/resources/webhook#execute-webhook>
pub(super) fn discord(url: &mut Url, reach: &Reach) -> Result<(Http, String), String> {
    let (tls, place, shown) = origin(url, "https://discord.com", reach)?;
    let segments = url.segments()?;
    let (id, token) = match (&url.scheme[..], &segments[..]) {
        ("discord", [token]) if !url.host.is_empty() => (url.host.clone(), token.clone()),
        ("http" | "https", [api, hooks, id, token]) if api == "api" && hooks == "webhooks" => {
            (id.clone(), token.clone())
        }
        _ => return Err("the number and the token of the webhook are needed".to_owned()),
    };
    let path = path(&["api", "webhooks", &id, &token]);
    let http = Http { kind: Kind::Discord, tls, place, path, login: None, extra: Vec::new() };
    Ok((http, format!("discord://***{shown}")))
}

pub(super) fn discord_body(message: &Message, host: &str) -> Value {
    let details = cut(&details(message, host).replace("```", "'''"), 1500);
    json!({
        "username": "vigie",
        "content": format!("**{}**\n```\n{details}\n```", cut(&title(message, host), 400)),
        "allowed_mentions": { "parse": [] },
    })
}

/// <https://core.telegram.org/bots/api#sendmessage>
pub(super) fn telegram(url: &mut Url, reach: &Reach) -> Result<(Http, String), String> {
    let (tls, place, shown) = origin(url, "https://api.telegram.org", reach)?;
    let thread = url.take("thread");
    if thread.as_ref().is_some_and(|thread| thread.parse::<u64>().is_err()) {
        return Err("thread is a number".to_owned());
    }
    let (Some(bot), Some(token)) = (&url.user, &url.password) else {
        return Err("the token of the bot is missing".to_owned());
    };
    if url.host.is_empty() {
        return Err("the chat is missing".to_owned());
    }
    let path = format!("/bot{bot}:{token}/sendMessage");
    let extra = [Some(url.host.clone()), thread].into_iter().flatten().collect();
    let shown = format!("telegram://***@{}{shown}", url.host);
    Ok((Http { kind: Kind::Telegram, tls, place, path, login: None, extra }, shown))
}

pub(super) fn telegram_body(extra: &[String], message: &Message, host: &str) -> Value {
    // Plain text: nothing in it is markup.
    let text = cut(&format!("{}\n{}", title(message, host), details(message, host)), 4000);
    let mut body = json!({
        "chat_id": extra[0],
        "text": text,
        "disable_notification": urgency(message, [false, false, true, true]),
        "link_preview_options": { "is_disabled": true },
    });
    if let Some(thread) = extra.get(1).and_then(|thread| thread.parse::<u64>().ok()) {
        body["message_thread_id"] = json!(thread);
    }
    body
}

/// <https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using>
pub(super) fn teams(url: &mut Url, reach: &Reach) -> Result<(Http, String), String> {
    let found = parts(url, reach)?;
    let query = url.written_query();
    if found.segments.is_empty() {
        return Err("the path of the workflow is missing".to_owned());
    }
    let path = if query.is_empty() { url.path.clone() } else { format!("{}?{query}", url.path) };
    let shown = format!("teams://{}/***", shown_host(&found.place, found.tls));
    let http =
        Http { kind: Kind::Teams, tls: found.tls, place: found.place, path, login: found.basic, extra: Vec::new() };
    Ok((http, shown))
}

pub(super) fn teams_body(message: &Message, host: &str) -> Value {
    let colour = urgency(message, ["Attention", "Warning", "Default", "Good"]);
    let text = |text: String, more: Value| {
        let mut block = json!({ "type": "TextBlock", "text": text, "wrap": true });
        if let (Some(block), Value::Object(more)) = (block.as_object_mut(), more) {
            block.extend(more);
        }
        block
    };
    let lines = details(message, host);
    let mut body = vec![text(title(message, host), json!({ "weight": "Bolder", "size": "Medium", "color": colour }))];
    body.extend(lines.lines().map(|line| text(line.to_owned(), json!({ "spacing": "None" }))));
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": body,
            },
        }],
    })
}
