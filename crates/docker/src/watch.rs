//! What is asked of an engine that is watched: who it is, what it has, what happens to it.

use std::time::Duration;

use http::Method;
use serde::Deserialize;

use vigie_core::docker::event::{Nanos, bounded};
use vigie_core::docker::known::{Container, Listed, State};
use vigie_core::docker::told::Identity;
use vigie_core::docker::usage::{self, Usage};

use crate::engine::Engine;
use crate::error::Error;
use crate::http::{Asked, Pieces};

/// How long an engine may take for a list of all its containers.
const LIST: Duration = Duration::from_secs(15);

/// `GET /info`, as much of it as is used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    #[serde(rename = "ID")]
    id: Option<String>,
    name: Option<String>,
    server_version: Option<String>,
    system_time: Option<String>,
    containers: Option<u64>,
    containers_running: Option<u64>,
    docker_root_dir: Option<String>,
}

/// Who an engine is, and how much it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Who it is.
    pub identity: Identity,
    /// How many containers it has; absent when it does not tell.
    pub containers: Option<u64>,
    /// How many of them run.
    pub running: Option<u64>,
    /// The folder in which it keeps what it has, on its own machine.
    pub root: Option<String>,
}

/// An entry of `GET /containers/json?all=1`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    id: String,
    names: Option<Vec<String>>,
    image: Option<String>,
    state: Option<String>,
    status: Option<String>,
}

impl Engine {
    /// Who it is, and what time it has.
    ///
    /// # Errors
    /// When it cannot be asked, does not answer in time, or not so that it can be understood.
    pub async fn about(&self) -> Result<About, Error> {
        let spoken = self.spoken().await?;
        let info: Info = self.get_within("/info", self.patience).await?;
        Ok(About {
            identity: Identity {
                // Podman invents another one for each answer.
                id: info.id.filter(|id| !id.is_empty() && !spoken.podman),
                name: info.name,
                version: info.server_version,
                api: self.api().await?,
                podman: spoken.podman,
                at: info.system_time.as_deref().and_then(Nanos::of_rfc3339),
            },
            containers: info.containers,
            running: info.containers_running,
            root: info.docker_root_dir,
        })
    }

    /// Whether it is there.
    ///
    /// # Errors
    /// As of [`Engine::about`].
    pub async fn is_there(&self) -> Result<(), Error> {
        self.ping().await.map(drop)
    }

    /// All its containers, those that do not run too.
    ///
    /// # Errors
    /// As of [`Engine::about`].
    pub async fn all(&self) -> Result<Vec<Listed>, Error> {
        let entries: Vec<Entry> = self.get_within("/containers/json?all=1", LIST).await?;
        Ok(entries.into_iter().filter_map(Entry::listed).collect())
    }

    /// How much of its disk it uses. It looks through all that it has for it: ask seldom.
    ///
    /// # Errors
    /// As of [`Engine::about`]; [`Error::Late`] after `deadline`.
    pub async fn disk_usage(&self, deadline: Duration) -> Result<Usage, Error> {
        Ok(self.get_within::<usage::Answer>("/system/df", deadline).await?.usage())
    }

    /// Its events of every type, from `since` on; to `until`, or without end.
    ///
    /// # Errors
    /// As of [`Engine::about`], before the first of them.
    pub async fn events(&self, since: Nanos, until: Option<Nanos>) -> Result<Pieces, Error> {
        let until = until.map(|until| format!("&until={}", until.for_query())).unwrap_or_default();
        let path = self.versioned(&format!("/events?since={}{until}", since.for_query())).await?;
        Asked { dial: &self.dial, method: Method::GET, path: &path }.stream(self.patience).await
    }
}

impl Entry {
    /// Absent when its state is one that nobody knows.
    fn listed(self) -> Option<Listed> {
        let state = State::of_list(self.state.as_deref()?)?;
        let names = self.names.unwrap_or_default();
        let text = |text: &str| bounded(text).to_owned();
        // One that others are linked to bears names such as `/other/db`, too.
        let name = names.iter().map(|name| name.trim_start_matches('/')).min_by_key(|name| name.matches('/').count());
        let name = name.filter(|name| !name.is_empty()).map_or_else(|| self.id.chars().take(12).collect(), text);
        let status = self.status.unwrap_or_default();
        let container = Container {
            name,
            image: text(&self.image.unwrap_or_default()),
            state,
            health: health(&status),
            oom: false,
        };
        Some(Listed { exit_code: exit_code(&status).filter(|_| state == State::Exited), container, id: text(&self.id) })
    }
}

/// `Up 2 minutes (healthy)`; nothing while it is starting.
fn health(status: &str) -> Option<String> {
    let inner = status.rsplit_once('(')?.1.strip_suffix(')')?;
    ["healthy", "unhealthy"].contains(&inner).then(|| inner.to_owned())
}

/// `Exited (137) 5 minutes ago`, `Restarting (1) 3 seconds ago`
fn exit_code(status: &str) -> Option<i32> {
    let rest = status.strip_prefix("Exited (").or_else(|| status.strip_prefix("Restarting ("))?;
    rest.split_once(')')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_status_tells() {
        for (status, healthy, code) in [
            ("Up 2 minutes (healthy)", Some("healthy"), None),
            ("Up 2 minutes (unhealthy)", Some("unhealthy"), None),
            ("Up 1 second (health: starting)", None, None),
            ("Up 2 minutes (Paused)", None, None),
            ("Exited (137) 5 minutes ago", None, Some(137)),
            ("Restarting (1) 3 seconds ago", None, Some(1)),
            ("Created", None, None),
            ("", None, None),
        ] {
            assert_eq!((health(status).as_deref(), exit_code(status)), (healthy, code), "{status}");
        }
    }

    #[test]
    fn entries() {
        let text = r#"[{"Id":"ab","Names":["/x/db","/db"],"Image":"i","State":"exited","Status":"Exited (3) 1s ago"},
            {"Id":"cd","Names":null,"State":"teleported"},{"Id":"ef","State":"running","Status":null}]"#;
        let entries: Vec<Entry> = serde_json::from_str(text).expect("understood");
        let found: Vec<Listed> = entries.into_iter().filter_map(Entry::listed).collect();
        assert_eq!(found.len(), 2, "what is not known is left out of account");
        assert_eq!((found[0].container.name.as_str(), found[0].exit_code), ("db", Some(3)));
        assert_eq!((found[1].container.name.as_str(), found[1].container.state), ("ef", State::Running));
    }
}
