//! A stuck process of a test's own, and what vigie says about it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use vigie_real_tests::{LONG, World, is_root, program, skip};
use vigie_stuck::{IMPOSSIBLE, STATES, seen, wait};

/// Whom ordinary users' processes belong to.
const NOBODY: u32 = 65534;

/// A state that was made. Dropping it frees everything, and looks whether that is so.
pub(crate) struct Stuck {
    name: &'static str,
    child: Option<Child>,
    facts: BTreeMap<String, String>,
}

impl Stuck {
    /// Makes one. Nothing, and the reason is said, where it cannot be made.
    #[track_caller]
    pub(crate) fn new(test: &str, state: &'static str) -> Option<Self> {
        Self::with(test, state, &[], None)
    }

    /// As an ordinary user.
    #[track_caller]
    pub(crate) fn unprivileged(test: &str, state: &'static str) -> Option<Self> {
        Self::with(test, state, &[], is_root().then_some(NOBODY))
    }

    /// With arguments.
    #[track_caller]
    pub(crate) fn with(test: &str, name: &'static str, args: &[&str], user: Option<u32>) -> Option<Self> {
        let state = STATES.iter().find(|state| state.name == name).expect("a state");
        if state.root && (!is_root() || user.is_some()) {
            skip(test, &format!("only root can make {name}"));
            return None;
        }
        let mut command = Command::new(program("stuck"));
        command.arg(name).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A folder that everybody may enter.
        command.current_dir("/").env_remove("VIGIE_HOME");
        if let Some(user) = user {
            command.uid(user).gid(user).env("TMPDIR", "/tmp");
        }
        let mut child = command.spawn().expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("readable");
        if !line.starts_with("ready ") {
            let mut errors = String::new();
            child.stderr.take().expect("piped").read_to_string(&mut errors).expect("readable");
            let status = child.wait().expect("a child");
            assert_eq!(status.code(), Some(IMPOSSIBLE.into()), "{name}: {errors}");
            skip(test, errors.trim());
            return None;
        }
        let facts = line.split_ascii_whitespace().filter_map(|word| word.split_once('='));
        let facts = facts.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Some(Self { name, child: Some(child), facts })
    }

    /// What it said about itself.
    #[track_caller]
    pub(crate) fn fact(&self, name: &str) -> &str {
        self.facts.get(name).unwrap_or_else(|| panic!("{} says nothing of {name}: {:?}", self.name, self.facts))
    }

    /// A number that it said.
    #[track_caller]
    pub(crate) fn number(&self, name: &str) -> u32 {
        self.fact(name).parse().expect("a number")
    }

    /// The stuck process.
    pub(crate) fn pid(&self) -> u32 {
        self.number("pid")
    }

    /// The program that made it.
    pub(crate) fn maker(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Its place in a command.
    pub(crate) fn target(&self) -> String {
        format!("pid:{}", self.pid())
    }

    /// Signals the stuck process. The program that made it has not let go of its number.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().cast_signed()).expect("a number");
        let _ = kill_process(pid, signal);
    }

    /// Sends KILL, which does not end it. Waits until that shows.
    #[track_caller]
    pub(crate) fn survives_kill(&self) {
        let pid = self.pid();
        self.signal(Signal::KILL);
        self.until("KILL is pending", || self.is_killed() && seen::tasks(pid).iter().all(|tid| self.rests(*tid)));
        // Once more: that is no better.
        self.signal(Signal::KILL);
        assert!(!wait::within(Duration::from_millis(200), || seen::is_gone(pid)), "{} died", self.name);
    }

    fn is_killed(&self) -> bool {
        let pid = self.pid();
        has(pid, "SigPnd", libc_kill()) || has(pid, "ShdPnd", libc_kill())
    }

    fn rests(&self, tid: u32) -> bool {
        seen::task_state(self.pid(), tid).is_some_and(|state| matches!(state, 'D' | 't' | 'Z'))
    }

    /// Waits until it is as it should be.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, mut is: impl FnMut() -> bool) {
        if !wait::within(LONG, &mut is) {
            let pid = self.pid();
            let shown = |file: &str| seen::file(pid, file).unwrap_or_default();
            panic!("{}, in vain: {what}\n{}{}\n{}", self.name, shown("status"), shown("wchan"), shown("stack"));
        }
    }

    /// Waits until it is gone, or dead and waits for its parent.
    #[track_caller]
    pub(crate) fn gone(&self) {
        let pid = self.pid();
        self.until("it is gone", || seen::is_gone(pid));
    }

    /// Waits until it goes on, to where it has nothing more to do.
    #[track_caller]
    pub(crate) fn goes_on(&self) {
        let pid = self.pid();
        // A sleep that was interrupted goes on in the last one.
        let pauses = || {
            seen::wchan(pid)
                .is_some_and(|place| ["pause", "nanosleep", "do_syscall_64"].iter().any(|part| place.contains(part)))
        };
        self.until("it goes on", || seen::state(pid) == Some('S') && pauses());
    }

    /// The function of the kernel that it is in is one of these, where that is shown.
    #[track_caller]
    pub(crate) fn sleeps_in(&self, states: &str, functions: &[&str]) {
        let pid = self.pid();
        let place = || seen::wchan(pid).unwrap_or_default();
        self.until(&format!("{states} in {functions:?}"), || {
            seen::state(pid).is_some_and(|state| states.contains(state))
                && functions.iter().any(|part| place().contains(part))
        });
    }

    /// Kills the program that made it, as nobody should.
    pub(crate) fn kill_maker(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it runs");
            child.wait().expect("a child");
        }
    }

    /// What is on the machine because of this one, by name.
    pub(crate) fn left(&self, maker: u32) -> Vec<String> {
        let name = format!("vigie-stuck-{maker}");
        let mut left = Vec::new();
        let folder = std::env::temp_dir().join(&name);
        left.extend(folder.exists().then(|| folder.display().to_string()));
        folders(Path::new("/sys/fs/cgroup"), &name, &mut left);
        for entry in std::fs::read_dir("/sys/block").into_iter().flatten().flatten() {
            let file = entry.path().join("loop/backing_file");
            left.extend(std::fs::read_to_string(file).ok().filter(|file| file.contains(&format!("{name}/"))));
        }
        let numbers =
            ["pid", "server", "tracer", "parent", "holder", "reader", "listener", "daemon", "owner", "supplier"];
        for (role, pid) in numbers.iter().filter_map(|role| Some((role, self.facts.get(*role)?.parse().ok()?))) {
            // Whoever has the number now may be somebody else.
            let ours = seen::file(pid, "comm").is_some_and(|comm| comm.starts_with("stuck"));
            left.extend((ours && !seen::is_gone(pid)).then(|| format!("{role} {pid}")));
        }
        left
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let maker = child.id();
        // The end of its input is its end.
        drop(child.stdin.take());
        let over = wait::within(LONG, || child.try_wait().expect("a child").is_some());
        if !over {
            let _ = child.kill();
        }
        let status = child.wait().expect("a child");
        let mut errors = String::new();
        if over && let Some(mut stderr) = child.stderr.take() {
            let _ = stderr.read_to_string(&mut errors);
        }
        // What the kernel gives back by itself, a loop device for one, it may give back a moment later.
        let _ = wait::within(LONG, || self.left(maker).is_empty());
        let left = self.left(maker);
        if !std::thread::panicking() {
            assert!(over && status.success(), "{} was not freed: {status}\n{errors}", self.name);
            assert!(left.is_empty(), "{} has left: {left:?}", self.name);
        } else if !errors.is_empty() {
            eprintln!("{}: {errors}", self.name);
        }
    }
}

fn libc_kill() -> i32 {
    Signal::KILL.as_raw()
}

/// Of any of its threads, or of all.
fn has(pid: u32, name: &str, signal: i32) -> bool {
    let tasks = seen::tasks(pid);
    let of = |tid: &u32| {
        let text = seen::file(pid, &format!("task/{tid}/status")).unwrap_or_default();
        let set = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).is_some_and(|set| set >> (signal - 1) & 1 == 1)
    };
    tasks.iter().any(of)
}

fn folders(dir: &Path, name: &str, left: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            left.extend((entry.file_name() == *name).then(|| entry.path().display().to_string()));
            folders(&entry.path(), name, left);
        }
    }
}

/// What `vigie why pid:N --json` says; and the numbers that the program which made the state has told of.
pub(crate) struct Verdict(pub(crate) Value, Vec<u32>);

impl Verdict {
    /// Asks.
    #[track_caller]
    pub(crate) fn of(world: &World, stuck: &Stuck) -> Self {
        let done = world.vigie(&["why", &stuck.target(), "--json"]).run();
        let value = serde_json::from_slice(&done.out).unwrap_or_else(|error| panic!("{error}: {done}"));
        Self(value, stuck.facts.values().filter_map(|value| value.parse().ok()).collect())
    }

    /// It is this, and as killable as this.
    #[track_caller]
    pub(crate) fn is(&self, verdict: &str, killable: Option<bool>) -> &Self {
        assert_eq!(self.0["verdict"], verdict, "{:#}", self.0);
        assert_eq!(self.0["killable"].as_bool(), killable, "{:#}", self.0);
        self
    }

    /// A thread is judged to be this.
    #[track_caller]
    pub(crate) fn task(&self, tid: u32, verdict: &str) -> &Self {
        let tasks = self.0["tasks"].as_array().expect("tasks");
        let task = tasks.iter().find(|task| task["tid"] == tid);
        assert!(task.is_some_and(|task| task["verdict"] == verdict), "thread {tid} is no {verdict}: {:#}", self.0);
        self
    }

    /// This fact is shown, with this in it.
    #[track_caller]
    pub(crate) fn shows(&self, fact: &str, part: &str) -> &Self {
        let evidence = self.0["evidence"].as_array().expect("evidence");
        let found = evidence
            .iter()
            .any(|one| one["fact"] == fact && one["value"].as_str().is_some_and(|value| value.contains(part)));
        assert!(found, "{fact} does not show {part:?}: {:#}", self.0);
        self
    }

    /// Whoever this is, it is blamed.
    #[track_caller]
    pub(crate) fn blames(&self, role: &str, pid: u32) -> &Self {
        assert!(self.has_blamed(role, pid), "the {role} {pid} is not blamed: {:#}", self.0);
        self
    }

    /// Whether it is blamed.
    pub(crate) fn has_blamed(&self, role: &str, pid: u32) -> bool {
        let blamed = self.0["blamed"].as_array().expect("blamed");
        blamed.iter().any(|one| one["role"] == role && one["pid"] == pid)
    }

    /// What is offered, by name; the same for several processes once.
    pub(crate) fn offers(&self) -> Vec<&str> {
        let remedies = self.0["remedies"].as_array().expect("remedies");
        let mut names: Vec<&str> = remedies.iter().filter_map(|one| one["name"].as_str()).collect();
        names.dedup();
        names
    }

    /// Exactly this is offered, in this order.
    #[track_caller]
    pub(crate) fn offers_just(&self, names: &[&str]) -> &Self {
        assert_eq!(self.offers(), names, "{:#}", self.0);
        self
    }

    /// Does what a remedy says, by its own command; nobody is asked. Never to the processes of another test, which may be
    /// offered as well.
    #[track_caller]
    pub(crate) fn carry_out(&self, world: &World, name: &str) {
        let remedies = self.0["remedies"].as_array().expect("remedies");
        let whom = |command: &str| {
            let mut words = command.split_ascii_whitespace();
            words.find_map(|word| word.strip_prefix("pid:").unwrap_or(word).parse::<u32>().ok())
        };
        let is_ours = |command: &&str| whom(command).is_some_and(|pid| self.1.contains(&pid));
        let named = remedies.iter().filter(|one| one["name"] == name);
        let command = named.filter_map(|one| one["command"].as_str()).find(is_ours);
        let command = command.unwrap_or_else(|| panic!("no command for {name}: {:#}", self.0));
        match command.strip_prefix("vigie ") {
            Some(rest) => {
                let mut words: Vec<&str> = rest.split_ascii_whitespace().collect();
                words.push("--yes");
                world.vigie(&words).run().code(0);
            }
            None => {
                world.shell(command).run().code(0);
            }
        }
    }
}

/// A state, a world, and a verdict; nothing where it cannot be made.
#[track_caller]
pub(crate) fn made(test: &str, state: &'static str) -> Option<(World, Stuck)> {
    let stuck = Stuck::new(test, state)?;
    Some((World::new(), stuck))
}

/// Waits until the machine has nothing of this one any more.
#[track_caller]
pub(crate) fn nothing_left(stuck: &Stuck, maker: u32) {
    let free = wait::within(LONG, || stuck.left(maker).is_empty());
    assert!(free, "{} has left: {:?}", stuck.name, stuck.left(maker));
}
