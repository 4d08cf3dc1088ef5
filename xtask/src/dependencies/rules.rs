//! As much of `deny.toml` as is checked here. Keys that are not known here are for cargo-deny alone.

use serde::Deserialize;

use crate::failure::Failure;

#[derive(Debug, Deserialize)]
pub(super) struct Rules {
    pub(super) graph: Graph,
    pub(super) licenses: Licences,
    pub(super) bans: Bans,
    pub(super) sources: Sources,
}

/// Which part of the packages is looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Graph {
    pub(super) targets: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Licences {
    pub(super) allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Debug, Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

impl Licences {
    pub(super) fn exceptions_for<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let own = self.exceptions.iter().filter(move |exception| exception.name == name);
        own.flat_map(|exception| exception.allow.iter().map(String::as_str))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Bans {
    pub(super) multiple_versions: String,
    #[serde(default)]
    pub(super) skip: Vec<Skip>,
    #[serde(default)]
    pub(super) deny: Vec<Ban>,
}

/// A package that only its wrappers may use.
#[derive(Debug, Deserialize)]
pub(super) struct Ban {
    #[serde(rename = "crate")]
    pub(super) name: String,
    #[serde(default)]
    pub(super) wrappers: Vec<String>,
    pub(super) reason: String,
}

/// A version that does not count as a second one: `name@version`.
#[derive(Debug, Deserialize)]
pub(super) struct Skip {
    #[serde(rename = "crate")]
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Sources {
    /// Empty: the one that cargo has by itself.
    #[serde(default)]
    pub(super) allow_registry: Vec<String>,
}

impl Rules {
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        toml::from_str(text).map_err(|error| Failure::new(format!("deny.toml: {error}")))
    }
}
