//! A mount, with who serves it and what lies below it.

use std::path::Path;

use vigie_core::stuck::facts::{Backing, Fuse, Mount};
use vigie_core::text::OsText;
use vigie_core::why::facts::Told;

use super::aside::flat;
use super::descriptors::{self, holders};
use super::mountinfo::{self, Line};
use super::scene::Scene;
use crate::cure::fuse::Connections;
use crate::error::OsError;
use crate::proc::stat::number;

/// Files on devices on files: deeper than anybody builds it.
const DEPTH: u32 = 4;

/// `LOOP_MAJOR` of include/uapi/linux/major.h.
const LOOP: u32 = 7;

/// All that is known of the mount of a line.
pub(super) fn of_line(scene: &Scene<'_>, line: &Line) -> Result<Mount, OsError> {
    build(scene, line, DEPTH)
}

fn build(scene: &Scene<'_>, line: &Line, depth: u32) -> Result<Mount, OsError> {
    Ok(Mount {
        id: line.id,
        device: line.device,
        kind: OsText(line.kind.clone()),
        source: OsText(line.source.clone()),
        point: OsText(line.point.clone()),
        fuse: line.connection().map(|connection| fuse(scene, line, connection)).transpose()?,
        backing: if line.device.0 == 0 { None } else { backing(scene, line.device, depth)?.map(Box::new) },
    })
}

/// The mount of a file that is a device itself, with what lies below that device.
pub(super) fn of_device(scene: &Scene<'_>, line: &Line, path: &[u8]) -> Result<Mount, OsError> {
    let mut mount = of_line(scene, line)?;
    if let Some(minor) = path.strip_prefix(b"/dev/loop").and_then(number) {
        mount.backing = backing(scene, (LOOP, minor), DEPTH)?.map(Box::new);
    }
    Ok(mount)
}

fn fuse(scene: &Scene<'_>, line: &Line, connection: u32) -> Result<Fuse, OsError> {
    let servers = if line.kind == b"virtiofs" { Told::Nothing } else { servers(scene, line, connection)? };
    Ok(Fuse { connection, waiting: waiting(scene, connection)?, servers })
}

/// Requests that wait for an answer.
pub(super) fn waiting(scene: &Scene<'_>, connection: u32) -> Result<Told<u64>, OsError> {
    let ask = move |_: &_| match Connections::open().and_then(|all| all.waiting(connection)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        answer => answer,
    };
    scene.aside.ask(ask).map(flat)
}

/// Who has the device of this connection open. Kernels that do not tell the connection of a descriptor leave everybody who
/// has the device open; of those, whoever is the user that the mount was made for.
fn servers(
    scene: &Scene<'_>,
    line: &Line,
    connection: u32,
) -> Result<Told<Vec<vigie_core::why::facts::Process>>, OsError> {
    let ask = |proc: &_| holders(proc, |link| link == b"/dev/fuse", |info| Some(descriptors::connection(info)));
    let mut all = scene.aside.ask(ask)?;
    let mut tells = false;
    if let Told::Known(all) = &mut all {
        tells = all.found.iter().any(|(_, served)| served.is_some());
        all.found.retain(|(_, served)| !tells || *served == Some(connection));
    }
    let mut people = scene.people(&all)?;
    let user: Option<u32> = line.option(b"user_id").and_then(number);
    if let Told::Known(people) = &mut people
        && !tells
        && people.iter().any(|one| one.uid == user)
    {
        people.retain(|one| one.uid == user);
    }
    Ok(people)
}

/// The file behind a block device, if there is one anywhere below it: a loop device, or what is put together from one
/// (encryption, volumes, RAID), or a part of one. The files of sysfs tell of the kernel's own memory only.
fn backing(scene: &Scene<'_>, device: (u32, u32), depth: u32) -> Result<Option<Backing>, OsError> {
    let Some((name, file)) = loop_below(device, depth) else { return Ok(None) };
    let on = mountinfo::of_path(scene.mounts()?, &mountinfo::plain(&file));
    let mount = match on {
        // A device may lie on itself by a mistake of who reads the table; nothing is that deep.
        Some(line) if depth > 0 => Some(build(scene, line, depth - 1)?),
        _ => None,
    };
    Ok(Some(Backing { device: OsText(name), file: OsText(file), mount }))
}

/// The name of the nearest loop device, and its file.
fn loop_below((major, minor): (u32, u32), depth: u32) -> Option<(Vec<u8>, Vec<u8>)> {
    let folder = std::fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    loop_at(&folder, depth)
}

fn loop_at(folder: &Path, depth: u32) -> Option<(Vec<u8>, Vec<u8>)> {
    if let Ok(file) = std::fs::read(folder.join("loop/backing_file")) {
        let name = folder.file_name()?.as_encoded_bytes();
        return Some(([b"/dev/", name].concat(), file.strip_suffix(b"\n").unwrap_or(&file).to_vec()));
    }
    if folder.join("partition").exists() {
        return loop_at(folder.parent()?, depth.checked_sub(1)?);
    }
    let below = depth.checked_sub(1)?;
    let slaves = std::fs::read_dir(folder.join("slaves")).ok()?;
    slaves.flatten().find_map(|slave| loop_at(&std::fs::canonicalize(slave.path()).ok()?, below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_device_below_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, content: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        };
        write("loop3/loop/backing_file", "/srv/image 1\n");
        write("loop3/loop3p1/partition", "1\n");
        write("sda/size", "1\n");
        for (device, below) in [("dm-0", "sda"), ("dm-1", "loop3"), ("dm-2", "dm-1")] {
            write(&format!("{device}/slaves/none"), "");
            let link = dir.path().join(device).join("slaves").join(below);
            std::os::unix::fs::symlink(dir.path().join(below), link).unwrap();
        }
        let found = |name: &str, depth| loop_at(&dir.path().join(name), depth);
        let wanted = Some((b"/dev/loop3".to_vec(), b"/srv/image 1".to_vec()));
        for name in ["loop3", "loop3/loop3p1", "dm-1", "dm-2"] {
            assert_eq!(found(name, DEPTH), wanted, "{name}");
        }
        for name in ["sda", "dm-0", "nothing"] {
            assert_eq!(found(name, DEPTH), None, "{name}");
        }
        assert_eq!((found("dm-2", 1), found("loop3", 0)), (None, wanted));
    }
}
