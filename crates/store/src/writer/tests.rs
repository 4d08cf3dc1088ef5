use std::sync::mpsc::channel;
use std::time::Duration;

use super::*;
use crate::journal::{Query, Reader};
use vigie_core::identity::RunId;
use vigie_core::journal::{Subject, What};

const NOW: Wall = Wall(1_700_000_000_000_000_000);

fn entry(seq: u64) -> Entry {
    Entry::of_keeper(NOW, Subject::Daemon, RunId(1), seq, What::Locked)
}

fn batch(seq: u64) -> Batch {
    let document = DocumentChange::put("last", "seq", &seq).expect("JSON");
    Batch { entries: vec![entry(seq)], documents: vec![document] }
}

fn long(seq: u64) -> Batch {
    let what = What::GaveUp { reason: "x".repeat(200_000) };
    Batch { entries: vec![Entry { what, ..entry(seq) }], documents: Vec::new() }
}

/// Occupies the writer until the sender is dropped, so that what is submitted meanwhile is one group.
fn hold(writer: &Writer) -> std::sync::mpsc::Sender<()> {
    let (release, released) = channel::<()>();
    let (held, holds) = channel();
    let on_done = Box::new(move |_| {
        let _ = held.send(());
        let _ = released.recv();
    });
    assert!(writer.submit(Batch::default(), on_done).is_ok());
    holds.recv_timeout(Duration::from_secs(20)).expect("the writer works");
    release
}

#[test]
fn batches_are_answered_in_order_and_are_durable_by_then() {
    let dir = tempfile::tempdir().expect("folder");
    let writer = Writer::spawn(Journal::open(dir.path(), NOW).expect("opens").0).expect("thread");
    let (send, answers) = channel();
    let gate = hold(&writer);
    for seq in (1..=600).chain([5, 6]) {
        let (send, dir) = (send.clone(), dir.path().to_owned());
        let on_done: OnDone = Box::new(move |result| {
            if seq % 100 == 0 {
                let reader = Reader::open(&dir).expect("opens");
                assert!(reader.last_of_run(RunId(1)).expect("reads") >= seq, "acknowledged before it was there");
            }
            let _ = send.send((seq, result.expect("stored").numbers));
        });
        assert!(writer.submit(batch(seq), on_done).is_ok());
    }
    drop(gate);
    drop(send);
    let answers: Vec<_> = answers.iter().collect();
    let expected: Vec<_> =
        (1..=600).map(|seq| (seq, vec![Some(seq)])).chain([5, 6].map(|seq| (seq, vec![None]))).collect();
    assert_eq!(answers, expected);
    writer.close().expect("closes");
    let reader = Reader::open(dir.path()).expect("opens");
    assert_eq!(reader.document("last", "seq").expect("reads").expect("there").json, "6", "documents in order too");
}

#[test]
fn a_full_queue_gives_everything_back_at_once() {
    let dir = tempfile::tempdir().expect("folder");
    let writer = Writer::spawn(Journal::open(dir.path(), NOW).expect("opens").0).expect("thread");
    let gate = hold(&writer);
    let (send, answers) = channel();
    let mut accepted = 0;
    let refused = loop {
        let send = send.clone();
        let on_done: OnDone = Box::new(move |result| _ = send.send(result.is_ok()));
        match writer.submit(batch(accepted + 1), on_done) {
            Ok(()) => accepted += 1,
            Err(refused) => break *refused,
        }
    };
    assert_eq!(accepted, QUEUE as u64);
    assert_eq!(refused.batch, batch(accepted + 1));
    drop(gate);
    assert!(answers.recv().expect("an answer makes room"));
    let Refused { mut batch, mut on_done } = refused;
    // Room comes with the next task that the writer takes; each refusal hands everything back.
    for answer in answers.iter() {
        assert!(answer);
        match writer.submit(batch, on_done) {
            Ok(()) => break,
            Err(again) => Refused { batch, on_done } = *again,
        }
    }
    writer.close().expect("closes");
    assert_eq!(Reader::open(dir.path()).expect("opens").last_seq().expect("reads"), accepted + 1);
}

#[test]
fn one_that_fails_comes_back_and_does_not_hold_up_the_others() {
    let dir = tempfile::tempdir().expect("folder");
    let journal = Journal::open(dir.path(), NOW).expect("opens").0;
    journal.limit_pages(16);
    let writer = Writer::spawn(journal).expect("thread");
    let gate = hold(&writer);
    let (send, answers) = channel();
    for batch in [batch(1), long(2), batch(3)] {
        let send = send.clone();
        assert!(writer.submit(batch, Box::new(move |result| _ = send.send(result))).is_ok());
    }
    drop((gate, send));
    let answers: Vec<_> = answers.iter().collect();
    assert_eq!(answers[0].as_ref().expect("stored").numbers, [Some(1)]);
    let failed = answers[1].as_ref().expect_err("no room");
    assert!(matches!(failed.error, Error::Full { .. }), "{failed}");
    assert_eq!(failed.batch, long(2));
    assert_eq!(answers[2].as_ref().expect("stored").numbers, [Some(2)]);
    writer.close().expect("closes");
}

#[test]
fn pruning_waits_its_turn() {
    let dir = tempfile::tempdir().expect("folder");
    let writer = Writer::spawn(Journal::open(dir.path(), NOW).expect("opens").0).expect("thread");
    let (send, answers) = channel();
    for seq in 1..=5 {
        assert!(writer.submit(batch(seq), Box::new(|result| assert!(result.is_ok()))).is_ok());
    }
    let retention = Retention { max_age: Duration::from_secs(1), max_rows: 2 };
    assert!(writer.prune(NOW, retention, move |removed| _ = send.send(removed.expect("prunes"))));
    assert_eq!(answers.recv().expect("an answer"), 3);
    writer.close().expect("closes");
    let left = Reader::open(dir.path()).expect("opens").read(&Query::default()).expect("reads");
    assert_eq!(left.iter().map(|one| one.seq).collect::<Vec<_>>(), [4, 5]);
}

/// A page goes bad under the open journal.
#[test]
fn damage_met_while_writing_begins_a_new_journal_and_loses_no_batch() {
    let dir = tempfile::tempdir().expect("folder");
    let mut journal = Journal::open(dir.path(), NOW).expect("opens").0;
    let many: Vec<_> = (1..=3_000).map(entry).collect();
    // The check at opening reads these last, so that nothing else stays in the cache.
    let text = "x".repeat(3_000);
    let documents: Vec<_> =
        (0..200).map(|key: u32| DocumentChange::put("large", &key.to_string(), &text).expect("JSON")).collect();
    journal.commit(&many, &documents).expect("writes");
    journal.close().expect("closes");
    let file = dir.path().join(crate::journal::FILE_NAME);
    let journal = Journal::open(dir.path(), NOW).expect("opens").0;
    let size = std::fs::metadata(&file).expect("metadata").len();
    let open = std::fs::OpenOptions::new().write(true).open(&file).expect("opens");
    // All but the header and the schema.
    std::os::unix::fs::FileExt::write_all_at(&open, &vec![0xa5; (size - 2 * 4096) as usize], 2 * 4096).expect("harms");
    let writer = Writer::spawn(journal).expect("thread");
    let (send, answers) = channel();
    assert!(writer.submit(batch(3_001), Box::new(move |result| _ = send.send(result))).is_ok());
    let done = answers.recv().expect("an answer").expect("stored");
    let damage = done.damage.expect("damage is told");
    assert!(damage.kept_as.exists());
    writer.close().expect("closes");
    let left = Reader::open(dir.path()).expect("opens").read(&Query::default()).expect("reads");
    assert_eq!(left.len(), 2);
    assert_eq!(left[0].entry.what.kind(), "journal_damaged");
    assert_eq!(Some(left[1].seq), done.numbers[0]);
}
