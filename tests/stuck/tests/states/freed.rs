//! The bed itself: whatever becomes of the program, nothing that it made is left.

use std::process::Command;

use vigie_real_tests::program;
use vigie_stuck::{STATES, seen};

use crate::bed::{Stuck, nothing_left};

/// Each of them, when the program is killed.
#[test]
fn nothing_is_left_of_a_program_that_was_killed() {
    for state in STATES {
        let Some(mut stuck) = Stuck::new("nothing_is_left_of_a_program_that_was_killed", state.name) else { continue };
        let maker = stuck.maker();
        stuck.kill_maker();
        nothing_left(&stuck, maker);
    }
}

/// Also what KILL did not end.
#[test]
fn what_kill_does_not_end_is_freed_too() {
    for state in ["fuse-getattr", "fuse-behind", "block-device", "frozen-filesystem", "frozen-v1", "traced-at-exit"] {
        let Some(mut stuck) = Stuck::new("what_kill_does_not_end_is_freed_too", state) else { continue };
        stuck.survives_kill();
        let maker = stuck.maker();
        stuck.kill_maker();
        nothing_left(&stuck, maker);
    }
}

/// Mounts are nobody else's.
#[test]
fn mounts_are_seen_by_nobody_else() {
    for state in ["fuse-read", "frozen-filesystem", "autofs", "fanotify"] {
        let Some(stuck) = Stuck::new("mounts_are_seen_by_nobody_else", state) else { continue };
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("readable");
        assert!(!mounts.contains("vigie-stuck"), "{mounts}");
        let inside = seen::file(stuck.pid(), "mountinfo").expect("readable");
        assert!(inside.contains(&format!("vigie-stuck-{}", stuck.maker())), "{inside}");
    }
}

#[test]
fn what_it_says_about_itself() {
    let run = |args: &[&str]| {
        let output = Command::new(program("stuck")).args(args).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, list) = run(&["--list"]);
    assert_eq!(code, Some(0));
    let names: Vec<&str> = list.lines().filter_map(|line| line.split_ascii_whitespace().next()).collect();
    assert_eq!(names, STATES.iter().map(|state| state.name).collect::<Vec<_>>());
    let (code, help) = run(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(names.iter().all(|name| help.contains(name)));
    for wrong in [&[][..], &["no-such"], &["zombie", "--tcp", "1"], &["fuse-holder", "--memory", "much"]] {
        assert_eq!(run(wrong).0, Some(2), "{wrong:?}");
    }
}
