//! A container engine of a test's own: dockerd, or Podman's service, in network, mount and PID namespaces that end with it.
//!
//! Nothing of the machine is touched: no bridge, no packet filter, no mount, no folder outside of the world's. The first
//! process of the PID namespace is a shell; when it is killed the kernel kills everything that the engine started, however
//! it has detached itself (pid_namespaces(7)).

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::call::{Call, Done};
use crate::processes::Process;
use crate::wait::{LONG, until, within};
use crate::world::World;
use crate::{is_root, skip};

/// What must be there; of Debian's packages `docker.io`, `busybox-static` and `util-linux`. Podman's runtime is the one that
/// Docker brings: its own does not work with hybrid cgroups.
const PROGRAMS: [&str; 7] = ["dockerd", "docker", "docker-proxy", "runc", "busybox", "unshare", "setpriv"];

/// The name of the image that is made of busybox.
pub const IMAGE: &str = "vigie-test";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Docker,
    Podman,
}

impl Kind {
    /// How its command line begins, with a NUL after each argument.
    fn program(self) -> &'static str {
        match self {
            Self::Docker => "dockerd\0",
            Self::Podman => "podman\0",
        }
    }
}

/// One engine. Dropping it ends it and everything in it.
#[derive(Debug)]
pub struct Engine {
    kind: Kind,
    /// `unshare`; its child is the first process of the PID namespace, which is killed with it.
    child: Child,
    dir: PathBuf,
    cgroup: String,
}

impl Engine {
    /// Starts dockerd in the folder of a world. `None` where that cannot be done; then `test` was skipped, with the reason.
    pub fn start(world: &World, test: &str, options: &[&str]) -> Option<Self> {
        Self::named("engine", world, test, options)
    }

    /// The same, under a name of its own: for one of several in a world.
    pub fn named(name: &str, world: &World, test: &str, options: &[&str]) -> Option<Self> {
        Self::start_kind(Kind::Docker, name, world, test, options)
    }

    /// Starts Podman's service, which is spoken to as Docker is.
    pub fn podman(world: &World, test: &str) -> Option<Self> {
        if !on_path("podman") {
            skip(test, "podman is missing; on Debian: apt-get install podman");
            return None;
        }
        Self::start_kind(Kind::Podman, "engine", world, test, &[])
    }

    fn start_kind(kind: Kind, name: &str, world: &World, test: &str, options: &[&str]) -> Option<Self> {
        if !is_root() {
            skip(test, "only root may start a container engine");
            return None;
        }
        if let Some(missing) = PROGRAMS.iter().find(|program| !on_path(program)) {
            skip(test, &format!("{missing} is missing; on Debian: apt-get install docker.io busybox-static"));
            return None;
        }
        let dir = world.path(name);
        std::fs::create_dir(&dir).expect("a folder");
        let log = std::fs::File::create(dir.join("log")).expect("a file");
        let of = dir.parent().and_then(Path::file_name).expect("a world has a folder").to_string_lossy().into_owned();
        let cgroup = format!("docker-of-{of}-{name}");
        let at = |name: &str| dir.join(name).display().to_string();
        // When a file `again` is there once it has ended, everything that it left is ended, and it is started again as soon as
        // `go` is there, too. A file `spare` leaves alone what it left: for an engine that finds its containers again.
        let script = "busybox ip link set lo up; \"$@\" & wait; while [ -e again ]; do [ -e spare ] || kill -KILL -1; \
            while [ ! -e go ]; do busybox sleep 0.1; done; rm -f go pid exec/containerd/*.pid; \"$@\" & wait; done";
        // Podman and its runtime keep state there, and locks.
        let own = match kind {
            Kind::Docker => String::new(),
            Kind::Podman => "mount -t tmpfs run /run && mount -t tmpfs shm /dev/shm || exit 1; ".to_owned(),
        };
        // It dies with this thread, whatever becomes of the test.
        let mut command = Command::new("setpriv");
        command.env_clear().env("PATH", PATH).env("HOME", &dir);
        command.args(["--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork"]);
        command.args(["--kill-child", "--mount-proc"]);
        command.args(["sh", "-c", &format!("{own}{script}"), "engine"]);
        let socket = format!("unix://{}", at("docker.sock"));
        match kind {
            Kind::Docker => {
                // It is told to leave the machine's packet filter alone; its proxy is what the tests are about.
                command.args(["dockerd", "--iptables=false", "--ip6tables=false", "--ip-forward=false"]);
                command.args(["--ip-masq=false", "--storage-driver", "vfs", "--data-root", &at("data")]);
                command.args(["--exec-root", &at("exec"), "--pidfile", &at("pid"), "--host", &socket]);
                command.args(["--cgroup-parent", &format!("/{cgroup}")]);
            }
            Kind::Podman => {
                let runtime = on_path_of("runc").expect("looked at before");
                // Its own /run: Podman takes no longer path for what is gone with the machine than 50 characters.
                command.args(["podman", "--root", &at("data"), "--runroot", "/run/podman", "--tmpdir", "/run/libpod"]);
                command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]);
                command.arg("--runtime").arg(runtime).args(["system", "service", "--time", "0", &socket]);
                // Who watches a container has no cgroup of its own then, which nobody would remove.
                std::fs::write(dir.join("containers.conf"), "[containers]\ncgroups = \"no-conmon\"\n")
                    .expect("written");
                command.env("CONTAINERS_CONF", dir.join("containers.conf"));
            }
        }
        command.current_dir(&dir);
        command.args(options);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a descriptor")).stderr(log);
        let child = command.spawn().expect("unshare is there");
        let mut engine = Self { kind, child, dir, cgroup };
        let ready = within(LONG, || (engine.ended() || engine.answers()).then_some(()));
        if ready.is_none() || engine.ended() {
            let log = std::fs::read_to_string(engine.dir.join("log")).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(5).collect();
            // A container without the right to make namespaces, for one.
            let program = kind.program().trim_end_matches('\0');
            skip(test, &format!("{program} does not run on this machine: {}", last.join(" | ")));
            return None;
        }
        engine.import();
        Some(engine)
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("docker.sock")
    }

    /// For `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// `docker ARGS`
    pub fn docker(&self, args: &[&str]) -> Call {
        let mut command = Command::new("docker");
        command.args(args).env_clear().env("PATH", PATH).env("HOME", &self.dir).env("DOCKER_HOST", self.host());
        Call::new(command)
    }

    /// `docker run -d --name NAME OPTIONS… IMAGE busybox ARGS…`; returns its id.
    #[track_caller]
    pub fn run(&self, name: &str, options: &[&str], busybox: &[&str]) -> String {
        // dockerd puts them there by itself.
        let parent = format!("--cgroup-parent=/{}", self.cgroup);
        let front = ["run", "--detach", "--name", name, &parent];
        let args = [&front[..], options, &[IMAGE, "/busybox"], busybox].concat();
        self.docker(&args).run().code(0).text().trim().to_owned()
    }

    /// Whether a container of this name runs.
    #[track_caller]
    pub fn is_running(&self, name: &str) -> bool {
        let done: Done = self.docker(&["ps", "--quiet", "--filter", &format!("name=^{name}$")]).run().code(0);
        !done.text().trim().is_empty()
    }

    /// Moves this thread into the network of the engine, with all that it starts and connects to from now on.
    pub fn enter(&self) {
        let inner = self.child.id();
        // `unshare` itself enters all but the PID namespace before it forks.
        let net = std::fs::File::open(format!("/proc/{inner}/ns/net")).expect("it lives");
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&net), Some(LinkNameSpaceType::Network))
            .expect("we are root");
    }

    /// The engine's own process.
    #[track_caller]
    pub fn dockerd(&self) -> Process {
        let (socket, program) = (self.host(), self.kind.program());
        let found = processes(|line| line.starts_with(program) && line.contains(&socket)).first().copied();
        let pid = found.expect("it runs");
        Process::open(pid, |_| true).expect("it runs")
    }

    /// Kills the engine with all that it has started: as a machine that loses its power, with its disk intact.
    #[track_caller]
    pub fn kill(&self) {
        std::fs::write(self.dir.join("again"), "").expect("a file");
        self.dockerd().kill();
    }

    /// Kills the engine alone: its containers go on, when it was started with `--live-restore`.
    #[track_caller]
    pub fn kill_alone(&self) {
        std::fs::write(self.dir.join("spare"), "").expect("a file");
        self.kill();
    }

    /// Starts it again with all that it had.
    #[track_caller]
    pub fn again(&self) {
        std::fs::write(self.dir.join("go"), "").expect("a file");
        until("the engine is back", || self.answers().then_some(()));
    }

    fn ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_some()
    }

    fn answers(&self) -> bool {
        self.socket().exists() && self.docker(&["version"]).run().status.success()
    }

    /// An image of one file.
    fn import(&self) {
        let root = self.dir.join("root");
        std::fs::create_dir(&root).expect("a folder");
        let busybox = on_path_of("busybox").expect("looked at before");
        std::fs::copy(busybox, root.join("busybox")).expect("it can be read");
        let archive = self.dir.join("root.tar");
        let tar = Command::new("busybox").arg("tar").arg("-cf").arg(&archive).arg("-C").arg(&root).arg(".").status();
        assert!(tar.expect("busybox is there").success());
        self.docker(&["import", &archive.display().to_string(), IMAGE]).run().code(0);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // On cgroup v1 what is frozen does not die: a test that failed may have left a container paused.
        thaw(&Path::new("/sys/fs/cgroup/freezer").join(&self.cgroup));
        // With `--kill-child` its child gets SIGKILL, too, and with that one the whole namespace.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let dir = self.dir.display().to_string();
        let gone = || processes(|line| line.contains(&dir)).is_empty().then_some(());
        until("the engine is gone", gone);
        for controller in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            remove_cgroup(&controller.path().join(&self.cgroup));
        }
        remove_cgroup(&Path::new("/sys/fs/cgroup").join(&self.cgroup));
    }
}

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn on_path(program: &str) -> bool {
    on_path_of(program).is_some()
}

fn on_path_of(program: &str) -> Option<PathBuf> {
    std::env::split_paths(PATH).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// The processes whose arguments, with a NUL after each, are as wanted.
fn processes(wanted: impl Fn(&str) -> bool) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let line = |pid: &u32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    pids.filter(|pid| wanted(&String::from_utf8_lossy(&line(pid)))).collect()
}

/// The folder's groups and those in them. Whoever cannot be thawed was not frozen.
fn thaw(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            thaw(&entry.path());
        }
    }
    let _ = std::fs::write(dir.join("freezer.state"), "THAWED");
}

/// The folder and those in it; a moment after the last process they may still be busy.
fn remove_cgroup(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    within(LONG, || (!dir.exists() || std::fs::remove_dir(dir).is_ok()).then_some(()));
}
