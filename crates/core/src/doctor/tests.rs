mod own;

use std::time::Duration;

use super::facts::*;
use super::*;
use crate::clock::{Mono, Wall};
use crate::identity::{BootId, ProcKey};
use crate::service::{State, Wanted};
use crate::why::facts::{Hidden, Process, Told};

const SECOND: u64 = 1_000_000_000;

fn process(pid: u32, name: &str, state: char) -> Process {
    Process {
        key: ProcKey { boot_id: BootId("b".into()), pid, start_ticks: u64::from(pid) },
        parent: 1,
        name: name.into(),
        argv: Told::Nothing,
        state,
        threads: 1,
        kernel: false,
        session: 1,
        terminal: None,
        uid: Some(1000),
        user: None,
        started: None,
    }
}

fn held(pid: u32, verdict: TaskVerdict, of: Option<&str>) -> Held {
    Held {
        process: process(pid, "a", 'D'),
        verdict,
        killable: Some(true),
        kill_pending: false,
        of: of.map(str::to_owned),
        is_vigie: false,
        ran: 7,
        still: None,
        connection: None,
        because: Vec::new(),
        evidence: Vec::new(),
        remedies: Vec::new(),
    }
}

fn with_held(all: Vec<Held>) -> Facts {
    Facts { held: all, version: "1".to_owned(), ..Facts::default() }
}

/// The same facts in looks at these seconds; what the last one says.
fn at(doctor: &mut Doctor, seconds: &[u64], facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    for second in seconds {
        found = doctor.look(&Facts { at: Mono(second * SECOND), ..facts.clone() });
    }
    names(&found)
}

/// `warning stopped pid:5`
fn names(found: &[Finding]) -> Vec<String> {
    found.iter().map(|one| format!("{} {} {}", one.severity.name(), one.kind.name(), one.subject)).collect()
}

fn looks(scope: Scope, seconds: &[u64], facts: &Facts) -> Vec<String> {
    at(&mut Doctor::new(scope), seconds, facts)
}

const NOTHING: [&str; 0] = [];

#[test]
fn names_are_told_apart() {
    let mut all: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), Kind::ALL.len());
    assert_eq!(looks(Scope::Machine, &[0, 9], &with_held(vec![])), NOTHING, "a machine where all is well");
}

/// Each wait: how long it has to last to be told of a stranger, and of a run.
#[test]
fn a_wait_is_told_when_it_is_longer_than_its_kind() {
    use TaskVerdict as V;
    let table = [
        (V::Running, None, None),
        (V::Sleeping, None, None),
        (V::LeaderExited, None, None),
        (V::NamespaceInit, None, None),
        (V::SignalIgnored, None, None),
        (V::SignalBlocked, None, None),
        (V::SignalSwallowed, None, None),
        (V::Zombie, None, None),
        (V::Frozen, None, None),
        (V::FileLock, None, None),
        (V::Stopped, None, Some(("warning stopped", 0))),
        (V::Traced, None, Some(("warning traced", 0))),
        (V::PipeFull, None, Some(("warning pipe-full", 60))),
        (V::Fuse, Some(("warning stuck", 10)), Some(("critical stuck", 10))),
        (V::Fanotify, Some(("warning stuck", 10)), Some(("critical stuck", 10))),
        (V::Autofs, Some(("warning stuck", 10)), Some(("critical stuck", 10))),
        (V::Userfault, Some(("warning stuck", 10)), Some(("critical stuck", 10))),
        (V::FrozenFilesystem, Some(("warning stuck", 30)), Some(("critical stuck", 30))),
        (V::Nfs, Some(("warning stuck", 60)), Some(("critical stuck", 60))),
        (V::BlockDevice, Some(("warning stuck", 60)), Some(("critical stuck", 60))),
        (V::Uninterruptible, Some(("warning stuck", 60)), Some(("critical stuck", 60))),
        (V::KillableWait, Some(("warning stuck", 60)), Some(("critical stuck", 60))),
        (V::VforkWait, Some(("warning stuck", 60)), Some(("critical stuck", 60))),
        (V::Exiting, Some(("warning stuck", 60)), Some(("critical stuck", 60))),
    ];
    assert_eq!(table.len(), V::ALL.len(), "a verdict without a row");
    for (verdict, stranger, run) in table {
        for (of, expected) in [(None, stranger), (Some("demo/a"), run)] {
            let facts = with_held(vec![held(5, verdict, of)]);
            let Some((name, seconds)) = expected else {
                assert_eq!(looks(Scope::Machine, &[0, 1, 10_000], &facts), NOTHING, "{verdict:?} {of:?}");
                continue;
            };
            let told = vec![format!("{name} pid:5")];
            assert_eq!(looks(Scope::Machine, &[0], &facts), NOTHING, "{verdict:?}: one look proves nothing");
            assert_eq!(looks(Scope::Machine, &[0, seconds], &facts), told, "{verdict:?} {of:?}");
            if seconds > 0 {
                assert_eq!(looks(Scope::Machine, &[0, seconds - 1], &facts), NOTHING, "{verdict:?} {of:?}: too short");
            }
        }
    }
}

#[test]
fn the_kernel_tells_how_long_a_wait_has_lasted() {
    let one = Held { still: Some(Duration::from_secs(300)), ..held(5, TaskVerdict::Uninterruptible, None) };
    let facts = with_held(vec![one.clone()]);
    let mut doctor = Doctor::new(Scope::Machine);
    assert_eq!(at(&mut doctor, &[0], &facts), NOTHING);
    assert!(doctor.is_in_doubt(), "a second look tells");
    assert_eq!(at(&mut doctor, &[1], &facts), ["warning stuck pid:5"]);
    let short = with_held(vec![Held { still: Some(Duration::from_secs(2)), ..one }]);
    let mut doctor = Doctor::new(Scope::Machine);
    assert_eq!(at(&mut doctor, &[0], &short), NOTHING);
    assert!(!doctor.is_in_doubt(), "an ordinary wait costs no second look");
}

#[test]
fn whoever_runs_between_two_looks_does_not_wait() {
    let mut doctor = Doctor::new(Scope::Machine);
    for second in 0..200 {
        let busy = Held { ran: second, ..held(5, TaskVerdict::Uninterruptible, Some("demo/a")) };
        assert_eq!(at(&mut doctor, &[second], &with_held(vec![busy])), NOTHING, "a program that writes to a disk");
    }
    let mut doctor = Doctor::new(Scope::Machine);
    for second in (0..400).step_by(20) {
        let verdict = if second % 40 == 0 { TaskVerdict::Nfs } else { TaskVerdict::BlockDevice };
        assert_eq!(at(&mut doctor, &[second], &with_held(vec![held(5, verdict, None)])), NOTHING, "another wait");
    }
}

#[test]
fn a_finding_is_resolved_when_its_wait_is() {
    let (mut doctor, mut watch) = (Doctor::new(Scope::Machine), Watch::default());
    let stopped = with_held(vec![held(5, TaskVerdict::Stopped, Some("demo/a"))]);
    let mut turn = |second: u64, facts: &Facts| {
        let found = doctor.look(&Facts { at: Mono(second * SECOND), ..facts.clone() });
        watch.turn(found)
    };
    assert_eq!(turn(0, &stopped), []);
    assert!(matches!(&turn(1, &stopped)[..], [Change::Opened(one)] if one.kind == Kind::Stopped));
    assert_eq!(turn(2, &stopped), [], "told once");
    assert!(matches!(&turn(3, &with_held(vec![]))[..], [Change::Resolved(one)] if one.subject == "pid:5"));
    assert_eq!(turn(4, &stopped), [], "it begins from the beginning");
}

#[test]
fn what_kill_does_not_end_is_a_ghost() {
    let one = Held { kill_pending: true, killable: Some(false), ..held(5, TaskVerdict::Fuse, None) };
    let facts = with_held(vec![one]);
    assert_eq!(looks(Scope::Machine, &[0], &facts), NOTHING);
    assert_eq!(looks(Scope::Machine, &[0, 1], &facts), ["critical ghost pid:5"]);
    // With much memory a process takes its time to end, and works on it.
    let mut doctor = Doctor::new(Scope::Machine);
    for second in 0..30 {
        let dying = Held { kill_pending: true, ran: second, ..held(5, TaskVerdict::Exiting, None) };
        assert_eq!(at(&mut doctor, &[second], &with_held(vec![dying])), NOTHING);
    }
}

#[test]
fn whoever_is_named_is_told_of_at_once() {
    use TaskVerdict as V;
    for verdict in [V::Stopped, V::Traced, V::PipeFull, V::FileLock, V::Nfs, V::Frozen, V::SignalIgnored] {
        let facts = with_held(vec![held(5, verdict, None), held(6, verdict, None)]);
        assert_eq!(looks(Scope::Process(5), &[0, 0], &facts).len(), 1, "{verdict:?}");
        let mut doctor = Doctor::new(Scope::Process(5));
        doctor.look(&facts);
        assert!(doctor.is_in_doubt(), "{verdict:?}: a second look is due");
        assert_eq!(looks(Scope::Process(7), &[0, 0], &facts), NOTHING, "{verdict:?}");
    }
    let well = with_held(vec![held(5, V::Sleeping, None)]);
    assert_eq!(looks(Scope::Process(5), &[0, 100], &well), NOTHING);
}

#[test]
fn a_service_is_told_with_all_that_is_its_own() {
    let name = |text| Name::new(text).expect("name");
    let scope = Scope::Service(name("demo"), name("a"));
    let facts = with_held(vec![
        held(5, TaskVerdict::Stopped, Some("demo/a:fast")),
        held(6, TaskVerdict::Stopped, Some("demo/ab")),
        held(7, TaskVerdict::Stopped, None),
    ]);
    assert_eq!(looks(scope, &[0, 0], &facts), ["warning stopped pid:5"]);
}

#[test]
fn vigies_own_processes_are_told_as_what_they_are() {
    let facts = with_held(vec![Held { is_vigie: true, ..held(5, TaskVerdict::Stopped, Some("demo/a")) }]);
    assert_eq!(looks(Scope::Machine, &[0, 9], &facts), NOTHING);
}

fn dead(pids: std::ops::Range<u32>, parent: u32, still: Option<u64>) -> Vec<Dead> {
    pids.map(|pid| Dead {
        process: process(pid, "z", 'Z'),
        parent: Some(process(parent, "p", 'S')),
        guarded: None,
        of: None,
        still: still.map(Duration::from_secs),
    })
    .collect()
}

#[test]
fn zombies_are_told_by_their_parents() {
    let of = |dead: Vec<Dead>| Facts { dead, version: "1".to_owned(), ..Facts::default() };
    let few = of([dead(10..12, 3, None), dead(20..21, 4, None)].concat());
    assert_eq!(looks(Scope::Machine, &[0, 59], &few), NOTHING, "every process is one for an instant");
    assert_eq!(looks(Scope::Machine, &[0, 60], &few), ["notice zombies pid:3", "notice zombies pid:4"]);
    let many = of(dead(10..20, 3, None));
    assert_eq!(looks(Scope::Machine, &[0, 9], &many), NOTHING);
    assert_eq!(looks(Scope::Machine, &[0, 10], &many), ["notice zombies pid:3"]);
    assert_eq!(looks(Scope::Machine, &[0, 10], &of(dead(10..200, 3, None))), ["warning zombies pid:3"]);
    let old = of(dead(10..11, 3, Some(100)));
    assert_eq!(looks(Scope::Machine, &[0], &old), NOTHING);
    assert_eq!(looks(Scope::Machine, &[0, 0], &old), ["notice zombies pid:3"], "the kernel tells since when");
    for asked in [3, 10] {
        let fresh = of(dead(10..11, 3, None));
        let mut doctor = Doctor::new(Scope::Process(asked));
        doctor.look(&fresh);
        assert!(doctor.is_in_doubt(), "a second look is due");
        assert_eq!(looks(Scope::Process(asked), &[0, 0], &fresh), ["notice zombies pid:3"]);
    }
    // A parent that is slow, and not idle: always others are dead.
    let mut doctor = Doctor::new(Scope::Machine);
    for second in 0..100 {
        let first = u32::try_from(second).expect("small") * 20;
        assert_eq!(at(&mut doctor, &[second], &of(dead(100 + first..120 + first, 3, None))), NOTHING);
    }
}

#[test]
fn the_parent_of_zombies_is_ended_unless_it_is_protected() {
    let remedies = |dead: Vec<Dead>| -> Vec<(&'static str, bool)> {
        let facts = Facts { dead, ..Facts::default() };
        let mut doctor = Doctor::new(Scope::Machine);
        doctor.look(&facts);
        let found = doctor.look(&Facts { at: Mono(100 * SECOND), ..facts });
        found[0].remedies.iter().map(|remedy| (remedy.name, remedy.cure.is_some())).collect()
    };
    assert_eq!(remedies(dead(10..11, 3, None)), [("tell-parent", true), ("end-parent", true)]);
    let mut guarded = dead(10..11, 3, None);
    guarded[0].guarded = Some("it keeps the machine going".to_owned());
    assert_eq!(remedies(guarded), [("tell-parent", true), ("wait", false)]);
    assert_eq!(remedies(dead(10..11, 1, None)), [("none", false)]);
    let mut stopped = dead(10..11, 3, None);
    stopped[0].parent = Some(process(3, "p", 'T'));
    assert_eq!(remedies(stopped), [("continue-parent", true), ("tell-parent", true), ("end-parent", true)]);
}

#[test]
fn frozen_cgroups() {
    let group = |of: Option<&str>| FrozenGroup {
        version: 1,
        folder: "/sys/fs/cgroup/freezer/x".into(),
        members: vec![5],
        of: of.map(str::to_owned),
        writable: true,
    };
    let with = |group, held| Facts { cgroups: vec![group], held, ..Facts::default() };
    let subject = "frozen /sys/fs/cgroup/freezer/x";
    assert_eq!(looks(Scope::Machine, &[0], &with(group(None), vec![])), NOTHING, "frozen for an instant");
    assert_eq!(looks(Scope::Machine, &[0, 0], &with(group(None), vec![])), [format!("notice {subject}")]);
    assert_eq!(looks(Scope::Machine, &[0, 0], &with(group(Some("demo/a")), vec![])), [format!("warning {subject}")]);
    let doomed = Held { kill_pending: true, ..held(5, TaskVerdict::Frozen, None) };
    let found = looks(Scope::Machine, &[0, 0], &with(group(None), vec![doomed]));
    assert_eq!(found, [format!("critical {subject}")]);
    let hostile = FrozenGroup { folder: "/sys/fs/cgroup/freezer/$(id);x".into(), ..group(None) };
    let facts = with(hostile, vec![]);
    let mut doctor = Doctor::new(Scope::Machine);
    doctor.look(&facts);
    let thaw = doctor.look(&facts)[0].remedies[0].clone();
    assert_eq!(thaw.command.as_deref(), Some("echo THAWED > '/sys/fs/cgroup/freezer/$(id);x/freezer.state'"));
    assert_eq!(thaw.needs, None);
    let another = with(FrozenGroup { writable: false, ..group(None) }, vec![]);
    assert_eq!(doctor.look(&another).len(), 0);
    assert_eq!(doctor.look(&another)[0].remedies[0].needs, Some("root"), "whose it is not");
}

fn connection(waiting: Told<u64>, servers: Told<Vec<Process>>) -> Connection {
    Connection { number: 45, point: "/mnt".into(), kind: "fuse.x".into(), waiting, servers }
}

#[test]
fn a_file_system_that_does_not_answer() {
    let waits = |pid| Held { connection: Some(45), ..held(pid, TaskVerdict::Fuse, None) };
    let with = |connection, held| Facts { connections: vec![connection], held, ..Facts::default() };
    let (awake, stopped) = (process(9, "server", 'S'), process(9, "server", 'T'));
    let told = ["critical hung-mount fuse:45"];
    let served = |server: &Process| Told::Known(vec![server.clone()]);
    // A lock that is asked for waits as long as somebody has it.
    let busy = with(connection(Told::Known(3), served(&awake)), vec![]);
    assert_eq!(looks(Scope::Machine, &[0, 10_000], &busy), NOTHING, "requests alone prove nothing");
    let slow = with(connection(Told::Known(3), served(&awake)), vec![waits(5)]);
    assert_eq!(looks(Scope::Machine, &[0, 9], &slow), NOTHING, "a slow network");
    assert_eq!(looks(Scope::Machine, &[0, 10], &slow), told);
    let hidden = with(connection(Told::Hidden(Hidden::NeedsRoot), Told::Hidden(Hidden::NeedsRoot)), vec![waits(5)]);
    assert_eq!(looks(Scope::Machine, &[0, 10], &hidden), told, "who waits is seen without root");
    let dead_server = with(connection(Told::Known(1), served(&stopped)), vec![]);
    assert_eq!(looks(Scope::Machine, &[0], &dead_server), NOTHING);
    assert_eq!(looks(Scope::Machine, &[0, 0], &dead_server), told, "a stopped server does not answer");
    let idle = with(connection(Told::Known(0), served(&stopped)), vec![]);
    assert_eq!(looks(Scope::Machine, &[0, 100], &idle), NOTHING, "nobody asks it anything");
    let found = Doctor::new(Scope::Machine).look(&slow);
    assert_eq!(found, []);
    let mut doctor = Doctor::new(Scope::Machine);
    doctor.look(&dead_server);
    let remedies = doctor.look(&dead_server)[0].remedies.clone();
    let names: Vec<&str> = remedies.iter().map(|remedy| remedy.name).collect();
    assert_eq!(names, ["continue-server", "abort-fuse"]);
    // /sys/fs/fuse/connections is empty where nobody has mounted it.
    assert_eq!(remedies[1].command.as_deref(), Some("vigie doctor pid:9 --fix"));
}

fn service(state: State, wanted: Option<Wanted>, restarts: u32, failed: Option<u64>) -> Service {
    Service {
        label: "demo/a".to_owned(),
        target: "a".to_owned(),
        wanted,
        state,
        now: Wall(10_000 * SECOND),
        why: None,
        restarts,
        failure: failed.map(|_| "exit code 7".to_owned()),
        failed_at: failed.map(|ago| Wall((10_000 - ago) * SECOND)),
        pid: None,
    }
}

#[test]
fn services_that_do_not_run_as_they_should() {
    let up = Some(Wanted::Up);
    let table = [
        (service(State::Ghost, up, 0, None), Some("critical ghost demo/a")),
        (service(State::Ghost, None, 0, None), Some("critical ghost demo/a")),
        (service(State::Failed, up, 0, Some(9)), Some("critical gave-up demo/a")),
        (service(State::Failed, Some(Wanted::Down), 9, Some(9)), None),
        (service(State::Conflict, up, 0, None), Some("critical conflict demo/a")),
        (service(State::Conflict, Some(Wanted::Down), 0, None), None),
        (service(State::Backoff, up, 3, Some(1)), Some("critical crash-loop demo/a")),
        (service(State::Backoff, up, 2, Some(1)), None),
        (service(State::Backoff, up, 50, None), None),
        (service(State::Running, up, 3, Some(10)), Some("critical crash-loop demo/a")),
        (service(State::Ready, up, 3, Some(299)), Some("critical crash-loop demo/a")),
        (service(State::Ready, up, 40, Some(300)), None),
        (service(State::Running, up, 40, None), None),
        (service(State::Ready, up, 2, Some(1)), None),
    ];
    for (one, expected) in table {
        let facts = Facts { services: vec![one.clone()], ..Facts::default() };
        let found = looks(Scope::Machine, &[0], &facts);
        assert_eq!(found.first().map(String::as_str), expected, "{one:?}");
    }
    for state in [State::Stopped, State::Waiting, State::Starting, State::Stopping, State::Done, State::Degraded] {
        let facts = Facts { services: vec![service(state, up, 0, None)], ..Facts::default() };
        assert_eq!(looks(Scope::Machine, &[0, 900], &facts), NOTHING, "{state}");
    }
}

#[test]
fn what_is_one_too_many_or_was_left() {
    let text = |text: &str| text.to_owned();
    let (service, target) = (text("demo/a"), text("a"));
    let stray = Left::Stray {
        service: service.clone(),
        target: target.clone(),
        pid: 5,
        command: text("./a"),
        why: text("same executable"),
        duplicate: false,
    };
    let orphans = Left::Orphans { service: service.clone(), target: target.clone(), pids: vec![6, 7], keeper: 8 };
    let leftover = |kind, path: &str, removable| Left::Leftover {
        service: service.clone(),
        target: target.clone(),
        kind,
        path: text(path),
        pid: None,
        why: text("nobody"),
        removable,
    };
    let left = vec![stray, leftover("record", "demo/a", false), leftover("socket", "/x", true), orphans];
    let facts = Facts { left, ..Facts::default() };
    let expected = ["critical orphan demo/a", "warning stray pid:5", "notice leftover /x", "notice leftover demo/a"];
    assert_eq!(looks(Scope::Machine, &[0], &facts), expected);
    assert_eq!(looks(Scope::Process(7), &[0], &facts), ["critical orphan demo/a"]);
    let found = Doctor::new(Scope::Machine).look(&facts);
    let commands: Vec<&str> = found.iter().filter_map(|one| one.remedies.first()?.command.as_deref()).collect();
    assert_eq!(commands, ["vigie sweep a", "vigie adopt pid:5", "vigie sweep a", "vigie forget a"]);
}

#[test]
fn the_gravest_comes_first() {
    let facts = Facts {
        services: vec![service(State::Failed, Some(Wanted::Up), 0, None)],
        dead: dead(10..11, 3, Some(100)),
        held: vec![
            held(5, TaskVerdict::Stopped, Some("demo/a")),
            Held { kill_pending: true, still: Some(Duration::from_secs(5)), ..held(6, TaskVerdict::Nfs, None) },
        ],
        ..Facts::default()
    };
    let expected = ["critical ghost pid:6", "critical gave-up demo/a", "warning stopped pid:5", "notice zombies pid:3"];
    assert_eq!(looks(Scope::Machine, &[0, 0], &facts), expected);
}
