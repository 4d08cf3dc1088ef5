//! What the manifest says about how a stray is recognised: `match = { script = "server.py" }`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::interpreter::{Family, Runs};
use super::sight::Sight;
use super::{Expected, Files, Recognised, base_name, path_bytes, same_file};
use crate::text::OsText;

/// All of it must be so, and the user the same. At least one of the first three is there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Match {
    /// The executable: a name (`python3`, `api`), or an absolute path. A name of an interpreter stands for all its
    /// versions.
    pub executable: Option<OsText>,
    /// The script that an interpreter runs, absolute.
    pub script: Option<OsText>,
    /// The module or class that an interpreter runs.
    pub module: Option<OsText>,
    /// Arguments that it must have, in this order; others may stand between.
    pub args: Vec<OsText>,
    /// The working folder, absolute. Without it: the project's folder or one below, unless `script` tells the place.
    pub cwd: Option<OsText>,
}

impl Match {
    /// With the links in its paths resolved.
    pub(super) fn resolved(mut self, files: &dyn Files) -> Self {
        for path in [&mut self.executable, &mut self.script, &mut self.cwd].into_iter().flatten() {
            if path.0.contains(&b'/')
                && let Some(canonical) = files.canonical(path.as_path())
            {
                *path = canonical.into();
            }
        }
        self
    }

    pub(super) fn could_be(&self, executable: &Path, name: &[u8]) -> bool {
        match &self.executable {
            Some(wanted) => is_executable(wanted, Some(executable), name),
            None => Family::of(name).is_some() || matches!(name, b"busybox" | b"toybox"),
        }
    }

    pub(super) fn matches(&self, sight: &Sight, expected: &Expected, files: &dyn Files) -> Option<Recognised> {
        let mut facts = Vec::new();
        let (named, runs) = (self.script.is_some() || self.module.is_some(), sight.runs().map(|(_, runs)| runs));
        let mut rest = sight.arguments();
        if let Some(wanted) = &self.executable {
            is_executable(wanted, sight.executable.as_deref(), sight.name()).then(|| facts.push("executable"))?;
        } else if !named {
            return None;
        }
        if let Some(wanted) = &self.script {
            let Some(Runs::Script(file, behind)) = runs else { return None };
            same_file(file, &sight.cwd, wanted.as_path(), files).then(|| facts.push("script"))?;
            rest = behind;
        }
        if let Some(wanted) = &self.module {
            let Some(Runs::Module(name, behind)) = runs else { return None };
            (name == wanted).then(|| facts.push("module"))?;
            rest = behind;
        }
        if !self.args.is_empty() {
            let mut left = rest.iter();
            self.args.iter().all(|wanted| left.any(|word| word == wanted)).then(|| facts.push("arguments"))?;
        }
        let place = match &self.cwd {
            Some(cwd) => (sight.cwd == cwd.as_path()).then_some("directory"),
            None => {
                let of_file = |path: &Path| expected.owns(path).then_some("project");
                let executable = || sight.executable.as_deref().and_then(of_file);
                let script = || self.script.as_ref().and_then(|script| of_file(script.as_path()));
                expected.place_of(&sight.cwd).or_else(script).or_else(executable)
            }
        };
        match place {
            Some(place) => facts.push(place),
            // A script lies where it lies.
            None if self.script.is_some() && self.cwd.is_none() => {}
            None => return None,
        }
        Some(Recognised { facts, exact: false })
    }
}

fn is_executable(wanted: &OsText, seen: Option<&Path>, name: &[u8]) -> bool {
    if wanted.0.contains(&b'/') {
        return match seen {
            Some(seen) => seen == wanted.as_path(),
            None => base_name(&wanted.0) == name,
        };
    }
    let family = Family::of(&wanted.0);
    let seen_name = seen.map_or(name, |seen| base_name(path_bytes(seen)));
    wanted.0 == name || wanted.0 == seen_name || family.is_some() && Family::of(name) == family
}
