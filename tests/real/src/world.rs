//! A world of its own for each test.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Gid, Uid};
use serde_json::Value;
use tempfile::TempDir;

use crate::call::Call;
use crate::lifeline::Lifeline;
use crate::processes::{Process, belongs};
use crate::terminal::Terminal;
use crate::wait::{LONG, until, within};
use crate::{left, skip};

/// Whom unprivileged worlds belong to: `nobody` nearly everywhere, and nobody's main user anywhere.
const NOBODY: u32 = 65534;

/// One of the programs under test.
///
/// # Panics
/// When it was not built.
pub fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("VIGIE_BIN_DIR").map_or_else(beside, PathBuf::from);
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is not there: cargo build -p vigie -p vigie-hostile --bins, or set VIGIE_BIN_DIR",
        path.display()
    );
    path
}

/// Tests lie in `target/PROFILE/deps`.
fn beside() -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its file");
    own.parent().and_then(Path::parent).expect("it lies two folders deep").to_owned()
}

/// A temporary folder with a `VIGIE_HOME` and a project, and everything that happens there.
#[derive(Debug)]
pub struct World {
    temp: TempDir,
    user: Option<u32>,
    lifelines: AtomicU32,
    /// Folders of other projects, whose services are ended too.
    others: Mutex<Vec<PathBuf>>,
}

impl World {
    /// As the user who runs the tests.
    #[allow(clippy::new_without_default, reason = "it makes folders")]
    pub fn new() -> Self {
        Self::of(None)
    }

    /// As an ordinary user, who may make no cgroups: only the keeper as subreaper holds a tree. For those who are
    /// ordinary users anyway the same as [`World::new`].
    pub fn unprivileged() -> Self {
        Self::of(skip::is_root().then_some(NOBODY))
    }

    fn of(user: Option<u32>) -> Self {
        let temp = tempfile::Builder::new().prefix("vigie-real-").tempdir().expect("a temporary folder");
        let world = Self { temp, user, lifelines: AtomicU32::new(0), others: Mutex::default() };
        std::fs::create_dir(world.project()).expect("a folder");
        if user.is_some() {
            for dir in [world.path("."), world.project()] {
                std::os::unix::fs::chown(dir, user, user).expect("root may give away");
            }
        }
        world
    }

    /// A path in the temporary folder.
    pub fn path(&self, name: &str) -> PathBuf {
        // The kernel calls things by their real names.
        self.temp.path().canonicalize().expect("it is there").join(name)
    }

    /// Its `VIGIE_HOME`.
    pub fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// The folder of its project.
    pub fn project(&self) -> PathBuf {
        self.path("demo")
    }

    /// Writes the manifest of the project `demo`; `@hostile` in it becomes the path of that program, `@world` the
    /// temporary folder.
    pub fn manifest(&self, text: &str) {
        self.write_manifest(&self.project(), &format!("[project]\nname = \"demo\"\n{text}"));
    }

    /// Writes a manifest as it is into a folder.
    pub fn write_manifest(&self, dir: &Path, text: &str) {
        let text = self.fill(text);
        std::fs::create_dir_all(dir).expect("a folder");
        if dir != self.project() {
            self.others.lock().unwrap_or_else(PoisonError::into_inner).push(dir.to_owned());
        }
        std::fs::write(dir.join("vigie.toml"), text).expect("a file");
    }

    /// Fills in `@hostile` and `@world`.
    pub fn fill(&self, text: &str) -> String {
        let hostile = program("hostile");
        text.replace("@hostile", &hostile.to_string_lossy()).replace("@world", &self.path("").to_string_lossy())
    }

    /// A call of `vigie` in the project's folder, with a small environment of its own.
    pub fn vigie(&self, args: &[&str]) -> Call {
        let mut command = self.command(&program("vigie"));
        command.args(args.iter().map(|arg| self.fill(arg)));
        Call::new(command)
    }

    /// `vigie run --name NAME -- hostile MODE…`
    pub fn run(&self, name: &str, hostile: &[&str]) -> Call {
        self.vigie(&[&["run", "--name", name, "--", "@hostile"], hostile].concat())
    }

    /// A hostile program that vigie knows nothing of: a stranger.
    pub fn stranger(&self, args: &[&str]) -> Call {
        let mut command = self.command(&program("hostile"));
        command.env_remove("VIGIE_HOME").args(args);
        Call::new(command)
    }

    /// A script that vigie knows nothing of; `@hostile` in it becomes the path of that program.
    pub fn shell(&self, script: &str) -> Call {
        let mut command = self.command(Path::new("sh"));
        command.env_remove("VIGIE_HOME").arg("-c").arg(self.fill(script));
        Call::new(command)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.project()).env_clear();
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin").env("LANG", "C.UTF-8");
        command.env("HOME", self.path("")).env("VIGIE_HOME", self.home()).env("TERM", "xterm");
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// `vigie ARGS` as the leader of a terminal.
    pub fn terminal(&self, args: &[&str]) -> Terminal {
        let mut call = self.vigie(args);
        Terminal::start(call.command())
    }

    /// Any program as the leader of a terminal.
    pub fn terminal_of(&self, program: &str, args: &[&str], env: &[(&str, &str)]) -> Terminal {
        let mut command = self.command(Path::new(program));
        command.args(args).envs(env.iter().copied());
        Terminal::start(&command)
    }

    /// A new lifeline for a family of processes.
    pub fn lifeline(&self) -> Lifeline {
        let number = self.lifelines.fetch_add(1, Ordering::Relaxed);
        Lifeline::new(self.path(&format!("lifeline-{number}")))
    }

    /// A new folder for `HOSTILE_REGISTER`.
    pub fn register(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir(&path).expect("a folder");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).expect("ours");
        path
    }

    /// `vigie status --json`
    #[track_caller]
    pub fn status(&self) -> Value {
        let done = self.vigie(&["status", "--json"]).run().code(0);
        serde_json::from_slice(&done.out).unwrap_or_else(|error| panic!("{error}: {done}"))
    }

    /// One service of `vigie status --json`.
    #[track_caller]
    pub fn service(&self, name: &str) -> Value {
        let status = self.status();
        find(&status, name).unwrap_or_else(|| panic!("no service {name}: {status:#}"))
    }

    /// Waits until a service is as it should be.
    #[track_caller]
    pub fn wait_service<T>(&self, name: &str, what: &str, mut look: impl FnMut(&Value) -> Option<T>) -> T {
        let mut last = Value::Null;
        let found = within(LONG, || {
            last = find(&self.status(), name)?;
            look(&last)
        });
        found.unwrap_or_else(|| panic!("{name} is not {what}: {last:#}\n{}", self.story()))
    }

    /// Waits until a service is in this state.
    #[track_caller]
    pub fn wait_state(&self, name: &str, state: &str) -> Value {
        self.wait_service(name, state, |service| (service["state"] == state).then(|| service.clone()))
    }

    /// The PID of a service's main process.
    #[track_caller]
    pub fn pid(&self, name: &str) -> u32 {
        pid_of(&self.service(name))
    }

    /// The PID of a run's main process, once its lock names it: the program of a `vigie run` speaks before its keeper has
    /// written that down.
    #[track_caller]
    pub fn wait_named(&self, service: &str) -> u32 {
        until("the lock names the main process", || {
            let label = std::fs::read(self.service_dir(service)?.join("lock")).ok()?;
            let label: Value = serde_json::from_slice(&label).ok()?;
            u32::try_from(label["main"]["pid"].as_u64()?).ok()
        })
    }

    /// `vigie events --json`, all of them.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        let done = self.vigie(&["events", "--json", "-n", "1000000"]).run().code(0);
        let lines = done.out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error}: {done}"))).collect()
    }

    /// The events of one kind about one service.
    #[track_caller]
    pub fn events_of(&self, service: &str, kind: &str) -> Vec<Value> {
        let about = |event: &Value| event["service"] == service && event["kind"] == kind;
        self.events().into_iter().filter(about).collect()
    }

    /// Waits until there are so many events of a kind, and gives them.
    #[track_caller]
    pub fn wait_events(&self, service: &str, kind: &str, count: usize) -> Vec<Value> {
        let found = within(LONG, || Some(self.events_of(service, kind)).filter(|found| found.len() >= count));
        found.unwrap_or_else(|| panic!("not {count} times {kind} of {service}:\n{}", self.story()))
    }

    /// What happened, for people who look at a failed test.
    pub fn story(&self) -> String {
        self.vigie(&["events", "-n", "200"]).attempt().map(|done| done.text()).unwrap_or_default()
    }

    /// The stored output of a service, as it was written.
    #[track_caller]
    pub fn raw(&self, service: &str) -> Vec<u8> {
        self.vigie(&["logs", "--raw", service]).run().code(0).out
    }

    /// The daemon that answers now.
    #[track_caller]
    pub fn daemon(&self) -> Process {
        let home = self.home();
        until("the daemon answers", || {
            let pid = u32::try_from(self.status()["daemon"]["pid"].as_u64()?).ok()?;
            Process::open(pid, |pid| belongs(pid, &home))
        })
    }

    /// The record that the keeper of a service writes.
    pub fn record(&self, service: &str) -> Option<Value> {
        let path = self.service_dir(service)?.join("record.json");
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// The folder of a service below the runtime folder; of any project.
    pub fn service_dir(&self, service: &str) -> Option<PathBuf> {
        let entries = std::fs::read_dir(self.home().join("run/services")).ok()?;
        let own = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.strip_prefix(service).is_some_and(|rest| rest.len() == 17 && rest.starts_with('-'))
        };
        entries.flatten().map(|entry| entry.path()).find(own)
    }

    /// The keeper of a service.
    #[track_caller]
    pub fn keeper(&self, service: &str) -> Process {
        let home = self.home();
        until("the keeper lives", || {
            let pid = u32::try_from(self.record(service)?["holder"]["keeper"]["pid"].as_u64()?).ok()?;
            Process::open(pid, |pid| belongs(pid, &home))
        })
    }

    /// The ids of all runs that are known.
    fn runs(&self) -> Vec<String> {
        let mut runs = Vec::new();
        let done = self.vigie(&["events", "--json", "-n", "1000000"]).attempt();
        let out = done.map(|done| done.out).unwrap_or_default();
        for line in out.split(|byte| *byte == b'\n') {
            let event: Option<Value> = serde_json::from_slice(line).ok();
            runs.extend(event.and_then(|event| Some(event["run"].as_str()?.to_owned())));
        }
        for entry in std::fs::read_dir(self.home().join("run/services")).into_iter().flatten().flatten() {
            let record = std::fs::read(entry.path().join("record.json")).ok();
            let record: Option<Value> = record.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            runs.extend(record.and_then(|record| Some(record["holder"]["run"].as_str()?.to_owned())));
        }
        runs.sort();
        runs.dedup();
        runs
    }
}

/// One service of a report.
pub(crate) fn find(status: &Value, name: &str) -> Option<Value> {
    status["services"].as_array()?.iter().find(|service| service["service"] == name).cloned()
}

/// The PID of the main process in a report about a service.
#[track_caller]
pub(crate) fn pid_of(service: &Value) -> u32 {
    let pid = service["run"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    pid.unwrap_or_else(|| panic!("it has no PID: {service:#}"))
}

impl Drop for World {
    /// Ends what this world started, then looks for what is left.
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if failed {
            eprintln!("what happened:\n{}", self.story());
        }
        if self.home().exists() {
            let dirs = self.others.lock().unwrap_or_else(PoisonError::into_inner).clone();
            for dir in dirs.into_iter().filter(|dir| dir.is_dir()).chain([self.project()]) {
                drop(self.vigie(&["kill-all", "--yes"]).within(&dir).attempt());
            }
            drop(self.vigie(&["daemon", "stop", "--yes"]).attempt());
            let left = left::look(&self.home(), &self.runs());
            left::end_all(&self.home());
            assert!(left.is_empty() || failed, "left behind:\n{}", left.join("\n"));
        }
    }
}

/// For those who look at ids.
impl World {
    /// Uid and gid that its programs run as.
    pub fn ids(&self) -> (Uid, Gid) {
        match self.user {
            Some(user) => (Uid::from_raw(user), Gid::from_raw(user)),
            None => (rustix::process::geteuid(), rustix::process::getegid()),
        }
    }
}
