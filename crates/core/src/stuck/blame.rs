//! Who is waited for, in sentences.

use super::TaskVerdict;
use super::facts::{Backing, Fuse, Mount, Object, ProcessFacts, TaskFacts};
use super::judge::{Blamed, Judgement};
use super::task::{KILL, ends, lossy, mount};
use crate::text::OsText;
use crate::why::facts::{Process, Told};
use crate::why::{counted, listed};

/// The verdict with what it is about, as the end of a sentence.
pub(super) fn said(facts: &ProcessFacts, verdict: TaskVerdict, decides: u32) -> String {
    let task = facts.tasks.iter().find(|task| task.tid == decides);
    let more = match verdict {
        TaskVerdict::Traced => facts.tracer.as_ref().map(|tracer| format!(", {}", tracer.label())),
        TaskVerdict::Frozen => facts.frozen.first().map(|cgroup| format!(" {}", cgroup.folder)),
        TaskVerdict::Zombie => facts.parent.as_ref().map(|parent| format!(", {}, to take notice", parent.label())),
        TaskVerdict::VforkWait | TaskVerdict::FileLock | TaskVerdict::PipeFull => task.and_then(|task| {
            task.waits.iter().find_map(|object| match object {
                Object::Child(child) => Some(format!(", {}", child.label())),
                Object::Lock { file: Some(file), .. } => Some(format!(", {file}")),
                Object::Pipe { fd, .. } => Some(format!(" at its descriptor {fd}")),
                _ => None,
            })
        }),
        // A device that was opened itself lies on the file system of /dev, which says nothing.
        TaskVerdict::BlockDevice if task.is_some_and(|task| device(task).is_some()) => {
            task.and_then(device).map(|path| format!(", {path}"))
        }
        TaskVerdict::Fuse | TaskVerdict::Nfs | TaskVerdict::FrozenFilesystem | TaskVerdict::BlockDevice => {
            task.and_then(mount).map(|mount| match &mount.fuse {
                Some(fuse) => format!(" at {} (connection {})", mount.point, fuse.connection),
                None => format!(" at {} ({})", mount.point, mount.source),
            })
        }
        _ => None,
    };
    format!("{}{}", verdict.text(), more.unwrap_or_default())
}

/// The device, where a thread waits for one that it has opened itself.
fn device(task: &TaskFacts) -> Option<&OsText> {
    task.waits.iter().find_map(|object| match object {
        Object::File { path: Told::Known(path), mount: Some(mount), .. } if mount.kind.0 == b"devtmpfs" => Some(path),
        _ => None,
    })
}

/// Says what the verdict follows from, and who is waited for.
pub(super) fn tell(facts: &ProcessFacts, told: &mut Judgement) {
    let task = facts.tasks.iter().find(|task| task.tid == told.decides);
    verdict(facts, task, told);
    if let Some(task) = task {
        for object in &task.waits {
            waits(object, told);
        }
        if !told.sure {
            unsure(task, told);
        }
    }
    let leader = told.tasks.first().is_some_and(|one| one.verdict == TaskVerdict::LeaderExited);
    if leader && told.verdict != TaskVerdict::LeaderExited {
        told.because.push("its main thread has ended; another one keeps it".to_owned());
    }
    if told.killable == Some(false) && task.is_some_and(|task| !matches!(task.state, 't' | 'Z') && ends(task)) {
        told.because.push("it is at its end already, and hears no signal any more".to_owned());
    }
    killed(facts, told);
}

fn verdict(facts: &ProcessFacts, task: Option<&TaskFacts>, told: &mut Judgement) {
    let mut say = |text: &str| told.because.push(text.to_owned());
    let blamed = &mut told.blamed;
    match told.verdict {
        TaskVerdict::Zombie => {
            blamed.extend(facts.parent.clone().map(|process| Blamed { process, role: "parent" }));
            match &facts.parent {
                Some(parent) => say(&format!(
                    "it is dead: only its parent, {}, can take its number back, by asking how it ended",
                    parent.label()
                )),
                None => say("it is dead: only its parent can take its number back"),
            }
            if let Some(tracer) = &facts.tracer {
                say(&format!("{} traces it, and has to take notice before its parent can", tracer.label()));
                blamed.push(Blamed { process: tracer.clone(), role: "tracer" });
            }
        }
        TaskVerdict::Exiting if facts.dumping => say("the kernel writes its core; it ends when that is written"),
        TaskVerdict::Exiting => say("it is on its way out of the kernel"),
        TaskVerdict::LeaderExited => {
            let alive = facts.tasks.iter().filter(|one| !matches!(one.state, 'Z' | 'X' | 'x')).count();
            say(&format!(
                "its main thread has ended, and {} of it still {}: it holds its ports, files and memory",
                counted(alive, "thread", "threads"),
                if alive == 1 { "lives" } else { "live" }
            ));
        }
        TaskVerdict::Stopped => say("a signal stopped it (STOP, or TSTP from the terminal); it goes on at CONT"),
        TaskVerdict::Traced => match &facts.tracer {
            Some(tracer) => {
                say(&format!("{} traces it and holds it", tracer.label()));
                blamed.push(Blamed { process: tracer.clone(), role: "tracer" });
            }
            None => say("a tracer holds it; who that is cannot be seen from here"),
        },
        TaskVerdict::Frozen => {
            for cgroup in &facts.frozen {
                let how = if cgroup.by_itself { "is frozen" } else { "is frozen by one above it" };
                say(&format!("its cgroup {} (v{}) {how}", cgroup.folder, cgroup.version));
            }
            say(if facts.frozen.iter().any(|cgroup| cgroup.version == 1) {
                "a frozen task of cgroup v1 takes no signal, not even KILL, before it is thawed"
            } else {
                "a frozen task of cgroup v2 can be killed; handlers of other signals run when it is thawed"
            });
        }
        TaskVerdict::NamespaceInit => {
            say("it is the first process of a PID namespace and has no handler for TERM: the kernel drops that signal");
        }
        TaskVerdict::SignalIgnored => say("it has told the kernel to drop TERM"),
        TaskVerdict::SignalBlocked => say("TERM was sent, and waits until a thread of it lets it through"),
        TaskVerdict::SignalSwallowed => {
            let seconds = facts.sent.map_or(0, |(_, seconds)| seconds);
            say(&format!("TERM was sent to it {seconds}s ago; it has a handler for it, took it, and has not ended"));
        }
        TaskVerdict::VforkWait => {
            say("it made a child with vfork(2) and sleeps until that executes a program or ends");
        }
        TaskVerdict::Uninterruptible => {
            say("a thread of it waits in the kernel, in a state that the kernel calls uninterruptible");
        }
        TaskVerdict::KillableWait => {
            say("a thread of it waits in the kernel, which shows it as D; a signal that ends it wakes it");
        }
        TaskVerdict::Autofs => say("a file system is to be mounted there, and its daemon has not done it"),
        _ => {}
    }
    if told.decides != facts.process.pid()
        && let Some(task) = task
        && told.verdict != TaskVerdict::LeaderExited
    {
        told.because.push(format!("that is thread {} ({})", task.tid, task.name));
    }
}

/// One object that it waits for.
fn waits(object: &Object, told: &mut Judgement) {
    match object {
        Object::Child(child) => {
            told.because.push(format!("the child is {}", with_state(child)));
            blame(child, "child", told);
        }
        Object::Pipe { fd, readers, .. } => {
            people(&format!("the pipe at its descriptor {fd} is full; it is read by"), readers, "reader", told);
        }
        Object::Lock { kind, file, inode, holders } => {
            let name = match file {
                Some(file) => file.to_string(),
                None => format!("inode {} of device {}:{}", inode.2, inode.0, inode.1),
            };
            people(&format!("the {kind} lock of {name} is held by"), holders, "holder", told);
        }
        Object::File { path, mount, .. } => {
            if let Some(mount) = mount {
                on_mount(path, mount, told);
            }
        }
        Object::KernelLock { kind, owner } => match owner {
            Some((tid, process)) => {
                let owner = with_state(process);
                told.because
                    .push(format!("it waits for a {kind} of the kernel; that is held by thread {tid} of {owner}"));
                blame(process, "owner", told);
            }
            None => told.because.push(format!("it waits for a {kind} of the kernel; who holds that was not seen")),
        },
        Object::Listener { listeners } => {
            people("permission is asked of whoever listens with fanotify; that can be", listeners, "listener", told);
        }
        Object::PageSupplier { suppliers } => {
            people("its userfaultfd is open in", suppliers, "supplier", told);
        }
    }
}

fn on_mount(path: &Told<OsText>, mount: &Mount, told: &mut Judgement) {
    let what = match path {
        Told::Known(path) => format!("{path} lies on"),
        _ => "it waits for".to_owned(),
    };
    let place = format!("{what} {} ({}, {})", mount.point, mount.kind, mount.source);
    match &mount.fuse {
        Some(fuse) => served(&format!("{place}, connection {}", fuse.connection), fuse, told),
        None => told.because.push(place),
    }
    let mut below = mount.backing.as_deref();
    while let Some(Backing { device, file, mount }) = below {
        let on = mount.as_ref().map_or_else(String::new, |mount| format!(", on {} ({})", mount.point, mount.kind));
        let text = format!("the device {device} is the file {file}{on}");
        match mount.as_ref().and_then(|mount| mount.fuse.as_ref()) {
            Some(fuse) => served(&format!("{text}, connection {}", fuse.connection), fuse, told),
            None => told.because.push(text),
        }
        below = mount.as_ref().and_then(|mount| mount.backing.as_deref());
    }
}

fn served(text: &str, fuse: &Fuse, told: &mut Judgement) {
    people(&format!("{text}; it is served by"), &fuse.servers, "server", told);
}

/// Names whoever is waited for.
fn people(text: &str, them: &Told<Vec<Process>>, role: &'static str, told: &mut Judgement) {
    match them {
        Told::Known(them) if !them.is_empty() => {
            told.because.push(format!("{text} {}", listed(&them.iter().map(with_state).collect::<Vec<_>>())));
            for one in them {
                blame(one, role, told);
            }
        }
        Told::Known(_) | Told::Nothing => told.because.push(format!("{text} nobody who was found")),
        Told::Hidden(why) => {
            told.because.push(format!("{text} somebody who {}", why.text()));
            told.blind = true;
        }
    }
}

/// A process that is waited for, with what is the matter with it, as far as its state tells.
fn with_state(process: &Process) -> String {
    let state = match process.state {
        'T' => ", which is stopped",
        't' => ", which is held by a tracer",
        'D' => ", which waits in the kernel itself",
        _ if process.is_zombie() => ", which is dead",
        _ => "",
    };
    format!("{}{state}", process.label())
}

fn blame(process: &Process, role: &'static str, told: &mut Judgement) {
    let one = Blamed { process: process.clone(), role };
    if !told.blamed.contains(&one) {
        told.blamed.push(one);
    }
}

/// What would tell more.
fn unsure(task: &TaskFacts, told: &mut Judgement) {
    let hidden = [
        (task.wchan.hidden(), "the function of the kernel that it sleeps in"),
        (task.stack.hidden(), "the stack of the kernel"),
        (task.call.hidden(), "its system call"),
    ];
    let hidden: Vec<_> = hidden.into_iter().filter_map(|(why, what)| Some((why?, what))).collect();
    if let Some((why, _)) = hidden.first() {
        let what: Vec<String> =
            hidden.iter().filter(|(other, _)| other == why).map(|(_, what)| (*what).to_owned()).collect();
        told.because.push(format!("this is not certain: {} {}", listed(&what), why.text()));
        told.blind = true;
    } else if let Some(place) = task.wchan.known() {
        let place = lossy(&place.0);
        told.because.push(match told.verdict {
            TaskVerdict::Uninterruptible => format!("what it waits for is not known: it sleeps in {place}"),
            _ => format!("this is not certain: it sleeps in {place}, which others do, too"),
        });
    }
}

/// KILL was sent already.
fn killed(facts: &ProcessFacts, told: &mut Judgement) {
    let pending = facts.pending.has(KILL) || facts.tasks.iter().any(|one| one.pending.has(KILL));
    if !pending || told.verdict == TaskVerdict::Zombie {
        return;
    }
    told.because.push(match told.verdict {
        TaskVerdict::Traced => {
            "KILL was sent to it: it is at its exit, where its tracer wants to see it, and no further KILL is heard"
                .to_owned()
        }
        _ if told.killable == Some(false) => "KILL was sent to it; it ends as soon as this wait does".to_owned(),
        _ => "KILL was sent to it, and the kernel has not ended it yet".to_owned(),
    });
}
