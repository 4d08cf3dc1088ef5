//! The packages that are built, and which uses which: from `cargo metadata`.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;

use crate::failure::Failure;

#[derive(Debug)]
pub(super) struct Graph {
    pub(super) packages: Vec<Package>,
    /// Ids: the first uses the second.
    pub(super) edges: Vec<(String, String)>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Package {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: String,
    #[serde(rename = "license")]
    pub(super) licence: Option<String>,
    pub(super) source: Option<String>,
}

impl fmt::Display for Package {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.name, self.version)
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    dependencies: Vec<String>,
}

impl Graph {
    /// Details and edges from `cargo metadata`; but it also lists what no enabled feature needs, so only what `cargo
    /// tree` shows (`name v1.0.0 …` a line) is taken.
    pub(super) fn read(metadata: &[u8], tree: &str) -> Result<Self, Failure> {
        let metadata: Metadata = serde_json::from_slice(metadata)
            .map_err(|error| Failure::new(format!("cannot read what cargo metadata printed: {error}")))?;
        let words = |line: &'_ str| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
        };
        let built: BTreeSet<(String, String)> = tree.lines().filter_map(words).collect();
        let mut packages = metadata.packages;
        packages.retain(|package| built.contains(&(package.name.clone(), package.version.clone())));
        let edges = metadata.resolve.nodes.iter();
        let edges = edges.flat_map(|node| node.dependencies.iter().map(|used| (node.id.clone(), used.clone())));
        Ok(Self { packages, edges: edges.collect() })
    }

    /// Who uses a package.
    pub(super) fn users<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Package> {
        let users = self.edges.iter().filter(move |(_, used)| used == id);
        users.filter_map(|(user, _)| self.packages.iter().find(|package| package.id == *user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_built_is_left_out() {
        let graph = Graph::read(
            br#"{ "packages": [{"id": "a", "name": "a", "version": "1"}, {"id": "b", "name": "b", "version": "1"},
                               {"id": "c", "name": "c", "version": "1"}],
                  "resolve": { "nodes": [{"id": "a", "dependencies": ["b"]}, {"id": "b", "dependencies": []},
                                         {"id": "c", "dependencies": ["b"]}] } }"#,
            "a v1 (/somewhere)\nb v1 (proc-macro)\n\na v1 (/somewhere) (*)\n",
        )
        .expect("metadata");
        assert_eq!(graph.packages.iter().map(|package| package.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(graph.users("b").map(|package| package.name.as_str()).collect::<Vec<_>>(), ["a"]);
    }
}
