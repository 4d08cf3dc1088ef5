//! Waits that only root can make, each in mounts of its own, or for files of its own.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use vigie_core::stuck::facts::{KILLABLE, Mount, Object, ProcessFacts};
use vigie_core::why::facts::Told;

use super::tests::{Forked, facts, main_task, pids};
use crate::proc::Proc;
use crate::proc::tests::{Guard, eventually};

fn is_root(what: &str) -> bool {
    let root = crate::user::uid() == 0;
    if !root {
        println!("skipped: {what} needs root");
    }
    root
}

/// A script in a table of mounts of its own. What it says, line by line.
fn in_own_mounts(script: &str, folder: &Path) -> (Guard, BufReader<ChildStdout>) {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-ec", script]).current_dir(folder);
    let mut child: Child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (Guard(child), output)
}

fn line(output: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line.trim().to_owned()
}

fn mount(seen: &ProcessFacts) -> Option<&Mount> {
    main_task(seen).waits.iter().find_map(|object| match object {
        Object::File { mount, .. } => mount.as_ref(),
        _ => None,
    })
}

#[test]
fn a_file_system_that_nobody_answers_for() {
    if !is_root("FUSE in a table of mounts of its own") {
        return;
    }
    // Nobody ever answers. Another one, where nothing waits, is nobody's business.
    let script = "for name in a b; do mkdir $name; done; exec 3<>/dev/fuse 4<>/dev/fuse; \
                  mount -i -t fuse quiet b -o fd=4,rootmode=40000,user_id=0,group_id=0; \
                  mount -i -t fuse silent a -o fd=3,rootmode=40000,user_id=0,group_id=0; \
                  (exec 3>&- 4>&-; exec cat a/file) & echo $!; wait";
    let dir = tempfile::tempdir().unwrap();
    let (child, mut output) = in_own_mounts(script, dir.path());
    let Ok(pid) = line(&mut output).parse::<u32>() else {
        println!("skipped: FUSE cannot be mounted here");
        return;
    };
    let proc = Proc::system().unwrap();
    let connected = |seen: &ProcessFacts| mount(seen).is_some_and(|mount| mount.fuse.is_some());
    eventually("it waits", || connected(&facts(&proc, pid)));
    let seen = facts(&proc, pid);
    let [Object::File { fd: None, path: Told::Known(path), mount: Some(mount) }] = main_task(&seen).waits.as_slice()
    else {
        panic!("{seen:?}")
    };
    assert_eq!(path.as_path(), dir.path().canonicalize().unwrap().join("a/file"));
    assert_eq!((mount.source.to_string().as_str(), mount.device.0), ("silent", 0));
    let fuse = mount.fuse.as_ref().unwrap();
    assert_eq!(fuse.connection, mount.device.1);
    assert!(fuse.waiting.known().is_some_and(|count| *count > 0), "{fuse:?}");
    // Whoever else has that device open may be told of by kernels that do not tell whose it is.
    assert!(pids(&fuse.servers).unwrap().contains(&child.0.id()), "{fuse:?}");
    crate::cure::abort_fuse(fuse.connection, crate::clock::mono() + std::time::Duration::from_secs(60)).unwrap();
}

#[test]
fn a_file_system_that_is_frozen() {
    if !is_root("freezing a file system") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = "truncate -s 8M image; mkfs.ext4 -q image; mount -o loop image /mnt; fsfreeze -f /mnt; \
                  (trap '' TERM; exec touch /mnt/file) & echo $!; exec sleep 600";
    let script = crate::cure::tests::thaw_at_the_end("/mnt") + script;
    let (_child, mut output) = in_own_mounts(&script, dir.path());
    let Ok(pid) = line(&mut output).parse::<u32>() else {
        println!("skipped: no loop device with ext4 can be frozen here");
        return;
    };
    let proc = Proc::system().unwrap();
    // All of it at one look: on its way there it waits for the disk, and goes on.
    let mut seen = facts(&proc, pid);
    eventually("it waits", || {
        seen = facts(&proc, pid);
        main_task(&seen).state == 'D' && mount(&seen).is_some()
    });
    let mount = mount(&seen).unwrap();
    assert_eq!((mount.device.0, mount.kind.to_string().as_str()), (7, "ext4"));
    let backing = mount.backing.as_ref().unwrap();
    assert_eq!(backing.file.as_path(), dir.path().canonicalize().unwrap().join("image"));
    assert_eq!(backing.device, mount.source);
    assert!(backing.mount.is_some());
    assert!(main_task(&seen).stack.known().is_some());
    if let Some(raw) = main_task(&seen).raw_state.known() {
        assert_eq!(raw & KILLABLE, 0, "{raw:x}");
    }
}

#[test]
fn a_listener_that_does_not_answer() {
    if !is_root("listening for permission events") {
        return;
    }
    let proc = Proc::system().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("watched");
    std::fs::write(&path, "x").unwrap();
    let file = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
    let listener = Forked::new(|ready| {
        // SAFETY: system calls with plain numbers and a string that lives longer.
        unsafe {
            let group = libc::fanotify_init(libc::FAN_CLASS_CONTENT, libc::O_RDONLY as u32);
            let mask = libc::FAN_OPEN_PERM;
            if libc::fanotify_mark(group, libc::FAN_MARK_ADD, mask, libc::AT_FDCWD, file.as_ptr()) != 0 {
                libc::_exit(1);
            }
        }
        ready.tell();
    });
    let opener = Guard(Command::new("cat").arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
    eventually("it waits for the listener", || {
        let seen = facts(&proc, opener.0.id());
        let listeners = main_task(&seen).waits.iter().find_map(|object| match object {
            Object::Listener { listeners } => pids(listeners),
            _ => None,
        });
        mount(&seen).is_some() && listeners.is_some_and(|listeners| listeners.contains(&listener.0))
    });
    // The wait ends with the listener.
    drop(listener);
    let mut opener = opener;
    assert!(opener.0.wait().unwrap().success());
}

#[test]
fn a_page_that_nobody_supplies() {
    if !is_root("userfaultfd, in most configurations,") {
        return;
    }
    let (ready, mut told) = std::os::unix::net::UnixStream::pair().unwrap();
    let out = ready.as_raw_fd();
    let proc = Proc::system().unwrap();
    let child = Forked::new(|ready| {
        // SAFETY: system calls with plain numbers and local structures; the memory is its own, and is touched to wait there.
        unsafe {
            let fd = libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) as i32;
            // struct uffdio_api, struct uffdio_register of include/uapi/linux/userfaultfd.h
            let mut api: [u64; 3] = [0xaa, 0, 0];
            let page =
                libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
            let mut register: [u64; 4] = [page as u64, 4096, 1, 0];
            let works = fd >= 0
                && libc::ioctl(fd, 0xc018_aa3f_u32 as libc::Ioctl, api.as_mut_ptr()) == 0
                && libc::ioctl(fd, 0xc020_aa00_u32 as libc::Ioctl, register.as_mut_ptr()) == 0;
            libc::write(out, if works { b"y" } else { b"n" }.as_ptr().cast(), 1);
            ready.tell();
            if works {
                std::ptr::read_volatile(page.cast::<u8>());
            }
        }
    });
    let mut answer = [0];
    told.read_exact(&mut answer).unwrap();
    if answer != *b"y" {
        println!("skipped: this kernel has no userfaultfd");
        return;
    }
    eventually("it waits for itself", || {
        let seen = facts(&proc, child.0);
        matches!(main_task(&seen).waits.as_slice(), [Object::PageSupplier { suppliers }]
            if pids(suppliers).unwrap().contains(&child.0))
    });
}
