//! Which containers and sources are meant. A container is its id; a name is what it is found by, and it may have had several.

use std::collections::{BTreeMap, BTreeSet};

use vigie_api::source::{LookedAt, Watch};
use vigie_core::docker::known::{Container, is_id};
use vigie_core::docker::source::Source;
use vigie_core::name::Name;
use vigie_core::samples::Subject;
use vigie_daemon::views::documents;
use vigie_daemon::views::samples::Chosen;
use vigie_store::samples::Known;

use super::View;
use crate::daemon;
use crate::failure::Failure;

/// What is known of a container of this source and id.
#[derive(Default)]
struct One {
    /// The name that it has now, as far as that is known.
    present: Option<String>,
    measured: Vec<Known>,
}

impl One {
    /// The last name that is known.
    fn name(&self) -> String {
        let last = || self.measured.iter().max_by_key(|known| known.born).map(|known| known.subject.key.clone());
        self.present.clone().or_else(last).unwrap_or_default()
    }

    fn is_called(&self, id: &str, name: &str) -> bool {
        self.present.as_deref() == Some(name)
            || self.measured.iter().any(|known| known.subject.key == name)
            || is_id(id, name)
    }
}

impl View<'_> {
    /// All containers of which something is known.
    fn known_containers(&self, known: Vec<Known>) -> Result<BTreeMap<(Name, String), One>, Failure> {
        let mut all: BTreeMap<(Name, String), One> = BTreeMap::new();
        for known in known {
            if let Some((source, id)) = known.subject.as_container() {
                all.entry((source, id.to_owned())).or_default().measured.push(known);
            }
        }
        for (key, container) in documents::<Container>(&self.scene.place.state, "source_container")? {
            let Some((source, id)) = key.split_once('/') else { continue };
            let Ok(source) = Name::new(source) else { continue };
            all.entry((source, id.to_owned())).or_default().present = Some(Subject::container_key(&container.name));
        }
        Ok(all)
    }

    /// Of all sources.
    pub(super) fn containers(&self, known: Vec<Known>) -> Result<Vec<Chosen>, Failure> {
        let all = self.known_containers(known)?.into_iter();
        let mut chosen: Vec<Chosen> = all.filter_map(|((source, id), one)| chosen(&source, &id, one, false)).collect();
        // By name: ids say nothing.
        chosen.sort_by(|a, b| {
            let place =
                |chosen: &Chosen| (chosen.subject.as_container().map(|(source, _)| source), chosen.subject.key.clone());
            place(a).cmp(&place(b))
        });
        Ok(chosen)
    }

    /// Those that are or were called so. Of several of one source, one after the other, those are shown of which something was
    /// measured in the time that is looked at, and the last in any case. Of several sources, the one that has it now.
    ///
    /// # Errors
    /// Exit code 8 when there is none, 2 when several sources have one, or had one and none has it now.
    pub(super) fn container(
        &self,
        known: Vec<Known>,
        source: Option<&Name>,
        name: &str,
    ) -> Result<Vec<Chosen>, Failure> {
        let all = self.known_containers(known)?.into_iter();
        let mut found: Vec<((Name, String), One)> =
            all.filter(|((of, id), one)| source.is_none_or(|source| source == of) && one.is_called(id, name)).collect();
        // Whoever has it now is meant, not one that was removed.
        let now: BTreeSet<Name> = found
            .iter()
            .filter(|(_, one)| one.present.as_deref() == Some(name))
            .map(|((source, _), _)| source.clone())
            .collect();
        if now.len() == 1 {
            found.retain(|((source, _), _)| now.contains(source));
        }
        let sources: BTreeSet<&Name> = found.iter().map(|((source, _), _)| source).collect();
        if sources.len() > 1 {
            let names: Vec<String> = sources.iter().map(|source| format!("container:{source}/{name}")).collect();
            return Err(Failure::usage(format!("container:{name} could mean several: {}", names.join(", "))));
        }
        if found.is_empty() {
            return Err(Failure::not_found(format!("there is no container {name:?}, and nothing was measured of one"))
                .hint("'vigie metrics --containers --since 90d' shows all of which something was"));
        }
        // The one that has the name now, else the one that was begun last.
        let begun =
            |one: &One| (one.present.as_deref() == Some(name), one.measured.iter().map(|known| known.born).min());
        found.sort_by_key(|(_, one)| begun(one));
        let last = found.len() - 1;
        let each = found.into_iter().enumerate();
        Ok(each.filter_map(|(place, ((source, id), one))| chosen(&source, &id, one, place == last)).collect())
    }

    /// # Errors
    /// Exit code 8 when there is no source of this name, and nothing was measured of one.
    pub(super) fn source(&self, known: Vec<Known>, name: &Name) -> Result<Vec<Chosen>, Failure> {
        let subject = Subject::source(name);
        let known: Vec<Known> = known.into_iter().filter(|known| known.subject == subject).collect();
        let sources = documents::<Source>(&self.scene.place.state, "source")?;
        if known.is_empty() && !sources.iter().any(|(key, _)| key == name.as_str()) {
            return Err(Failure::not_found(format!("there is no source {name}, and nothing was measured of one"))
                .hint("'vigie source ls' shows all"));
        }
        Ok(vec![Chosen { subject, known, always: true }])
    }

    /// Has the containers among these measured every second.
    pub(super) fn watch_containers(&self, chosen: &[Chosen]) {
        if self.args.target.is_none() {
            return;
        }
        let mut of_sources: BTreeMap<Name, Vec<String>> = BTreeMap::new();
        for (source, id) in chosen.iter().filter_map(|chosen| chosen.subject.as_container()) {
            of_sources.entry(source).or_default().push(id.to_owned());
        }
        if of_sources.is_empty() {
            return;
        }
        let looked_at = of_sources.into_iter().map(|(source, containers)| LookedAt { source, containers }).collect();
        let watch = Watch { looked_at };
        self.scene.runtime.block_on(daemon::watch_containers(&self.scene.place, &watch));
    }
}

/// Absent when its id is none.
fn chosen(source: &Name, id: &str, one: One, always: bool) -> Option<Chosen> {
    let subject = Subject::container(source, id, &one.name())?;
    Some(Chosen { subject, known: one.measured, always })
}
