use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use vigie_core::exit::Exit;
use vigie_core::name::Name;

const NOW: Wall = Wall(1_700_000_000_000_000_000);

fn name(text: &str) -> Name {
    Name::new(text).expect("name")
}

fn service(project: &str, service: &str, mode: Option<&str>) -> Subject {
    Subject::Service { project: name(project), service: name(service), mode: mode.map(name) }
}

fn exited(code: i32) -> What {
    What::Exited { exit: Exit::Code(code), ran: None }
}

fn keeper(run: u64, seq: u64) -> Entry {
    Entry::of_keeper(Wall(NOW.0 + seq), service("demo", "api", None), RunId(run), seq, exited(seq as i32))
}

fn open(dir: &Path) -> Journal {
    let (journal, damage) = Journal::open(dir, NOW).expect("opens");
    assert_eq!(damage, None);
    journal
}

fn numbers(stored: &[Stored]) -> Vec<u64> {
    stored.iter().map(|stored| stored.seq).collect()
}

#[test]
fn what_is_written_is_read_back() {
    let dir = tempfile::tempdir().expect("folder");
    let entries = [
        Entry::new(Wall(5), Subject::Daemon, None, What::DaemonStarted { version: "1".into(), pid: 3 }),
        Entry::new(Wall(6), Subject::Project(name("demo")), None, What::WantedUp { by: "anna".into() }),
        Entry::of_keeper(Wall(7), service("demo", "api", Some("x")), RunId(u64::MAX), 1, What::Locked),
        Entry::new(Wall(4), service("demo", "api", None), Some(RunId(8)), exited(7)),
    ];
    let mut journal = open(dir.path());
    assert_eq!(journal.append(&entries).expect("writes"), [Some(1), Some(2), Some(3), Some(4)]);
    let read = |reader: &Reader| {
        let stored = reader.read(&Query::default()).expect("reads");
        assert_eq!(numbers(&stored), [1, 2, 3, 4]);
        stored.into_iter().map(|stored| stored.entry).collect::<Vec<_>>()
    };
    assert_eq!(read(journal.reader()), entries);
    assert_eq!(read(&Reader::open(dir.path()).expect("opens")), entries, "beside the writer");
    journal.close().expect("closes");
    assert_eq!(read(&Reader::open(dir.path()).expect("opens")), entries, "without a writer");
    assert_eq!(read(open(dir.path()).reader()), entries, "by the next writer");
    for file in fs::read_dir(dir.path()).expect("folder") {
        let mode = file.expect("file").metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

/// Invariant 5.
#[test]
fn an_event_of_a_keeper_is_stored_once() {
    let dir = tempfile::tempdir().expect("folder");
    let mut journal = open(dir.path());
    assert_eq!(journal.append(&[keeper(1, 1), keeper(1, 2)]).expect("writes"), [Some(1), Some(2)]);
    assert_eq!(journal.append(&[keeper(1, 2), keeper(1, 3), keeper(2, 2)]).expect("writes"), [None, Some(3), Some(4)]);
    let unnumbered = Entry::new(NOW, service("demo", "api", None), Some(RunId(1)), What::GaveUp { reason: "x".into() });
    assert_eq!(journal.append(&[unnumbered.clone(), unnumbered]).expect("writes"), [Some(5), Some(6)]);
    assert_eq!(journal.reader().last_of_run(RunId(1)).expect("reads"), 3);
    assert_eq!(journal.reader().last_of_run(RunId(9)).expect("reads"), 0);
    journal.close().expect("closes");
    assert_eq!(open(dir.path()).append(&[keeper(1, 1)]).expect("writes"), [None]);
}

#[test]
fn queries() {
    let dir = tempfile::tempdir().expect("folder");
    let mut journal = open(dir.path());
    let at = |second: u64, subject, run: Option<u64>, what| Entry::new(Wall(second), subject, run.map(RunId), what);
    journal
        .append(&[
            at(10, Subject::Daemon, None, What::DaemonStopped { cause: "x".into() }),
            at(20, Subject::Project(name("a")), None, What::WantedUp { by: "x".into() }),
            at(30, service("a", "api", None), Some(1), exited(0)),
            at(40, service("a", "api", Some("m")), Some(2), exited(1)),
            at(50, service("b", "api", None), Some(3), What::Locked),
            at(60, service("b", "db", None), Some(4), exited(2)),
        ])
        .expect("writes");
    let filter = |project: Option<&str>, service: Option<&str>, mode: Option<&str>| SubjectFilter {
        project: project.map(name),
        service: service.map(name),
        mode: mode.map(name),
        ..SubjectFilter::default()
    };
    let all = Query::default;
    for (query, expected) in [
        (all(), vec![1, 2, 3, 4, 5, 6]),
        (Query { after: 4, ..all() }, vec![5, 6]),
        (Query { after: u64::MAX, ..all() }, vec![]),
        (Query { since: Some(Wall(30)), until: Some(Wall(50)), ..all() }, vec![3, 4, 5]),
        (Query { since: Some(Wall(u64::MAX)), ..all() }, vec![]),
        (Query { run: Some(RunId(2)), ..all() }, vec![4]),
        (Query { limit: Some(2), ..all() }, vec![1, 2]),
        (Query { limit: Some(2), newest: true, ..all() }, vec![5, 6]),
        (Query { limit: Some(1), newest: true, after: 2, until: Some(Wall(40)), ..all() }, vec![4]),
        (Query { subjects: vec![filter(Some("a"), None, None)], ..all() }, vec![2, 3, 4]),
        (Query { subjects: vec![filter(None, Some("api"), None)], ..all() }, vec![3, 4, 5]),
        (Query { subjects: vec![filter(Some("a"), Some("api"), Some("m"))], ..all() }, vec![4]),
        (
            Query {
                subjects: vec![filter(Some("b"), Some("db"), None), filter(Some("a"), Some("api"), None)],
                ..all()
            },
            vec![3, 4, 6],
        ),
        (Query { subjects: vec![filter(None, None, None)], ..all() }, vec![1, 2, 3, 4, 5, 6]),
        (Query { kinds: vec!["exited".into(), "locked".into()], run: Some(RunId(3)), ..all() }, vec![5]),
        (
            Query { kinds: vec!["exited".into()], subjects: vec![filter(Some("b"), None, None)], after: 1, ..all() },
            vec![6],
        ),
    ] {
        assert_eq!(numbers(&journal.reader().read(&query).expect("reads")), expected, "{query:?}");
    }
}

#[test]
fn of_several_changes_of_a_document_the_last_counts() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut journal, _) = Journal::open(dir.path(), NOW).expect("opens");
    let put = |key: &str, value: u32| DocumentChange::put("wanted", key, &value).expect("a document");
    let delete = |key: &str| DocumentChange::delete("wanted", key);
    let changes = [put("a", 1), delete("a"), put("b", 1), put("a", 2), delete("b"), put("c", 3), put("c", 4)];
    journal.commit(&[], &changes).expect("writes");
    let documents = journal.reader().documents("wanted").expect("reads");
    let seen: Vec<(&str, &str)> = documents.iter().map(|one| (one.key.as_str(), one.json.as_str())).collect();
    assert_eq!(seen, [("a", "2"), ("c", "4")]);
}

/// A large transaction has more memory while it lasts, and the next one is as any other.
#[test]
fn large_and_small_ones_take_turns() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut journal, _) = Journal::open(dir.path(), NOW).expect("opens");
    let entry = |seq: u64| Entry::of_keeper(NOW, Subject::Daemon, RunId(1), seq, What::Locked);
    let mut next = 1;
    for count in [1, 3000, 1, 3000, 2] {
        let entries: Vec<Entry> = (next..next + count).map(entry).collect();
        let numbers = journal.append(&entries).expect("writes");
        assert_eq!(numbers, (next..next + count).map(Some).collect::<Vec<_>>());
        assert_eq!(journal.append(&entries).expect("writes"), vec![None; entries.len()], "it had them");
        next += count;
    }
    journal.close().expect("closes");
    assert!(std::fs::metadata(dir.path().join(FILE_NAME)).expect("it is there").len() > 6000 * 20);
}

#[test]
fn documents_are_stored_with_the_entries_that_tell_of_them() {
    let dir = tempfile::tempdir().expect("folder");
    let mut journal = open(dir.path());
    let put = |key: &str, value: u32| DocumentChange::put("wanted", key, &value).expect("JSON");
    journal.commit(&[keeper(1, 1)], &[put("b", 2), put("a", 1), put("c", 3)]).expect("writes");
    journal.commit(&[], &[put("a", 10), DocumentChange::delete("wanted", "c")]).expect("writes");
    let all = |reader: &Reader| {
        let documents = reader.documents("wanted").expect("reads");
        documents.iter().map(|one| (one.key.clone(), one.parse::<u32>().expect("number"))).collect::<Vec<_>>()
    };
    assert_eq!(all(journal.reader()), [("a".to_owned(), 10), ("b".to_owned(), 2)]);
    assert_eq!(journal.reader().document("wanted", "c").expect("reads"), None);
    assert_eq!(journal.reader().documents("other").expect("reads"), []);
    let odd = journal.reader().document("wanted", "a").expect("reads").expect("there");
    let error = odd.parse::<Vec<u32>>().expect_err("not a list").to_string();
    assert!(error.starts_with("document wanted/a cannot be read: "), "{error}");
}

#[test]
fn pruning_leaves_no_holes_and_forgets_no_number() {
    let dir = tempfile::tempdir().expect("folder");
    let mut journal = open(dir.path());
    let second = |n: u64| n * 1_000_000_000;
    let at = |n: u64, entry: Entry| Entry { at: Wall(second(n)), ..entry };
    let empty = |run: u64| Entry { what: What::Empty { after: None }, ..keeper(run, 3) };
    journal
        .append(&[
            at(10, keeper(1, 1)),
            at(11, keeper(1, 2)),
            at(12, keeper(2, 1)),
            at(13, empty(2)),
            at(90, keeper(1, 3)),
            at(14, keeper(1, 4)),
            at(91, keeper(1, 5)),
        ])
        .expect("writes");
    let retention = |age: u64, max_rows| Retention { max_age: Duration::from_secs(age), max_rows };
    let left = |journal: &Journal| numbers(&journal.reader().read(&Query::default()).expect("reads"));
    assert_eq!(journal.prune(Wall(second(100)), retention(1_000, 100)).expect("prunes"), 0);
    assert_eq!(journal.prune(Wall(second(100)), retention(50, 100)).expect("prunes"), 4);
    assert_eq!(left(&journal), [5, 6, 7], "6 is too old, but stands behind 5");
    assert_eq!(journal.append(&[keeper(1, 2), keeper(1, 6)]).expect("writes"), [None, Some(8)], "run 1 goes on");
    assert_eq!(journal.prune(Wall(second(100)), retention(1_000, 2)).expect("prunes"), 2);
    assert_eq!(left(&journal), [7, 8]);
    assert_eq!(journal.reader().last_of_run(RunId(1)).expect("reads"), 6);
    assert_eq!(journal.reader().first_seq().expect("reads"), Some(7));
    assert_eq!(journal.prune(Wall(NOW.0 * 2), retention(1, 0)).expect("prunes"), 2);
    assert_eq!(journal.reader().first_seq().expect("reads"), None);
    assert_eq!(journal.reader().last_seq().expect("reads"), 8);
    assert_eq!(journal.append(&[keeper(1, 6), keeper(3, 1)]).expect("writes"), [None, Some(9)]);
}

#[test]
fn a_full_disk_is_an_error_and_passes() {
    let dir = tempfile::tempdir().expect("folder");
    let mut journal = open(dir.path());
    journal.append(&[keeper(1, 1)]).expect("writes");
    journal.limit_pages(12);
    let long = |seq| Entry { what: What::GaveUp { reason: "x".repeat(100_000) }, ..keeper(1, seq) };
    let change = DocumentChange::put("wanted", "a", &1).expect("JSON");
    let error = journal.commit(&[keeper(1, 2), long(3)], &[change]).expect_err("no room");
    assert!(matches!(error, Error::Full { .. }), "{error}");
    assert_eq!(journal.reader().last_of_run(RunId(1)).expect("reads"), 1, "all or nothing");
    assert_eq!(journal.reader().documents("wanted").expect("reads"), []);
    assert_eq!(journal.append(&[keeper(1, 2)]).expect("small enough"), [Some(2)]);
    journal.limit_pages(1_000);
    assert_eq!(journal.append(&[long(3)]).expect("room again"), [Some(3)]);
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("folder");
    let journal = open(dir.path());
    journal.reader().connection().pragma_update(None, "user_version", SCHEMA_VERSION + 1).expect("pragma");
    journal.close().expect("closes");
    let before = fs::read(dir.path().join(FILE_NAME)).expect("bytes");
    assert!(matches!(Journal::open(dir.path(), NOW), Err(Error::Newer { found: 2, known: 1, .. })));
    assert!(matches!(Reader::open(dir.path()), Err(Error::Newer { .. })));
    assert_eq!(fs::read(dir.path().join(FILE_NAME)).expect("bytes"), before);
}

/// Many rows and some documents: several pages of each.
fn filled(dir: &Path) -> Vec<u8> {
    let mut journal = open(dir);
    let entries: Vec<_> = (1..=2_000).map(|seq| keeper(1, seq)).collect();
    let documents: Vec<_> =
        (0..3).map(|key| DocumentChange::put("wanted", &key.to_string(), &key).expect("JSON")).collect();
    journal.commit(&entries, &documents).expect("writes");
    journal.close().expect("closes");
    fs::read(dir.join(FILE_NAME)).expect("bytes")
}

/// R10.1: a damaged journal is set aside and reported, whatever the damage.
#[test]
fn damage_is_set_aside_and_reported() {
    type Harm = fn(&mut Vec<u8>);
    let cases: &[(&str, Harm, bool)] = &[
        ("emptied", |bytes| bytes.clear(), false),
        ("cut to half a page", |bytes| bytes.truncate(2_000), false),
        ("cut in the middle", |bytes| bytes.truncate(bytes.len() / 2 / 4096 * 4096), true),
        ("cut within a page", |bytes| bytes.truncate(bytes.len() - 1_000), true),
        ("garbage header", |bytes| bytes[..100].fill(0xa5), false),
        ("garbage everywhere", |bytes| bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_mul(31) ^ 0x5a), false),
        (
            "a zeroed page",
            |bytes| {
                let last = bytes.len() - 4096;
                bytes[last..].fill(0);
            },
            true,
        ),
        ("another program's database", |bytes| bytes[68..72].fill(0), true),
    ];
    for (case, harm, documents_survive) in cases {
        let dir = tempfile::tempdir().expect("folder");
        let mut bytes = filled(dir.path());
        harm(&mut bytes);
        fs::write(dir.path().join(FILE_NAME), &bytes).expect("harmed");
        let (mut journal, damage) = Journal::open(dir.path(), NOW).expect(case);
        let damage = damage.expect(case);
        assert_eq!(fs::read(&damage.kept_as).expect(case), bytes, "{case}: kept as it was");
        assert!(!damage.why.is_empty());
        assert_eq!(
            (damage.documents == 3, damage.documents_complete),
            (*documents_survive, *documents_survive),
            "{case}: {damage:?}"
        );
        assert_eq!(journal.reader().documents("wanted").expect(case).len(), damage.documents as usize, "{case}");
        let seq = journal.append(&[damage.entry(NOW)]).expect(case)[0].expect("new");
        assert!(seq > 1_000_000_000, "{case}: above all earlier numbers");
        journal.close().expect(case);
        assert_eq!(
            numbers(&open(dir.path()).reader().read(&Query { after: 2_000, ..Query::default() }).expect(case)),
            [seq]
        );
    }
}

#[test]
fn a_lost_main_file_is_reported_and_its_wal_kept_out() {
    let dir = tempfile::tempdir().expect("folder");
    let mut journal = open(dir.path());
    journal.append(&[keeper(1, 1)]).expect("writes");
    fs::remove_file(dir.path().join(FILE_NAME)).expect("removed");
    let (second, damage) = Journal::open(dir.path(), NOW).expect("opens");
    assert_eq!(damage.expect("damage").why, "its main file is missing");
    assert_eq!(second.reader().read(&Query::default()).expect("reads"), []);
    journal.reader.abandon();
}

#[test]
fn damage_found_while_open_begins_a_new_journal() {
    let dir = tempfile::tempdir().expect("folder");
    filled(dir.path());
    let journal = open(dir.path());
    let (mut journal, damage) = journal.begin_anew("seen while writing".into(), NOW).expect("begins");
    assert_eq!((damage.documents, damage.documents_complete), (3, true));
    assert!(journal.append(&[keeper(1, 1)]).expect("writes")[0].is_some());
    let name = damage.kept_as.file_name().and_then(|name| name.to_str()).expect("name").to_owned();
    assert_eq!(name, format!("journal.damaged-{}", NOW.0));
}

/// A crash of the daemon: the WAL is left, and its whole frames count.
#[test]
fn a_torn_wal_loses_only_what_was_not_acknowledged() {
    let dir = tempfile::tempdir().expect("folder");
    let mut journal = open(dir.path());
    for seq in 1..=5 {
        journal.append(&[keeper(1, seq)]).expect("writes");
    }
    let copy = tempfile::tempdir().expect("folder");
    for file in [FILE_NAME, "journal.db-wal"] {
        fs::copy(dir.path().join(file), copy.path().join(file)).expect("copied");
    }
    let wal = copy.path().join("journal.db-wal");
    let mut bytes = fs::read(&wal).expect("bytes");
    bytes.truncate(bytes.len() - 100);
    bytes.extend([0xee; 50]);
    fs::write(&wal, bytes).expect("torn");
    let stored = Reader::open(copy.path()).expect("opens").read(&Query::default()).expect("reads");
    assert_eq!(numbers(&stored), [1, 2, 3, 4]);
    assert_eq!(open(copy.path()).append(&[keeper(1, 4), keeper(1, 5)]).expect("writes"), [None, Some(5)]);
}

#[test]
fn readers_see_whole_batches_while_the_writer_writes() {
    let dir = tempfile::tempdir().expect("folder");
    let mut journal = open(dir.path());
    let path = dir.path().to_owned();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || {
                let reader = Reader::open(&path).expect("opens");
                let mut seen = 0;
                while seen < 900 {
                    let found =
                        reader.read(&Query { after: seen, limit: Some(50), ..Query::default() }).expect("reads");
                    for one in found {
                        assert_eq!(one.seq, seen + 1, "in order, without holes");
                        seen = one.seq;
                    }
                    assert_eq!(reader.last_seq().expect("reads") % 3, 0, "a batch is there as a whole");
                }
            })
        })
        .collect();
    for batch in 0..300 {
        journal.append(&[1, 2, 3].map(|n| keeper(1, batch * 3 + n))).expect("writes");
    }
    for reader in readers {
        reader.join().expect("reader");
    }
}

#[test]
fn what_a_reader_meets() {
    let dir = tempfile::tempdir().expect("folder");
    assert!(matches!(Reader::open(dir.path()), Err(Error::Absent { .. })));
    filled(dir.path());
    // Bytes in the path that a URI would read as something else.
    let odd = dir.path().join("50% of?it#1");
    fs::create_dir(&odd).expect("folder");
    fs::copy(dir.path().join(FILE_NAME), odd.join(FILE_NAME)).expect("copied");
    let connection = file::FORMAT.open_immutable(&odd.join(FILE_NAME)).expect("opens");
    let reader = Reader::new(connection, odd.join(FILE_NAME));
    assert_eq!(reader.last_seq().expect("reads"), 2_000);
    assert_eq!(fs::read_dir(&odd).expect("folder").count(), 1, "nothing is made beside it");
}

/// Does nothing where permissions do not bind: as root.
#[test]
fn a_folder_that_cannot_be_written_to() {
    let dir = tempfile::tempdir().expect("folder");
    filled(dir.path());
    let unclean = tempfile::tempdir().expect("folder");
    let mut journal = open(unclean.path());
    journal.append(&[keeper(1, 1)]).expect("writes");
    let left = tempfile::tempdir().expect("folder");
    for file in [FILE_NAME, "journal.db-wal"] {
        fs::copy(unclean.path().join(file), left.path().join(file)).expect("copied");
    }
    let mode = |dir: &Path, mode| fs::set_permissions(dir, fs::Permissions::from_mode(mode)).expect("mode");
    mode(dir.path(), 0o500);
    mode(left.path(), 0o500);
    if fs::write(left.path().join("probe"), "").is_err() {
        let stored = Reader::open(dir.path()).expect("opens").read(&Query::default()).expect("reads");
        assert_eq!(stored.len(), 2_000);
        assert!(matches!(Reader::open(left.path()), Err(Error::FolderNotWritable { .. })));
        mode(dir.path(), 0o700);
        let file = dir.path().join(FILE_NAME);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).expect("mode");
        let error = Reader::open(dir.path()).err().expect("not ours").to_string();
        assert!(error.starts_with("cannot open ") && error.contains("ermission denied"), "{error}");
    }
    mode(dir.path(), 0o700);
    mode(left.path(), 0o700);
}

#[test]
fn stored_entries_travel_as_json() {
    let stored = Stored { seq: 3, entry: keeper(1, 2) };
    let json = serde_json::to_value(&stored).expect("JSON");
    assert_eq!(json["seq"], 3);
    assert_eq!(json["run"], "0000000000000001");
    assert_eq!(json["what"]["kind"], "exited");
    assert_eq!(serde_json::from_value::<Stored>(json).expect("readable"), stored);
}

#[test]
fn a_row_of_a_newer_version_does_not_hide_the_others() {
    let dir = tempfile::tempdir().expect("folder");
    let mut journal = open(dir.path());
    journal.append(&[keeper(1, 1)]).expect("writes");
    journal
        .reader()
        .connection()
        .execute_batch(
            "INSERT INTO entries (at, kind, project, what) VALUES (1, 'sung', 'a b', '{\"kind\":\"sung\",\"song\":\"x\"}');
             INSERT INTO entries (at, kind, what) VALUES (2, 'torn', '{\"kind\":');",
        )
        .expect("inserts");
    let stored = journal.reader().read(&Query::default()).expect("reads");
    let lines: Vec<_> = stored.iter().map(|one| vigie_core::journal::describe(&one.entry)).collect();
    assert_eq!(lines[1], "sung (unknown to this version) song=\"x\"");
    assert_eq!(lines[2], "torn (unknown to this version) text=\"{\\\"kind\\\":\"");
    assert_eq!(stored[1].entry.subject, Subject::Project(name("a-b")));
}
