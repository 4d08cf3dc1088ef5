//! What an engine has and remembers: containers, its last events, and who listens.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use crate::answer::Answer;
use crate::faults::Faults;

/// What moby keeps of events, of every type (`eventsLimit` in `daemon/events`).
pub const RING: usize = 256;

/// A container.
#[derive(Debug, Clone)]
pub struct Container {
    /// Its name, without the slash.
    pub name: String,
    /// Its image.
    pub image: String,
    /// As a list says it: `created`, `running`, `paused`, `exited`.
    pub state: &'static str,
    /// `healthy`, `unhealthy`.
    pub health: Option<String>,
    /// Of its last end.
    pub exit_code: i32,
    /// When it was started last, in nanoseconds since 1970 on the engine's clock.
    pub started: u64,
    /// How often its counters were asked for: they grow with it.
    pub asked: u64,
}

/// An event as it is told.
#[derive(Debug, Clone)]
pub struct Event {
    /// In nanoseconds since 1970.
    pub at: u64,
    /// With its newline.
    pub line: Arc<str>,
}

/// Who reads events.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    pub(crate) waiting: VecDeque<Event>,
}

/// All of it.
#[derive(Debug, Default)]
pub struct State {
    /// What it does wrong.
    pub faults: Faults,
    /// By id.
    pub containers: BTreeMap<String, Container>,
    pub(crate) ring: VecDeque<Event>,
    pub(crate) listeners: BTreeMap<u64, Listener>,
    next_listener: u64,
    /// The time of the last event.
    last: u64,
    /// Streams of earlier ones end.
    pub(crate) generation: u64,
    /// How often it was restarted.
    pub(crate) restarts: u64,
    pub(crate) requests: Vec<String>,
    pub(crate) answers: BTreeMap<String, Answer>,
    /// Connections are closed as they come.
    pub(crate) is_gone: bool,
    /// Nobody is answered, and nothing is told.
    pub(crate) is_frozen: bool,
    pub(crate) is_over: bool,
    /// The name of its machine, and the folder in which it keeps what is its own; absent: of a machine that there is not.
    pub place: Option<(String, String)>,
    /// Everything that happened, when somebody wants to know: when, of which type, what, to what.
    pub history: Option<Vec<(u64, String, String, String)>>,
}

impl State {
    /// Its clock, in nanoseconds since 1970.
    pub fn now(&self) -> u64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        let seconds = now.tv_sec + self.faults.skew;
        seconds.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
    }

    /// Something happens to a container: its state follows, and everybody is told.
    pub fn happen(&mut self, action: &str, id: &str, attributes: &[(&str, &str)]) {
        let base = action.split(':').next().unwrap_or(action);
        let given = |name: &str| attributes.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let now = self.now();
        let known = self.containers.contains_key(id);
        if base == "create" || (!known && base != "destroy") {
            let name = given("name").unwrap_or(id).to_owned();
            let image = given("image").unwrap_or("busybox").to_owned();
            let new = Container { name, image, state: "created", health: None, exit_code: 0, started: 0, asked: 0 };
            self.containers.insert(id.to_owned(), new);
        }
        let mut old_name = None;
        if let Some(container) = self.containers.get_mut(id) {
            match base {
                "start" | "restart" => {
                    if container.state != "running" {
                        (container.started, container.asked) = (now, 0);
                    }
                    container.state = "running";
                    container.health = None;
                }
                "unpause" => container.state = "running",
                "pause" => container.state = "paused",
                "die" => {
                    container.state = "exited";
                    container.exit_code = given("exitCode").and_then(|code| code.parse().ok()).unwrap_or(0);
                }
                "stop" => container.state = "exited",
                "health_status" => {
                    container.health = action.split_once(':').map(|(_, health)| health.trim().to_owned());
                }
                "rename" => {
                    let name = given("name").map_or_else(|| format!("{}-2", container.name), str::to_owned);
                    old_name = Some(format!("/{}", std::mem::replace(&mut container.name, name)));
                }
                _ => {}
            }
        }
        let at = self.stamp();
        let container = self.containers.get(id);
        let mut all: Vec<(&str, &str)> = Vec::with_capacity(attributes.len() + 4);
        let (name, image) = container.map_or((id, "busybox"), |container| (&container.name, &container.image));
        // The note is for those who cut in the middle of a character.
        all.extend([("name", name), ("image", image), ("com.example.note", "grün \u{1f433}")]);
        all.extend(attributes.iter().filter(|(key, _)| !matches!(*key, "name" | "image")));
        if let Some(old) = &old_name {
            all.push(("oldName", old));
        }
        let event = self.event(at, "container", action, id, &all);
        if let Some(history) = &mut self.history {
            history.push((at, "container".to_owned(), action.to_owned(), id.to_owned()));
        }
        if base == "destroy" {
            self.containers.remove(id);
        }
        self.tell(event);
    }

    /// Something happens to something else.
    pub fn happen_elsewhere(&mut self, kind: &str, action: &str, id: &str) {
        let at = self.stamp();
        let event = self.event(at, kind, action, id, &[("name", id)]);
        self.tell(event);
    }

    /// A container is otherwise, and no event tells of it.
    pub fn change_silently(&mut self, id: &str, to: Option<&'static str>) {
        match (to, self.containers.get_mut(id)) {
            (None, _) => drop(self.containers.remove(id)),
            (Some(to), Some(container)) => container.state = to,
            (Some(to), None) => {
                let new = Container {
                    name: id.to_owned(),
                    image: "busybox".to_owned(),
                    state: to,
                    health: None,
                    exit_code: 0,
                    started: 0,
                    asked: 0,
                };
                self.containers.insert(id.to_owned(), new);
            }
        }
    }

    /// It is restarted: streams break, events are forgotten, what ran has ended.
    pub fn restart(&mut self) {
        self.generation += 1;
        self.restarts += 1;
        self.ring.clear();
        self.listeners.clear();
        for container in self.containers.values_mut().filter(|container| container.state != "created") {
            container.state = "exited";
        }
        // As dockerd does with its networks.
        self.happen_elsewhere("network", "create", "bridge");
    }

    /// Times tell events apart: no two have the same.
    fn stamp(&mut self) -> u64 {
        self.last = self.now().max(self.last + 1);
        self.last
    }

    /// An event as this kind of engine writes it.
    fn event(&self, at: u64, kind: &str, action: &str, id: &str, attributes: &[(&str, &str)]) -> Event {
        let podman = self.faults.kind.is_podman();
        let mut shown = action;
        let mut health = None;
        if podman && kind == "container" {
            shown = match action {
                "destroy" => "remove",
                "die" if self.faults.kind == crate::Kind::OldPodman => "died",
                _ => action,
            };
            if let Some((base, status)) = action.split_once(':').filter(|(base, _)| *base == "health_status") {
                (shown, health) = (base, Some(status.trim()));
            }
        }
        let mut line = String::with_capacity(384);
        let _ = write!(
            line,
            r#"{{"Type":{},"Action":{},"Actor":{{"ID":{},"Attributes":{{"#,
            quoted(kind),
            quoted(shown),
            quoted(id)
        );
        let mut comma = "";
        for (name, value) in attributes {
            // Podman before its 5th has the exit code under this name only.
            let name = if podman && *name == "exitCode" { "containerExitCode" } else { name };
            let _ = write!(line, "{comma}{}:{}", quoted(name), quoted(value));
            comma = ",";
        }
        if let Some(health) = health {
            let _ = write!(line, "{comma}\"health_status\":{}", quoted(health));
        }
        let _ = write!(line, r#"}}}},"scope":"local","time":{},"timeNano":{at}"#, at / 1_000_000_000);
        if self.faults.repeats_fields && kind == "container" {
            let image = attributes.iter().find(|(key, _)| *key == "image").map_or("", |(_, value)| *value);
            let _ = write!(line, r#","status":{},"id":{},"from":{}"#, quoted(shown), quoted(id), quoted(image));
        }
        if self.faults.babbles {
            line.push_str(r#","futureField":{"nested":[1,null,{"deep":true}]}"#);
        }
        line.push_str("}\n");
        Event { at, line: line.into() }
    }

    fn tell(&mut self, event: Event) {
        self.ring.push_back(event.clone());
        if self.ring.len() > RING && !self.faults.kind.is_podman() {
            self.ring.pop_front();
        }
        for listener in self.listeners.values_mut() {
            listener.waiting.push_back(event.clone());
        }
    }

    /// Somebody listens from now on, and gets first what is remembered from `since` on: as moby does it, backwards up to the
    /// first that is older.
    pub(crate) fn listen(&mut self, since: u64) -> u64 {
        let fresh = self.ring.iter().rev().take_while(|event| event.at >= since).count();
        let waiting = self.ring.iter().skip(self.ring.len() - fresh).cloned().collect();
        self.next_listener += 1;
        self.listeners.insert(self.next_listener, Listener { waiting });
        self.next_listener
    }
}

/// A text of JSON.
pub(crate) fn quoted(text: &str) -> std::borrow::Cow<'_, str> {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        return format!("\"{text}\"").into();
    }
    serde_json::Value::from(text).to_string().into()
}
