//! What holds for every process, whatever was seen of it.

use super::*;

/// Pseudo-random numbers, the same in every run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).expect("31 bits") % sides
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())].clone()
    }

    fn told<T>(&mut self, value: T) -> Told<T> {
        match self.roll(4) {
            0 => Told::Nothing,
            1 => Told::Hidden(self.pick(&[Hidden::NeedsRoot, Hidden::FromRoot, Hidden::NoAnswer])),
            _ => Told::Known(value),
        }
    }

    fn signals(&mut self) -> SignalSet {
        self.pick(&[set(&[]), set(&[]), set(&[9]), set(&[15]), set(&[2, 15, 40]), SignalSet(u64::MAX)])
    }

    fn process(&mut self) -> Process {
        let pid = self.pick(&[1, 2, 60, 61, 800, 900]);
        let name = self.pick(&["x", "vigie", "vigie-keeper", "sshd", "less", "containerd", "bash"]);
        let mut process = process(pid, name);
        process.state = self.pick(&['R', 'S', 'D', 'T', 't', 'Z', 'X']);
        process.kernel = pid == 2;
        process.uid = self.pick(&[Some(0), Some(1000), Some(1001), None]);
        process
    }

    fn people(&mut self) -> Told<Vec<Process>> {
        let them = (0..self.roll(3)).map(|_| self.process()).collect();
        self.told(them)
    }

    fn mount(&mut self, depth: usize) -> Mount {
        let kind = self.pick(&["ext4", "fuse", "fuse.sshfs", "nfs4", "tmpfs", "overlay", "btrfs"]);
        let mut mount = mount(kind, 3);
        mount.device.0 = self.pick(&[0, 7, 8]);
        if self.roll(2) == 0 {
            mount.fuse = Some(Fuse { connection: 3, waiting: self.told(1), servers: self.people() });
        }
        if depth > 0 && self.roll(2) == 0 {
            let below = Some(self.mount(depth - 1)).filter(|_| self.roll(3) > 0);
            mount.backing = Some(Box::new(Backing { device: "/dev/loop1".into(), file: "/a/b".into(), mount: below }));
        }
        mount
    }

    fn object(&mut self) -> Object {
        match self.roll(7) {
            0 => Object::Child(self.process()),
            1 => Object::Pipe { fd: 1, inode: 5, readers: self.people() },
            2 => Object::Lock { kind: "ofd", file: None, inode: (0, 1, 2), holders: self.people() },
            3 => {
                let mount = Some(self.mount(2)).filter(|_| self.roll(4) > 0);
                Object::File { fd: None, path: self.told("/a".into()), mount }
            }
            4 => Object::KernelLock { kind: "mutex", owner: Some((70, self.process())).filter(|_| self.roll(2) > 0) },
            5 => Object::Listener { listeners: self.people() },
            _ => Object::PageSupplier { suppliers: self.people() },
        }
    }

    fn place(&mut self) -> String {
        let table = super::super::signs::TABLE;
        match self.roll(4) {
            0 => {
                self.pick(&["", "0", "get_signal", "do_exit", "mystery", "ptrace_stop", "fuse", "\u{fffd}"]).to_owned()
            }
            _ => table[self.roll(table.len())].function.replace('*', "x"),
        }
    }

    fn task(&mut self, tid: u32) -> TaskFacts {
        let stack = (0..self.roll(4)).map(|_| OsText::from(self.place())).collect();
        let call = Call {
            name: self.pick(&[None, Some("read"), Some("openat"), Some("vfork")]),
            number: -1,
            arguments: [3; 6],
        };
        let (raw, place) = (self.pick(&[0, 1, 2, 0x102, 0x2102, u32::MAX]), OsText::from(self.place()));
        TaskFacts {
            tid,
            name: OsText(vec![0xff, b'\n', 0x1b]),
            state: self.pick(&['R', 'S', 'S', 'D', 'D', 'D', 'T', 't', 'Z', 'X', 'I', '?']),
            raw_state: self.told(raw),
            pending: self.signals(),
            blocked: self.signals(),
            wchan: self.told(place),
            call: self.told(call),
            stack: self.told(stack),
            waits: (0..self.roll(3)).map(|_| self.object()).collect(),
        }
    }

    fn facts(&mut self) -> ProcessFacts {
        let tasks: Vec<TaskFacts> = (0..self.roll(4)).zip(PID..).map(|(_, tid)| self.task(tid)).collect();
        let mut of = self.process();
        if self.roll(3) > 0 {
            of = process(PID, "x");
        }
        of.state = tasks.first().map_or('S', |task| task.state);
        let frozen = |version| FrozenCgroup { version, folder: "/sys/fs/cgroup/a".into(), by_itself: version == 1 };
        ProcessFacts {
            process: of,
            parent: Some(self.process()).filter(|_| self.roll(3) > 0),
            tracer: Some(self.process()).filter(|_| self.roll(3) == 0),
            tasks,
            pending: self.signals(),
            ignored: self.signals(),
            caught: self.signals(),
            namespace_init: self.roll(6) == 0,
            dumping: self.roll(6) == 0,
            wait_status: Told::Known(self.pick(&[0, 9, 768, -1, i32::MAX, i32::MIN])),
            frozen: match self.roll(5) {
                0 => vec![frozen(1)],
                1 => vec![frozen(2), frozen(1)],
                2 => vec![frozen(2)],
                _ => Vec::new(),
            },
            sent: self.pick(&[None, Some((15, 3)), Some((9, 3))]),
        }
    }
}

/// Nothing unlikely makes it panic; what cannot be killed is never called killable; nobody who is protected is offered to
/// be ended; and there is always a word about what can be done.
#[test]
fn whatever_was_seen() {
    let mut dice = Dice(0x5eed);
    let mut seen = std::collections::HashSet::new();
    for turn in 0..40_000 {
        let facts = dice.facts();
        let asker = dice.pick(&[ROOT, ANA]);
        let told = judge(&facts, &asker);
        seen.insert(told.verdict);
        killable(&facts, &told, turn);
        remedies(&facts, &asker, &told, turn);
        assert_eq!(told.tasks.len(), facts.tasks.len());
        assert!(told.evidence.iter().all(|fact| !fact.source.is_empty()), "{turn}: {:?}", told.evidence);
    }
    let missing: Vec<_> = TaskVerdict::ALL.iter().filter(|verdict| !seen.contains(verdict)).collect();
    assert!(missing.is_empty(), "never found: {missing:?}");
}

fn killable(facts: &ProcessFacts, told: &Judgement, turn: usize) {
    let lives = |task: &&TaskFacts| !matches!(task.state, 'Z' | 'X');
    let deaf = facts.tasks.iter().filter(lives).any(|task| {
        let raw = task.raw_state.known().is_some_and(|raw| raw & KILLABLE == 0);
        let v1 = facts.frozen.iter().any(|cgroup| cgroup.version == 1);
        let killed = task.pending.has(9) || facts.pending.has(9);
        task.state == 'D' && (raw || v1) || killed
    });
    if deaf || facts.process.kernel || facts.process.pid() == 1 || !facts.tasks.iter().any(|task| lives(&task)) {
        assert_ne!(told.killable, Some(true), "{turn}: {facts:#?}");
    }
}

fn remedies(facts: &ProcessFacts, asker: &Asker<'_>, told: &Judgement, turn: usize) {
    if facts.process.kernel || facts.process.pid() == 1 {
        assert!(told.remedies.is_empty(), "{turn}: nothing ends it");
        return;
    }
    assert!(!told.remedies.is_empty(), "{turn}: {facts:#?}");
    for remedy in &told.remedies {
        let ended = match &remedy.cure {
            Some(Cure::End { process, .. }) => process,
            Some(Cure::Signal { process, signal }) if *signal != crate::ladder::Signal::Cont => process,
            _ => continue,
        };
        let protected = matches!(ended.pid(), 1 | 2 | 800 | 900)
            || ["vigie", "vigie-keeper", "sshd", "containerd"].iter().any(|name| ended.name == OsText::from(*name));
        assert!(!protected, "{turn}: {remedy:?}");
        if asker.uid != 0 && ended.uid != Some(asker.uid) {
            assert_eq!(remedy.needs, Some("root"), "{turn}: {remedy:?}");
        }
        assert!(remedy.command.is_some(), "{turn}: {remedy:?}");
    }
}
