use super::*;

use std::path::Path;
use std::process::{Command, Stdio};

use vigie_core::ladder::Ladder;
use vigie_core::recognise::Files as _;

use crate::proc::tests::{Guard, eventually};

/// `sleep SECONDS` in a folder of its own, for a service that is just that.
fn sleep_in(folder: &Path, seconds: &str) -> Expected {
    let files = System::default();
    let folder = files.canonical(folder).unwrap();
    let argvs = vec![vec!["sleep".into(), seconds.into()]];
    let uid = crate::user::uid();
    let command = vigie_core::recognise::Command { argvs, path: None, cwd: &folder, root: &folder, uid };
    Expected::of(&command, &files)
}

fn sh(script: &str, folder: &Path) -> Guard {
    Guard(Command::new("sh").args(["-c", script]).current_dir(folder).stdin(Stdio::null()).spawn().unwrap())
}

#[test]
fn a_stray_is_found_with_its_tree_and_a_run_is_not() {
    let proc = Proc::system().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sleep = sleep_in(folder.path(), "612");
    let expected = [&sleep];
    let none = HashSet::new();
    let start = |program: &str, args: &[&str]| {
        Guard(Command::new(program).args(args).current_dir(folder.path()).spawn().unwrap())
    };
    let stray = start("timeout", &["600", "sleep", "612"]);
    let run = Guard(
        Command::new("sleep").arg("612").env(MARK, "0123456789abcdef").current_dir(folder.path()).spawn().unwrap(),
    );
    let other = start("sleep", &["613"]);
    let find = || find(&proc, &expected, &none).unwrap();
    // The kernel shows the arguments of a new program an instant before its environment.
    eventually("the run bears its mark", || proc.variable(run.0.id(), MARK, &mut Vec::new()).unwrap().is_some());
    eventually("the stray has its tree", || find().first().is_some_and(|stray| stray.tree.len() == 1));
    let found = find();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].key.pid, stray.0.id(), "the top of the chain");
    assert_eq!(found[0].matched, ["executable", "arguments", "directory", "user"]);
    assert!(!found[0].deleted && found[0].elsewhere.is_empty());
    assert_eq!(examine(&proc, run.0.id(), &expected).unwrap(), None, "it bears a mark");
    assert_eq!(examine(&proc, other.0.id(), &expected).unwrap(), None, "other arguments");
    let known = HashSet::from([found[0].tree[0].pid]);
    assert_eq!(super::find(&proc, &expected, &known).unwrap().len(), 1, "what is known is left out");
    // A killed `timeout` would leave its child behind.
    let family = Family::open(&proc, &found[0].key).unwrap().unwrap();
    assert_eq!(end_all(&proc, vec![(family, Ladder::default())]), [Ended::Gone(2)]);
}

#[test]
fn a_tree_is_ended_to_the_last() {
    let proc = Proc::system().unwrap();
    let folder = tempfile::tempdir().unwrap();
    // One child ignores TERM, one leaves for a session of its own, and all of them lose their parent.
    let script = "trap '' TERM; sleep 611 & (trap - TERM; setsid sleep 611) & trap - TERM; wait";
    let mut top = sh(script, folder.path());
    let key = proc.key(top.0.id()).unwrap().unwrap();
    let sleeps = |key: &&ProcKey| proc.cmdline(key.pid, &mut Vec::new()).unwrap() == Some(b"sleep\x00611\0".as_slice());
    eventually("all are there, and are what they are to be", || {
        Family::open(&proc, &key).unwrap().is_some_and(|family| family.members().filter(sleeps).count() == 2)
    });
    let family = Family::open(&proc, &key).unwrap().unwrap();
    let members: Vec<ProcKey> = family.members().cloned().collect();
    let ladder = Ladder::new(vec!["TERM 200ms".parse().unwrap(), "KILL 60s".parse().unwrap()]).unwrap();
    let ended = end_all(&proc, vec![(family, ladder)]);
    assert!(matches!(ended[..], [Ended::Gone(3..)]), "{ended:?}");
    top.0.wait().unwrap();
    for key in members {
        assert!(!proc.is_alive(&key).unwrap(), "{key:?}");
    }
}

fn end_all(proc: &Proc, families: Vec<(Family, Ladder)>) -> Vec<Ended> {
    end(proc, families).unwrap()
}

/// A shell gives all commands of a pipeline the group of the first one: they are none of its tree, and were not shown.
#[test]
fn who_shares_its_group_is_spared() {
    let proc = Proc::system().unwrap();
    let spawn = |group: i32| {
        let mut command = Command::new("sleep");
        Guard(std::os::unix::process::CommandExt::process_group(command.arg("615"), group).spawn().unwrap())
    };
    let mut top = spawn(0);
    let beside = spawn(i32::try_from(top.0.id()).unwrap());
    let key = proc.key(top.0.id()).unwrap().unwrap();
    // A clock tick later, as whoever reads a plan: what was forked within the same one could be its own.
    let later = crate::clock::mono() + std::time::Duration::from_millis(30);
    eventually("a clock tick has passed", || crate::clock::mono() > later);
    let family = Family::open(&proc, &key).unwrap().unwrap();
    let ladder = Ladder::new(vec!["TERM 60s".parse().unwrap(), "KILL 60s".parse().unwrap()]).unwrap();
    assert_eq!(end_all(&proc, vec![(family, ladder)]), [Ended::Gone(1)]);
    top.0.wait().unwrap();
    let beside = proc.key(beside.0.id()).unwrap().unwrap();
    assert!(proc.is_alive(&beside).unwrap());
}

/// R4.6: between the plan and the deed the number went to somebody else.
#[test]
fn a_reused_number_is_refused() {
    let proc = Proc::system().unwrap();
    let sleeper = Guard::sleeper();
    let key = proc.key(sleeper.0.id()).unwrap().unwrap();
    let planned = ProcKey { start_ticks: key.start_ticks - 1, ..key.clone() };
    assert!(Family::open(&proc, &planned).unwrap().is_none());
    assert!(proc.is_alive(&key).unwrap());
}

#[test]
fn we_and_those_above_us_are_no_family() {
    let proc = Proc::system().unwrap();
    for pid in [std::process::id()].into_iter().chain(ancestors(&proc).unwrap()) {
        if let Some(key) = proc.key(pid).unwrap() {
            assert!(Family::open(&proc, &key).unwrap().is_none(), "{pid}");
        }
    }
}

/// What runs of a living run look like is read from it.
#[test]
fn like_a_run_that_lives() {
    let proc = Proc::system().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let start = || Guard(Command::new("sleep").arg("614").current_dir(folder.path()).spawn().unwrap());
    let (run, copy) = (start(), start());
    let mut found = None;
    eventually("the copy is recognised", || {
        let Some(expected) = of_process(&proc, run.0.id()).unwrap() else { return false };
        found = examine(&proc, copy.0.id(), &[&expected]).unwrap();
        found.is_some()
    });
    assert_eq!(found.unwrap().key.pid, copy.0.id());
}

/// One that was adopted bears no mark: whoever descends from it belongs to its run.
#[test]
fn who_descends_from_a_known_run_is_no_stray() {
    let proc = Proc::system().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sleep = sleep_in(folder.path(), "614");
    let expected = [&sleep];
    let adopted = sh("sleep 614 & wait", folder.path());
    eventually("its child is a stray as long as nobody knows better", || {
        find(&proc, &expected, &HashSet::new()).unwrap().len() == 1
    });
    assert_eq!(find(&proc, &expected, &HashSet::from([adopted.0.id()])).unwrap(), []);
    let mut child = Vec::new();
    proc.children(adopted.0.id(), &mut child).unwrap();
    let child = crate::pidfd::Target::open_pid(&proc, child[0]).unwrap().unwrap();
    child.send(vigie_core::ladder::Signal::Kill).unwrap();
}
