//! Where an engine is asked: `unix:///var/run/docker.sock`, `tcp://nas:2376`, `ssh://ana@nas`, `context:nas`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::OsText;

/// The ports that Docker has registered: without and with TLS.
const PLAIN_PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;

/// Where an engine is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub enum Endpoint {
    /// A socket of this machine.
    Unix(OsText),
    /// Over the network; with or without TLS, as [`crate::docker::source::Source::tls`] says.
    Tcp {
        /// Name or address.
        host: String,
        /// Absent: 2375, with TLS 2376.
        port: Option<u16>,
    },
    /// By the `ssh` of this machine, with its settings and keys.
    Ssh {
        /// Absent: as ssh says.
        user: Option<String>,
        /// Name, address, or what `ssh_config` knows.
        host: String,
        /// Absent: as ssh says.
        port: Option<u16>,
    },
    /// What the `docker` program of this user knows by this name; looked up each time it is asked.
    Context(String),
}

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not an endpoint: {why}; as unix:///var/run/docker.sock, tcp://HOST:2376, ssh://USER@HOST or context:NAME"
)]
pub struct EndpointError {
    /// The text, without what may be a password.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Endpoint {
    /// The port to connect to.
    pub fn tcp_port(port: Option<u16>, tls: bool) -> u16 {
        port.unwrap_or(if tls { TLS_PORT } else { PLAIN_PORT })
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let wrong = |why| Err(EndpointError { text: masked(text), why });
        if let Some(path) = text.strip_prefix("unix://").or(Some(text).filter(|text| text.starts_with('/'))) {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { wrong("its path is not absolute") };
        }
        if text.starts_with("unix:") {
            return wrong("the path of a socket comes after two slashes: unix:///PATH");
        }
        if let Some(name) = text.strip_prefix("context:") {
            let name = name.trim_start_matches("//");
            return if name.is_empty() { wrong("the context has no name") } else { Ok(Self::Context(name.to_owned())) };
        }
        let Some((scheme, rest)) = text.split_once("://") else { return wrong("it has no scheme") };
        if !matches!(scheme, "tcp" | "ssh") {
            return wrong("its scheme is not known");
        }
        let rest = rest.trim_end_matches('/');
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, rest),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return wrong("a password has no place in it");
        }
        if !user.is_none_or(is_user) {
            return wrong("its user is none");
        }
        let Some((host, port)) = host_and_port(place) else { return wrong("its host or port is none") };
        match (scheme, user) {
            ("tcp", None) => Ok(Self::Tcp { host, port }),
            ("tcp", Some(_)) => wrong("an engine over TCP knows no users"),
            // It becomes an argument of ssh: nothing of it may look like an option.
            (_, _) if host.starts_with('-') => wrong("its host is none"),
            (_, user) => Ok(Self::Ssh { user: user.map(str::to_owned), host, port }),
        }
    }
}

/// A name that ssh takes for a user: no option, and nothing that a shell behind it would understand otherwise.
fn is_user(text: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "'\"`;&<>|(){}$/".contains(c);
    !text.is_empty() && !text.starts_with('-') && !text.contains(odd)
}

/// `nas`, `nas:2376`, `[::1]:2376`
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':').or(rest.is_empty().then_some("")))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("")),
        },
    };
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '%');
    let port = match port? {
        "" => None,
        port => Some(port.parse().ok().filter(|port| *port > 0)?),
    };
    (!host.is_empty() && host.chars().all(sound)).then(|| (host.to_owned(), port))
}

fn masked(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}://…{}", &text[..scheme], &text[at..]),
        _ => text.to_owned(),
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = |port: &Option<u16>| port.map(|port| format!(":{port}")).unwrap_or_default();
        let host = |host: &str| if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        match self {
            Self::Unix(path) => write!(f, "unix://{path}"),
            Self::Tcp { host: name, port: number } => write!(f, "tcp://{}{}", host(name), port(number)),
            Self::Ssh { user, host: name, port: number } => {
                let user = user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
                write!(f, "ssh://{user}{}{}", host(name), port(number))
            }
            Self::Context(name) => write!(f, "context:{name}"),
        }
    }
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: String) -> Result<Self, EndpointError> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> String {
        endpoint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_written_as_they_are_read() {
        for (text, shown) in [
            ("unix:///var/run/docker.sock", None),
            ("/run/d.sock", Some("unix:///run/d.sock")),
            ("tcp://nas:2376", None),
            ("tcp://10.0.0.7", None),
            ("tcp://[::1]:2375/", Some("tcp://[::1]:2375")),
            ("ssh://nas", None),
            ("ssh://ana@nas.lan:2222", None),
            ("ssh://ana.b_c-d@example.com@nas", None),
            ("context:nas", None),
            ("context://nas", Some("context:nas")),
        ] {
            let endpoint: Endpoint = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(endpoint.to_string(), shown.unwrap_or(text));
            assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
        }
        assert_eq!((Endpoint::tcp_port(None, false), Endpoint::tcp_port(None, true)), (2375, 2376));
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "nas",
            "unix://relative.sock",
            "context:",
            "tcp://",
            "tcp://nas:0",
            "tcp://nas:x",
            "tcp://[::1",
            "tcp://ana@nas",
            "ssh://-oProxyCommand=x",
            "ssh://-l@nas",
            "ssh://@nas",
            "ssh://nas;rm",
            "ssh://a b@x",
            "ssh://a$b@x",
            "ssh://a\n@x",
            "tcp://-nas:1@x",
            "npipe:////./pipe/docker",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in [
            ("npipe:////./pipe/docker_engine", "its scheme is not known"),
            ("fd://", "its scheme is not known"),
            ("http://nas:2375", "its scheme is not known"),
            ("unix:/run/docker.sock", "unix:///PATH"),
            ("unix://run/docker.sock", "not absolute"),
            ("ssh://a b@x", "its user is none"),
            ("ssh://x y", "its host or port is none"),
            ("tcp://ana@nas", "knows no users"),
        ] {
            let error = text.parse::<Endpoint>().expect_err(text).to_string();
            assert!(error.contains(why) && error.contains("tcp://HOST:2376"), "{text}: {error}");
        }
    }

    /// A password would lie in the database and be shown by `ls`.
    #[test]
    fn a_password_is_refused_and_not_repeated() {
        let error = "ssh://ana:secret@nas".parse::<Endpoint>().expect_err("refused").to_string();
        assert!(error.contains("password") && !error.contains("secret"), "{error}");
    }
}
