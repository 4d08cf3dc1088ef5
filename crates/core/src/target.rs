//! The one grammar for targets (R3.1): `api`, `api:headless`, `demo/api`, `pid:123`, `port:8000`, `container:web`,
//! `source:nas`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::claim::PortClaim;
use crate::name::{Name, NameError};

/// What a command is about, as the user named it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// A service, perhaps of another project, perhaps in a mode.
    Service(ServiceTarget),
    /// A process.
    Pid(u32),
    /// Whoever holds a port.
    Port(PortClaim),
    /// A container by its name, perhaps of one source: `container:web`, `container:nas/web`.
    Container {
        /// The source; absent: any.
        source: Option<Name>,
        /// The container.
        name: String,
    },
    /// A source.
    Source(Name),
}

/// A service as the user named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceTarget {
    /// The project; absent: the one of the current folder.
    pub project: Option<Name>,
    /// The service.
    pub service: Name,
    /// The mode; absent: its default.
    pub mode: Option<Name>,
}

/// Why a text is not a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// A name in it is not one.
    #[error("{text:?} is not a target: {source}")]
    Name {
        /// The whole text.
        text: String,
        /// The part that is wrong.
        source: NameError,
    },
    /// Something else is wrong.
    #[error("{text:?} is not a target: {why}")]
    Other {
        /// The whole text.
        text: String,
        /// What is wrong.
        why: String,
    },
}

impl std::str::FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let other = |why: String| TargetError::Other { text: text.to_owned(), why };
        let name = |part: &str| Name::new(part).map_err(|source| TargetError::Name { text: text.to_owned(), source });
        if let Some(pid) = text.strip_prefix("pid:") {
            return match pid.parse() {
                Ok(pid) if pid > 0 => Ok(Target::Pid(pid)),
                _ => Err(other("after 'pid:' comes a process number".to_owned())),
            };
        }
        if let Some(port) = text.strip_prefix("port:") {
            return port.parse().map(Target::Port).map_err(|error| other(error.to_string()));
        }
        if let Some(container) = text.strip_prefix("container:") {
            let (source, container) = match container.split_once('/') {
                Some((source, container)) => (Some(name(source)?), container),
                None => (None, container),
            };
            let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
            if container.is_empty() || !container.chars().all(sound) {
                return Err(other("after 'container:' comes the name of one".to_owned()));
            }
            return Ok(Target::Container { source, name: container.to_owned() });
        }
        if let Some(source) = text.strip_prefix("source:") {
            return Ok(Target::Source(name(source)?));
        }
        let (project, rest) = match text.split_once('/') {
            Some((project, rest)) => (Some(name(project)?), rest),
            None => (None, text),
        };
        let (service, mode) = match rest.split_once(':') {
            Some((service, mode)) => (service, Some(name(mode)?)),
            None => (rest, None),
        };
        Ok(Target::Service(ServiceTarget { project, service: name(service)?, mode }))
    }
}

impl fmt::Display for ServiceTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(project) = &self.project {
            write!(f, "{project}/")?;
        }
        write!(f, "{}", self.service)?;
        if let Some(mode) = &self.mode {
            write!(f, ":{mode}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Service(service) => service.fmt(f),
            Target::Pid(pid) => write!(f, "pid:{pid}"),
            Target::Port(port) => write!(f, "port:{port}"),
            Target::Container { source: None, name } => write!(f, "container:{name}"),
            Target::Container { source: Some(source), name } => write!(f, "container:{source}/{name}"),
            Target::Source(source) => write!(f, "source:{source}"),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, TargetError> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> String {
        target.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R3.1
    #[test]
    fn the_grammar() {
        for text in [
            "api",
            "api:headless",
            "demo/api",
            "demo/api:test",
            "pid:123",
            "port:8000/tcp",
            "port:5004/udp",
            "container:web_1",
            "container:nas/web",
            "source:nas",
        ] {
            assert_eq!(text.parse::<Target>().map(|target| target.to_string()), Ok(text.to_owned()));
        }
        for bad in [
            "",
            "/api",
            "demo/",
            "api:",
            "a/b/c",
            "pid:",
            "pid:0",
            "pid:-1",
            "port:",
            "port:x",
            "a b",
            "container:",
            "container:a b",
            "container:/x",
            "source:",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
