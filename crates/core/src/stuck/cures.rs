//! What frees a stuck process, the mildest first (R8.2). Nobody is offered to be ended who is protected (R4.5).

use super::facts::{Backing, Fuse, Mount, Object, ProcessFacts, TaskFacts};
use super::judge::Judgement;
use super::task::KILL;
use super::{Cure, TaskVerdict};
use crate::ladder::Signal;
use crate::protect::{Asker, Facts, Protection, protection};
use crate::recognise::base_name;
use crate::text::quoted;
use crate::why::Remedy;
use crate::why::facts::{Process, Told};

/// Adds what can be done about the verdict.
pub(super) fn tell(facts: &ProcessFacts, asker: &Asker<'_>, told: &mut Judgement) {
    let process = &facts.process;
    if process.kernel || process.pid() == 1 {
        return;
    }
    let task = facts.tasks.iter().find(|task| task.tid == told.decides);
    let mut plan = Plan { facts, asker, killable: told.killable, list: Vec::new() };
    plan.verdict(told.verdict, task);
    if let Some(guarded) = guard(process, asker).filter(|_| told.killable == Some(true)) {
        plan.words("protected", format!("vigie does not end it: {guarded}"));
    } else if plan.list.is_empty() && plan.killed() && told.killable.is_none() {
        plan.words("wait", "KILL was sent to it; when it is still there, look again");
    } else if plan.list.is_empty() {
        plan.words("none", "there is nothing that vigie can do; only what it waits for, or a reboot, ends it");
    }
    told.remedies = plan.list;
}

struct Plan<'a> {
    facts: &'a ProcessFacts,
    asker: &'a Asker<'a>,
    killable: Option<bool>,
    list: Vec<Remedy>,
}

impl Plan<'_> {
    fn verdict(&mut self, verdict: TaskVerdict, task: Option<&TaskFacts>) {
        match verdict {
            TaskVerdict::Zombie => self.zombie(),
            TaskVerdict::Exiting if self.facts.dumping => {
                self.words("wait", "it ends when its core is written; KILL cuts that short");
                self.kill("ends it without the rest of its core");
            }
            TaskVerdict::Exiting => self.words("wait", "it is about to end"),
            TaskVerdict::Stopped => {
                let process = &self.facts.process;
                self.go_on(process, "continue", "lets it go on where it was stopped (CONT)".to_owned());
                self.end();
            }
            TaskVerdict::Traced => {
                let tracer = self.facts.tracer.as_ref();
                if let Some(tracer) = tracer {
                    self.wake(tracer, "tracer");
                    let effect = format!(
                        "ends the tracer {}; the process goes on, or takes the signals that wait for it",
                        tracer.label()
                    );
                    self.end_other(tracer, "end-tracer", "tracer", effect);
                }
                self.end();
                if tracer.is_none() && self.killable == Some(false) {
                    self.words("none", "only the end of its tracer frees it, and that cannot be seen from here");
                }
            }
            TaskVerdict::Frozen => self.frozen(),
            TaskVerdict::NamespaceInit => self.namespace_init(),
            TaskVerdict::SignalIgnored | TaskVerdict::SignalBlocked | TaskVerdict::SignalSwallowed => {
                if verdict == TaskVerdict::SignalSwallowed {
                    self.words("wait", "it may be busy with its own end");
                }
                self.kill("ends it at once: KILL can be neither ignored nor blocked, and has no handler");
            }
            _ => self.waits(verdict, task),
        }
    }

    /// It waits for something, or for nothing in particular.
    fn waits(&mut self, verdict: TaskVerdict, task: Option<&TaskFacts>) {
        let objects = task.map(|task| task.waits.as_slice()).unwrap_or_default();
        // A process may go on by itself; what would do harm to others comes after its own end.
        for object in objects {
            self.object(object);
        }
        self.end();
        for object in objects {
            self.others(object);
        }
        match verdict {
            TaskVerdict::Nfs if self.list.is_empty() => {
                self.words("none", "only the answer of its server, or a reboot, ends it");
            }
            TaskVerdict::BlockDevice if self.list.is_empty() => {
                self.words(
                    "none",
                    "only the device answering or a reboot ends it; one that is well answers within moments",
                );
            }
            TaskVerdict::Fuse if self.list.is_empty() => {
                self.words(
                    "none",
                    "only the answer of the FUSE server, its end, or the abort of its connection ends it",
                );
            }
            TaskVerdict::FrozenFilesystem if self.list.is_empty() => {
                self.words(
                    "thaw-filesystem",
                    "'fsfreeze -u MOUNTPOINT', as root, thaws the file system; which that is was not seen",
                );
            }
            _ => {}
        }
    }

    /// What frees it without an end of anybody.
    fn object(&mut self, object: &Object) {
        match object {
            Object::Child(child) => self.wake(child, "child"),
            Object::Pipe { fd, inode, readers } => {
                for reader in people(readers) {
                    self.wake(reader, "reader");
                }
                let writer = &self.facts.process;
                let needs = self.needs(writer);
                let effect =
                    format!("reads away what is in the pipe at its descriptor {fd}: that is lost, and it goes on");
                let cure = Cure::DrainPipe { writer: writer.clone(), fd: *fd, inode: *inode };
                self.add("drain", needs, effect, self.fix(), Some(cure));
            }
            Object::Lock { holders: them, .. } => them_wake(self, them, "holder"),
            Object::Listener { listeners: them } => them_wake(self, them, "listener"),
            Object::PageSupplier { suppliers: them } => them_wake(self, them, "supplier"),
            Object::KernelLock { owner: Some((_, owner)), .. } => self.wake(owner, "owner"),
            Object::KernelLock { owner: None, .. } => {}
            Object::File { mount, .. } => {
                if let Some(mount) = mount {
                    self.on_mount(mount, false);
                }
            }
        }
    }

    /// What frees it at the cost of others.
    fn others(&mut self, object: &Object) {
        match object {
            Object::Child(child) => {
                let effect = format!("ends the child {}; the parent goes on", child.label());
                self.end_other(child, "end-child", "child", effect);
            }
            Object::Pipe { readers, .. } => {
                for reader in people(readers) {
                    let effect = format!(
                        "ends the reader {}; with no reader left, the write fails (PIPE, which ends most programs)",
                        reader.label()
                    );
                    self.end_other(reader, "end-reader", "reader", effect);
                }
            }
            Object::Lock { holders, .. } => {
                for holder in people(holders) {
                    let effect = format!("ends {}, which holds the lock", holder.label());
                    self.end_other(holder, "end-holder", "holder", effect);
                }
            }
            Object::Listener { listeners } => {
                for one in people(listeners) {
                    let effect =
                        format!("ends the listener {}; everybody who waits for its permission goes on", one.label());
                    self.end_other(one, "end-listener", "listener", effect);
                }
            }
            Object::PageSupplier { suppliers } => {
                for one in people(suppliers).filter(|one| one.key != self.facts.process.key) {
                    let effect = format!("ends {}, which was to supply the page", one.label());
                    self.end_other(one, "end-supplier", "supplier", effect);
                }
            }
            Object::KernelLock { owner: Some((_, owner)), .. } => {
                let effect =
                    format!("ends {}, which holds the lock of the kernel, if a signal reaches it", owner.label());
                self.end_other(owner, "end-owner", "owner", effect);
            }
            Object::KernelLock { owner: None, .. } => {}
            Object::File { mount, .. } => {
                if let Some(mount) = mount {
                    self.on_mount(mount, true);
                }
            }
        }
    }

    /// What frees a wait for a mount: `hard`, at the cost of others.
    fn on_mount(&mut self, mount: &Mount, hard: bool) {
        let verdict = mount_verdict(mount);
        if let Some(fuse) = &mount.fuse {
            self.fuse(fuse, mount, hard);
        } else if verdict == TaskVerdict::Nfs && hard {
            let effect = "gives up the requests that wait for the server: they fail".to_owned();
            self.add("umount", self.root(), effect, Some(format!("umount -f {}", quoted(&mount.point.0))), None);
        } else if self.frozen_filesystem() && !hard {
            let effect = format!("thaws the file system at {}; every writer goes on", mount.point);
            let cure = Cure::ThawFilesystem {
                witness: self.facts.process.clone(),
                point: mount.point.clone(),
                device: mount.device,
            };
            self.add("thaw-filesystem", self.root(), effect, self.fix(), Some(cure));
        }
        let mut next = mount.backing.as_deref();
        while let Some(Backing { mount: Some(below), .. }) = next {
            // What it writes to is frozen, not what lies below that.
            if let Some(fuse) = &below.fuse {
                self.fuse(fuse, below, hard);
            }
            next = below.backing.as_deref();
        }
    }

    fn frozen_filesystem(&self) -> bool {
        self.facts
            .tasks
            .iter()
            .any(|task| super::task::judge(task, self.facts).verdict == TaskVerdict::FrozenFilesystem)
    }

    fn fuse(&mut self, fuse: &Fuse, mount: &Mount, hard: bool) {
        if !hard {
            for server in people(&fuse.servers) {
                self.wake(server, "server");
            }
            return;
        }
        // Requests fail at the end of a server only when nobody else has the connection open.
        if let Told::Known(servers) = &fuse.servers
            && let [server] = servers.as_slice()
        {
            let effect = format!("ends the server {}; everything that waits for {} fails", server.label(), mount.point);
            self.end_other(server, "end-server", "server", effect);
        }
        let effect = format!(
            "aborts the FUSE connection {}: all requests to {} fail, and it must be mounted anew",
            fuse.connection, mount.point
        );
        let cure = Cure::AbortFuse { connection: fuse.connection };
        self.add("abort", self.root(), effect, self.fix(), Some(cure));
    }

    fn zombie(&mut self) {
        if let Some(tracer) = &self.facts.tracer {
            let effect = format!("ends its tracer {}; then its parent can take notice", tracer.label());
            self.end_other(tracer, "end-tracer", "tracer", effect);
        }
        let Some(parent) = self.facts.parent.as_ref().filter(|parent| parent.pid() != 1 && !parent.kernel) else {
            self.words("wait", "it holds nothing but its number; PID 1 takes it back in its own time");
            return;
        };
        if parent.state == 'T' {
            self.wake(parent, "parent");
        } else if self.signallable(parent) {
            let effect = format!(
                "tells its parent {} once more (CHLD); without a handler for that it does nothing",
                parent.label()
            );
            let (command, cure) = (format!("kill -CHLD {}", parent.pid()), Cure::Tell { process: parent.clone() });
            self.add("tell-parent", self.needs(parent), effect, Some(command), Some(cure));
        }
        let effect = format!("ends its parent {}; whoever takes the zombie in reaps it", parent.label());
        if !self.end_other(parent, "end-parent", "parent", effect) {
            let text = format!("it holds nothing but its number; its parent {} is not ended for that", parent.label());
            self.words("wait", text);
        }
    }

    fn frozen(&mut self) {
        let whole = self.facts.frozen.clone();
        for cgroup in whole.iter().filter(|cgroup| cgroup.by_itself) {
            let effect = format!("thaws the cgroup {}; everything in it goes on", cgroup.folder);
            let cure = Cure::ThawCgroup { version: cgroup.version, folder: cgroup.folder.clone() };
            // Below the manager of a user, cgroups belong to that user.
            let delegated = format!("/user@{}.service/", self.asker.uid);
            let own = cgroup.version == 2 && cgroup.folder.to_string().contains(&delegated);
            let needs = if own { None } else { self.root() };
            self.add("thaw", needs, effect, self.fix(), Some(cure));
        }
        self.end();
    }

    fn namespace_init(&mut self) {
        let all = "it, and everything in its PID namespace, from outside: KILL is delivered";
        match &self.facts.parent {
            Some(parent) if guard(parent, self.asker) == Some(Protection::Containers) => {
                self.words(
                    "stop-container",
                    "it is the first process of a container; 'docker stop' or its like ends that",
                );
            }
            _ => self.kill(&format!("ends {all}")),
        }
    }

    /// Ends it as anything is ended.
    fn end(&mut self) {
        if self.killable == Some(false) || self.killed() {
            return;
        }
        let process = &self.facts.process;
        let effect = match self.killable {
            None => "TERM, and KILL when it has not ended after 10s; whether that ends it cannot be told",
            _ => "ends it: TERM, and KILL when it has not ended after 10s",
        };
        if self.facts.namespace_init {
            self.namespace_init();
        } else {
            self.end_other(process, "end", "itself", effect.to_owned());
        }
    }

    /// Ends it at once.
    fn kill(&mut self, effect: &str) {
        let process = &self.facts.process;
        // What is the first of a namespace is protected from an end by mistake; here it is the verdict.
        let firm = guard(process, self.asker);
        if self.killable == Some(false) || self.killed() || firm.is_some() {
            return;
        }
        let command = if self.facts.namespace_init {
            self.fix()
        } else {
            Some(format!("vigie end pid:{} --timeout 1s", process.pid()))
        };
        let cure = Cure::Signal { process: process.clone(), signal: Signal::Kill };
        self.add("kill", self.needs(process), effect.to_owned(), command, Some(cure));
    }

    /// KILL was sent already: no more of it is offered.
    fn killed(&self) -> bool {
        self.facts.pending.has(KILL) || self.facts.tasks.iter().any(|one| one.pending.has(KILL))
    }

    /// Lets somebody go on who is stopped, and by that keeps the process.
    fn wake(&mut self, other: &Process, role: &'static str) {
        if other.state != 'T' {
            return;
        }
        let name = match role {
            "tracer" => "continue-tracer",
            "child" => "continue-child",
            "parent" => "continue-parent",
            "reader" => "continue-reader",
            "holder" => "continue-holder",
            "owner" => "continue-owner",
            "server" => "continue-server",
            "listener" => "continue-listener",
            _ => "continue-supplier",
        };
        self.go_on(other, name, format!("lets the {role} {} go on (CONT), which is stopped", other.label()));
    }

    fn go_on(&mut self, process: &Process, name: &'static str, effect: String) {
        if !self.signallable(process) {
            return;
        }
        let cure = Cure::Signal { process: process.clone(), signal: Signal::Cont };
        let command = Some(format!("kill -CONT {}", process.pid()));
        self.add(name, self.needs(process), effect, command, Some(cure));
    }

    /// Offers the end of a process, unless that is protected; whether it was offered.
    fn end_other(&mut self, process: &Process, name: &'static str, role: &'static str, effect: String) -> bool {
        if guard(process, self.asker).is_some() {
            return false;
        }
        let command = Some(format!("vigie end pid:{}", process.pid()));
        self.add(name, self.needs(process), effect, command, Some(Cure::End { process: process.clone(), role }));
        true
    }

    /// A signal that ends nothing may go to whoever is no part of the kernel, and is not the first of all.
    fn signallable(&self, process: &Process) -> bool {
        !process.kernel && process.pid() > 1
    }

    fn words(&mut self, name: &'static str, effect: impl Into<String>) {
        self.add(name, None, effect.into(), None, None);
    }

    fn add(
        &mut self,
        name: &'static str,
        needs: Option<&'static str>,
        effect: String,
        command: Option<String>,
        cure: Option<Cure>,
    ) {
        let remedy = Remedy { name, needs, effect, command, cure };
        if !self.list.contains(&remedy) {
            self.list.push(remedy);
        }
    }

    /// The command that carries out what is offered for this process.
    fn fix(&self) -> Option<String> {
        Some(format!("vigie doctor pid:{} --fix", self.facts.process.pid()))
    }

    /// What only root may.
    fn root(&self) -> Option<&'static str> {
        (self.asker.uid != 0).then_some("root")
    }

    /// What is lacked for a signal to this process.
    fn needs(&self, process: &Process) -> Option<&'static str> {
        self.root().filter(|_| process.uid != Some(self.asker.uid))
    }
}

fn people(them: &Told<Vec<Process>>) -> impl Iterator<Item = &Process> {
    them.known().into_iter().flatten()
}

fn them_wake(plan: &mut Plan<'_>, them: &Told<Vec<Process>>, role: &'static str) {
    for one in people(them) {
        plan.wake(one, role);
    }
}

/// Why a process must not be offered to be ended. Nothing is known of the file that it runs: what it calls itself and
/// what it was called by both count.
pub(super) fn guard(process: &Process, asker: &Asker<'_>) -> Option<Protection> {
    let argv = process.argv.known().map(Vec::as_slice).unwrap_or_default();
    let called = argv.first().map(|first| base_name(&first.0)).unwrap_or_default();
    [&process.name.0[..], called].into_iter().find_map(|name| {
        let facts = Facts {
            pid: process.pid(),
            uid: process.uid.unwrap_or(u32::MAX),
            kernel: process.kernel,
            init: false,
            executable: None,
            name,
            argv,
        };
        // Whose it is, is told by what the remedy needs; who is meant by name may be an editor or a shell.
        protection(&facts, &Asker { uid: 0, ..*asker }).filter(|found| !found.yields_to_proof())
    })
}

fn mount_verdict(mount: &Mount) -> TaskVerdict {
    super::task::kind(mount).unwrap_or(TaskVerdict::Uninterruptible)
}
