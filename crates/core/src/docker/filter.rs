//! Which events of containers are kept. Everything is compared exactly: no text that merely contains another is left out.

use serde::{Deserialize, Serialize};

/// What is kept when nobody says otherwise.
const ACTIONS: [&str; 13] = [
    "create",
    "start",
    "stop",
    "die",
    "kill",
    "restart",
    "pause",
    "unpause",
    "destroy",
    "rename",
    "update",
    "oom",
    "health_status",
];

/// Scanners that other tools start by the dozen for a moment.
const IMAGES: [&str; 4] = ["anchore/grype", "aquasec/trivy", "ghcr.io/anchore/grype", "ghcr.io/aquasecurity/trivy"];

/// Which events are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Filters {
    /// Only these actions, without what follows a colon.
    pub actions: Vec<String>,
    /// Nothing of containers of these repositories, whatever their tag: `aquasec/trivy`.
    pub ignored_images: Vec<String>,
    /// Nothing of containers of these names; one that ends with `*` means all that begin so.
    pub ignored_names: Vec<String>,
}

impl Default for Filters {
    fn default() -> Self {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Self { actions: owned(&ACTIONS), ignored_images: owned(&IMAGES), ignored_names: Vec::new() }
    }
}

impl Filters {
    /// Every action that can be kept.
    pub fn known_actions() -> &'static [&'static str] {
        &ACTIONS
    }

    /// Whether this action is kept.
    pub fn keeps_action(&self, action: &str) -> bool {
        self.actions.iter().any(|kept| kept == action)
    }

    /// Whether containers of this name and image are looked at.
    pub fn keeps_container(&self, name: &str, image: &str) -> bool {
        let repository = repository(image);
        let named = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        };
        !self.ignored_images.iter().any(|ignored| self::repository(ignored) == repository)
            && !self.ignored_names.iter().any(named)
    }
}

/// `ghcr.io/anchore/grype` of `ghcr.io/anchore/grype:v1@sha256:…`; `docker.io` and its `library` are what is meant without.
pub fn repository(image: &str) -> &str {
    let image = image.split_once('@').map_or(image, |(name, _)| name);
    let last = image.rfind('/').map_or(0, |slash| slash + 1);
    let image = image[last..].find(':').map_or(image, |colon| &image[..last + colon]);
    let image = ["docker.io/", "index.docker.io/"].iter().find_map(|host| image.strip_prefix(host)).unwrap_or(image);
    image.strip_prefix("library/").unwrap_or(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories() {
        for (image, name) in [
            ("busybox", "busybox"),
            ("busybox:1.36", "busybox"),
            ("docker.io/library/busybox:latest", "busybox"),
            ("library/busybox", "busybox"),
            ("localhost:5000/a/b:c", "localhost:5000/a/b"),
            ("localhost:5000/b", "localhost:5000/b"),
            ("ghcr.io/anchore/grype:v1@sha256:00", "ghcr.io/anchore/grype"),
            ("sha256:7dafe0", "sha256"),
            ("", ""),
        ] {
            assert_eq!(repository(image), name, "{image}");
        }
    }

    #[test]
    fn only_what_is_meant_is_left_out() {
        let filters =
            Filters { ignored_names: vec!["tool-browse-*".to_owned(), "web".to_owned()], ..Filters::default() };
        for (name, image, kept) in [
            ("a", "busybox", true),
            ("a", "aquasec/trivy:0.50", false),
            ("a", "docker.io/aquasec/trivy", false),
            ("a", "ghcr.io/aquasecurity/trivy@sha256:1", false),
            ("a", "mirror/aquasec/trivy", true),
            ("a", "aquasec/trivy-operator", true),
            ("a", "my-anchore/grype", true),
            ("tool-browse-1", "busybox", false),
            ("my-tool-browse-1", "busybox", true),
            ("web", "busybox", false),
            ("web2", "busybox", true),
        ] {
            assert_eq!(filters.keeps_container(name, image), kept, "{name} {image}");
        }
        assert!(filters.keeps_action("die") && !filters.keeps_action("exec_die") && !filters.keeps_action("di"));
    }
}
