//! Sources and containers that are known now, as somebody names them.

use std::collections::BTreeSet;
use std::path::Path;

use vigie_core::docker::known::is_id;
use vigie_core::docker::source::Source;
use vigie_core::name::Name;
use vigie_core::text::nearest;
use vigie_daemon::views;

use crate::failure::Failure;

/// What is watched.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    sources: Vec<Name>,
    containers: Vec<Container>,
}

#[derive(Debug)]
struct Container {
    source: Name,
    id: String,
    name: String,
}

impl Watched {
    /// As it is kept; no daemon is needed for that.
    pub(crate) fn read(state: &Path) -> Result<Self, Failure> {
        let sources = views::documents::<Source>(state, "source")?;
        let containers = views::containers(state)?.containers.into_iter();
        Ok(Self {
            sources: sources.into_iter().map(|(_, source)| source.name).collect(),
            containers: containers
                .map(|container| Container { source: container.source, id: container.id, name: container.name })
                .collect(),
        })
    }

    /// The names of the sources.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Name> {
        self.sources.iter()
    }

    /// # Errors
    /// Exit code 8 when there is no source of this name.
    pub(crate) fn source(&self, name: &Name) -> Result<(), Failure> {
        if self.sources.contains(name) {
            return Ok(());
        }
        let known: Vec<&str> = self.sources.iter().map(Name::as_str).collect();
        let near = nearest(name.as_str(), known.iter().copied());
        let failure = Failure::not_found(format!("there is no source {name}"));
        Err(match near {
            Some(near) => failure.hint(format!("did you mean source:{near}?")),
            None => failure.hint("'vigie source ls' shows all"),
        })
    }

    /// The name of a container that is meant by its name or its id; its source when one is named or only the id says which.
    ///
    /// # Errors
    /// Exit code 8 when there is none, 2 for an id of several.
    pub(crate) fn container(&self, source: Option<&Name>, text: &str) -> Result<(Option<Name>, String), Failure> {
        if let Some(source) = source {
            self.source(source)?;
        }
        let of = |container: &&Container| source.is_none_or(|source| *source == container.source);
        if self.containers.iter().filter(of).any(|container| container.name == text) {
            return Ok((source.cloned(), text.to_owned()));
        }
        let by_id = |container: &&Container| is_id(&container.id, text);
        let found: BTreeSet<(&Name, &str)> =
            self.containers.iter().filter(of).filter(by_id).map(|found| (&found.source, found.name.as_str())).collect();
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some((source, name)), None) => Ok((Some(source.clone()), name.to_owned())),
            (Some(_), Some(_)) => Err(Failure::usage(format!("container:{text} could mean several"))),
            (None, _) => Err(self.no_container(source, text)),
        }
    }

    fn no_container(&self, source: Option<&Name>, text: &str) -> Failure {
        let of = self.containers.iter().filter(|container| source.is_none_or(|source| *source == container.source));
        let near = nearest(text, of.map(|container| container.name.as_str()));
        let of = source.map(|source| format!(" of source {source}")).unwrap_or_default();
        let failure = Failure::not_found(format!("there is no container {text}{of}"));
        let before = source.map(|source| format!("{source}/")).unwrap_or_default();
        match near {
            Some(near) => failure.hint(format!("did you mean container:{before}{near}?")),
            None => failure.hint("'vigie metrics --containers' shows all"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::exit_code::ExitCode;

    fn watched() -> Watched {
        let name = |text| Name::new(text).expect("a name");
        let container = |source, id: &str, called: &str| Container {
            source: name(source),
            id: format!("{id:0<64}"),
            name: called.to_owned(),
        };
        Watched {
            sources: vec![name("nas"), name("pi")],
            containers: vec![
                container("nas", "c0ffee12", "web"),
                container("pi", "c0ffee34", "web"),
                container("pi", "abcdef01", "loopy"),
            ],
        }
    }

    #[test]
    fn a_container_is_named_by_name_or_id() {
        let name = |text: &str| Name::new(text).expect("a name");
        let watched = watched();
        let found = |source: Option<&str>, text| watched.container(source.map(name).as_ref(), text).ok();
        assert_eq!(found(None, "web"), Some((None, "web".to_owned())), "of both sources");
        assert_eq!(found(Some("pi"), "web"), Some((Some(name("pi")), "web".to_owned())));
        assert_eq!(found(None, "c0ffee34"), Some((Some(name("pi")), "web".to_owned())));
        assert_eq!(found(Some("nas"), "c0ffee34"), None);
        assert_eq!(found(None, "c0ffee"), None, "too short for an id");
        assert_eq!(found(Some("nas"), "loopy"), None);
    }

    #[test]
    fn what_is_not_there_is_said_with_what_may_be_meant() {
        let name = |text: &str| Name::new(text).expect("a name");
        let watched = watched();
        for (failure, wanted) in [
            (watched.container(None, "lopy").map(drop), "there is no container lopy; did you mean container:loopy?"),
            (
                watched.container(Some(&name("pi")), "lopy").map(drop),
                "there is no container lopy of source pi; did you mean container:pi/loopy?",
            ),
            (
                watched.container(Some(&name("nass")), "web").map(drop),
                "there is no source nass; did you mean source:nas?",
            ),
            (watched.source(&name("elsewhere")), "there is no source elsewhere; 'vigie source ls' shows all"),
        ] {
            let Err(Failure::Error { code, message, hint: Some(hint) }) = failure else { panic!("{wanted}") };
            assert_eq!((code, format!("{message}; {hint}").as_str()), (ExitCode::NotFound, wanted));
        }
    }
}
