//! The raw facts behind a verdict, each with the place where it can be read again.

use super::TaskVerdict;
use super::facts::{Backing, KILLABLE, Mount, Object, ProcessFacts, SignalSet, TaskFacts};
use super::judge::Judgement;
use super::signs;
use super::task::{TERM, functions, lossy};
use crate::text::OsText;
use crate::why::Evidence;
use crate::why::facts::Told;

/// How many threads beside the one that decides are listed.
const OTHERS: usize = 4;

/// How many functions of a stack are listed.
const DEPTH: usize = 8;

/// Adds the facts: all of the thread that decides, one line for others that do not simply go on.
pub(super) fn tell(facts: &ProcessFacts, told: &mut Judgement) {
    let mut list = Facts { pid: facts.process.pid(), sure: told.sure, list: Vec::new() };
    if let Some(task) = facts.tasks.iter().find(|task| task.tid == told.decides) {
        list.thread(task, told);
    }
    let goes = |verdict| matches!(verdict, TaskVerdict::Running | TaskVerdict::Sleeping);
    let others = facts.tasks.iter().zip(&told.tasks);
    let others: Vec<_> = others.filter(|(_, one)| one.tid != told.decides && !goes(one.verdict)).collect();
    for (task, one) in others.iter().take(OTHERS) {
        let at = lossy_place(task).map(|place| format!(" in {place}")).unwrap_or_default();
        let value = format!("{} ({}){at}: {}", task.state, state(task.state), one.verdict.name());
        list.add(format!("thread {} ({})", task.tid, task.name), value, list.of(task.tid, "stat"));
    }
    if facts.tasks.len() > 1 {
        let beside = facts.tasks.len() - 1 - others.len().min(OTHERS);
        if beside > 0 {
            list.add("other threads", beside.to_string(), format!("/proc/{}/task", list.pid));
        }
    }
    list.process(facts, told);
    told.evidence = list.list;
}

/// What a letter stands for, as the kernel writes it.
pub(super) fn state(letter: char) -> &'static str {
    match letter {
        'R' => "running",
        'S' => "sleeping",
        'D' => "disk sleep",
        'T' => "stopped",
        't' => "tracing stop",
        'Z' => "zombie",
        'X' | 'x' => "dead",
        'I' => "idle",
        _ => "unknown",
    }
}

fn lossy_place(task: &TaskFacts) -> Option<String> {
    task.wchan.known().map(|place| lossy(&place.0))
}

struct Facts {
    pid: u32,
    /// The verdict stands without what could not be seen: that is left out.
    sure: bool,
    list: Vec<Evidence>,
}

impl Facts {
    fn add(&mut self, fact: impl Into<String>, value: impl Into<String>, source: impl Into<String>) {
        self.list.push(Evidence { fact: fact.into(), value: value.into(), source: source.into() });
    }

    /// A file of a thread.
    fn of(&self, tid: u32, file: &str) -> String {
        format!("/proc/{}/task/{tid}/{file}", self.pid)
    }

    /// A fact that may be hidden; nothing is told of what there is not.
    fn told<T>(&mut self, fact: &str, told: &Told<T>, source: String, text: impl FnOnce(&T) -> String) {
        match told {
            Told::Known(value) => self.add(fact, text(value), source),
            Told::Hidden(why) if !self.sure => self.add(fact, why.text(), source),
            Told::Nothing | Told::Hidden(_) => {}
        }
    }

    fn thread(&mut self, task: &TaskFacts, told: &Judgement) {
        // Which thread that is, the source tells, and a sentence when it is not the main thread.
        self.add("state", format!("{} ({})", task.state, state(task.state)), self.of(task.tid, "stat"));
        if let Some(raw) = task.raw_state.known().filter(|_| task.state == 'D') {
            let how = if raw & KILLABLE == 0 { "is not set" } else { "is set" };
            self.add("raw state", format!("{raw:#x}: TASK_WAKEKILL {how}"), "BPF: task_struct.__state");
        }
        let quiet = matches!(told.verdict, TaskVerdict::Running | TaskVerdict::Sleeping);
        self.told("sleeps in", &task.wchan, self.of(task.tid, "wchan"), |place| {
            let place = lossy(&place.0);
            match signs::row_of(&place, true, task.state) {
                Some(row) => format!("{place} ({})", row.why),
                None => place,
            }
        });
        // Nobody needs more of a process that simply waits.
        if quiet && told.sure {
            return;
        }
        self.told("system call", &task.call, self.of(task.tid, "syscall"), |call| {
            let name = call.name.map_or_else(|| format!("number {}", call.number), str::to_owned);
            let [first, second, third, ..] = call.arguments;
            format!("{name}({first:#x}, {second:#x}, {third:#x}, …)")
        });
        if task.state == 'D' || task.state == 't' || matches!(told.verdict, TaskVerdict::Fuse) {
            self.told("stack", &task.stack, self.of(task.tid, "stack"), |_| {
                let all: Vec<String> = functions(task).collect();
                let more = if all.len() > DEPTH { ", …" } else { "" };
                format!("{}{more}", all[..all.len().min(DEPTH)].join(", "))
            });
        }
        self.signals("pending for the thread", task.pending, self.of(task.tid, "status: SigPnd"));
        if task.blocked.has(TERM) {
            self.signals("blocked", task.blocked, self.of(task.tid, "status: SigBlk"));
        }
        for object in &task.waits {
            self.object(task.tid, object);
        }
    }

    fn process(&mut self, facts: &ProcessFacts, told: &Judgement) {
        let status = |field: &str| format!("/proc/{}/status: {field}", facts.process.pid());
        self.signals("pending", facts.pending, status("ShdPnd"));
        match told.verdict {
            TaskVerdict::SignalIgnored => self.signals("ignored", facts.ignored, status("SigIgn")),
            TaskVerdict::SignalSwallowed | TaskVerdict::NamespaceInit => {
                let caught =
                    if facts.caught == SignalSet::default() { "none".to_owned() } else { facts.caught.names() };
                self.add("caught", caught, status("SigCgt"));
            }
            _ => {}
        }
        if facts.namespace_init {
            self.add("PID namespace", "it has the number 1 in its own", status("NSpid"));
        }
        if facts.dumping {
            self.add("core", "is being written", status("CoreDumping"));
        }
        if told.verdict == TaskVerdict::Zombie {
            let source = format!("/proc/{}/stat: field 52", facts.process.pid());
            self.told("ended with", &facts.wait_status, source, |status| match status & 0x7f {
                0 => format!("exit code {}", status >> 8 & 0xff),
                signal => format!("signal {}", SignalSet(1 << (signal - 1).clamp(0, 63)).names()),
            });
        }
        for cgroup in &facts.frozen {
            let file = match (cgroup.version, cgroup.by_itself) {
                (1, _) => "freezer.state",
                (_, true) => "cgroup.freeze",
                (_, false) => "cgroup.events",
            };
            let value = if cgroup.by_itself { "itself" } else { "by one above it" };
            self.add("frozen", value, format!("{}/{file}", cgroup.folder));
        }
    }

    fn signals(&mut self, fact: &str, set: SignalSet, source: String) {
        if set != SignalSet::default() {
            self.add(fact, set.names(), source);
        }
    }

    fn object(&mut self, tid: u32, object: &Object) {
        let pid = self.pid;
        match object {
            Object::Pipe { fd, inode, .. } => {
                self.add("pipe", format!("pipe:[{inode}] at descriptor {fd}"), format!("/proc/{pid}/fd/{fd}"));
            }
            Object::Lock { kind, inode: (major, minor, inode), .. } => {
                self.add("lock", format!("{kind}, inode {inode} of {major}:{minor}"), "/proc/locks");
            }
            Object::File { fd, path, mount } => {
                let source = fd.map_or_else(|| self.of(tid, "syscall"), |fd| format!("/proc/{pid}/fdinfo/{fd}"));
                self.told("file", path, source, OsText::to_string);
                if let Some(mount) = mount {
                    self.mount("mount", mount);
                }
            }
            Object::Child(child) => {
                self.add(
                    "child",
                    format!("PID {}: {}", child.pid(), child.short_command()),
                    format!("/proc/{}/stat", child.pid()),
                );
            }
            // Who these are is told by the sentences; what tells it is spread over the machine.
            Object::KernelLock { .. } | Object::Listener { .. } | Object::PageSupplier { .. } => {}
        }
    }

    fn mount(&mut self, fact: &str, mount: &Mount) {
        let (major, minor) = mount.device;
        let value = format!("{} at {}, {} ({major}:{minor})", mount.kind, mount.point, mount.source);
        self.add(fact, value, format!("/proc/{}/mountinfo: {}", self.pid, mount.id));
        if let Some(fuse) = &mount.fuse {
            let source = format!("/sys/fs/fuse/connections/{}/waiting", fuse.connection);
            self.told("requests that wait", &fuse.waiting, source, u64::to_string);
        }
        if let Some(Backing { device, file, mount }) = mount.backing.as_deref() {
            let name = device.to_string();
            let name = name.trim_start_matches("/dev/");
            self.add(format!("behind {device}"), file.to_string(), format!("/sys/block/{name}/loop/backing_file"));
            if let Some(mount) = mount {
                self.mount("mount behind it", mount);
            }
        }
    }
}
