use super::*;
use vigie_core::name::Name;

fn of_container(at: u64, action: &str) -> Entry {
    let event = vigie_core::docker::told::ContainerEvent {
        id: "ab".to_owned(),
        name: "web".to_owned(),
        image: "busybox".to_owned(),
        action: action.to_owned(),
        at: Some(vigie_core::docker::event::Nanos(at)),
        exit_code: None,
        signal: None,
        oom: None,
        health: None,
        old_name: None,
        inferred: false,
    };
    let saying = vigie_core::docker::told::Saying::Event(Box::new(event));
    saying.entry(&Name::new("nas").expect("name"), Wall(1)).expect("an entry")
}

/// R11.4: what an engine tells again is stored once, within one transaction too; what has no key is stored each time.
#[test]
fn an_event_of_a_container_is_stored_once() {
    let folder = tempfile::tempdir().expect("folder");
    let (mut journal, _) = Journal::open(folder.path(), Wall(1)).expect("opened");
    let (die, stop) = (of_container(5, "die"), of_container(5, "stop"));
    let inferred = |entry: &Entry| match entry.what.clone() {
        What::ContainerEvent { action, id, image, exit_code, signal, oom, health, old_name, .. } => {
            let (time_nano, inferred) = (None, true);
            let what = What::ContainerEvent {
                action,
                id,
                image,
                time_nano,
                exit_code,
                signal,
                oom,
                health,
                old_name,
                inferred,
            };
            Entry { what, ..entry.clone() }
        }
        other => panic!("{other:?}"),
    };
    let numbers = journal.append(&[die.clone(), die.clone(), stop.clone()]).expect("written");
    assert_eq!(numbers, [Some(1), None, Some(2)]);
    assert_eq!(journal.append(&[die.clone(), of_container(6, "die")]).expect("written"), [None, Some(3)]);
    assert_eq!(journal.append(&[inferred(&die), inferred(&die)]).expect("written"), [Some(4), Some(5)]);
    let read = |filter: SubjectFilter| {
        let query = Query { subjects: vec![filter], ..Query::default() };
        journal.reader().read(&query).expect("read").len()
    };
    let source = |name: &str| Some(Name::new(name).expect("name"));
    assert_eq!(read(SubjectFilter { source: source("nas"), ..SubjectFilter::default() }), 5);
    assert_eq!(read(SubjectFilter { container: Some("web".to_owned()), ..SubjectFilter::default() }), 5);
    assert_eq!(read(SubjectFilter { source: source("other"), ..SubjectFilter::default() }), 0);
    assert_eq!(journal.reader().read(&Query::default()).expect("read")[0].entry, die, "as it was written");
}

/// A journal of before there were sources: it is read as it is, and goes on with the same numbers.
#[test]
fn a_journal_without_sources_gets_what_they_need() {
    let folder = tempfile::tempdir().expect("folder");
    let (mut journal, _) = Journal::open(folder.path(), Wall(1)).expect("opened");
    journal.append(&[Entry::of_keeper(Wall(1), Subject::Daemon, RunId(1), 1, What::Locked)]).expect("written");
    journal.close().expect("closed");
    let path = folder.path().join(FILE_NAME);
    let old = rusqlite::Connection::open(&path).expect("opened");
    old.execute_batch(
        "DROP INDEX entries_once; ALTER TABLE entries DROP COLUMN once; ALTER TABLE entries DROP COLUMN container;
         ALTER TABLE entries DROP COLUMN source",
    )
    .expect("as it was");
    drop(old);
    let reader = Reader::open(folder.path()).expect("opened");
    assert_eq!(reader.read(&Query::default()).expect("read").len(), 1);
    let about = SubjectFilter { container: Some("web".to_owned()), ..SubjectFilter::default() };
    assert_eq!(reader.read(&Query { subjects: vec![about], ..Query::default() }).expect("read"), []);
    let (mut journal, damage) = Journal::open(folder.path(), Wall(1)).expect("opened");
    assert_eq!(damage, None);
    assert_eq!(journal.append(&[of_container(5, "die"), of_container(5, "die")]).expect("written"), [Some(2), None]);
    assert_eq!(reader.read(&Query::default()).expect("read").len(), 2, "who had it open sees it");
}
