//! What was seen: the facts that an explanation rests on. Nothing here is concluded.

use crate::clock::Wall;
use crate::identity::{ProcKey, RunId};
use crate::text::{OsText, escaped};

/// A fact that may be out of sight (R1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told<T> {
    /// This was seen.
    Known(T),
    /// There is none: a kernel thread has no arguments, a zombie no working folder.
    Nothing,
    /// It is there, and cannot be seen.
    Hidden(Hidden),
}

/// Why a fact cannot be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    /// The kernel shows it to its user and to root.
    NeedsRoot,
    /// Root asked, and the kernel refused it all the same.
    FromRoot,
    /// The kernel did not answer in time: the process holds what the answer needs.
    NoAnswer,
}

impl Hidden {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Hidden::NeedsRoot => "cannot be seen: needs root",
            Hidden::FromRoot => "cannot be seen, not even as root",
            Hidden::NoAnswer => "cannot be seen: the kernel does not answer",
        }
    }
}

impl<T> Told<T> {
    /// It, when it was seen.
    pub fn known(&self) -> Option<&T> {
        match self {
            Told::Known(value) => Some(value),
            Told::Nothing | Told::Hidden(_) => None,
        }
    }

    /// Why it cannot be seen, when that is so.
    pub fn hidden(&self) -> Option<Hidden> {
        match self {
            Told::Hidden(why) => Some(*why),
            Told::Known(_) | Told::Nothing => None,
        }
    }
}

/// How many characters of a command are shown where it stands among other things.
const SHORT: usize = 120;

/// A process as the kernel told of it at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Which.
    pub key: ProcKey,
    /// The number of its parent; 0 when that is outside of what can be seen from here.
    pub parent: u32,
    /// What it calls itself: any bytes, never a proof.
    pub name: OsText,
    /// Its arguments; it may have written over them.
    pub argv: Told<Vec<OsText>>,
    /// The letter of its main thread's state.
    pub state: char,
    /// Its threads, an ended main thread included.
    pub threads: u32,
    /// It is a thread of the kernel.
    pub kernel: bool,
    /// Its session.
    pub session: u32,
    /// Its controlling terminal, as below `/dev`: `pts/3`.
    pub terminal: Option<String>,
    /// Its effective user.
    pub uid: Option<u32>,
    /// The name of that user, when `/etc/passwd` has one.
    pub user: Option<String>,
    /// When it was started.
    pub started: Option<Wall>,
}

impl Process {
    /// Its number.
    pub fn pid(&self) -> u32 {
        self.key.pid
    }

    /// `bash (PID 7)`
    pub fn label(&self) -> String {
        format!("{} (PID {})", self.name, self.pid())
    }

    /// Its command line for people, in one line; its name in brackets, when it shows none.
    pub fn command(&self) -> String {
        match self.argv.known() {
            Some(argv) if !argv.is_empty() => argv.iter().map(|word| escaped(&word.0)).collect::<Vec<_>>().join(" "),
            _ => format!("[{}]", self.name),
        }
    }

    /// The beginning of [`Process::command`]: arguments may hold whole programs.
    pub fn short_command(&self) -> String {
        let command = self.command();
        let short: String = command.chars().take(SHORT).collect();
        if short.len() < command.len() { format!("{short}…") } else { short }
    }

    /// The user's name, else the number.
    pub fn owner(&self) -> Option<String> {
        self.user.clone().or_else(|| self.uid.map(|uid| format!("uid {uid}")))
    }

    /// It is dead and waits for its parent. A main thread that has ended while others go on is not that.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'X' | 'x') || self.state == 'Z' && self.threads <= 1
    }
}

/// One thread of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its number; that of the main thread is the PID.
    pub tid: u32,
    /// What it calls itself.
    pub name: OsText,
    /// The letter of its state; proc_pid_stat(5).
    pub state: char,
}

/// Where a line of parents ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Top {
    /// At a process whose parent is outside of this PID namespace, or that has none: PID 1, mostly.
    Root,
    /// At one that ended while it was looked at.
    Vanished(u32),
}

/// A namespace that a process lives in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// `net`, `pid`, `mnt`, …
    pub kind: &'static str,
    /// Its number.
    pub id: u64,
    /// The number of the one that vigie itself lives in.
    pub ours: u64,
}

/// What is known of one process and of where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// It.
    pub process: Process,
    /// Its threads; the main thread first.
    pub tasks: Vec<Task>,
    /// Its parent, the parent of that, and so on.
    pub ancestors: Vec<Process>,
    /// Where that line ends.
    pub top: Top,
    /// The leader of its session; absent when it has ended.
    pub session_leader: Option<Process>,
    /// Who traces it.
    pub tracer: Option<Process>,
    /// KILL was sent, and the kernel has not ended it yet.
    pub kill_pending: bool,
    /// The file that it runs, as the kernel names it.
    pub executable: Told<OsText>,
    /// Its working folder.
    pub folder: Told<OsText>,
    /// The lines of its `cgroup` file: controllers (empty for cgroup v2) and path.
    pub cgroups: Vec<(String, OsText)>,
    /// The namespaces that it does not share with vigie.
    pub namespaces: Told<Vec<Namespace>>,
    /// The user who logged in, as the kernel's audit remembers it through `su` and `sudo`.
    pub login: Option<(u32, Option<String>)>,
    /// Those variables of the environment it was started with that tell where it comes from ([`TELLING`]).
    pub environment: Told<Vec<(&'static str, OsText)>>,
}

/// The variables that tell where a process comes from. No other is read: their values are nobody's business.
pub const TELLING: &[&str] = &["SSH_CONNECTION", "TMUX", "STY", "npm_lifecycle_event", "INVOCATION_ID", "VIGIE_RUN"];

impl Story {
    /// A variable of [`TELLING`].
    pub fn variable(&self, name: &str) -> Option<&OsText> {
        self.environment.known()?.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// What a process is to vigie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Belonging {
    /// The main process of a run.
    Main(Membership),
    /// Another process of a run.
    Member(Membership),
    /// The process that holds a run.
    Keeper(Membership),
    /// Recognised as a copy of a service, and not of its run; which facts match (R4.5).
    Stray {
        /// `demo/api`
        service: String,
        /// `executable`, `script`, `directory`, …
        matched: Vec<String>,
    },
    /// vigie's daemon.
    Daemon,
    /// This very command.
    Ourselves,
}

/// How a process is known to belong to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// `demo/api:headless`
    pub service: String,
    /// The run.
    pub run: RunId,
    /// What tells it: `the mark VIGIE_RUN`, `the record`.
    pub by: &'static str,
    /// Where that stands.
    pub source: String,
    /// Who asked for the run, from where.
    pub asked_by: String,
    /// When its main process was adopted, if vigie did not start it.
    pub adopted: Option<Wall>,
}
