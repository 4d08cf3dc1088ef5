//! `vigie doctor`: from what was seen of the machine to what is wrong with it.
//!
//! Nearly everything that is wrong looks for a moment like something ordinary: every process is a zombie before its parent
//! has noticed, a compiler waits for the disk, a pager does not read from its pipe while somebody reads the page. So what is
//! told of a wait has to be the same wait in two looks, during which the thread did not run, and has to have lasted longer
//! than ordinary waits of its kind do ([`patience`]). [`Doctor`] remembers the looks before.

pub mod facts;
mod memory;
mod mounts;
mod processes;
mod services;
mod vigie;

use std::time::Duration;

use crate::name::Name;
use crate::stuck::{Cure, TaskVerdict};
use crate::why::{Evidence, Remedy};

pub use memory::{Change, Watch};

use facts::Facts;
use memory::Memory;

/// What a finding is about. The names are for programs and do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// KILL was sent, and the kernel does not end it.
    Ghost,
    /// A file system whose server does not answer, and processes that wait for it.
    HungMount,
    /// A process waits in the kernel and does not go on.
    Stuck,
    /// A cgroup is frozen, with processes in it.
    Frozen,
    /// A process of a run was stopped by a signal.
    Stopped,
    /// A process of a run is held by a tracer.
    Traced,
    /// A process of a run writes into a pipe that nobody reads.
    PipeFull,
    /// A parent does not take notice of its dead children.
    Zombies,
    /// A service ends again and again.
    CrashLoop,
    /// A service was given up.
    GaveUp,
    /// A service that is to run is refused: another holds its lock.
    Conflict,
    /// A port that a service claims is held by another.
    PortTaken,
    /// Processes of a run whose keeper was killed.
    Orphan,
    /// A copy of a service that vigie did not start.
    Stray,
    /// A file or a record that nobody stands behind.
    Leftover,
    /// A process of a run has nearly as many descriptors open as it may.
    Descriptors,
    /// There is little room where vigie writes.
    LowDisk,
    /// The journal.
    Journal,
    /// The daemon.
    Daemon,
    /// A keeper.
    Keeper,
    /// The daemon or a keeper is of another version than this command.
    Version,
}

impl Kind {
    /// All of them.
    pub const ALL: &[Kind] = &[
        Kind::Ghost,
        Kind::HungMount,
        Kind::Stuck,
        Kind::Frozen,
        Kind::Stopped,
        Kind::Traced,
        Kind::PipeFull,
        Kind::Zombies,
        Kind::CrashLoop,
        Kind::GaveUp,
        Kind::Conflict,
        Kind::PortTaken,
        Kind::Orphan,
        Kind::Stray,
        Kind::Leftover,
        Kind::Descriptors,
        Kind::LowDisk,
        Kind::Journal,
        Kind::Daemon,
        Kind::Keeper,
        Kind::Version,
    ];

    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ghost => "ghost",
            Kind::HungMount => "hung-mount",
            Kind::Stuck => "stuck",
            Kind::Frozen => "frozen",
            Kind::Stopped => "stopped",
            Kind::Traced => "traced",
            Kind::PipeFull => "pipe-full",
            Kind::Zombies => "zombies",
            Kind::CrashLoop => "crash-loop",
            Kind::GaveUp => "gave-up",
            Kind::Conflict => "conflict",
            Kind::PortTaken => "port-taken",
            Kind::Orphan => "orphan",
            Kind::Stray => "stray",
            Kind::Leftover => "leftover",
            Kind::Descriptors => "descriptors",
            Kind::LowDisk => "low-disk",
            Kind::Journal => "journal",
            Kind::Daemon => "daemon",
            Kind::Keeper => "keeper",
            Kind::Version => "version",
        }
    }
}

/// How grave a finding is; the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Something does not work, and does not come back by itself.
    Critical,
    /// Something does not work as it should, or is about to stop working.
    Warning,
    /// Worth knowing; nothing suffers yet.
    Notice,
}

impl Severity {
    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
            Severity::Notice => "notice",
        }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// How grave.
    pub severity: Severity,
    /// What it is about, so that it can be found again: `pid:4711`, `demo/api`, `fuse:45`, a path.
    pub subject: String,
    /// What is wrong, in one sentence, without a full stop.
    pub text: String,
    /// What that follows from, one sentence a line.
    pub because: Vec<String>,
    /// The raw facts.
    pub evidence: Vec<Evidence>,
    /// What can be done, the mildest first.
    pub remedies: Vec<Remedy>,
    /// The processes that it is about.
    pub pids: Vec<u32>,
    /// The service that it is about: `demo/api`.
    pub service: Option<String>,
}

impl Finding {
    /// With nothing but its sentence.
    fn new(kind: Kind, severity: Severity, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            kind,
            severity,
            subject: subject.into(),
            text: text.into(),
            because: Vec::new(),
            evidence: Vec::new(),
            remedies: Vec::new(),
            pids: Vec::new(),
            service: None,
        }
    }

    /// The same thing in a later look.
    pub fn is_same(&self, other: &Finding) -> bool {
        self.kind == other.kind && self.subject == other.subject
    }

    fn fact(&mut self, fact: &str, value: impl Into<String>, source: impl Into<String>) {
        self.evidence.push(Evidence { fact: fact.to_owned(), value: value.into(), source: source.into() });
    }

    fn remedy(&mut self, name: &'static str, effect: impl Into<String>, command: impl Into<String>) {
        let command = Some(command.into()).filter(|command: &String| !command.is_empty());
        self.remedies.push(Remedy { name, needs: None, effect: effect.into(), command, cure: None });
    }

    fn cure(&mut self, name: &'static str, effect: impl Into<String>, command: impl Into<String>, cure: Cure) {
        self.remedy(name, effect, command);
        if let Some(remedy) = self.remedies.last_mut() {
            remedy.cure = Some(cure);
        }
    }
}

/// What a person asked about; [`Scope::Machine`] without a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    Machine,
    /// One process: what holds it up is told however short it lasts.
    Process(u32),
    /// One service: `demo/api`.
    Service(Name, Name),
}

impl Scope {
    /// Whether a finding is about it.
    fn covers(&self, finding: &Finding) -> bool {
        match self {
            Scope::Machine => true,
            Scope::Process(pid) => finding.pids.contains(pid),
            Scope::Service(project, service) => {
                let label = format!("{project}/{service}");
                // `demo/robot:headless` is `demo/robot`.
                finding.service.as_deref().is_some_and(|of| of.split(':').next() == Some(&label))
            }
        }
    }

    fn is(&self, pid: u32) -> bool {
        *self == Scope::Process(pid)
    }
}

/// What is wrong, look after look.
#[derive(Debug)]
pub struct Doctor {
    scope: Scope,
    memory: Memory,
}

impl Doctor {
    /// Has seen nothing yet.
    pub fn new(scope: Scope) -> Self {
        Self { scope, memory: Memory::default() }
    }

    /// What is wrong, as far as this look and those before prove it: the gravest first.
    pub fn look(&mut self, facts: &Facts) -> Vec<Finding> {
        self.memory.note(facts, &self.scope);
        let mut found = Vec::new();
        processes::findings(facts, &self.memory, &self.scope, &mut found);
        mounts::findings(facts, &self.memory, &self.scope, &mut found);
        services::findings(facts, &mut found);
        vigie::findings(facts, &self.memory, &mut found);
        found.retain(|finding| self.scope.covers(finding));
        found.sort_by(|a, b| (a.severity, a.kind, &a.subject).cmp(&(b.severity, b.kind, &b.subject)));
        found
    }

    /// Something was seen that could be a finding, and only another look can tell.
    pub fn is_in_doubt(&self) -> bool {
        self.memory.is_in_doubt()
    }
}

/// How long a process that nobody asked about has to be found in the same wait, without having run, before that is told;
/// absent: never. `of_run`: it belongs to a run of vigie.
pub fn patience(verdict: TaskVerdict, of_run: bool) -> Option<Duration> {
    let seconds = match verdict {
        // It says by itself that it does not go on; two looks are enough.
        TaskVerdict::Stopped | TaskVerdict::Traced if of_run => 0,
        TaskVerdict::PipeFull if of_run => 60,
        // Somebody presses Ctrl-Z, debugs, or reads a page of a pager.
        TaskVerdict::Stopped | TaskVerdict::Traced | TaskVerdict::PipeFull => return None,
        // The answer of a program that lives.
        TaskVerdict::Fuse | TaskVerdict::Fanotify | TaskVerdict::Autofs | TaskVerdict::Userfault => 10,
        // A snapshot holds a file system for some seconds.
        TaskVerdict::FrozenFilesystem => 30,
        // A slow disk, a slow network, a compiler that starts under memory pressure.
        TaskVerdict::Nfs
        | TaskVerdict::BlockDevice
        | TaskVerdict::Uninterruptible
        | TaskVerdict::KillableWait
        | TaskVerdict::VforkWait
        | TaskVerdict::Exiting => 60,
        // Told with their cgroup, and with their parents.
        TaskVerdict::Frozen | TaskVerdict::Zombie => return None,
        // To wait for a lock is what locks are for; the others are no waits.
        TaskVerdict::FileLock
        | TaskVerdict::Running
        | TaskVerdict::Sleeping
        | TaskVerdict::LeaderExited
        | TaskVerdict::NamespaceInit
        | TaskVerdict::SignalIgnored
        | TaskVerdict::SignalBlocked
        | TaskVerdict::SignalSwallowed => return None,
    };
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests;
