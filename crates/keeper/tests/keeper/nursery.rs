//! Keepers that are forked instead of executed.

use std::io::Read as _;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use vigie_core::exit::Exit;
use vigie_core::ladder::Signal;
use vigie_os::clock::mono;
use vigie_os::pidfd::Target;
use vigie_os::poll::{Interest, PollSet};
use vigie_os::proc::Proc;
use vigie_os::rights;
use vigie_wire::keeper::{Answer, Request, What};
use vigie_wire::nursery::{Born, LIMIT, REQUEST};

use crate::harness::{Client, LONG, Service, pause};

/// A nursery of this test. It is killed when it is dropped.
struct Nursery {
    child: std::process::Child,
    socket: Option<OwnedFd>,
}

impl Nursery {
    fn start() -> Self {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("socket pair");
        let child = Command::new(env!("CARGO_BIN_EXE_keeper-under-test"))
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        Self { child, socket: Some(ours) }
    }

    fn socket(&self) -> &OwnedFd {
        self.socket.as_ref().expect("open")
    }

    fn answer(&self) -> (Born, Option<OwnedFd>) {
        let mut set = PollSet::default();
        set.add(self.socket(), Interest::Read);
        set.wait(Some(LONG)).expect("poll");
        let mut bytes = [0; LIMIT];
        let (length, pidfd) = rights::receive(self.socket().as_fd(), &mut bytes).expect("an answer");
        (serde_json::from_slice(&bytes[..length]).expect("the protocol"), pidfd)
    }

    /// A keeper, not launched yet.
    fn fork(&self) -> (Target, Client) {
        let (ours, theirs) = UnixStream::pair().expect("socket pair");
        rights::send(self.socket().as_fd(), REQUEST, Some(theirs.as_fd())).expect("sent");
        drop(theirs);
        let (Born::Pid(pid), Some(pidfd)) = self.answer() else { panic!("no keeper") };
        let proc = Proc::system().expect("/proc");
        (Target::received(&proc, pid, pidfd).expect("/proc").expect("it lives"), Client::new(ours))
    }

    /// A keeper and its run.
    fn run(&self, service: &Service, script: &str) -> (Target, Client) {
        let (keeper, mut client) = self.fork();
        client.send(&Request::Launch(Box::new(service.launch(script))));
        client.until(|what| matches!(what, What::Locked { keeper: key } if key == keeper.key()));
        client.send(&Request::Go);
        client.started();
        (keeper, client)
    }

    /// By number, with what they are. Some may come from whoever runs this test.
    fn descriptors(&self) -> Vec<(u64, String)> {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("fd");
        let descriptor = |entry: std::io::Result<std::fs::DirEntry>| {
            let entry = entry.expect("entry");
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok()).expect("a number");
            // One may just have been closed.
            (number, std::fs::read_link(entry.path()).unwrap_or_default().display().to_string())
        };
        entries.map(descriptor).collect()
    }

    /// Waits until it has no child and nothing open but its socket: the kernel tells of an end a moment before it forgets
    /// it, and the nursery of a birth before it lets go of it.
    fn wait_until_idle(&self) {
        let pid = self.child.id();
        let held = || {
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("children");
            let links = self.descriptors().into_iter().map(|(_, link)| link);
            (children, links.filter(|link| link.starts_with("socket:") || link.contains("pidfd")).count())
        };
        let (idle, deadline) = ((String::new(), 1), mono() + LONG);
        while held() != idle && mono() < deadline {
            pause(Duration::from_millis(1));
        }
        assert_eq!(held(), idle, "children, and descriptors");
    }

    /// One that nobody wants ends.
    fn fork_and_drop(&self) {
        let (keeper, client) = self.fork();
        drop(client);
        assert!(ended(&keeper));
    }

    /// `kill -9`
    fn murder(&mut self) {
        self.child.kill().expect("own child");
        self.child.wait().expect("own child");
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ended(keeper: &Target) -> bool {
    keeper.wait(mono() + LONG).expect("poll")
}

/// Everything that a keeper has from elsewhere is as if it had been executed.
#[test]
fn a_forked_keeper_is_like_an_executed_one() {
    let (forked, executed) = (Service::new(), Service::new());
    let nursery = Nursery::start();
    let (keeper, mut client) = nursery.run(&forked, "exec sleep 600");
    let (mut other, _) = executed.run(executed.launch("exec sleep 600"));
    let look = |pid: u32| {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).expect(file);
        let (status, stat) = (read("status"), read("stat"));
        let signals = ["SigBlk", "SigIgn", "SigCgt"]
            .map(|key| status.lines().find(|line| line.starts_with(key)).expect("its line").to_owned());
        let fields: Vec<&str> = stat.rsplit(')').next().expect("stat").split_whitespace().collect();
        let leads = [fields[2], fields[3]].map(|group| group == pid.to_string());
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("fd").count();
        (descriptors, signals, leads, read("environ"), read("comm"))
    };
    for client in [&mut client, &mut other.client] {
        // It answers when it has let go of what it needed for the start.
        client.send(&Request::Skip);
        assert!(matches!(client.reply(), Answer::Failed { .. }));
    }
    assert_eq!(look(keeper.key().pid), look(other.child.id()));
    client.stop();
    client.until(|what| matches!(what, What::Exited { exit: Exit::Signal { signal: 15, .. } }));
    client.until_empty();
    client.send(&Request::Release);
    assert!(ended(&keeper));
    other.stop();
    other.until_empty();
    assert_eq!(other.release(), 0);
}

/// Whatever becomes of the nursery, keepers and their runs go on; and it does not outlive who asks.
#[test]
fn keepers_outlive_the_nursery() {
    for kill in [true, false] {
        let (running, waiting) = (Service::new(), Service::new());
        let mut nursery = Nursery::start();
        let (keeper, mut client) = nursery.run(&running, "exec sleep 600");
        let (not_launched, mut later) = nursery.fork();
        if kill {
            nursery.murder();
        } else {
            nursery.socket = None;
            assert_eq!(nursery.child.wait().expect("own child").code(), Some(0), "it ends by itself");
        }
        assert!(!keeper.is_dead().expect("poll"));
        later.send(&Request::Launch(Box::new(waiting.launch("exit 3"))));
        later.until(|what| matches!(what, What::Locked { .. }));
        later.send(&Request::Go);
        later.until(|what| *what == What::Exited { exit: Exit::Code(3) });
        later.until_empty();
        later.send(&Request::Release);
        assert!(ended(&not_launched));
        client.stop();
        client.until_empty();
        client.send(&Request::Release);
        assert!(ended(&keeper));
    }
}

/// None of many that ended is left in the process table, whether its run was over, it was killed, or nobody wanted it.
#[test]
fn no_zombies() {
    let nursery = Nursery::start();
    let service = Service::new();
    let mut keepers = Vec::new();
    for number in 0..200 {
        let (keeper, mut client) = nursery.fork();
        match number % 20 {
            0 => {
                client.send(&Request::Launch(Box::new(service.launch("true"))));
                client.until(|what| matches!(what, What::Locked { .. }));
                client.send(&Request::Go);
                client.until_empty();
                client.send(&Request::Release);
                assert!(ended(&keeper));
            }
            1 => assert!(keeper.send(Signal::Kill).expect("own")),
            _ => drop(client),
        }
        keepers.push(keeper);
    }
    assert!(keepers.iter().all(ended));
    nursery.wait_until_idle();
}

/// What cannot be had is said, and is no end.
#[test]
fn a_fork_that_fails_is_answered() {
    let nursery = Nursery::start();
    nursery.fork_and_drop();
    nursery.wait_until_idle();
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let limit = |current| {
        prlimit(Some(Pid::from_child(&nursery.child)), Resource::Nofile, Rlimit { current, maximum })
            .expect("own child")
    };
    // No place for the connection; then none for what is to be told of the copy.
    let before = limit(Some(4));
    let taken: Vec<u64> = nursery.descriptors().into_iter().map(|(number, _)| number).collect();
    let free: Vec<u64> = (0..).filter(|number| !taken.contains(number)).take(2).collect();
    for places in [free[0], free[1]] {
        limit(Some(places));
        let (mut ours, theirs) = UnixStream::pair().expect("socket pair");
        rights::send(nursery.socket().as_fd(), REQUEST, Some(theirs.as_fd())).expect("sent");
        drop(theirs);
        assert_eq!(nursery.answer().0, Born::Failed(Errno::MFILE.raw_os_error()), "{places}");
        // The copy of the second time learns of it so.
        ours.shutdown(Shutdown::Write).expect("open");
        ours.set_read_timeout(Some(LONG)).expect("timeout");
        assert_eq!(ours.read(&mut [0]).expect("an end"), 0, "{places}");
        nursery.wait_until_idle();
    }
    limit(before.current);
    nursery.fork_and_drop();
}

/// Nonsense ends it: whoever sends that is not the daemon that it was made for.
#[test]
fn nonsense_ends_it() {
    let mut nursery = Nursery::start();
    rights::send(nursery.socket().as_fd(), b"nonsense", None).expect("sent");
    let mut set = PollSet::default();
    set.add(nursery.socket(), Interest::Read);
    set.wait(Some(LONG)).expect("poll");
    assert_eq!(rights::receive(nursery.socket().as_fd(), &mut [0; LIMIT]).expect("an end").0, 0);
    assert_eq!(nursery.child.wait().expect("own child").code(), Some(0));
}

#[test]
fn a_second_keeper_of_a_service_is_refused() {
    let nursery = Nursery::start();
    let service = Service::new();
    let (keeper, mut client) = nursery.run(&service, "exec sleep 600");
    let (second, mut refused) = nursery.fork();
    refused.send(&Request::Launch(Box::new(service.launch("true"))));
    match refused.reply() {
        Answer::Refused { holder: Some(holder) } => assert_eq!(&holder.keeper, keeper.key()),
        other => panic!("not refused: {other:?}"),
    }
    assert!(ended(&second));
    client.stop();
    client.until_empty();
    client.send(&Request::Release);
    assert!(ended(&keeper));
}
