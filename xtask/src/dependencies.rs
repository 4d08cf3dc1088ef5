//! The rules of `deny.toml`, applied to what `cargo metadata` knows.
//!
//! cargo-deny reads the same file and knows more (advisories, above all), but has to be compiled for four minutes on a
//! new machine. So the rules that need no network are checked here, from the same lists: licences, bans with their
//! wrappers, one version of each package, one source.

mod graph;
mod licence;
mod rules;

use std::collections::BTreeMap;

use crate::failure::Failure;
use crate::process;
use crate::workspace::Workspace;
use graph::{Graph, Package};
use rules::Rules;

/// Reads both, gives back one line for each fault.
///
/// # Errors
/// When either cannot be read.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let path = workspace.root.join("deny.toml");
    let text = std::fs::read_to_string(&path).map_err(Failure::io(format!("cannot read {}", path.display())))?;
    let rules = Rules::read(&text)?;
    let mut metadata = workspace.cargo(&["metadata", "--locked", "--format-version", "1"]);
    let mut tree =
        workspace.cargo(&["tree", "--locked", "--workspace", "--edges", "normal,build,dev", "--prefix", "none"]);
    for target in &rules.graph.targets {
        metadata.args(["--filter-platform", target]);
        tree.args(["--target", target]);
    }
    let (metadata, tree) = (process::output(metadata)?, process::output(tree)?);
    Ok(faults(&rules, &Graph::read(&metadata, &String::from_utf8_lossy(&tree))?))
}

fn faults(rules: &Rules, graph: &Graph) -> Vec<String> {
    let mut faults = Vec::new();
    let usual = usual_registry(graph);
    for package in &graph.packages {
        faults.extend(licence_fault(rules, package));
        faults.extend(source_fault(rules, usual, package));
        faults.extend(ban_faults(rules, graph, package));
    }
    faults.extend(version_faults(rules, graph));
    faults
}

fn licence_fault(rules: &Rules, package: &Package) -> Option<String> {
    let Some(expression) = &package.licence else { return Some(format!("{package} names no licence")) };
    let exceptions: Vec<&str> = rules.licenses.exceptions_for(&package.name).collect();
    let allowed = |name: &str| rules.licenses.allow.iter().any(|known| known == name) || exceptions.contains(&name);
    match licence::allows(expression, &allowed) {
        Ok(true) => None,
        Ok(false) => Some(format!("{package} has licence {expression}, which deny.toml does not allow")),
        Err(why) => Some(format!("{package} has licence {expression}: {why}")),
    }
}

/// The registry that most packages come from: cargo's own.
fn usual_registry(graph: &Graph) -> Option<&str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let sources = graph.packages.iter().filter_map(|package| package.source.as_deref());
    for registry in sources.filter_map(|source| source.strip_prefix("registry+")) {
        *counts.entry(registry).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(registry, _)| registry)
}

fn source_fault(rules: &Rules, usual: Option<&str>, package: &Package) -> Option<String> {
    // A package of this workspace has no source.
    let source = package.source.as_deref()?;
    let listed = &rules.sources.allow_registry;
    let known = source.strip_prefix("registry+").is_some_and(|registry| match &listed[..] {
        [] => usual == Some(registry),
        listed => listed.iter().any(|allowed| allowed == registry),
    });
    (!known).then(|| format!("{package} comes from {source}, which deny.toml does not allow"))
}

fn ban_faults(rules: &Rules, graph: &Graph, package: &Package) -> Vec<String> {
    let Some(ban) = rules.bans.deny.iter().find(|ban| ban.name == package.name) else { return Vec::new() };
    let users = graph.users(&package.id).filter(|user| !ban.wrappers.contains(&user.name));
    users.map(|user| format!("{user} uses {package}: {}", ban.reason)).collect()
}

fn version_faults(rules: &Rules, graph: &Graph) -> Vec<String> {
    if rules.bans.multiple_versions != "deny" {
        return Vec::new();
    }
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in &graph.packages {
        let exact = format!("{}@{}", package.name, package.version);
        if !rules.bans.skip.iter().any(|skip| skip.name == exact) {
            versions.entry(&package.name).or_default().push(&package.version);
        }
    }
    let several = versions.into_iter().filter(|(_, versions)| versions.len() > 1);
    several.map(|(name, versions)| format!("{name} is there in several versions: {}", versions.join(", "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"
        [graph]
        targets = []
        [licenses]
        allow = ["MIT", "Apache-2.0"]
        exceptions = [{ crate = "fonts", allow = ["OFL-1.1"] }]
        [bans]
        multiple-versions = "deny"
        skip = [{ crate = "syn@2.1.0", reason = "old" }]
        deny = [{ crate = "sql", wrappers = ["store"], reason = "the store alone" }]
        [sources]
        unknown-registry = "deny"
        unknown-git = "deny"
    "#;

    fn package(name: &str, version: &str, licence: &str, source: &str) -> Package {
        Package {
            id: format!("{name} {version}"),
            name: name.to_owned(),
            version: version.to_owned(),
            licence: Some(licence.to_owned()),
            source: Some(source.to_owned()),
        }
    }

    #[test]
    fn each_rule_finds_its_fault() {
        let registry = "registry+https://r";
        let packages = vec![
            package("store", "1.0.0", "MIT", registry),
            package("cli", "1.0.0", "MIT", registry),
            package("sql", "1.0.0", "MIT OR GPL-3.0", registry),
            package("syn", "2.1.0", "MIT", registry),
            package("syn", "3.0.0", "MIT", registry),
            package("twice", "1.0.0", "MIT", registry),
            package("twice", "2.0.0", "MIT", registry),
            package("fonts", "1.0.0", "OFL-1.1", registry),
            package("copyleft", "1.0.0", "GPL-3.0", registry),
            package("forked", "1.0.0", "MIT", "git+https://r"),
            package("elsewhere", "1.0.0", "MIT", "registry+https://e"),
        ];
        let edge = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        let edges = vec![edge("store 1.0.0", "sql 1.0.0"), edge("cli 1.0.0", "sql 1.0.0")];
        let faults = faults(&Rules::read(RULES).expect("rules"), &Graph { packages, edges });
        assert_eq!(
            faults,
            [
                "cli 1.0.0 uses sql 1.0.0: the store alone",
                "copyleft 1.0.0 has licence GPL-3.0, which deny.toml does not allow",
                "forked 1.0.0 comes from git+https://r, which deny.toml does not allow",
                "elsewhere 1.0.0 comes from registry+https://e, which deny.toml does not allow",
                "twice is there in several versions: 1.0.0, 2.0.0",
            ]
        );
    }
}
