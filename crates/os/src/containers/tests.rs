use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vigie_core::docker::stats::Memory;

use super::*;
use crate::proc::tests::{FakeProc, Guard, eventually};

const WEB: &str = "7eba73f2d1234d1687ec85829aaa9f935f8070db64defe10572016d712082a93";
const DB: &str = "a741527d78c087e698934c13fd73966d835f4a6cefd064a7063b68f2ede054ff";

/// A machine with a `/proc` and cgroup trees, all of them folders of a test.
struct Machine {
    proc: FakeProc,
    dir: tempfile::TempDir,
}

impl Machine {
    /// With these trees: folder below the trees' own, kind, options.
    fn new(trees: &[(&str, &str, &str)]) -> Self {
        let machine = Self { proc: FakeProc::new(false), dir: tempfile::tempdir().unwrap() };
        let line = |(folder, kind, options): &(&str, &str, &str)| {
            let point = machine.dir.path().join(folder);
            format!("36 35 0:30 / {} rw - {kind} {kind} rw,{options}\n", point.display())
        };
        let other = "22 1 0:20 / /proc rw - proc proc rw\nbroken\n".to_owned();
        machine.proc.file("self/mountinfo", trees.iter().map(line).collect::<String>() + &other);
        machine.proc.link("thread-self/ns/net", "net:[1]");
        machine.proc.file("meminfo", "MemTotal:       1024 kB\nMemFree:  1 kB\n");
        machine
    }

    fn v1() -> Self {
        let all = ["cpuacct", "memory", "blkio", "pids"];
        Self::new(&all.map(|controller| (controller, "cgroup", controller)))
    }

    fn v2() -> Self {
        Self::new(&[("unified", "cgroup2", "nsdelegate")])
    }

    fn file(&self, path: &str, content: &str) {
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// A process that started so, in these cgroups, in this network.
    fn process(&self, pid: u32, start: u64, cgroup: &str, network: u64) {
        self.proc.process(pid, 1, 'S', start, &[]);
        self.proc.file(&format!("{pid}/cgroup"), cgroup);
        self.proc.link(&format!("{pid}/ns/net"), &format!("net:[{network}]"));
        self.proc.file(&format!("{pid}/net/dev"), NET_DEV);
    }

    fn open(&self, descriptors: u64) -> Containers {
        let root = self.proc.path();
        Containers::of(self.proc.open(), root, descriptors).unwrap()
    }

    /// The files of a container below `/docker/ID` of v1.
    fn container_v1(&self, id: &str) {
        self.file(&format!("cpuacct/docker/{id}/cpuacct.usage"), "5000000000\n");
        self.file(&format!("memory/docker/{id}/memory.usage_in_bytes"), "1000\n");
        let stat = "cache 500\ninactive_file 1\nhierarchical_memory_limit 4096\ntotal_inactive_file 300\n";
        self.file(&format!("memory/docker/{id}/memory.stat"), stat);
        let moved = "8:0 Read 10\n8:0 Write 5\n8:0 Total 15\n8:16 Read 7\n8:16 Write 0\n8:16 Discard 99\nTotal 22\n";
        self.file(&format!("blkio/docker/{id}/blkio.throttle.io_service_bytes_recursive"), moved);
        self.file(&format!("pids/docker/{id}/pids.current"), "3\n");
    }
}

/// Two interfaces that lead out; the rest is inside, or is no line.
const NET_DEV: &str = "Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    9999      1    0    0    0     0          0         0     9999       1    0    0    0     0       0          0
  eth0: 1000      10    0    0    0     0          0         0      200       2    0    0    0     0       0          0
eth1:5 1 0 0 0 0 0 0 6 1 0 0 0 0 0 0
veth12ab:    7777      1    0    0    0     0          0         0     7777       1    0    0    0     0       0          0
docker0: 7777 1 0 0 0 0 0 0 7777 1 0 0 0 0 0 0
broken: 5
";

fn cgroup_v1(path: &str) -> String {
    format!("9:name=systemd:{path}\n4:memory:{path}\n3:pids:{path}\n2:cpuacct,cpu:{path}\n1:blkio:{path}\n0::/\n")
}

fn wanted(id: &str) -> Wanted<'_> {
    Wanted { id, no_network: false }
}

const V1: Counters = Counters {
    read: None,
    cpu_nanos: Some(5_000_000_000),
    system_nanos: None,
    cpus: None,
    memory: Some(Memory {
        usage: Some(1_000),
        limit: Some(4_096),
        total_inactive_file: Some(300),
        inactive_file: Some(1),
        private_working_set: None,
    }),
    read_bytes: Some(17),
    written_bytes: Some(5),
    received_bytes: Some(1_005),
    sent_bytes: Some(206),
    tasks: Some(3),
};

#[track_caller]
fn counters(containers: &mut Containers, id: &str) -> Counters {
    let look = containers.read(id).expect("it is there");
    assert_eq!((look.how, &*look.key.id), (How::Files, id));
    assert_eq!(look.counters.cpus, processors::online());
    Counters { cpus: None, ..look.counters }
}

/// With kept descriptors and without, the same is read.
#[test]
fn files_of_cgroup_v1() {
    let machine = Machine::v1();
    machine.container_v1(WEB);
    machine.process(40, 900, &cgroup_v1(&format!("/docker/{WEB}")), 7);
    for descriptors in [u64::MAX, 0] {
        let mut containers = machine.open(descriptors);
        assert_eq!(containers.host().memory, Some(1 << 20));
        containers.find(&[wanted(WEB), wanted(DB)]).unwrap();
        assert!(containers.knows(WEB) && !containers.knows(DB) && containers.len() == 1);
        assert_eq!(counters(&mut containers, WEB), V1);
        machine.file(&format!("cpuacct/docker/{WEB}/cpuacct.usage"), "6000000000\n");
        assert_eq!(counters(&mut containers, WEB).cpu_nanos, Some(6_000_000_000), "read again, not remembered");
        assert_eq!(containers.read(DB), None);
        machine.container_v1(WEB);
    }
}

#[test]
fn files_of_cgroup_v2() {
    let machine = Machine::v2();
    let folder = format!("unified/system.slice/docker-{WEB}.scope");
    for (name, content) in [
        ("cpu.stat", "usage_usec 5000000\nuser_usec 1\nsystem_usec 2\n"),
        ("memory.current", "1000\n"),
        ("memory.max", "max\n"),
        ("memory.stat", "anon 500\nfile 400\ninactive_file 300\n"),
        (
            "io.stat",
            "8:0 rbytes=10 wbytes=5 rios=1 wios=1 dbytes=9 dios=0\n8:16 rbytes=7 wbytes=0 rios=1 wios=0\n253:0 \n",
        ),
        ("pids.current", "3\n"),
    ] {
        machine.file(&format!("{folder}/{name}"), content);
    }
    // What a container makes below its own cgroup belongs to it: its first process may be there.
    machine.process(40, 900, &format!("0::/system.slice/docker-{WEB}.scope/init.scope\n"), 7);
    let mut containers = machine.open(u64::MAX);
    containers.find(&[wanted(WEB)]).unwrap();
    let memory = Memory { usage: Some(1_000), inactive_file: Some(300), ..Memory::default() };
    assert_eq!(counters(&mut containers, WEB), Counters { memory: Some(memory), ..V1 });
    machine.file(&format!("{folder}/memory.max"), "2048\n");
    assert_eq!(counters(&mut containers, WEB).memory.and_then(|memory| memory.limit), Some(2_048));
}

/// Each controller where it is: memory in v1, the rest in v2, whose path has no id for what v1 holds.
#[test]
fn files_of_a_hybrid() {
    let machine = Machine::new(&[("memory", "cgroup", "memory"), ("unified", "cgroup2", "")]);
    machine.container_v1(WEB);
    machine.file(&format!("unified/docker/{WEB}/cpu.stat"), "usage_usec 5000000\n");
    machine.process(40, 900, &format!("4:memory:/docker/{WEB}\n0::/docker/{WEB}\n"), 7);
    let mut containers = machine.open(u64::MAX);
    containers.find(&[wanted(WEB)]).unwrap();
    let expected = Counters { read_bytes: None, written_bytes: None, tasks: None, ..V1 };
    assert_eq!(counters(&mut containers, WEB), expected);
}

/// The memory controller is off: there is nothing, and not 0; what the root of v2 has is not the container's.
#[test]
fn controllers_that_are_off() {
    let machine = Machine::new(&[("cpuacct", "cgroup", "cpu,cpuacct"), ("unified", "cgroup2", "")]);
    machine.container_v1(WEB);
    machine.file("unified/memory.current", "999999\n");
    machine.process(40, 900, &format!("2:cpu,cpuacct:/docker/{WEB}\n0::/\n"), 7);
    let mut containers = machine.open(u64::MAX);
    containers.find(&[wanted(WEB)]).unwrap();
    let seen = counters(&mut containers, WEB);
    assert_eq!((seen.cpu_nanos, seen.memory, seen.tasks), (Some(5_000_000_000), None, None));
}

/// Only a process in a cgroup that bears the id is one of the container, and the innermost container counts.
#[test]
fn who_is_not_found() {
    let machine = Machine::v1();
    machine.container_v1(WEB);
    for (cgroup, why) in [
        (cgroup_v1("/user.slice"), "no container"),
        (cgroup_v1(&format!("/docker/{DB}")), "another one"),
        (cgroup_v1(&format!("/docker/{WEB}/docker/{DB}")), "one inside of it"),
        (cgroup_v1(&format!("/../docker/{WEB}")), "outside of our cgroup namespace"),
        (format!("4:memory:/machine.slice/libpod-conmon-{WEB}.scope\n"), "its monitor"),
        (String::new(), "nothing"),
        ("\u{fffd}:\u{fffd}:\n:::\n".to_owned(), "no such file"),
    ] {
        machine.process(40, 900, &cgroup, 7);
        let mut containers = machine.open(u64::MAX);
        containers.find(&[wanted(WEB)]).unwrap();
        assert!(!containers.knows(WEB), "{why}");
        std::fs::remove_dir_all(machine.proc.path().join("40")).unwrap();
    }
}

/// The process that was started first is the main one, whatever its number; another start is another life.
#[test]
fn a_life() {
    let machine = Machine::v1();
    machine.container_v1(WEB);
    let cgroup = cgroup_v1(&format!("/docker/{WEB}"));
    machine.process(40, 900, &cgroup, 8);
    machine.process(90, 500, &cgroup, 7);
    let life = |expected: Option<u64>| {
        let mut containers = machine.open(u64::MAX);
        containers.find(&[wanted(WEB)]).unwrap();
        assert_eq!(containers.read(WEB).and_then(|look| look.counters.received_bytes), expected);
        containers.read(WEB).map(|look| look.key.life)
    };
    let first = life(Some(1_005));
    assert_eq!(life(Some(1_005)), first, "the same");
    std::fs::remove_dir_all(machine.proc.path().join("90")).unwrap();
    let second = life(Some(1_005));
    assert!(second.is_some() && second != first);
}

#[test]
fn a_container_that_is_gone_is_forgotten() {
    let machine = Machine::v1();
    machine.container_v1(WEB);
    machine.process(40, 900, &cgroup_v1(&format!("/docker/{WEB}")), 7);
    // With descriptors a folder of a test goes on; the kernel's says that it is gone (see the tests with a real one).
    let mut containers = machine.open(0);
    containers.find(&[wanted(WEB)]).unwrap();
    std::fs::remove_dir_all(machine.at(&format!("memory/docker/{WEB}"))).unwrap();
    assert_eq!(containers.read(WEB), None);
    assert!(!containers.knows(WEB));

    machine.container_v1(WEB);
    let mut containers = machine.open(u64::MAX);
    containers.find(&[wanted(WEB)]).unwrap();
    std::fs::remove_dir_all(machine.proc.path().join("40")).unwrap();
    assert_eq!(containers.read(WEB), None, "its process is gone: the cgroup may be another one's");
    containers.find(&[wanted(WEB)]).unwrap();
    assert!(!containers.knows(WEB));
}

#[test]
fn what_is_kept_has_a_bound() {
    let machine = Machine::v1();
    for (pid, id) in [(40, WEB), (41, DB)] {
        machine.container_v1(id);
        machine.process(pid, 900, &cgroup_v1(&format!("/docker/{id}")), u64::from(pid));
    }
    let mut containers = machine.open(LEFT + files::DESCRIPTORS + 1);
    containers.find(&[wanted(WEB), wanted(DB)]).unwrap();
    let kept = |containers: &Containers| containers.known.values().map(Container::descriptors).sum::<u64>();
    assert_eq!(kept(&containers), 6 + 1, "the files of one, and the processes of both");
    assert_eq!((counters(&mut containers, WEB), counters(&mut containers, DB)), (V1, V1));
    containers.retain(&|_| false);
    assert!(containers.is_empty());
    assert_eq!(containers.room, files::DESCRIPTORS + 1);
}

/// Read once a round for all that share a network; never that of the host.
#[test]
fn networks_are_shared() {
    let machine = Machine::v1();
    for (pid, id) in [(40, WEB), (41, DB)] {
        machine.container_v1(id);
        machine.process(pid, 900, &cgroup_v1(&format!("/docker/{id}")), 7);
    }
    let mut containers = machine.open(u64::MAX);
    containers.find(&[wanted(WEB), wanted(DB)]).unwrap();
    assert_eq!(counters(&mut containers, WEB).received_bytes, Some(1_005));
    machine.proc.file("41/net/dev", "eth0: 9 0 0 0 0 0 0 0 9\n");
    assert_eq!(counters(&mut containers, DB).received_bytes, Some(1_005), "the same network");
    containers.begin();
    assert_eq!(counters(&mut containers, DB).received_bytes, Some(9));

    let hosts = Wanted { id: WEB, no_network: true };
    containers.find(&[hosts]).unwrap();
    assert_eq!(counters(&mut containers, WEB).received_bytes, None);
    machine.process(50, 100, &cgroup_v1(&format!("/docker/{WEB}")), 1);
    containers.find(&[wanted(WEB)]).unwrap();
    assert_eq!(counters(&mut containers, WEB).received_bytes, None, "as its namespace says");
}

#[test]
fn lines_of_net_dev() {
    let sum = |text: &str| network::sum(text.as_bytes());
    assert_eq!(sum("lo: 5 0 0 0 0 0 0 0 5 0\n"), None, "no way out");
    assert_eq!(sum(""), None);
    assert_eq!(sum("eth0: 1 2 3\n"), None, "cut");
    assert_eq!(sum("eth0: 18446744073709551615 0 0 0 0 0 0 0 1\neth1: 1 0 0 0 0 0 0 0 1\n"), Some((u64::MAX, 2)));
}

/// Files that hold something else than the kernel writes: nothing, and no panic.
#[test]
fn files_of_nonsense() {
    let machine = Machine::v1();
    machine.process(40, 900, &cgroup_v1(&format!("/docker/{WEB}")), 7);
    for nonsense in
        ["", "-1\n", "99999999999999999999\n", "8:0 Read x\n8:0 Write\n", "\0\u{fffd} \n\n  \n", &"x ".repeat(9_000)]
    {
        machine.container_v1(WEB);
        let mut containers = machine.open(u64::MAX);
        for file in [
            "cpuacct/docker/{}/cpuacct.usage",
            "memory/docker/{}/memory.usage_in_bytes",
            "memory/docker/{}/memory.stat",
            "pids/docker/{}/pids.current",
            "blkio/docker/{}/blkio.throttle.io_service_bytes_recursive",
        ] {
            machine.file(&file.replace("{}", WEB), nonsense);
        }
        containers.find(&[wanted(WEB)]).unwrap();
        let seen = counters(&mut containers, WEB);
        assert_eq!((seen.cpu_nanos, seen.memory, seen.tasks), (None, None, None), "{nonsense:.20}");
    }
}

/// A folder below the own cgroup v2, removed when the test is over.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        eventually("its processes have left", || !self.0.exists() || std::fs::remove_dir(&self.0).is_ok());
    }
}

/// As the kernel has them: `cpu.stat` is there with or without controllers, and a file that is kept says when its cgroup is gone.
#[test]
fn a_real_cgroup_v2() {
    let Some(own) = crate::cgroup::own(Path::new("/proc")).v2 else {
        println!("skipped: no cgroup v2 is mounted");
        return;
    };
    let id = format!("{:064x}", std::process::id());
    let folder = Folder(own.join(&id));
    if let Err(error) = std::fs::create_dir(&folder.0) {
        println!("skipped: cannot make {}: {error}", folder.0.display());
        return;
    }
    let script = "echo $$ > \"$1/cgroup.procs\" && echo in && while :; do :; done";
    let mut command = Command::new("sh");
    command.args(["-c", script, "busy"]).arg(&folder.0).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = Guard(command.spawn().unwrap());
    let mut line = [0; 3];
    if child.0.stdout.take().unwrap().read_exact(&mut line).is_err() {
        println!("skipped: no process may be moved there");
        return;
    }
    let mut containers = Containers::new().unwrap();
    containers.find(&[wanted(&id)]).unwrap();
    let cpu = |containers: &mut Containers| containers.read(&id).and_then(|look| look.counters.cpu_nanos);
    let first = cpu(&mut containers).expect("a busy process has used some");
    eventually("it grows", || cpu(&mut containers).is_some_and(|now| now > first));
    assert_eq!(containers.read(&id).unwrap().counters.received_bytes, None, "it is in our own network");
    drop(child);
    drop(folder);
    assert_eq!(containers.read(&id), None, "the kernel says that it is gone");
}

/// This machine, as it is: nothing is found where nothing of the kind runs.
#[test]
fn a_real_machine() {
    let mut containers = Containers::new().unwrap();
    assert!(containers.host().memory.is_some_and(|bytes| bytes > 1 << 20));
    containers.find(&[wanted(&"0".repeat(64))]).unwrap();
    assert!(containers.is_empty());
    assert!(Path::new("/proc/self").exists());
}
