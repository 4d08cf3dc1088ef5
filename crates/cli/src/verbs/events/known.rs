//! Whether somebody who is asked for is known: to the journal, to the state, to the manifest here.

use std::collections::BTreeSet;

use vigie_core::journal::Entry;
use vigie_core::manifest::Project;
use vigie_core::target::{ServiceTarget, Target};
use vigie_core::text::nearest;
use vigie_os::place::Place;
use vigie_store::journal::{Called, Query, Reader, SubjectFilter};

use crate::failure::Failure;
use crate::watched::Watched;
use crate::{context, look};

/// # Errors
/// Exit code 8 for a target that nobody knows: it is a typing error rather than somebody to whom nothing happened. What
/// happened to one that is gone long since is found all the same.
pub(super) fn check(
    targets: &[Target],
    place: &Place,
    reader: Option<&Reader>,
    unjournalled: &[Entry],
) -> Result<(), Failure> {
    for target in targets {
        let Some(filter) = SubjectFilter::of(target) else { continue };
        let is_told = unjournalled.iter().any(|entry| filter.matches(&entry.subject, Called::of(&entry.what)));
        if is_told || is_kept(target, place)? || is_journalled(filter, reader)? {
            continue;
        }
        let failure = Failure::not_found(format!("nothing is known of {target}"));
        let known = names(target, place, reader)?;
        // One of that name of another project or source is meant rather than one that is written much alike.
        let text = target.to_string();
        let last = |text: &str| text.rsplit(['/', ':']).next().unwrap_or_default().to_owned();
        let namesake = known.iter().map(String::as_str).find(|name| name.contains('/') && last(name) == last(&text));
        return Err(match namesake.or_else(|| nearest(&text, known.iter().map(String::as_str))) {
            Some(near) => failure.hint(format!("did you mean {near}?")),
            None => failure.hint("'vigie events' shows what happened to all"),
        });
    }
    Ok(())
}

fn is_journalled(filter: SubjectFilter, reader: Option<&Reader>) -> Result<bool, Failure> {
    let query = Query { subjects: vec![filter], limit: Some(1), newest: true, ..Query::default() };
    Ok(reader.map(|reader| reader.read(&query)).transpose()?.is_some_and(|found| !found.is_empty()))
}

/// It is there now, and nothing need have happened to it.
fn is_kept(target: &Target, place: &Place) -> Result<bool, Failure> {
    Ok(match target {
        Target::Service(service) => {
            project().is_some_and(|project| is_written(service, &project))
                || look::remembered(place)?.iter().any(|known| {
                    known.service == service.service
                        && service.project.as_ref().is_none_or(|project| *project == known.project)
                        && (service.mode.is_none() || service.mode == known.mode)
                })
        }
        Target::Container { source, name } => Watched::read(&place.state)?.container(source.as_ref(), name).is_ok(),
        Target::Source(name) => Watched::read(&place.state)?.source(name).is_ok(),
        Target::Pid(_) | Target::Port(_) => false,
    })
}

fn is_written(target: &ServiceTarget, project: &Project) -> bool {
    let service = project.services.get(&target.service);
    let service = service.filter(|_| target.project.as_ref().is_none_or(|name| *name == project.name));
    service.is_some_and(|service| {
        target.mode.as_ref().is_none_or(|mode| service.modes.iter().any(|known| known.name == *mode))
    })
}

/// That of the manifest here. One that is wrong says nothing; other verbs tell of it.
fn project() -> Option<Project> {
    context::read(&context::here(None).ok()?.manifest?).ok()?.ok()
}

/// What the target may be a typing error of, written as it is: with project or source where it has one.
fn names(target: &Target, place: &Place, reader: Option<&Reader>) -> Result<BTreeSet<String>, Failure> {
    let subjects = reader.map(Reader::subjects).transpose()?.unwrap_or_default();
    let mut names = BTreeSet::new();
    match target {
        Target::Service(ServiceTarget { project, .. }) => {
            let mut add = |of: &str, service: &str| {
                names.insert(if project.is_some() { format!("{of}/{service}") } else { service.to_owned() });
            };
            for subject in &subjects {
                if let (Some(of), Some(service)) = (&subject.project, &subject.service) {
                    add(of.as_str(), service.as_str());
                }
            }
            if let Some(here) = self::project() {
                here.services.keys().for_each(|service| add(here.name.as_str(), service.as_str()));
            }
        }
        Target::Container { source, .. } => {
            let known =
                subjects.iter().filter_map(|subject| Some((subject.source.as_ref()?, subject.container.as_ref()?)));
            names.extend(known.map(|(of, name)| match source {
                Some(_) => format!("container:{of}/{name}"),
                None => format!("container:{name}"),
            }));
        }
        Target::Source(_) => {
            names.extend(subjects.iter().filter_map(|subject| Some(format!("source:{}", subject.source.as_ref()?))));
            let kept = Watched::read(&place.state)?;
            names.extend(kept.sources().map(|source| format!("source:{source}")));
        }
        Target::Pid(_) | Target::Port(_) => {}
    }
    Ok(names)
}
