//! The containers of sources as they were last known: `GET /v1/containers`.

use serde::{Deserialize, Serialize};

use vigie_core::docker::known;
use vigie_core::name::Name;

/// All containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Containers {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// By source, then by id.
    pub containers: Vec<Container>,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Container {
    /// The source that it is of.
    pub source: Name,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its image, as it was named.
    pub image: String,
    /// Where it stands.
    pub state: known::State,
    /// `healthy`, `unhealthy` …; absent when it has no check, or it was not seen yet.
    pub health: Option<String>,
    /// The kernel ran out of memory for it since its last start.
    pub oom: bool,
}

impl Container {
    /// From what is kept of it.
    pub fn new(source: Name, id: String, known: known::Container) -> Self {
        let known::Container { name, image, state, health, oom } = known;
        Self { source, id, name, image, state, health, oom }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_of_containers() {
        let known = known::Container {
            name: "web".to_owned(),
            image: "nginx".to_owned(),
            state: known::State::Running,
            health: None,
            oom: false,
        };
        let container = Container::new(Name::new("nas").expect("a name"), "c0ffee".to_owned(), known);
        let all = Containers { schema: crate::SCHEMA, containers: vec![container] };
        assert_eq!(
            serde_json::to_string(&all).expect("encodes"),
            "{\"schema\":1,\"containers\":[{\"source\":\"nas\",\"id\":\"c0ffee\",\"name\":\"web\",\"image\":\"nginx\",\
             \"state\":\"running\",\"health\":null,\"oom\":false}]}"
        );
    }
}
