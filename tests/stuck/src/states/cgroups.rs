//! Processes that are frozen with their cgroup.

use std::fs;
use std::path::{Path, PathBuf};

use crate::bed::{Bed, Failure, Made};
use crate::{raw, seen};

/// In the freezer of cgroup v1: `D`, with the function of the kernel that it was in before.
pub(crate) fn v1(bed: &mut Bed) -> Made {
    let folder = group(bed, 1)?;
    let pid = bed.start(c"stuck-frozen", || raw::sleep())?;
    bed.until_in(pid, "S", &["nanosleep"])?;
    fs::write(folder.join("cgroup.procs"), pid.to_string())?;
    fs::write(folder.join("freezer.state"), "FROZEN")?;
    let state = || fs::read_to_string(folder.join("freezer.state")).unwrap_or_default();
    bed.until("a frozen cgroup", || state().trim() == "FROZEN" && seen::state(pid) == Some('D'))?;
    told(bed, pid, &folder)
}

/// Frozen with a cgroup of version 2: signals that end it still do.
pub(crate) fn v2(bed: &mut Bed) -> Made {
    let folder = group(bed, 2)?;
    let pid = bed.start(c"stuck-frozen", || raw::sleep())?;
    bed.until_in(pid, "S", &["nanosleep"])?;
    fs::write(folder.join("cgroup.procs"), pid.to_string())?;
    fs::write(folder.join("cgroup.freeze"), "1")?;
    let events = || fs::read_to_string(folder.join("cgroup.events")).unwrap_or_default();
    bed.until("a frozen cgroup", || events().contains("frozen 1"))?;
    told(bed, pid, &folder)
}

fn told(bed: &mut Bed, pid: u32, folder: &Path) -> Made {
    bed.say("pid", pid);
    bed.say("cgroup", folder.display());
    bed.say("frees", "thaw");
    Ok(())
}

/// A new cgroup of this version, below the program's own where that is possible.
fn group(bed: &mut Bed, version: u8) -> Made<PathBuf> {
    let (kind, file, what) = match version {
        1 => ("cgroup", "freezer.state", "there is no cgroup v1 with a freezer"),
        _ => ("cgroup2", "cgroup.freeze", "there is no cgroup v2"),
    };
    let info = fs::read_to_string("/proc/self/mountinfo")?;
    let mount = info.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let options = |text: &str| version == 2 || text.split(',').any(|one| one == "freezer");
        (right.next()? == kind && options(right.nth(1)?)).then(|| left.split(' ').nth(4).map(PathBuf::from))?
    });
    let Some(mount) = mount else { return Err(Failure::Impossible(what.to_owned())) };
    let own = fs::read_to_string("/proc/self/cgroup")?;
    let own = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let ours =
            if version == 1 { controllers.split(',').any(|one| one == "freezer") } else { controllers.is_empty() };
        ours.then(|| path.trim_start_matches('/').to_owned())
    });
    let below = mount.join(own.unwrap_or_default());
    let folder = if below.is_dir() { below } else { mount }.join(bed.name());
    bed.undo("cgroup", &folder)?;
    match fs::create_dir(&folder) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            return Err(Failure::Impossible("this user may make no cgroup".to_owned()));
        }
        Err(error) => return Err(error.into()),
    }
    if folder.join(file).exists() {
        return Ok(folder);
    }
    Err(Failure::Impossible(format!("{} has no {file}", folder.display())))
}
