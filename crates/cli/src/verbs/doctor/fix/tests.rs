use super::*;

use vigie_core::doctor::Severity;
use vigie_core::identity::{BootId, ProcKey};
use vigie_core::ladder::Signal;
use vigie_core::text::OsText;
use vigie_core::why::Remedy;
use vigie_core::why::facts::{Process, Told as Seen};

fn process(pid: u32) -> Process {
    Process {
        key: ProcKey { boot_id: BootId("b".into()), pid, start_ticks: 1 },
        parent: 1,
        name: OsText::from("a"),
        argv: Seen::Nothing,
        state: 'T',
        threads: 1,
        kernel: false,
        session: 1,
        terminal: None,
        uid: None,
        user: None,
        started: None,
    }
}

fn finding(kind: Kind, service: Option<&str>, cures: &[Cure]) -> Found {
    let remedy =
        |cure: &Cure| Remedy { name: "x", needs: None, effect: String::new(), command: None, cure: Some(cure.clone()) };
    Found {
        kind,
        severity: Severity::Notice,
        subject: "x".to_owned(),
        text: String::new(),
        because: Vec::new(),
        evidence: Vec::new(),
        remedies: cures.iter().map(remedy).collect(),
        pids: Vec::new(),
        service: service.map(str::to_owned),
    }
}

fn cont(pid: u32) -> Cure {
    Cure::Signal { process: process(pid), signal: Signal::Cont }
}

/// Every cure but [`Cure::End`].
fn mild() -> [Cure; 5] {
    let point = OsText::from("/mnt");
    [
        cont(7),
        Cure::ThawCgroup { version: 2, folder: OsText::from("/sys/fs/cgroup/docker/x") },
        Cure::AbortFuse { connection: 45 },
        Cure::ThawFilesystem { witness: process(7), point, device: (7, 0) },
        Cure::DrainPipe { writer: process(7), fd: 1, inode: 9 },
    ]
}

fn planned(found: Vec<Found>, scope: &Scope) -> Vec<Step> {
    plan(&Examined { found, facts: vigie_core::doctor::facts::Facts::default() }, scope)
}

/// A paused container, a job that was stopped by Ctrl-Z, a snapshot: all of that is on purpose, mostly.
#[test]
fn what_may_be_so_on_purpose_is_not_undone_by_a_yes_to_everything() {
    let steps = planned(vec![finding(Kind::Frozen, None, &mild())], &Scope::Machine);
    assert_eq!(steps.len(), 5);
    let yes = Confirm { yes: true, dry_run: false };
    assert!(agree(yes, &steps).expect("no question").is_empty());
    for step in &steps {
        assert!(step.apart.is_some(), "{}", step.deed());
        assert!(!agree_apart(step, yes).expect("no question"), "{}", step.deed());
    }
    let tell = planned(vec![finding(Kind::Zombies, None, &[Cure::Tell { process: process(7) }])], &Scope::Machine);
    assert_eq!(tell[0].apart, None, "that changes nothing");
}

#[test]
fn what_is_of_a_run_or_was_named_is_mended() {
    let names =
        |steps: &[Step]| -> Vec<String> { steps.iter().filter(|step| step.apart.is_some()).map(Step::what).collect() };
    let of_run = planned(vec![finding(Kind::Stopped, Some("demo/a"), &mild())], &Scope::Machine);
    assert_eq!(names(&of_run), ["thaw", "abort"], "a file system has other users");
    assert!(of_run.iter().all(|step| step.apart.is_none() || !step.whom().starts_with("cgroup")));
    let named = planned(vec![finding(Kind::Frozen, None, &mild())], &Scope::Process(7));
    assert_eq!(names(&named), [""; 0]);
    let daemon = planned(vec![finding(Kind::Daemon, None, &[cont(7)])], &Scope::Machine);
    assert_eq!(names(&daemon), [""; 0]);
    // One deed for two of whom one is ours.
    let mut other = finding(Kind::Zombies, None, &[cont(7)]);
    other.subject = "y".to_owned();
    for both in [
        vec![finding(Kind::Stopped, Some("demo/a"), &[cont(7)]), other.clone()],
        vec![other, finding(Kind::Stopped, Some("demo/a"), &[cont(7)])],
    ] {
        let steps = planned(both, &Scope::Machine);
        assert_eq!((steps.len(), steps[0].apart), (1, None));
    }
}

#[test]
fn an_end_needs_the_name_of_who_ends() {
    let end = Cure::End { process: process(7), role: "parent" };
    for (scope, apart) in [(Scope::Machine, true), (Scope::Process(8), true), (Scope::Process(7), false)] {
        let steps = planned(vec![finding(Kind::Zombies, Some("demo/a"), std::slice::from_ref(&end))], &scope);
        assert_eq!(steps[0].apart.is_some(), apart, "{scope:?}");
    }
}

/// The kernel gives the number of a connection that has ended to the next one.
#[test]
fn a_connection_is_aborted_only_while_its_abort_is_offered() {
    let abort = Cure::AbortFuse { connection: 45 };
    let found = finding(Kind::Ghost, None, std::slice::from_ref(&abort));
    let steps = planned(vec![found.clone()], &Scope::Machine);
    assert!(is_offered(&steps[0], &[found]));
    // It waits for another one by now.
    let other = finding(Kind::Ghost, None, &[Cure::AbortFuse { connection: 46 }]);
    assert!(is_open(&steps[0], std::slice::from_ref(&other)) && !is_offered(&steps[0], &[other]));
}
