use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use super::*;
use crate::proc::tests::{FakeProc, Guard, eventually};

#[test]
fn parents_by_identity() {
    let fake = FakeProc::new(true);
    for (pid, parent, start) in [(1, 0, 0), (5, 1, 10), (9, 5, 20), (12, 9, 20), (30, 44, 50), (44, 1, 60)] {
        fake.process(pid, parent, 'S', start, &[]);
        fake.file(&format!("{pid}/cmdline"), format!("program-{pid}\0--flag\0"));
    }
    let proc = fake.open();
    let (process, ancestors) = lineage(&proc, 12).unwrap().unwrap();
    assert_eq!(process.argv, Told::Known(vec!["program-12".into(), "--flag".into()]));
    assert_eq!(ancestors.iter().map(Process::pid).collect::<Vec<_>>(), [9, 5, 1]);
    assert_eq!(ancestors[0].command(), "program-9 --flag");
    // 44 has the number of its parent, and was started later: it is somebody else.
    let story = story(&proc, 30).unwrap().unwrap();
    assert_eq!((story.ancestors.len(), story.top), (0, Top::Vanished(44)));
    assert!(lineage(&proc, 404).unwrap().is_none());
}

#[test]
fn this_process_and_its_child() {
    let proc = Proc::system().unwrap();
    let mut command = Command::new("sleep");
    command
        .arg("600")
        .stdin(Stdio::null())
        .env_clear()
        .env("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")
        .env("SECRET", "x");
    let child = Guard(command.process_group(0).spawn().unwrap());
    // The kernel shows the arguments of a new program an instant before its environment.
    eventually("it is what it is to be", || {
        let story = story(&proc, child.0.id()).unwrap().unwrap();
        story.process.command() == "sleep 600" && story.variable("SSH_CONNECTION").is_some()
    });
    let story = story(&proc, child.0.id()).unwrap().unwrap();
    assert_eq!(story.ancestors[0].pid(), std::process::id());
    assert_eq!(story.variable("SSH_CONNECTION"), Some(&"10.0.0.1 1 10.0.0.2 22".into()));
    assert_eq!(story.environment.known().unwrap().len(), 1, "no other variable is looked at");
    assert!(story.executable.known().is_some_and(|path| path.as_path().is_absolute()), "{:?}", story.executable);
    assert_eq!(story.folder.known().unwrap().as_path(), std::env::current_dir().unwrap());
    assert_eq!(story.namespaces, Told::Known(Vec::new()), "it lives where we do");
    assert_eq!((story.tasks.len(), story.tasks[0].tid), (1, child.0.id()));
    assert!(story.tracer.is_none() && !story.kill_pending);
    let age = now().wall.0.saturating_sub(story.process.started.unwrap().0);
    assert!(age < 3_600_000_000_000, "it was not started {age} ns ago");
}

#[test]
fn a_zombie_has_no_circumstances_and_is_no_error() {
    let proc = Proc::system().unwrap();
    let child = Guard(Command::new("true").stdin(Stdio::null()).spawn().unwrap());
    eventually("it is dead", || proc.stat(child.0.id(), &mut Vec::new()).unwrap().is_some_and(|stat| stat.is_zombie()));
    let story = story(&proc, child.0.id()).unwrap().unwrap();
    assert!(story.process.is_zombie());
    assert_eq!((story.process.argv, story.executable), (Told::Nothing, Told::Nothing));
}

#[test]
fn what_others_hide_is_said() {
    if user::uid() == 0 {
        println!("skipped: nothing is hidden from root");
        return;
    }
    let story = story(&Proc::system().unwrap(), 1).unwrap().unwrap();
    assert!(circumstances::is_hidden(&story.folder) && circumstances::is_hidden(&story.environment));
}
