//! A container engine of a measurement's own: dockerd in network, mount and PID namespaces that end with it.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use crate::command;
use crate::failure::{Failure, Result};
use crate::site::{Arena, Site};
use crate::time;

const IMAGE: &str = "vigie-bench";

/// How long it may take until it answers, and until it is gone.
const LIMIT: Duration = Duration::from_secs(60);

/// One engine. Dropping it ends it and all its containers.
#[derive(Debug)]
pub(crate) struct Engine {
    child: Child,
    arena: Rc<Arena>,
    cgroup: String,
}

impl Engine {
    /// Starts one.
    ///
    /// # Errors
    /// When it does not run: it takes root, `dockerd`, `docker`, `busybox`, `unshare` and `setpriv`.
    pub(crate) fn start(site: &Rc<Site>) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Err(Failure::new("only root may start a container engine"));
        }
        let arena = Arena::new(site)?;
        let cgroup = format!("docker-of-{}", arena.mark);
        let at = |name: &str| arena.dir.join(name).display().to_string();
        let mut dockerd = arena.command("setpriv");
        dockerd.args(["--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork"]);
        dockerd.args(["--kill-child", "--mount-proc", "sh", "-c", "busybox ip link set lo up; exec \"$@\"", "engine"]);
        dockerd.args(["dockerd", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]);
        dockerd.args(["--storage-driver", "vfs", "--data-root", &at("data"), "--exec-root", &at("exec")]);
        dockerd.args(["--pidfile", &at("pid"), "--host", &format!("unix://{}", at("docker.sock"))]);
        dockerd.args(["--cgroup-parent", &format!("/{cgroup}")]);
        let child = command::stay(dockerd, &arena.dir.join("log"))?;
        let engine = Self { child, arena, cgroup };
        time::until("dockerd answers", LIMIT, Duration::from_millis(100), || {
            let version = engine.docker(&["version"]);
            UnixStream::connect(engine.socket()).ok().and_then(|_| command::succeed(version).ok())
        })?;
        engine.import()?;
        Ok(engine)
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.arena.dir.join("docker.sock")
    }

    /// `docker ARGS`
    fn docker(&self, args: &[&str]) -> Command {
        let mut command = self.arena.command("docker");
        command.args(args).env("DOCKER_HOST", format!("unix://{}", self.socket().display()));
        command
    }

    /// Runs so many more containers that wait, without a network; gives their ids.
    ///
    /// # Errors
    /// When one does not run.
    pub(crate) fn run(&self, count: usize) -> Result<Vec<String>> {
        let one = |_| {
            let run = ["run", "--detach", "--network", "none", IMAGE, "/busybox", "sleep", "100000"];
            let out = command::output(self.docker(&run))?;
            Ok(String::from_utf8_lossy(&out).trim().to_owned())
        };
        (0..count).map(one).collect()
    }

    /// An image of one file.
    fn import(&self) -> Result<()> {
        let script = "mkdir root && cp \"$(command -v busybox)\" root/busybox && busybox tar -cf root.tar -C root .";
        let mut command = self.arena.command("sh");
        command.args(["-c", script]).stdout(Stdio::null());
        command::succeed(command)?;
        command::succeed(self.docker(&["import", "root.tar", IMAGE]))
    }

    /// Time on a processor of the engine and what it has started for its containers, those in it left out.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let dir = self.arena.dir.display().to_string();
        let proc = vigie_os::proc::Proc::system()?;
        let (mut pids, mut buffer, mut ticks) = (Vec::new(), Vec::new(), 0);
        proc.pids(&mut pids)?;
        for pid in pids {
            let named = |arguments: &[u8]| String::from_utf8_lossy(arguments).contains(&dir);
            if proc.cmdline(pid, &mut buffer)?.is_some_and(named)
                && let Some(stat) = proc.stat(pid, &mut buffer)?
            {
                ticks += stat.utime_ticks + stat.stime_ticks;
            }
        }
        Ok(Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second()))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // With `--kill-child` the whole PID namespace ends with it.
        command::end(&mut self.child);
        let remove = |tree: PathBuf| {
            let parent = tree.join(&self.cgroup);
            let removed = || {
                for entry in std::fs::read_dir(&parent).into_iter().flatten().flatten() {
                    if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                        let _ = std::fs::remove_dir(entry.path());
                    }
                }
                (!parent.exists() || std::fs::remove_dir(&parent).is_ok()).then_some(())
            };
            let what = format!("{} is removed", parent.display());
            if let Err(failure) = time::until(&what, LIMIT, Duration::from_millis(20), removed) {
                eprintln!("warning: {failure}");
            }
        };
        let trees = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        trees.map(|tree| tree.path()).filter(|tree| tree.is_dir()).for_each(remove);
        remove(PathBuf::from("/sys/fs/cgroup"));
    }
}
