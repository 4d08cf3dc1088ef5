//! What engines tell about containers: as much of the Engine API as is used, everything optional in it.
//!
//! Fields that are missing or `null` are so in some engine of the last years; only a body that is no JSON, or has a
//! number where a text belongs, is not understood.

use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;
use vigie_core::claim::Proto;

/// How many digits of an id people see.
const SHORT: usize = 12;

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its id: 64 hexadecimal digits.
    pub id: String,
    /// Its name, without the slash before it; the short id when it has none.
    pub name: String,
    /// The image that it was made from, as it was named.
    pub image: String,
    /// `running`, `paused`, `exited` …: as the engine says it.
    pub state: String,
    /// The ports of the machine that lead into it.
    pub ports: Vec<Published>,
}

impl Container {
    /// The first digits of its id, as the tools of the engines show it.
    pub fn short_id(&self) -> &str {
        self.id.get(..SHORT).unwrap_or(&self.id)
    }
}

/// `web (7eba73f2d123)`
impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.short_id())
    }
}

/// A port of the machine that leads into a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The address of the machine; absent: all.
    pub address: Option<IpAddr>,
    /// The port of the machine.
    pub port: u16,
    /// The protocol.
    pub proto: Proto,
    /// The port inside.
    pub inside: u16,
}

/// What is only told of one container at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// Its main process, as a number of the engine's PID namespace; absent when it does not run.
    pub main_pid: Option<u32>,
    /// It is removed when it stops (`--rm`).
    pub removed_at_stop: bool,
    /// The seconds that its own settings give it between TERM and KILL; absent: the engine's default of 10.
    pub grace_seconds: Option<u32>,
}

/// `GET /containers/json`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed {
    id: String,
    names: Option<Vec<String>>,
    image: Option<String>,
    state: Option<String>,
    ports: Option<Vec<Port>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Port {
    #[serde(rename = "IP")]
    ip: Option<String>,
    private_port: Option<u16>,
    /// Absent when the port is exposed and not published.
    public_port: Option<u16>,
    r#type: Option<String>,
}

impl From<Listed> for Container {
    fn from(listed: Listed) -> Self {
        // A container that others are linked to bears names such as `/other/db`, too.
        let names = listed.names.unwrap_or_default();
        let name = names.iter().map(|name| name.trim_start_matches('/')).min_by_key(|name| name.matches('/').count());
        let name = name.filter(|name| !name.is_empty()).map(str::to_owned);
        let name = name.unwrap_or_else(|| listed.id.get(..SHORT).unwrap_or(&listed.id).to_owned());
        Self {
            name,
            image: listed.image.unwrap_or_default(),
            state: listed.state.unwrap_or_default(),
            ports: listed.ports.unwrap_or_default().iter().filter_map(Port::published).collect(),
            id: listed.id,
        }
    }
}

impl Port {
    fn published(&self) -> Option<Published> {
        let proto = match self.r#type.as_deref() {
            Some("tcp") | None => Proto::Tcp,
            Some("udp") => Proto::Udp,
            // SCTP: no socket of it is ever looked at.
            Some(_) => return None,
        };
        Some(Published {
            // Podman writes an empty text for every address.
            address: self.ip.as_deref().and_then(|ip| ip.parse().ok()),
            port: self.public_port.filter(|port| *port != 0)?,
            proto,
            inside: self.private_port.unwrap_or(0),
        })
    }
}

/// `GET /containers/{id}/json`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Inspected {
    state: Option<InspectedState>,
    host_config: Option<HostConfig>,
    config: Option<Config>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedState {
    pid: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    auto_remove: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    stop_timeout: Option<u32>,
}

impl From<Inspected> for Details {
    fn from(inspected: Inspected) -> Self {
        Self {
            main_pid: inspected.state.and_then(|state| state.pid).filter(|pid| *pid != 0),
            removed_at_stop: inspected.host_config.and_then(|config| config.auto_remove).unwrap_or(false),
            grace_seconds: inspected.config.and_then(|config| config.stop_timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(json: &str) -> Container {
        serde_json::from_str::<Listed>(json).expect("understood").into()
    }

    /// As Docker 20.10 answered.
    #[test]
    fn a_container_of_docker() {
        let web = container(
            r#"{"Id":"a741527d78c087e698934c13fd73966d835f4a6cefd064a7063b68f2ede054ff","Names":["/api/web","/web"],
                "Image":"busybox","ImageID":"sha256:7d","Command":"x","Created":1795179461,"State":"running","Labels":{},
                "Ports":[{"IP":"127.0.0.1","PrivatePort":5004,"PublicPort":15004,"Type":"udp"},
                         {"IP":"::","PrivatePort":80,"PublicPort":18080,"Type":"tcp"},
                         {"PrivatePort":9000,"Type":"tcp"},
                         {"IP":"0.0.0.0","PrivatePort":9,"PublicPort":9,"Type":"sctp"}]}"#,
        );
        assert_eq!((web.to_string().as_str(), web.state.as_str()), ("web (a741527d78c0)", "running"));
        let published =
            |address: &str, port, proto, inside| Published { address: address.parse().ok(), port, proto, inside };
        assert_eq!(
            web.ports,
            [published("127.0.0.1", 15004, Proto::Udp, 5004), published("::", 18080, Proto::Tcp, 80)]
        );
    }

    /// As Podman answers, and as little as anybody may answer.
    #[test]
    fn what_is_missing_is_no_error() {
        let podman = container(r#"{"Id":"0123456789abcdef","Ports":[{"IP":"","PublicPort":8080,"Type":"tcp"}]}"#);
        assert_eq!(podman.to_string(), "0123456789ab (0123456789ab)");
        assert_eq!(podman.ports[0].address, None);
        let bare = container(r#"{"Id":"é","Names":null,"Ports":null,"Image":null}"#);
        assert_eq!((bare.name.as_str(), bare.short_id(), bare.ports.len()), ("é", "é", 0));
    }

    #[test]
    fn details() {
        let details = |json: &str| Details::from(serde_json::from_str::<Inspected>(json).expect("understood"));
        let all =
            details(r#"{"State":{"Pid":77},"HostConfig":{"AutoRemove":true},"Config":{"StopTimeout":3,"Image":"x"}}"#);
        assert_eq!(all, Details { main_pid: Some(77), removed_at_stop: true, grace_seconds: Some(3) });
        let none = details(r#"{"State":{"Pid":0}}"#);
        assert_eq!(none, Details { main_pid: None, removed_at_stop: false, grace_seconds: None });
    }
}
