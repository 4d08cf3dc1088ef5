//! Whom entries are about, as somebody asks for it.

use vigie_core::docker::known::{could_be_id, is_id};
use vigie_core::journal::{Subject, What};
use vigie_core::name::Name;
use vigie_core::target::Target;

/// What an entry must be about. Absent parts match anything: a project matches its services too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubjectFilter {
    /// The project.
    pub project: Option<Name>,
    /// The service.
    pub service: Option<Name>,
    /// The mode.
    pub mode: Option<Name>,
    /// The source; it matches its containers too.
    pub source: Option<Name>,
    /// A container: by its name, by the name that an entry takes from it, or by its id or the beginning of it.
    pub container: Option<String>,
}

/// How an entry about a container calls it, beside its name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Called<'a> {
    /// By its id.
    pub id: Option<&'a str>,
    /// By the name that it had until then.
    pub old_name: Option<&'a str>,
}

impl<'a> Called<'a> {
    /// In an entry that tells this.
    pub fn of(what: &'a What) -> Self {
        match what {
            What::ContainerEvent { id, old_name, .. } => Self { id: Some(id), old_name: old_name.as_deref() },
            _ => Self::default(),
        }
    }
}

impl SubjectFilter {
    /// What a target means for the journal. Absent: it knows no processes and no ports.
    pub fn of(target: &Target) -> Option<Self> {
        match target {
            Target::Service(named) => Some(Self {
                project: named.project.clone(),
                service: Some(named.service.clone()),
                mode: named.mode.clone(),
                ..Self::default()
            }),
            Target::Container { source, name } => {
                Some(Self { source: source.clone(), container: Some(name.clone()), ..Self::default() })
            }
            Target::Source(source) => Some(Self { source: Some(source.clone()), ..Self::default() }),
            Target::Pid(_) | Target::Port(_) => None,
        }
    }

    /// Whether an entry about `subject` is meant: what the query of the same filter finds.
    pub fn matches(&self, subject: &Subject, called: Called<'_>) -> bool {
        let mode = if let Subject::Service { mode, .. } = subject { mode.as_ref() } else { None };
        let same = |wanted: &Option<Name>, is: Option<&Name>| wanted.is_none() || wanted.as_ref() == is;
        same(&self.project, subject.project())
            && same(&self.service, subject.service())
            && same(&self.mode, mode)
            && same(&self.source, subject.source())
            && self.container.as_deref().is_none_or(|wanted| {
                let is_id = called.id.is_some_and(|id| is_id(id, wanted));
                is_id || subject.container() == Some(wanted) || called.old_name == Some(wanted)
            })
    }

    /// The id that the container may be named by.
    pub(super) fn id(&self) -> Option<&str> {
        self.container.as_deref().filter(|text| could_be_id(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::clock::Wall;
    use vigie_core::journal::{Entry, What};

    use crate::journal::{Journal, Query, Reader};

    /// What is filtered as it happens is what the database finds afterwards.
    #[test]
    fn it_matches_what_the_query_finds() {
        let name = |text: &str| Name::new(text).expect("a name");
        let service = |project: &str, service: &str, mode: Option<&str>| Subject::Service {
            project: name(project),
            service: name(service),
            mode: mode.map(name),
        };
        let container = |source: &str, of: &str| Subject::Container {
            source: name(source),
            name: of.to_owned(),
            id: "c0ffee1234".to_owned(),
        };
        let event = |id: &str, old_name: Option<&str>| What::ContainerEvent {
            action: if old_name.is_some() { "rename" } else { "start" }.to_owned(),
            id: id.to_owned(),
            image: "\"id\":\"deadbeef\",\"old_name\":\"was\"".to_owned(),
            time_nano: None,
            exit_code: None,
            signal: None,
            oom: None,
            health: None,
            old_name: old_name.map(str::to_owned),
            inferred: false,
        };
        let subjects = [
            Subject::Daemon,
            Subject::Project(name("demo")),
            service("demo", "api", None),
            service("demo", "api", Some("fast")),
            service("shop", "api", None),
            Subject::Source(name("nas")),
            container("nas", "web"),
            container("pi", "web"),
        ];
        let folder = tempfile::tempdir().expect("a folder");
        let (mut journal, _) = Journal::open(folder.path(), Wall(1)).expect("opened");
        let mut entries: Vec<Entry> =
            subjects.iter().map(|subject| Entry::new(Wall(1), subject.clone(), None, What::Locked)).collect();
        for (old_name, id) in [(None, "c0ffee1234"), (Some("old"), "c0ffee1234"), (None, "c0ffee9999")] {
            entries.push(Entry::new(Wall(1), container("nas", "web"), None, event(id, old_name)));
        }
        journal.append(&entries).expect("written");
        let reader = Reader::open(folder.path()).expect("opened");
        for (target, count) in [
            ("api", 3),
            ("demo/api", 2),
            ("api:fast", 1),
            ("source:nas", 5),
            ("container:web", 5),
            ("container:old", 1),
            ("container:nas/old", 1),
            ("container:pi/old", 0),
            ("container:was", 0),
            ("container:deadbeef", 0),
            ("container:c0ffee1234", 2),
            ("container:nas/c0ffee12", 2),
            ("container:c0ffee", 0),
            ("container:pi/web", 1),
            ("nobody", 0),
        ] {
            let filter = SubjectFilter::of(&target.parse().expect("a target")).expect("the journal knows it");
            let query = Query { subjects: vec![filter.clone()], ..Query::default() };
            let found: Vec<u64> = reader.read(&query).expect("read").iter().map(|stored| stored.seq).collect();
            let matches = |entry: &Entry| filter.matches(&entry.subject, Called::of(&entry.what));
            let matched: Vec<u64> = (1..).zip(&entries).filter(|(_, one)| matches(one)).map(|(seq, _)| seq).collect();
            assert_eq!(found, matched, "{target}");
            assert_eq!(found.len(), count, "{target}");
        }
        let known = reader.subjects().expect("read");
        assert_eq!(known.len(), subjects.len(), "each once: {known:?}");
        assert!(known.contains(&SubjectFilter {
            source: Some(name("pi")),
            container: Some("web".to_owned()),
            ..SubjectFilter::default()
        }));
        assert_eq!(SubjectFilter::of(&"pid:7".parse().expect("a target")), None);
    }
}
