//! The containers of an engine as they were last known: from its list, and from the events since.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::docker::event::Happened;

/// Whether somebody may mean the container with this id by `text`: by all of it, or by its beginning, when that is long enough to
/// be none of a name's.
pub fn is_id(id: &str, text: &str) -> bool {
    could_be_id(text) && id.starts_with(text)
}

/// Whether this is long enough for the beginning of an id.
pub const fn could_be_id(text: &str) -> bool {
    text.len() >= 8
}

/// Where a container stands, as far as events and lists agree about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "ContainerState"))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was made and never started.
    Created,
    /// It runs.
    Running,
    /// It runs and is frozen.
    Paused,
    /// It does not run any more; also one that its engine is about to start again or to remove.
    Exited,
}

impl State {
    /// As a list says it. What is not known is left out of account.
    pub fn of_list(text: &str) -> Option<Self> {
        match text {
            "created" | "configured" | "initialized" => Some(Self::Created),
            "running" | "up" => Some(Self::Running),
            "paused" => Some(Self::Paused),
            "exited" | "dead" | "restarting" | "removing" | "stopped" | "stopping" => Some(Self::Exited),
            _ => None,
        }
    }

    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Exited => "exited",
        }
    }

    /// The action that leads to it, for an event that nobody saw.
    fn action(self) -> &'static str {
        match self {
            Self::Created => "create",
            Self::Running => "start",
            Self::Paused => "pause",
            Self::Exited => "die",
        }
    }
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its name, without the slash.
    pub name: String,
    /// Its image, as it was named.
    pub image: String,
    /// Where it stands.
    pub state: State,
    /// `healthy`, `unhealthy` …; absent when it has no check, or it was not seen yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// The kernel ran out of memory for it since its last start.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub oom: bool,
}

/// A container as it stands in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// What is known of it.
    pub container: Container,
    /// The exit code, when the list tells it.
    pub exit_code: Option<i32>,
}

/// All containers by id.
pub type Containers = BTreeMap<String, Container>;

/// What became of a container in what is known: `None` when it is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its id.
    pub id: String,
    /// As it is now.
    pub now: Option<Container>,
}

impl Change {
    /// Carries it out.
    pub fn apply(&self, containers: &mut Containers) {
        match &self.now {
            Some(now) => drop(containers.insert(self.id.clone(), now.clone())),
            None => drop(containers.remove(&self.id)),
        }
    }
}

/// What an event makes of what is known; nothing when it leaves it as it is.
pub fn after(containers: &Containers, event: &Happened) -> Option<Change> {
    let id = &event.key.id;
    let before = containers.get(id);
    let state = match event.action() {
        "create" => Some(State::Created),
        "start" | "restart" | "unpause" => Some(State::Running),
        "pause" => Some(State::Paused),
        "die" | "stop" => Some(State::Exited),
        "destroy" => return before.map(|_| Change { id: id.clone(), now: None }),
        "rename" | "oom" | "health_status" => None,
        _ => return None,
    };
    // One that is not known cannot have ended, and has no name to lose.
    if before.is_none() && !matches!(state, Some(State::Created | State::Running | State::Paused)) {
        return None;
    }
    let text = |name: &str| event.attribute(name).map(str::to_owned);
    let mut now = before.cloned().unwrap_or_else(|| Container {
        name: id.clone(),
        image: String::new(),
        state: State::Created,
        health: None,
        oom: false,
    });
    now.name = text("name").map_or(now.name, |name| name.trim_start_matches('/').to_owned());
    now.image = text("image").unwrap_or(now.image);
    match event.action() {
        "start" => (now.health, now.oom) = (None, false),
        "oom" => now.oom = true,
        "health_status" => now.health = event.detail().or(event.attribute("health_status")).map(str::to_owned),
        _ => {}
    }
    now.state = state.unwrap_or(now.state);
    (Some(&now) != before).then(|| Change { id: id.clone(), now: Some(now) })
}

/// What a list says and what is known are two things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Whose.
    pub id: String,
    /// As it was known.
    pub before: Option<Container>,
    /// As it is listed; absent when it is not.
    pub now: Option<Container>,
    /// The exit code, when the list tells it.
    pub exit_code: Option<i32>,
}

impl Difference {
    /// The action that would explain it.
    pub fn action(&self) -> &'static str {
        match (&self.before, &self.now) {
            (_, None) => "destroy",
            (None, Some(now)) => now.state.action(),
            (Some(before), Some(now)) if before.state != now.state => {
                if before.state == State::Paused && now.state == State::Running {
                    "unpause"
                } else {
                    now.state.action()
                }
            }
            (Some(before), Some(now)) if before.name != now.name => "rename",
            (Some(_), Some(_)) => "health_status",
        }
    }
}

/// Where a list differs from what is known. A list tells neither of memory that ran out, nor, in older engines, of health.
pub fn differences(containers: &Containers, list: &[Listed]) -> Vec<Difference> {
    let mut found = Vec::new();
    let listed: BTreeMap<&str, &Listed> = list.iter().map(|listed| (listed.id.as_str(), listed)).collect();
    for (id, before) in containers {
        if !listed.contains_key(id.as_str()) {
            found.push(Difference { id: id.clone(), before: Some(before.clone()), now: None, exit_code: None });
        }
    }
    for (id, listed) in listed {
        let before = containers.get(id);
        let mut now = listed.container.clone();
        if let Some(before) = before {
            now.oom = before.oom && now.state == before.state;
            now.health = now.health.or_else(|| before.health.clone().filter(|_| now.state == before.state));
            // A list names an image by its id once its name has gone to another.
            now.image.clone_from(&before.image);
        }
        if before != Some(&now) {
            let (before, now) = (before.cloned(), Some(now));
            found.push(Difference { id: id.to_owned(), before, now, exit_code: listed.exit_code });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::event::{Key, Nanos};

    #[test]
    fn an_id_is_meant_by_a_beginning_that_is_no_name() {
        for (text, meant) in
            [("c0ffee1234", true), ("c0ffee12", true), ("c0ffee1", false), ("c0ffee13", false), ("c0ffee12345", false)]
        {
            assert_eq!(is_id("c0ffee1234", text), meant, "{text}");
        }
    }

    fn event(action: &str, attributes: &[(&'static str, &str)]) -> Happened {
        let key = Key { at: Nanos(1), kind: "container".to_owned(), action: action.to_owned(), id: "ab".to_owned() };
        let own = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
        Happened { key, attributes: attributes.iter().map(own).collect() }
    }

    fn container(state: State) -> Container {
        Container { name: "web".to_owned(), image: "busybox".to_owned(), state, health: None, oom: false }
    }

    /// State × event.
    #[test]
    fn what_events_make_of_a_container() {
        use State::{Created, Exited, Paused, Running};
        let named = [("name", "web"), ("image", "busybox")];
        for (action, from_nothing, from_running) in [
            ("create", Some(Created), Created),
            ("start", Some(Running), Running),
            ("restart", Some(Running), Running),
            ("pause", Some(Paused), Paused),
            ("unpause", Some(Running), Running),
            ("die", None, Exited),
            ("stop", None, Exited),
            ("kill", None, Running),
            ("oom", None, Running),
            ("rename", None, Running),
            ("update", None, Running),
            ("health_status: healthy", None, Running),
            ("exec_create: sh", None, Running),
            ("unknown", None, Running),
        ] {
            let mut containers = Containers::new();
            let change = after(&containers, &event(action, &named));
            assert_eq!(change.and_then(|change| change.now).map(|now| now.state), from_nothing, "{action}");
            containers.insert("ab".to_owned(), container(Running));
            if let Some(change) = after(&containers, &event(action, &named)) {
                change.apply(&mut containers);
            }
            assert_eq!(containers["ab"].state, from_running, "{action}");
        }
        let mut containers = Containers::from([("ab".to_owned(), container(Running))]);
        after(&containers, &event("destroy", &[])).expect("a change").apply(&mut containers);
        assert!(containers.is_empty());
        assert_eq!(after(&containers, &event("destroy", &[])), None);
    }

    #[test]
    fn health_memory_and_names() {
        let mut containers = Containers::from([("ab".to_owned(), container(State::Running))]);
        let mut hear = |action: &str, attributes: &[(&'static str, &str)]| {
            let change = after(&containers, &event(action, attributes));
            if let Some(change) = &change {
                change.apply(&mut containers);
            }
            change.is_some()
        };
        assert!(hear("health_status: unhealthy", &[]));
        assert!(!hear("health_status: unhealthy", &[]), "the same again is no change");
        assert!(hear("oom", &[]));
        assert!(hear("rename", &[("name", "/api"), ("oldName", "/web")]));
        assert!(hear("die", &[("name", "api")]));
        assert_eq!(containers["ab"].name, "api");
        assert!(containers["ab"].oom && containers["ab"].health.as_deref() == Some("unhealthy"));
        let start = after(&containers, &event("start", &[])).and_then(|change| change.now).expect("a change");
        assert_eq!((start.oom, start.health), (false, None));
    }

    #[test]
    fn what_a_list_tells() {
        let list = |id: &str, container: Container, exit_code| Listed { id: id.to_owned(), container, exit_code };
        let containers: Containers = ["same", "ended", "gone", "thawed", "renamed", "sick"]
            .into_iter()
            .map(|id| (id.to_owned(), container(if id == "thawed" { State::Paused } else { State::Running })))
            .collect();
        let renamed = Container { name: "api".to_owned(), ..container(State::Running) };
        let sick = Container { health: Some("unhealthy".to_owned()), ..container(State::Running) };
        let other_image = Container { image: "sha256:1".to_owned(), ..container(State::Running) };
        let found = differences(
            &containers,
            &[
                list("same", other_image, None),
                list("ended", container(State::Exited), Some(137)),
                list("thawed", container(State::Running), None),
                list("renamed", renamed, None),
                list("sick", sick, None),
                list("new", container(State::Running), None),
                list("done", container(State::Exited), Some(0)),
            ],
        );
        let mut told: Vec<(&str, &str, Option<i32>)> =
            found.iter().map(|found| (found.id.as_str(), found.action(), found.exit_code)).collect();
        told.sort_unstable();
        assert_eq!(
            told,
            [
                ("done", "die", Some(0)),
                ("ended", "die", Some(137)),
                ("gone", "destroy", None),
                ("new", "start", None),
                ("renamed", "rename", None),
                ("sick", "health_status", None),
                ("thawed", "unpause", None),
            ]
        );
    }

    #[test]
    fn states_of_lists() {
        assert_eq!(State::of_list("running"), Some(State::Running));
        assert_eq!(State::of_list("restarting"), Some(State::Exited), "its end was told, its start not yet");
        assert_eq!(State::of_list("teleported"), None);
    }
}
