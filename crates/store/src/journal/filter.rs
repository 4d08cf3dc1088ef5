//! Whom entries are about, as somebody asks for it.

use vigie_core::journal::Subject;
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
    /// The name of a container.
    pub container: Option<String>,
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
    pub fn matches(&self, subject: &Subject) -> bool {
        let mode = if let Subject::Service { mode, .. } = subject { mode.as_ref() } else { None };
        let same = |wanted: &Option<Name>, is: Option<&Name>| wanted.is_none() || wanted.as_ref() == is;
        same(&self.project, subject.project())
            && same(&self.service, subject.service())
            && same(&self.mode, mode)
            && same(&self.source, subject.source())
            && (self.container.is_none() || self.container.as_deref() == subject.container())
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
            id: "c0ffee".to_owned(),
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
        let entries: Vec<Entry> =
            subjects.iter().map(|subject| Entry::new(Wall(1), subject.clone(), None, What::Locked)).collect();
        journal.append(&entries).expect("written");
        let reader = Reader::open(folder.path()).expect("opened");
        for (target, count) in [
            ("api", 3),
            ("demo/api", 2),
            ("api:fast", 1),
            ("source:nas", 2),
            ("container:web", 2),
            ("container:pi/web", 1),
            ("nobody", 0),
        ] {
            let filter = SubjectFilter::of(&target.parse().expect("a target")).expect("the journal knows it");
            let query = Query { subjects: vec![filter.clone()], ..Query::default() };
            let found: Vec<u64> = reader.read(&query).expect("read").iter().map(|stored| stored.seq).collect();
            let matched: Vec<u64> =
                (1..).zip(&subjects).filter(|(_, one)| filter.matches(one)).map(|(seq, _)| seq).collect();
            assert_eq!(found, matched, "{target}");
            assert_eq!(found.len(), count, "{target}");
        }
        assert_eq!(SubjectFilter::of(&"pid:7".parse().expect("a target")), None);
    }
}
