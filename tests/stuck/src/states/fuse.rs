//! Processes that wait for a server of FUSE.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::AsFd as _;
use std::path::Path;

use crate::bed::{Bed, Failure, Gate, Made, heard, needs_root};
use crate::fuse::Served;
use crate::{raw, seen};

/// Where one waits for an answer.
const ANSWER: &[&str] = &["request_wait_answer"];

/// Reads through the cache: the wait for a page is one that KILL, and TERM, end.
pub(crate) fn read(bed: &mut Bed) -> Made {
    let mut fuse = Served::new(bed)?;
    let path = fuse.point.join("read");
    let pid = bed.start(c"stuck-read", move || {
        let mut file = File::open(path)?;
        io::Read::read_exact(&mut file, &mut [0; 16])
    })?;
    fuse.taken(1)?;
    bed.until_in(pid, "D", &["folio", "filemap", "page"])?;
    told(bed, pid, "end")
}

/// Asks for the status of a file. The server has taken the question: nothing ends the wait but an answer or an abort.
pub(crate) fn getattr(bed: &mut Bed) -> Made {
    let mut fuse = Served::new(bed)?;
    let path = fuse.point.join("attr");
    let pid = bed.start(c"stuck-stat", move || fs::metadata(path).map(drop))?;
    fuse.taken(1)?;
    bed.until_in(pid, "SD", ANSWER)?;
    told(bed, pid, "abort")
}

/// Waits for the lock of a folder, which belongs to somebody who waits for the server.
pub(crate) fn behind(bed: &mut Bed) -> Made {
    let mut fuse = Served::new(bed)?;
    let path = fuse.point.join("slow-first");
    let first = bed.start(c"stuck-first", move || fs::metadata(path).map(drop))?;
    fuse.taken(1)?;
    bed.until_in(first, "SD", ANSWER)?;
    let path = fuse.point.join("slow-second");
    let pid = bed.start(c"stuck-second", move || fs::metadata(path).map(drop))?;
    bed.until_in(pid, "D", &["fuse_lock_inode", "mutex"])?;
    bed.say("owner", first);
    told(bed, pid, "abort")
}

/// Ends, and with it closes a file: the end waits for the server.
pub(crate) fn flush(bed: &mut Bed) -> Made {
    let mut fuse = Served::new(bed)?;
    let path = fuse.point.join("flush");
    let pid = bed.start(c"stuck-close", move || {
        let file = File::options().write(true).open(path)?;
        // Open until the kernel closes it.
        let _kept = std::mem::ManuallyDrop::new(file);
        raw::quit(0)
    })?;
    fuse.taken(1)?;
    bed.until_in(pid, "SD", ANSWER)?;
    told(bed, pid, "abort")
}

/// Ends while one of its threads waits for the server.
pub(crate) fn exit_in(bed: &mut Bed) -> Made {
    let mut fuse = Served::new(bed)?;
    let path = fuse.point.join("attr");
    let mut gate = Gate::new()?;
    let behind = gate.child();
    let pid = bed.start_unlike(c"stuck-exit", &[gate.door()], move || {
        std::thread::spawn(move || fs::metadata(path));
        behind.wait();
        raw::quit(0)
    })?;
    fuse.taken(1)?;
    drop(gate);
    bed.until("an end that waits for a thread", || {
        let stuck = |tid: &u32| *tid != pid && seen::task_state(pid, *tid) == Some('D');
        seen::state(pid) == Some('Z') && seen::tasks(pid).iter().any(stuck)
    })?;
    told(bed, pid, "abort")
}

fn told(bed: &mut Bed, pid: u32, frees: &str) -> Made {
    bed.say("pid", pid);
    bed.say("frees", frees);
    Ok(())
}

/// A file system whose server never answers a write, for others to get stuck in. A line `taken` is written for each request
/// that it has taken: from then on no signal ends who waits for it; before, one does.
pub(crate) fn server(bed: &mut Bed) -> Made {
    let mut fuse = Served::new(bed)?;
    told(bed, fuse.server, "none")?;
    std::thread::spawn(move || {
        // They are for the main thread.
        if raw::block(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGCHLD]).is_err() {
            return;
        }
        while fuse.taken(1).is_ok() && writeln!(io::stdout(), "taken").is_ok() {}
    });
    Ok(())
}

/// Writes to a file, and the server never answers; it holds memory, a port of TCP and one of UDP.
pub(crate) fn holder(bed: &mut Bed) -> Made {
    let mut fuse = Served::new(bed)?;
    let options = bed.options.clone();
    let path = fuse.point.join("write");
    let (ports, mut tell) = io::pipe()?;
    let pid = bed.start(c"stuck-holder", move || {
        let held = Held::new(&options)?;
        tell.write_all(&u32::from(held.tcp.local_addr()?.port()).to_ne_bytes())?;
        tell.write_all(&u32::from(held.udp.local_addr()?.port()).to_ne_bytes())?;
        write_for_ever(&path, held)
    })?;
    let tcp = heard(ports.try_clone()?)?;
    let udp = heard(ports)?;
    fuse.taken(1)?;
    bed.until_in(pid, "SD", ANSWER)?;
    bed.say("tcp", tcp);
    bed.say("udp", udp);
    bed.say("memory", bed.options.memory);
    told(bed, pid, "abort")
}

/// What can be taken back from somebody who cannot be ended.
struct Held {
    tcp: TcpListener,
    udp: UdpSocket,
    _memory: &'static mut [u8],
}

impl Held {
    fn new(options: &crate::Options) -> io::Result<Self> {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, options.tcp))?;
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, options.udp))?;
        // Not even a page is no size for a mapping.
        let memory = raw::memory(options.memory.max(1))?;
        // Zeroes may be shared by everybody.
        for page in memory.chunks_mut(4096) {
            page[0] = 1;
        }
        Ok(Self { tcp, udp, _memory: memory })
    }
}

fn write_for_ever(path: &Path, held: Held) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    let _held = held;
    file.write_all(&[b'x'; 4096])
}

/// The same in this process itself, on the file system of a `fuse-server` that runs: for a supervisor that is to be
/// shown one it cannot end. It does not come back before it is freed.
pub(crate) fn holder_in(server: u32, options: &crate::Options) -> Made {
    needs_root("enter the mounts of another process")?;
    let mounts = File::open(format!("/proc/{server}/ns/mnt"))?;
    let info = seen::file(server, "mountinfo").unwrap_or_default();
    let point = info.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        right.starts_with("fuse vigie-stuck").then(|| left.split(' ').nth(4).map(str::to_owned))?
    });
    let Some(point) = point else {
        return Err(Failure::Broken(format!("process {server} serves nothing that was made by 'stuck fuse-server'")));
    };
    raw::enter(mounts.as_fd(), libc::CLONE_NEWNS)?;
    let held = Held::new(options)?;
    let (tcp, udp) = (held.tcp.local_addr()?.port(), held.udp.local_addr()?.port());
    let pid = std::process::id();
    println!(
        "ready state=fuse-holder pid={pid} server={server} tcp={tcp} udp={udp} memory={} frees=abort",
        options.memory
    );
    Ok(write_for_ever(&Path::new(&point).join("write"), held)?)
}
