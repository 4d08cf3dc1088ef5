use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::*;
use crate::proc::Proc;
use crate::proc::tests::Guard;

type Take = fn(&Path) -> Result<Option<Lock>, OsError>;
const BOTH: [Take; 2] = [Lock::take, Lock::take_shared];

#[test]
fn one_holder_at_a_time() {
    for take in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = take(&path).unwrap().unwrap();
        assert_eq!(lock.path(), path);
        assert!(take(&path).unwrap().is_none());
        drop(lock);
        assert!(take(&path).unwrap().is_some());
    }
}

/// R4.1, R4.2: many starters at once, again and again, while the file is deleted: by each holder at its end, and where the
/// folder is the lock's own, by somebody else at any time.
#[test]
fn never_two_holders() {
    for (take, deleted) in [(Lock::take as Take, true), (Lock::take_shared, false)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (holders, wins, stop) = (AtomicU32::new(0), AtomicU32::new(0), AtomicBool::new(false));
        let start = Barrier::new(9);
        std::thread::scope(|scope| {
            let starters: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        for _ in 0..500 {
                            let lock = match take(&path) {
                                Ok(lock) => lock,
                                // Whoever deletes it in a tight loop can keep everybody out, but let nobody in.
                                Err(error) if deleted && error.kind() == std::io::ErrorKind::PermissionDenied => None,
                                Err(error) => panic!("{error}"),
                            };
                            if let Some(lock) = lock {
                                assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two hold the lock");
                                wins.fetch_add(1, Ordering::SeqCst);
                                std::thread::yield_now();
                                holders.fetch_sub(1, Ordering::SeqCst);
                                let _ = fs::remove_file(&path);
                                drop(lock);
                            }
                        }
                    })
                })
                .collect();
            let deleter = scope.spawn(|| {
                start.wait();
                while deleted && !stop.load(Ordering::SeqCst) {
                    let _ = fs::remove_file(&path);
                }
            });
            let results: Vec<_> = starters.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            stop.store(true, Ordering::SeqCst);
            deleter.join().unwrap();
            assert!(results.into_iter().all(|result| result.is_ok()));
        });
        assert!(wins.into_inner() > 0);
        assert!(take(&path).unwrap().is_some());
    }
}

#[test]
fn in_every_round_exactly_one_wins() {
    for take in BOTH {
        for _ in 0..50 {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("lock");
            let start = Barrier::new(16);
            let winners: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..16)
                    .map(|_| {
                        scope.spawn(|| {
                            start.wait();
                            take(&path).unwrap()
                        })
                    })
                    .collect();
                threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(winners.len(), 1);
        }
    }
}

#[test]
fn a_deleted_file_lets_nobody_in() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let lock = Lock::take(&path).unwrap().unwrap();
    fs::remove_file(&path).unwrap();
    assert!(Lock::take(&path).unwrap().is_none());
    fs::write(&path, "a new one").unwrap();
    assert!(Lock::take(&path).unwrap().is_none());
    drop(lock);
    assert!(Lock::take(&path).unwrap().is_some());
}

/// R4.1: the file that was opened is not the one at the path any more once it is locked.
#[test]
fn a_holder_sees_that_others_may_come_in() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("lock");
    let own = Lock::take(&path).unwrap().unwrap();
    assert!(own.keeps_others_out().unwrap());
    fs::remove_file(&path).unwrap();
    assert!(own.keeps_others_out().unwrap() && Lock::take(&path).unwrap().is_none(), "the folder is locked, too");
    fs::remove_dir_all(&folder).unwrap();
    assert!(!own.keeps_others_out().unwrap());
    fs::create_dir(&folder).unwrap();
    assert!(!own.keeps_others_out().unwrap());
    assert!(Lock::take(&path).unwrap().is_some());

    let path = dir.path().join("shared");
    let shared = Lock::take_shared(&path).unwrap().unwrap();
    assert!(shared.keeps_others_out().unwrap());
    fs::remove_file(&path).unwrap();
    assert!(!shared.keeps_others_out().unwrap());
}

#[test]
fn a_replaced_file_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let (parent, name) = split(&path).unwrap();
    let folder = openat(CWD, parent, OFlags::PATH, Mode::empty()).unwrap();
    let open = || openat(&folder, name, OFlags::RDONLY | COMMON, Mode::empty()).unwrap();
    let attempt = |file: OwnedFd| attempt(file, &folder, name, &path).unwrap();
    fs::write(&path, "").unwrap();
    let (early, late) = (open(), open());
    let taken = attempt(open());
    assert!(matches!(taken, Attempt::Taken(_)));
    assert!(matches!(attempt(open()), Attempt::Held));
    drop(taken);
    fs::remove_file(&path).unwrap();
    assert!(matches!(attempt(early), Attempt::Replaced));
    fs::write(&path, "").unwrap();
    assert!(matches!(attempt(late), Attempt::Replaced));
    assert!(matches!(attempt(open()), Attempt::Taken(_)));
}

/// The lock goes with the last descriptor, so a process that inherits one holds it on.
#[test]
fn a_holder_that_dies_frees_it() {
    let proc = Proc::system().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    fs::write(&path, "").unwrap();
    let file = openat(CWD, &path, OFlags::RDONLY | COMMON, Mode::empty()).unwrap();
    flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
    let child = Guard(Command::new("sleep").arg("600").stdin(Stdio::from(file)).spawn().unwrap());
    assert!(Lock::take(&path).unwrap().is_none());
    // The opener's number is what the list shows, not the holder's.
    assert_eq!(opener(&proc, &path).unwrap(), Some(std::process::id()));
    drop(child);
    assert!(Lock::take(&path).unwrap().is_some());
}

#[test]
fn looking_does_not_disturb() {
    let proc = Proc::system().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    assert!(!is_held(&proc, &path).unwrap());
    let lock = Lock::take(&path).unwrap().unwrap();
    assert!(is_held(&proc, &path).unwrap());
    drop(lock);
    assert!(!is_held(&proc, &path).unwrap());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                is_held(&proc, &path).unwrap();
            }
        });
        let all = (0..1000).all(|_| Lock::take(&path).unwrap().is_some());
        stop.store(true, Ordering::SeqCst);
        assert!(all, "a look made a starter fail");
    });
}

#[test]
fn labels() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    assert_eq!(read_label(&path).unwrap(), None);
    let lock = Lock::take(&path).unwrap().unwrap();
    assert_eq!(read_label(&path).unwrap(), Some(Vec::new()));
    assert!(lock.write_label(&[b'x'; 5000]).unwrap());
    assert_eq!(read_label(&path).unwrap().unwrap().len(), 5000);
    assert!(lock.write_label(b"short").unwrap());
    assert_eq!(read_label(&path).unwrap().unwrap(), b"short");
    drop(lock);
    fs::write(&path, vec![b'y'; LABEL_MAX + 1]).unwrap();
    assert_eq!(read_label(&path).unwrap().unwrap().len(), LABEL_MAX);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn traps_are_refused() {
    for take in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let link = dir.path().join("link");
        symlink(&victim, &link).unwrap();
        assert!(take(&link).unwrap_err().to_string().contains("symbolic link"));
        assert!(read_label(&link).is_err());
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert_eq!(take(&pipe).unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
        assert!(read_label(&pipe).is_err());
        assert!(take(&dir.path().join("none/lock")).unwrap_err().to_string().contains("/none: "));
        assert!(take(Path::new("lock")).is_err());
        let folder_link = dir.path().join("folder");
        symlink(dir.path(), &folder_link).unwrap();
        assert!(take(&folder_link.join("lock")).is_err());
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
    }
}

/// R4.3
#[test]
fn the_shared_folder_must_be_safe() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("locks");
    let path = folder.join("vigie.api.lock");
    fs::create_dir(&folder).unwrap();
    let set_mode = |mode| fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o777);
    assert!(Lock::take_shared(&path).unwrap_err().to_string().contains("sticky"));
    for mode in [0o1777, 0o755, 0o700] {
        set_mode(mode);
        assert!(Lock::take_shared(&path).unwrap().is_some(), "{mode:o}");
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    fs::hard_link(&path, folder.join("second")).unwrap();
    assert!(Lock::take_shared(&path).unwrap_err().to_string().contains("second name"));
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&folder, Some(12345), None).unwrap();
        assert!(Lock::take_shared(&path).unwrap_err().to_string().contains("user 12345"));
    }
}

/// A file that an earlier holder of another user left behind can be locked, not written to.
#[test]
fn anothers_file_is_locked_without_a_label() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    fs::write(&path, "old label").unwrap();
    let file = openat(CWD, &path, OFlags::RDONLY | COMMON, Mode::empty()).unwrap();
    let lock = Lock { path: path.clone(), file: Held(file), writable: false, folder: None };
    assert!(!lock.write_label(b"new").unwrap());
    assert_eq!(read_label(&path).unwrap().unwrap(), b"old label");
    if !rustix::process::geteuid().is_root() {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        assert!(!Lock::take_shared(&path).unwrap().unwrap().writable);
    }
}
