//! The states of a stuck process, as values: what root sees of each, and what its own user sees.

use super::facts::*;
use super::*;
use crate::identity::{BootId, ProcKey};
use crate::protect::Asker;
use crate::text::OsText;
use crate::why::facts::{Hidden, Process, Told};

mod order;
mod properties;
mod rows;

const ROOT: Asker<'static> = Asker { pid: 900, ancestors: &[800, 1], uid: 0 };
const ANA: Asker<'static> = Asker { pid: 900, ancestors: &[800, 1], uid: 1000 };

/// The process that is asked about.
const PID: u32 = 50;

fn process(pid: u32, name: &str) -> Process {
    Process {
        key: ProcKey { boot_id: BootId("b".into()), pid, start_ticks: u64::from(pid) },
        parent: 1,
        name: name.into(),
        argv: Told::Known(vec![name.into()]),
        state: 'S',
        threads: 1,
        kernel: false,
        session: pid,
        terminal: None,
        uid: Some(1000),
        user: Some("ana".to_owned()),
        started: None,
    }
}

fn with(state: char, process: Process) -> Process {
    Process { state, ..process }
}

fn set(signals: &[i32]) -> SignalSet {
    SignalSet(signals.iter().map(|signal| 1 << (signal - 1)).sum())
}

/// A thread that root sees in `place`, below which its stack goes on.
fn task(tid: u32, state: char, place: &str, stack: &[&str]) -> TaskFacts {
    let wchan = if place.is_empty() { Told::Nothing } else { Told::Known(place.into()) };
    let all = ["__schedule", "schedule"].iter().chain(std::iter::once(&place).filter(|place| !place.is_empty()));
    let all: Vec<OsText> = all.chain(stack).map(|name| OsText::from(*name)).collect();
    TaskFacts {
        tid,
        name: "x".into(),
        state,
        raw_state: Told::Nothing,
        pending: SignalSet::default(),
        blocked: SignalSet::default(),
        wchan,
        call: Told::Nothing,
        stack: Told::Known(all),
        waits: Vec::new(),
    }
}

fn facts(tasks: Vec<TaskFacts>) -> ProcessFacts {
    let mut of = process(PID, "x");
    of.state = tasks[0].state;
    of.threads = u32::try_from(tasks.len()).expect("few");
    ProcessFacts {
        process: of,
        parent: Some(process(40, "make")),
        tracer: None,
        tasks,
        pending: SignalSet::default(),
        ignored: SignalSet::default(),
        caught: SignalSet::default(),
        namespace_init: false,
        dumping: false,
        wait_status: Told::Nothing,
        frozen: Vec::new(),
        sent: None,
    }
}

fn one(state: char, place: &str, stack: &[&str]) -> ProcessFacts {
    facts(vec![task(PID, state, place, stack)])
}

fn call(name: &'static str, first: u64) -> Told<Call> {
    Told::Known(Call { name: Some(name), number: 0, arguments: [first, 0, 0, 0, 0, 0] })
}

fn mount(kind: &str, minor: u32) -> Mount {
    Mount {
        id: 7,
        device: (0, minor),
        kind: kind.into(),
        source: "source".into(),
        point: "/mnt/x".into(),
        fuse: None,
        backing: None,
    }
}

fn fuse(servers: Told<Vec<Process>>) -> Mount {
    Mount { fuse: Some(Fuse { connection: 62, waiting: Told::Known(2), servers }), ..mount("fuse.stuck", 62) }
}

fn server() -> Process {
    process(60, "fuse-server")
}

fn on(mount: Mount) -> Object {
    Object::File { fd: Some(3), path: Told::Known("/mnt/x/hang".into()), mount: Some(mount) }
}

/// The same, as its own user sees it: without stack, and without what BPF tells.
fn as_user(mut facts: ProcessFacts) -> ProcessFacts {
    for task in &mut facts.tasks {
        task.stack = Told::Hidden(Hidden::NeedsRoot);
        task.raw_state = Told::Hidden(Hidden::NeedsRoot);
    }
    facts
}

fn names(judgement: &Judgement) -> Vec<&'static str> {
    judgement.remedies.iter().map(|remedy| remedy.name).collect()
}
