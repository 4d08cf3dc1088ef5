//! What counts more, where several things are so.

use super::super::judge::ORDER;
use super::*;

#[test]
fn every_verdict_has_its_place() {
    assert_eq!(ORDER.len(), TaskVerdict::ALL.len());
    assert!(TaskVerdict::ALL.iter().all(|verdict| ORDER.contains(verdict)));
}

/// Threads of one process, each of which KILL ends: the one that stands first in the table tells what the process is.
#[test]
fn among_threads() {
    let pipe = |tid| task(tid, 'S', "pipe_write", &[]);
    let threads = [
        (task(51, 't', "ptrace_stop", &[]), TaskVerdict::Traced),
        (task(51, 'T', "do_signal_stop", &[]), TaskVerdict::Stopped),
        (task(51, 'D', "wait_for_vfork_done", &[]), TaskVerdict::VforkWait),
        (pipe(51), TaskVerdict::PipeFull),
        (task(51, 'S', "fcntl_setlk", &[]), TaskVerdict::FileLock),
        (task(51, 'D', "rpc_wait_bit_killable", &[]), TaskVerdict::Nfs),
        (task(51, 'D', "autofs_wait", &[]), TaskVerdict::Autofs),
        (task(51, 'S', "handle_userfault", &[]), TaskVerdict::Userfault),
        (task(51, 'D', "x", &["down_killable"]), TaskVerdict::KillableWait),
        (task(51, 'R', "", &[]), TaskVerdict::Running),
        (task(51, 'S', "ep_poll", &[]), TaskVerdict::Sleeping),
    ];
    for (place, (first, verdict)) in threads.iter().enumerate() {
        for (second, _) in &threads[place..] {
            for (one, other) in [(first, second), (second, first)] {
                let both = facts(vec![TaskFacts { tid: PID, ..one.clone() }, other.clone()]);
                let told = judge(&both, &ROOT);
                assert_eq!((told.verdict, told.killable), (*verdict, Some(true)), "{one:?} {other:?}");
            }
        }
    }
}

/// A thread that no KILL ends keeps all of it, wherever its verdict stands.
#[test]
fn what_no_kill_ends() {
    for other in [task(51, 'T', "do_signal_stop", &[]), task(51, 'D', "kernel_clone", &[]), task(51, 'R', "", &[])] {
        let mut all = facts(vec![task(PID, 'D', "submit_bio_wait", &[]), other]);
        assert_eq!(judge(&all, &ROOT).verdict, TaskVerdict::BlockDevice);
        all.tasks.reverse();
        let told = judge(&all, &ROOT);
        assert_eq!((told.verdict, told.killable, told.decides), (TaskVerdict::BlockDevice, Some(false), PID));
    }
    let dead = facts(vec![task(PID, 'Z', "", &[]), task(51, 'S', "pipe_write", &[])]);
    assert_eq!(judge(&dead, &ROOT).verdict, TaskVerdict::LeaderExited, "its other thread can be ended");
}

/// Of one thread: who holds it from outside hides what it waits for, and that hides what signals do.
#[test]
fn of_one_thread() {
    let cgroup = |version| FrozenCgroup { version, folder: "/sys/fs/cgroup/jobs".into(), by_itself: true };
    let ignoring = |facts: ProcessFacts| ProcessFacts { ignored: set(&[15]), ..facts };
    let frozen = |version, facts: ProcessFacts| ProcessFacts { frozen: vec![cgroup(version)], ..facts };
    for (facts, wanted) in [
        (frozen(1, one('Z', "", &[])), TaskVerdict::Zombie),
        (frozen(1, one('t', "ptrace_stop", &[])), TaskVerdict::Traced),
        (frozen(1, one('D', "submit_bio_wait", &[])), TaskVerdict::Frozen),
        (frozen(2, one('T', "do_signal_stop", &[])), TaskVerdict::Stopped),
        (frozen(2, one('S', "pipe_write", &[])), TaskVerdict::PipeFull),
        (frozen(2, one('S', "do_freezer_trap", &[])), TaskVerdict::Frozen),
        (ignoring(one('S', "pipe_write", &[])), TaskVerdict::PipeFull),
        (ignoring(one('D', "x", &[])), TaskVerdict::Uninterruptible),
        (ignoring(one('R', "", &[])), TaskVerdict::SignalIgnored),
        (ProcessFacts { namespace_init: true, ..ignoring(one('S', "x", &[])) }, TaskVerdict::NamespaceInit),
    ] {
        assert_eq!(judge(&facts, &ROOT).verdict, wanted, "{facts:#?}");
    }
}
