//! About whom an entry is.

use serde::{Deserialize, Serialize};

use crate::name::Name;

/// About whom an entry is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The daemon itself.
    Daemon,
    /// A project as a whole.
    Project(Name),
    /// A service.
    Service {
        /// The project.
        project: Name,
        /// The service.
        service: Name,
        /// The mode of the run, when it has one.
        mode: Option<Name>,
    },
    /// A source: a container engine that is watched.
    Source(Name),
    /// A container.
    Container {
        /// The source that has it.
        source: Name,
        /// Its name at that time.
        name: String,
        /// Its id.
        id: String,
    },
}

impl Subject {
    /// The project that it is, or is of.
    pub fn project(&self) -> Option<&Name> {
        match self {
            Subject::Project(project) | Subject::Service { project, .. } => Some(project),
            Subject::Daemon | Subject::Source(_) | Subject::Container { .. } => None,
        }
    }

    /// The service that it is.
    pub fn service(&self) -> Option<&Name> {
        match self {
            Subject::Service { service, .. } => Some(service),
            Subject::Daemon | Subject::Project(_) | Subject::Source(_) | Subject::Container { .. } => None,
        }
    }

    /// The source that it is, or is of.
    pub fn source(&self) -> Option<&Name> {
        match self {
            Subject::Source(source) | Subject::Container { source, .. } => Some(source),
            Subject::Daemon | Subject::Project(_) | Subject::Service { .. } => None,
        }
    }

    /// The name of the container that it is.
    pub fn container(&self) -> Option<&str> {
        match self {
            Subject::Container { name, .. } => Some(name),
            Subject::Daemon | Subject::Project(_) | Subject::Service { .. } | Subject::Source(_) => None,
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Subject::Daemon => f.pad("vigie"),
            Subject::Project(project) => f.pad(project.as_str()),
            Subject::Service { project, service, mode: None } => f.pad(&format!("{project}/{service}")),
            Subject::Service { project, service, mode: Some(mode) } => f.pad(&format!("{project}/{service}:{mode}")),
            Subject::Source(source) => f.pad(&format!("source:{source}")),
            Subject::Container { source, name, .. } => {
                f.pad(&format!("container:{source}/{}", crate::text::escaped(name.as_bytes())))
            }
        }
    }
}
