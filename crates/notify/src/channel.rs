//! Kinds of channels, and the forms of their URLs.

use std::path::PathBuf;

use crate::dial::{Place, Reach};
use crate::guard;
use crate::kinds::{self, Http};
use crate::smtp::Mail;
use crate::url::Url;

/// One kind with its form, for help and errors.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// Its scheme.
    pub scheme: &'static str,
    /// What a URL of it looks like.
    pub form: &'static str,
    /// What the receiver is.
    pub about: &'static str,
}

const fn form(scheme: &'static str, form: &'static str, about: &'static str) -> Form {
    Form { scheme, form, about }
}

/// Every kind. One that speaks HTTP also takes `tls=off`; every one on the network `private=allow`, and `ca=/PATH` for an
/// authority of one's own.
pub const FORMS: [Form; 18] = [
    form("https", "https://[USER:PASSWORD@]HOST/PATH", "webhook: POST of a JSON object"),
    form("http", "http://[USER:PASSWORD@]HOST[:PORT]/PATH", "the same without TLS"),
    form("command", "command:/PATH/TO/PROGRAM[?arg=A&arg=B]", "a program gets the JSON object on its standard input"),
    form("smtp", "smtp://[USER:PASSWORD@]HOST[:587]/?to=A@X,B@Y[&from=C@Z][&tls=off]", "e-mail, with STARTTLS"),
    form("smtps", "smtps://[USER:PASSWORD@]HOST[:465]/?to=A@X[&from=C@Z]", "e-mail, with TLS from the beginning"),
    form("ntfy", "ntfy://[USER:PASSWORD@|:TOKEN@]HOST[:PORT]/TOPIC", "ntfy"),
    form("gotify", "gotify://HOST[:PORT]/TOKEN", "Gotify"),
    form("slack", "slack://T…/B…/KEY, or https://hooks.slack.com/services/…", "Slack, by an incoming webhook"),
    form("discord", "discord://ID/TOKEN, or https://discord.com/api/webhooks/…", "Discord, by a webhook"),
    form("telegram", "telegram://BOT:TOKEN@CHAT[/?thread=N]", "Telegram, by a bot"),
    form("teams", "teams://HOST/PATH?QUERY", "Microsoft Teams, by the URL of a workflow"),
    form("mattermost", "mattermost://HOST[:PORT]/KEY", "Mattermost, by an incoming webhook"),
    form("pushover", "pushover://APP_TOKEN/USER_KEY", "Pushover"),
    form("apprise", "apprise://[USER:PASSWORD@]HOST[:PORT]/KEY[?tag=T]", "an Apprise API server"),
    form("desktop", "desktop:[?bus=unix:path=/run/user/1000/bus]", "a notification on the desktop, by D-Bus"),
    form("syslog", "syslog:[//HOST[:514]][?socket=/dev/log]", "the system log, of this machine or of another by UDP"),
    form("journald", "journald:[?socket=PATH]", "the journal of systemd"),
    form("webhook", "webhook://HOST/PATH", "as https"),
];

/// Why a text is no channel. It repeats nothing that could be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the URL is no channel: {why}{}", .form.map(|form| format!("; write {form}")).unwrap_or_default())]
pub struct UrlError {
    /// What is wrong.
    pub why: String,
    /// How it is written, when the kind is known.
    pub form: Option<&'static str>,
}

/// Where it is sent.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Http(Http),
    Mail(Mail),
    Command { program: PathBuf, arguments: Vec<String> },
    Desktop { bus: Option<String> },
    Syslog { place: Option<Place>, socket: PathBuf },
    Journald { socket: PathBuf },
}

/// A receiver. Its `Debug` shows no more than [`Channel::masked`].
#[derive(Clone, PartialEq, Eq)]
pub struct Channel {
    pub(crate) kind: &'static str,
    pub(crate) target: Target,
    /// What must not be seen anywhere.
    secrets: Vec<String>,
    shown: String,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Channel({})", self.shown)
    }
}

impl Channel {
    /// Reads the URL of a channel. `private`: it may also reach this machine and private networks, as with `private=allow` in
    /// the URL.
    ///
    /// # Errors
    /// What is wrong, and the form.
    pub fn parse(text: &str, private: bool) -> Result<Self, UrlError> {
        let mut url = Url::parse(text).map_err(|why| UrlError { why, form: None })?;
        let Some(form) = FORMS.iter().find(|form| form.scheme == url.scheme) else { return Err(unknown(&url.scheme)) };
        let wrong = |why: String| UrlError { why, form: Some(form.form) };
        let private = match url.take("private").as_deref() {
            None => private,
            Some("allow") => true,
            Some("deny") => false,
            Some(_) => return Err(wrong("private is allow or deny".to_owned())),
        };
        let ca = url.take("ca").map(PathBuf::from);
        if ca.as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err(wrong("ca is the whole path of a file with certificates".to_owned()));
        }
        let reach = Reach { private, ca };
        let secrets = secrets_of(&url).map_err(wrong)?;
        let (kind, shown, target) = build(form.scheme, url, &reach).map_err(wrong)?;
        Ok(Self { kind, target, secrets, shown })
    }

    /// Its kind: `ntfy`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// As it may be shown: `ntfy://host/***`.
    pub fn masked(&self) -> &str {
        &self.shown
    }

    /// Why nothing that is sent can arrive: its URL names an address of this machine or of a private network, and does not
    /// allow that. Of a name nobody knows before it is dialled where it leads; there it is judged again.
    pub fn refused(&self) -> Option<String> {
        let place = match &self.target {
            Target::Http(http) => http.place(),
            Target::Mail(mail) => mail.place(),
            Target::Syslog { place, .. } => place.as_ref()?,
            Target::Command { .. } | Target::Desktop { .. } | Target::Journald { .. } => return None,
        };
        if place.reach.private {
            return None;
        }
        let why = match place.host.parse() {
            Ok(address) => guard::reason(address)?,
            Err(_) => is_localhost(&place.host).then_some("this machine")?,
        };
        Some(format!("{} is {why}, and the channel does not allow that", place.host))
    }

    /// What a receiver said, without the secrets of the channel.
    pub fn scrub(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
    }
}

/// RFC 6761, section 6.3: these names never lead anywhere else.
fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

fn unknown(scheme: &str) -> UrlError {
    let near = vigie_core::text::nearest(scheme, FORMS.iter().map(|form| form.scheme));
    let near = near.and_then(|near| FORMS.iter().find(|form| form.scheme == near));
    let schemes: Vec<&str> = FORMS.iter().map(|form| form.scheme).collect();
    UrlError {
        why: format!(
            "there is no kind {:?}; there are {}",
            vigie_core::text::escaped(scheme.as_bytes()),
            schemes.join(", ")
        ),
        form: near.map(|form| form.form),
    }
}

/// Everything in it that could be one, the longest first, so that none is left by a shorter one that is a part of it.
fn secrets_of(url: &Url) -> Result<Vec<String>, String> {
    let mut secrets = Vec::new();
    let local = matches!(url.scheme.as_str(), "command" | "desktop" | "syslog" | "journald");
    if !local {
        secrets.extend(url.password.clone());
        let segments = url.segments()?;
        let mail = url.scheme.starts_with("smtp");
        secrets.extend(segments.iter().filter(|_| !mail).cloned());
        secrets.extend(url.query.iter().filter(|_| !mail).map(|(_, value)| value.clone()));
        if matches!(url.scheme.as_str(), "slack" | "discord" | "pushover") {
            secrets.push(url.host.clone());
        }
        if let (Some(user), Some(password)) = (&url.user, &url.password) {
            secrets.push(crate::text::base64(format!("{user}:{password}").as_bytes()));
        } else {
            secrets.extend(url.user.clone());
        }
    }
    // Short parts (`hooks`, `api`) are words that a receiver may say.
    secrets.retain(|secret| secret.len() >= 6);
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    Ok(secrets)
}

type Built = (&'static str, String, Target);

fn build(scheme: &'static str, mut url: Url, reach: &Reach) -> Result<Built, String> {
    let local = |url: &mut Url, default: &str| match url.take("socket") {
        Some(path) if !path.starts_with('/') => Err("the socket is named by its whole path".to_owned()),
        path => Ok(PathBuf::from(path.unwrap_or_else(|| default.to_owned()))),
    };
    let built = match scheme {
        "smtp" | "smtps" => {
            let (mail, shown) = Mail::parse(&mut url, reach)?;
            ("smtp", shown, Target::Mail(mail))
        }
        "command" => {
            let program = url.segments()?;
            if !url.host.is_empty() || program.is_empty() || !url.path.starts_with('/') {
                return Err("the program is named by its whole path".to_owned());
            }
            let program = PathBuf::from(format!("/{}", program.join("/")));
            let mut arguments = Vec::new();
            while let Some(argument) = url.take("arg") {
                arguments.push(argument);
            }
            // Arguments may be secrets.
            let shown = format!("command:{}{}", program.display(), if arguments.is_empty() { "" } else { "?arg=***" });
            ("command", shown, Target::Command { program, arguments })
        }
        "desktop" => {
            let bus = url.take("bus");
            let shown = bus.as_ref().map_or_else(|| "desktop:".to_owned(), |bus| format!("desktop:?bus={bus}"));
            ("desktop", shown, Target::Desktop { bus })
        }
        "syslog" => {
            let socket = local(&mut url, "/dev/log")?;
            let remote = !url.host.is_empty();
            let place =
                remote.then(|| Place { host: url.host.clone(), port: url.port.unwrap_or(514), reach: reach.clone() });
            let shown = match &place {
                Some(place) => format!("syslog://{place}"),
                None => format!("syslog:{}", suffix(&socket, "/dev/log")),
            };
            ("syslog", shown, Target::Syslog { place, socket })
        }
        "journald" => {
            const SOCKET: &str = "/run/systemd/journal/socket";
            let socket = local(&mut url, SOCKET)?;
            ("journald", format!("journald:{}", suffix(&socket, SOCKET)), Target::Journald { socket })
        }
        scheme => {
            let (http, shown) = kinds::parse(scheme, &mut url, reach)?;
            (http.kind.name(), shown, Target::Http(http))
        }
    };
    if let (Some((key, _)), false) = (url.query.first(), matches!(built.0, "webhook" | "teams" | "slack" | "discord")) {
        return Err(format!("there is no parameter {key:?} here"));
    }
    Ok(built)
}

fn suffix(socket: &std::path::Path, usual: &str) -> String {
    if socket == std::path::Path::new(usual) { String::new() } else { format!("?socket={}", socket.display()) }
}
