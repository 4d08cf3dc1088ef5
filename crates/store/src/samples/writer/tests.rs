use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use rusqlite::Connection;

use vigie_core::samples::{Level, Metric, Moment};

use super::super::tests::{T, sample, subject, wall};
use super::super::{LIMIT, Reader, Round};
use super::*;

const LONG: Duration = Duration::from_secs(60);

fn batch(at: u64, names: &[&str]) -> Batch {
    let samples = names.iter().map(|name| sample(&subject(name), &[(Metric::Memory, at)])).collect();
    Batch { now: wall(at), rounds: vec![Round { at: Moment(at), every: 5_000, begins: false, samples }] }
}

/// What the thread tells, as it comes.
fn told() -> (OnTold, Receiver<Told>) {
    let (sender, receiver) = channel();
    let sender: Mutex<Sender<Told>> = Mutex::new(sender);
    (Box::new(move |told| sender.lock().expect("whole").send(told).unwrap_or(())), receiver)
}

/// Waits until everything that was handed over is dealt with.
fn settle(writer: &Writer) {
    for _ in 0..10_000 {
        let (done, heard) = sync_channel(1);
        writer.tell(Box::new(move || done.send(()).unwrap_or(())));
        // Where the queue is full, what it would call is dropped.
        match heard.recv_timeout(LONG) {
            Ok(()) => return,
            Err(_) => std::thread::park_timeout(Duration::from_millis(5)),
        }
    }
    panic!("it is never dealt with");
}

fn raw(dir: &Path) -> usize {
    let reader = Reader::open(dir).expect("opens");
    reader.read(Level::Raw, &[1], Moment(T), Moment(u64::MAX >> 1)).expect("reads")[0].len()
}

#[test]
fn batches_are_stored_in_order_and_tidied_up_between() {
    let dir = tempfile::tempdir().expect("folder");
    let (on_told, heard) = told();
    let writer = Writer::spawn(dir.path(), LIMIT, on_told).expect("thread");
    assert!(!dir.path().join("samples.db").exists(), "nothing is made before there is something to keep");
    for n in 0..40 {
        assert!(writer.submit(batch(T + n * 5_000, &["api"])), "there is room");
    }
    settle(&writer);
    assert_eq!(raw(dir.path()), 40);
    let connection = Connection::open(dir.path().join("samples.db")).expect("opens");
    connection.busy_timeout(LONG).expect("set");
    let minutes = || -> i64 {
        let sql = "SELECT count(*) FROM samples WHERE level = 1";
        connection.query_row(sql, [], |row| row.get(0)).expect("counts")
    };
    // A step is done while nobody asks for anything else.
    for _ in 0..10_000 {
        if minutes() == 3 {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    assert_eq!(minutes(), 3);
    drop(connection);
    drop(writer);
    assert!(!dir.path().join("samples.db-wal").exists(), "closed in order");
    assert_eq!(heard.try_recv().ok(), None, "there is nothing to tell");
}

/// A disk that stands still: what does not fit into the queue is dropped and counted, and nobody waits.
#[test]
fn what_finds_no_room_is_counted() {
    let dir = tempfile::tempdir().expect("folder");
    let writer = Writer::spawn(dir.path(), LIMIT, told().0).expect("thread");
    writer.submit(batch(T, &["api"]));
    settle(&writer);
    let (hold, held) = channel::<()>();
    let (begun, begins) = sync_channel(1);
    writer.tell(Box::new(move || {
        begun.send(()).unwrap_or(());
        held.recv().unwrap_or(());
    }));
    begins.recv_timeout(LONG).expect("the thread is held up");
    let taken = (0..200).filter(|n| writer.submit(batch(T + 1 + n, &["api", "db"]))).count();
    assert_eq!(taken, QUEUE);
    drop(hold);
    settle(&writer);
    // It goes on, and the count comes with what is stored next.
    assert!(writer.submit(batch(T + 1_000, &["api"])));
    settle(&writer);
    let lost = Reader::open(dir.path()).expect("opens").size().expect("looks").lost;
    assert_eq!(lost, 2 * (200 - QUEUE as u64));
    assert_eq!(raw(dir.path()), 2 + QUEUE);
}

#[test]
fn damage_that_is_met_while_writing_is_told_and_writing_goes_on() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("samples.db");
    let (on_told, heard) = told();
    let writer = Writer::spawn(dir.path(), LIMIT, on_told).expect("thread");
    writer.submit(batch(T, &["api"]));
    settle(&writer);
    // Another connection spoils the table that everything is written to.
    let connection = Connection::open(&path).expect("opens");
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("moved");
    let root: u32 = connection
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'samples'", [], |row| row.get(0))
        .expect("known");
    let page = vec![0xa5; 4096];
    let file = std::fs::OpenOptions::new().write(true).open(&path).expect("opens");
    std::os::unix::fs::FileExt::write_at(&file, &page, (u64::from(root) - 1) * 4096).expect("harmed");
    // What the thread remembers of the page is out of date.
    connection.execute_batch("CREATE TABLE other (a); DROP TABLE other").expect("written");
    drop(connection);
    writer.submit(batch(T + 1, &["api"]));
    settle(&writer);
    let Told::Damaged(damage) = heard.recv_timeout(LONG).expect("told") else { panic!("damage") };
    assert!(damage.kept_as.exists() && !damage.why.is_empty());
    assert_eq!(raw(dir.path()), 1, "the batch that met it is in the new file");
}

#[test]
fn a_newer_file_is_told_of_once_and_never_touched() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("samples.db");
    drop(Samples::open(dir.path(), wall(T), LIMIT).expect("opens"));
    Connection::open(&path).expect("opens").pragma_update(None, "user_version", 9).expect("pragma");
    let before = std::fs::read(&path).expect("bytes");
    let (on_told, heard) = told();
    let writer = Writer::spawn(dir.path(), LIMIT, on_told).expect("thread");
    for n in 0..3 {
        writer.submit(batch(T + n, &["api"]));
        settle(&writer);
    }
    drop(writer);
    let all: Vec<Told> = heard.iter().collect();
    assert!(matches!(&all[..], [Told::Failing(why)] if why.contains("schema version 9")), "{all:?}");
    assert_eq!(std::fs::read(&path).expect("bytes"), before);
}

/// What keeps the file from being opened passes, and what was lost meanwhile is told.
#[test]
fn a_trouble_is_told_when_it_begins_and_when_it_is_over() {
    let dir = tempfile::tempdir().expect("folder");
    // A folder where the new file is to be made.
    let obstacle = dir.path().join("samples.db.new");
    std::fs::create_dir(&obstacle).expect("folder");
    let (on_told, heard) = told();
    let writer = Writer::spawn(dir.path(), LIMIT, on_told).expect("thread");
    for n in 0..3 {
        writer.submit(batch(T + n, &["api"]));
    }
    settle(&writer);
    assert!(matches!(heard.recv_timeout(LONG), Ok(Told::Failing(_))));
    std::fs::remove_dir(&obstacle).expect("removed");
    writer.submit(batch(T + 3, &["api"]));
    settle(&writer);
    assert_eq!(heard.recv_timeout(LONG), Ok(Told::Again));
    assert_eq!(heard.try_recv().ok(), None, "each is told once");
    assert_eq!(raw(dir.path()), 1);
    assert_eq!(Reader::open(dir.path()).expect("opens").size().expect("looks").lost, 3);
}
