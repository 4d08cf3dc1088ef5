//! Silences: for a while nothing is told about a service, a container, a source, or about anything. Incidents are opened and
//! resolved all the same; what is still true when the silence ends is told then.

use serde::{Deserialize, Serialize};

use crate::clock::{Mono, Wall};
use crate::journal::Subject;
use crate::name::Name;

/// About what nothing is told. What is absent is anything: a project means its services, a source its containers, too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "SilenceScope"))]
pub struct Scope {
    /// The project; absent: of any.
    pub project: Option<Name>,
    /// The service; absent: any.
    pub service: Option<Name>,
    /// The source; absent: any.
    pub source: Option<Name>,
    /// The name of the container; absent: any.
    pub container: Option<String>,
}

impl Scope {
    /// Whether it covers this.
    pub fn covers(&self, subject: &Subject) -> bool {
        fn fits<T: PartialEq + ?Sized>(wanted: Option<&T>, is: Option<&T>) -> bool {
            wanted.is_none() || wanted == is
        }
        fits(self.project.as_ref(), subject.project())
            && fits(self.service.as_ref(), subject.service())
            && fits(self.source.as_ref(), subject.source())
            && fits(self.container.as_deref(), subject.container())
    }

    /// Whether there can be something that it covers: nothing is a service and a container.
    pub const fn is_possible(&self) -> bool {
        let of_project = self.project.is_some() || self.service.is_some();
        !(of_project && (self.source.is_some() || self.container.is_some()))
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of_project = match (&self.project, &self.service) {
            (None, None) => None,
            (Some(project), None) => Some(project.to_string()),
            (None, Some(service)) => Some(service.to_string()),
            (Some(project), Some(service)) => Some(format!("{project}/{service}")),
        };
        let of_source = match (&self.source, &self.container) {
            (None, None) => None,
            (Some(source), None) => Some(format!("source:{source}")),
            (None, Some(container)) => Some(format!("container:{container}")),
            (Some(source), Some(container)) => Some(format!("container:{source}/{container}")),
        };
        let parts: Vec<String> = of_project.into_iter().chain(of_source).collect();
        f.pad(if parts.is_empty() { "everything".to_owned() } else { parts.join(" and ") }.as_str())
    }
}

/// One silence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Silence {
    /// Its number.
    pub id: u64,
    /// About what.
    pub scope: Scope,
    /// When it ends.
    pub until: Mono,
    /// The same, for people.
    pub ends: Wall,
    /// When it began.
    pub since: Wall,
    /// Who asked for it, from where.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
}
