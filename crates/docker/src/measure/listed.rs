//! Which containers run, and what an engine says about its host.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use vigie_core::docker::stats::Host;

use crate::engine::Engine;
use crate::error::Error;

/// How many digits of an id people see.
const SHORT: usize = 12;

/// A container that runs, or is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) id: Arc<str>,
    pub(super) name: String,
    /// It has run at least so long; absent when the engine does not say it.
    pub(super) up: Option<Duration>,
    /// It has no network of its own.
    pub(super) no_network: bool,
}

/// An entry of `GET /containers/json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    id: String,
    names: Option<Vec<String>>,
    state: Option<String>,
    status: Option<String>,
    host_config: Option<HostConfig>,
    network_settings: Option<NetworkSettings>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    network_mode: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    networks: Option<BTreeMap<String, IgnoredAny>>,
}

/// `GET /info`, as much of it as is used.
#[derive(Debug, Deserialize)]
struct Info {
    #[serde(rename = "NCPU")]
    cpus: Option<u32>,
    #[serde(rename = "MemTotal")]
    memory: Option<u64>,
}

impl Engine {
    /// Those of its containers that run.
    pub(super) async fn running(&self, deadline: Duration) -> Result<Vec<Running>, Error> {
        let entries: Vec<Entry> = self.get_within("/containers/json", deadline).await?;
        Ok(entries.into_iter().filter_map(Entry::running).collect())
    }

    /// What its host has.
    pub(super) async fn host(&self) -> Result<Host, Error> {
        let info: Info = self.get_within("/info", self.patience).await?;
        Ok(Host { cpus: info.cpus.filter(|cpus| *cpus > 0), memory: info.memory.filter(|bytes| *bytes > 0) })
    }
}

impl Entry {
    fn running(self) -> Option<Running> {
        // One that is about to be started again has no processes.
        let runs = self.state.as_deref().is_none_or(|state| matches!(state, "running" | "paused" | "up"));
        if !runs || self.id.is_empty() {
            return None;
        }
        // One that others are linked to bears names such as `/other/db`, too.
        let names = self.names.unwrap_or_default();
        let name = names.iter().map(|name| name.trim_start_matches('/')).min_by_key(|name| name.matches('/').count());
        let name = name.filter(|name| !name.is_empty()).map(str::to_owned);
        let mode = self.host_config.and_then(|config| config.network_mode);
        // Podman tells no mode, and has no networks for those in the host's, in none, and in the one of a pod.
        let no_networks = self.network_settings.is_some_and(|settings| settings.networks.is_none());
        Some(Running {
            name: name.unwrap_or_else(|| self.id.chars().take(SHORT).collect()),
            up: self.status.as_deref().and_then(uptime),
            no_network: no_networks || mode.is_some_and(|mode| matches!(&*mode, "host" | "none")),
            id: self.id.into(),
        })
    }
}

/// The shortest time that `Up 3 minutes (healthy)` can mean. Docker and Podman write it so (`units.HumanDuration`): from two
/// minutes on seconds are left out, from two hours on minutes, and so on.
fn uptime(status: &str) -> Option<Duration> {
    let rest = status.strip_prefix("Up ")?;
    let rest = rest.split_once(" (").map_or(rest, |(time, _)| time);
    let (number, unit) = match rest {
        "Less than a second" => (0, "seconds"),
        "About a minute" => (1, "minutes"),
        "About an hour" => (1, "hours"),
        _ => {
            let (number, unit) = rest.split_once(' ')?;
            (number.parse::<u32>().ok()?, unit)
        }
    };
    let hour = 3_600;
    // Hours are rounded, the rest is cut off.
    let seconds = match unit.trim_end_matches('s') {
        "second" => u64::from(number),
        "minute" => u64::from(number) * 60,
        "hour" => (u64::from(number) * hour).saturating_sub(hour / 2).max(hour),
        "day" => u64::from(number) * 24 * hour,
        "week" => u64::from(number) * 7 * 24 * hour,
        "month" => u64::from(number) * 30 * 24 * hour,
        "year" => u64::from(number) * 365 * 24 * hour,
        _ => return None,
    };
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_one_runs() {
        for (status, seconds) in [
            ("Up Less than a second", Some(0)),
            ("Up 1 second", Some(1)),
            ("Up 59 seconds (healthy)", Some(59)),
            ("Up About a minute", Some(60)),
            ("Up 5 minutes (Paused)", Some(300)),
            ("Up 5 minutes (health: starting)", Some(300)),
            ("Up About an hour", Some(3_600)),
            ("Up 3 hours", Some(9_000)),
            ("Up 2 days", Some(172_800)),
            ("Up 3 weeks", Some(1_814_400)),
            ("Up 2 months", Some(5_184_000)),
            ("Up 4294967295 years", Some(4_294_967_295 * 31_536_000)),
            ("Up 99999999999 years", None),
            ("Up -3 minutes", None),
            ("Up", None),
            ("Up soon", None),
            ("Up 5 parsecs", None),
            ("running", None),
            ("Exited (0) 5 minutes ago", None),
            ("", None),
        ] {
            assert_eq!(uptime(status), seconds.map(Duration::from_secs), "{status}");
        }
    }

    #[test]
    fn who_runs() {
        let text = r#"[{"Id":"ab","Names":["/x/db","/db"],"State":"running","Status":"Up 3 seconds",
                "HostConfig":{"NetworkMode":"host"}},
            {"Id":"cd","Names":null,"State":"paused","Status":"Up 2 hours (Paused)","HostConfig":null},
            {"Id":"ef","State":"restarting","Status":"Restarting (1) 3 seconds ago"},
            {"Id":"gh","State":"exited"},{"Id":"","State":"running"},
            {"Id":"0123456789abcdef","Names":[""]},
            {"Id":"pod","Names":["/pod"],"State":"running","NetworkSettings":{"Networks":null}},
            {"Id":"own","State":"running","NetworkSettings":{"Networks":{"podman":{}}}},
            {"Id":"joined","State":"running","HostConfig":{"NetworkMode":"container:own"},"NetworkSettings":{"Networks":{}}},
            {"Id":"none","State":"running","HostConfig":{"NetworkMode":"none"},"NetworkSettings":{"Networks":{"none":{}}}}]"#;
        let entries: Vec<Entry> = serde_json::from_str(text).expect("understood");
        let running: Vec<Running> = entries.into_iter().filter_map(Entry::running).collect();
        let of = |place: usize| (&*running[place].id, running[place].name.as_str(), running[place].no_network);
        assert_eq!((of(0), of(1)), (("ab", "db", true), ("cd", "cd", false)));
        assert_eq!(of(2), ("0123456789abcdef", "0123456789ab", false));
        let networks: Vec<bool> = running[3..].iter().map(|one| one.no_network).collect();
        assert_eq!(networks, [true, false, false, true]);
    }
}
