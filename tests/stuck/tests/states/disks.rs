//! Waiting for a block device, or for a file system that was frozen.

use vigie_stuck::seen;

use crate::bed::{Verdict, made};

#[test]
fn block_device() {
    let Some((world, stuck)) = made("block_device", "block-device") else { return };
    let (pid, server) = (stuck.pid(), stuck.number("server"));
    assert_eq!(seen::state(pid), Some('D'));
    assert_eq!(seen::state(server), Some('T'));
    stuck.survives_kill();
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("block-device", Some(false)).task(pid, "block-device").blames("server", server);
    verdict.shows("state", "D (disk sleep").shows("pending", "KILL").shows("file", stuck.fact("device"));
    verdict.shows(&format!("behind {}", stuck.fact("device")), "/fuse/back");
    verdict.offers_just(&["continue-server", "end-server", "abort"]);
    verdict.carry_out(&world, "continue-server");
    stuck.gone();
}

#[test]
fn block_device_that_will_never_answer() {
    let test = "block_device_that_will_never_answer";
    let Some((world, stuck)) = made(test, "block-device") else { return };
    stuck.survives_kill();
    let verdict = Verdict::of(&world, &stuck);
    verdict.carry_out(&world, "end-server");
    stuck.gone();
}

#[test]
fn frozen_filesystem() {
    let Some((world, stuck)) = made("frozen_filesystem", "frozen-filesystem") else { return };
    let pid = stuck.pid();
    stuck.sleeps_in("D", &["percpu_rwsem_wait", "sb_start_write", "mnt_want_write"]);
    stuck.survives_kill();
    let verdict = Verdict::of(&world, &stuck);
    verdict.is("frozen-filesystem", Some(false)).task(pid, "frozen-filesystem");
    verdict.shows("file", &format!("{}/file", stuck.fact("mount"))).shows("mount", "ext4").shows("pending", "KILL");
    verdict.offers_just(&["thaw-filesystem"]);
    verdict.carry_out(&world, "thaw-filesystem");
    stuck.gone();
}

/// One that nobody has killed goes on, and has written.
#[test]
fn frozen_filesystem_goes_on() {
    let Some((world, stuck)) = made("frozen_filesystem_goes_on", "frozen-filesystem") else { return };
    Verdict::of(&world, &stuck).carry_out(&world, "thaw-filesystem");
    stuck.goes_on();
}
