//! `kill -9` of whoever writes the journal, at random moments: what was acknowledged is there, once.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use vigie_core::clock::Wall;
use vigie_core::identity::RunId;
use vigie_core::journal::{Entry, Subject, What};
use vigie_store::journal::{Journal, Query, Reader};
use vigie_store::state::DocumentChange;
use vigie_store::writer::{Batch, Writer};

const FOLDER: &str = "VIGIE_TEST_CRASH_FOLDER";
const NOW: Wall = Wall(1_700_000_000_000_000_000);

fn entry(seq: u64) -> Entry {
    // Some are long, so that commits fill and move pages.
    let reason = "x".repeat((seq % 7 * 300) as usize);
    Entry::of_keeper(NOW, Subject::Daemon, RunId(1), seq, What::GaveUp { reason })
}

/// Not a test of its own: the writer that [`acknowledged_entries_survive_kill_9`] kills. Goes on from where the
/// journal ends, one step back, as a keeper does that repeats what was not acknowledged.
#[test]
fn writer() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    let (journal, damage) = Journal::open(Path::new(&dir), NOW).expect("opens");
    assert_eq!(damage, None, "a crash is no damage");
    let first = journal.reader().last_of_run(RunId(1)).expect("reads").max(1);
    let writer = Writer::spawn(journal).expect("thread");
    for seq in first.. {
        let document = DocumentChange::put("last", "seq", &seq).expect("JSON");
        let mut batch = Batch { entries: vec![entry(seq)], documents: vec![document] };
        let mut on_done: vigie_store::writer::OnDone = Box::new(move |result| {
            result.expect("stored");
            let mut out = std::io::stdout().lock();
            if writeln!(out, "\nstored {seq}").and_then(|()| out.flush()).is_err() {
                // The test that would kill this is gone.
                std::process::abort();
            }
        });
        while let Err(refused) = writer.submit(batch, on_done) {
            (batch, on_done) = (refused.batch, refused.on_done);
            std::thread::yield_now();
        }
    }
}

#[test]
fn acknowledged_entries_survive_kill_9() {
    let dir = tempfile::tempdir().expect("folder");
    let mut acknowledged = 0;
    // A fixed sequence that looks random: how many answers are awaited before the kill.
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..20 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "writer", "--nocapture", "--test-threads=1"])
            .env(FOLDER, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("spawns");
        let mut awaited = random % 200;
        for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
            let line = line.expect("a line");
            if let Some(seq) = line.strip_prefix("stored ").and_then(|seq| seq.parse().ok()) {
                acknowledged = acknowledged.max(seq);
                if awaited == 0 {
                    child.kill().expect("killed");
                }
                awaited = awaited.saturating_sub(1);
            }
        }
        child.wait().expect("reaped");
        let reader = Reader::open(dir.path()).expect("opens");
        let stored = reader.read(&Query::default()).expect("reads");
        for (index, one) in stored.iter().enumerate() {
            assert_eq!(one.entry, entry(index as u64 + 1), "round {round}: each once, in order, whole");
            assert_eq!(one.seq, index as u64 + 1);
        }
        assert!(stored.len() as u64 >= acknowledged, "round {round}: {} stored, {acknowledged} told", stored.len());
        let document = reader.document("last", "seq").expect("reads").expect("there");
        assert_eq!(document.parse::<u64>().expect("number"), stored.len() as u64, "together with its entry");
    }
    assert!(acknowledged > 100, "the writer got somewhere: {acknowledged}");
}
