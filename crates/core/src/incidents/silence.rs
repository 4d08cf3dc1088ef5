//! Silences: for a while nothing is told about a service, or about anything. Incidents are opened and resolved all the
//! same; what is still true when the silence ends is told then.

use serde::{Deserialize, Serialize};

use crate::clock::{Mono, Wall};
use crate::journal::Subject;
use crate::name::Name;

/// About what nothing is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "SilenceScope"))]
pub struct Scope {
    /// The project; absent: of any.
    pub project: Option<Name>,
    /// The service; absent: any.
    pub service: Option<Name>,
}

impl Scope {
    /// Whether it covers this.
    pub fn covers(&self, subject: &Subject) -> bool {
        let fits =
            |wanted: &Option<Name>, name: Option<&Name>| wanted.as_ref().is_none_or(|wanted| Some(wanted) == name);
        match subject {
            Subject::Daemon | Subject::Source(_) | Subject::Container { .. } => {
                self.project.is_none() && self.service.is_none()
            }
            Subject::Project(project) => fits(&self.project, Some(project)) && self.service.is_none(),
            Subject::Service { project, service, .. } => {
                fits(&self.project, Some(project)) && fits(&self.service, Some(service))
            }
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.project, &self.service) {
            (None, None) => f.pad("everything"),
            (Some(project), None) => f.pad(project.as_str()),
            (None, Some(service)) => f.pad(service.as_str()),
            (Some(project), Some(service)) => f.pad(&format!("{project}/{service}")),
        }
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
