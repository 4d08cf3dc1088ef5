//! Processes that wait for a block device or for a file system.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};

use crate::bed::{Bed, Failure, Gate, Made, heard, needs_root};
use crate::fuse::Served;
use crate::loops::Loop;
use crate::raw;

/// Freezes a file system; ioctl_fsfreeze.
const FIFREEZE: libc::Ioctl = 0xc004_5877;

/// Writes past every cache to a loop device, whose file lies on a FUSE file system, whose server is stopped.
pub(crate) fn device(bed: &mut Bed) -> Made {
    let fuse = Served::new(bed)?;
    let folder = bed.folder()?;
    let back = File::options().read(true).write(true).open(fuse.point.join("back"))?;
    let Loop { device, path } = Loop::attach(&back, &folder, libc::O_DIRECT)?;
    drop(back);
    let mut gate = Gate::new()?;
    let behind = gate.child();
    let (done, mut tell) = io::pipe()?;
    let pid = bed.start_unlike(c"stuck-disk", &[gate.door()], move || {
        // Pages are aligned as O_DIRECT wants it.
        let page = raw::memory(4096)?;
        page.fill(b'x');
        tell.write_all(&0_u32.to_ne_bytes())?;
        behind.wait();
        (&device).write_all(page)
    })?;
    heard(done)?;
    bed.stop(fuse.server)?;
    drop(gate);
    bed.until_in(pid, "D", &["bio", "blk", "io_schedule", "iomap", "blkdev"])?;
    bed.say("pid", pid);
    bed.say("device", path.display());
    bed.say("frees", "abort");
    Ok(())
}

/// Writes to a file of a frozen file system.
pub(crate) fn frozen(bed: &mut Bed) -> Made {
    needs_root("freeze a file system")?;
    let folder = bed.folder()?;
    let image = folder.join("image");
    File::create(&image)?.set_len(16 << 20)?;
    let mut mkfs = Command::new("mkfs.ext4");
    mkfs.args(["-q", "-F"]).arg(&image).stdin(Stdio::null()).stdout(Stdio::null());
    match mkfs.status() {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(Failure::Broken(format!("mkfs.ext4: {status}"))),
        Err(error) => return Err(Failure::Impossible(format!("mkfs.ext4, of e2fsprogs: {error}"))),
    }
    let file = File::options().read(true).write(true).open(&image)?;
    let Loop { device, path } = Loop::attach(&file, &folder, 0)?;
    let point = bed.mount_point("frozen")?;
    raw::mount(&path, &point, c"ext4", "")?;
    // The mount has it now.
    drop((device, file));
    let mut gate = Gate::new()?;
    let behind = gate.child();
    let (done, mut tell) = io::pipe()?;
    let name = point.join("file");
    let pid = bed.start_unlike(c"stuck-writer", &[gate.door()], move || {
        let mut file = File::create(name)?;
        tell.write_all(&0_u32.to_ne_bytes())?;
        behind.wait();
        file.write_all(b"what is never written")?;
        raw::pause()
    })?;
    heard(done)?;
    bed.undo("frozen", &point)?;
    let top = File::open(&point)?;
    raw::ioctl(top.as_fd(), FIFREEZE, 0)?;
    drop((top, gate));
    bed.until_in(pid, "D", &["percpu_rwsem", "sb_start", "write", "freeze"])?;
    bed.say("pid", pid);
    bed.say("mount", point.display());
    bed.say("device", path.display());
    bed.say("frees", "thaw-filesystem");
    Ok(())
}
