//! The files that a system call is about, and the mounts that they lie on. Nothing is opened, and no path is walked: that
//! would wait behind the one that waits.

use std::os::unix::fs::FileExt as _;

use vigie_core::stuck::facts::{Call, Object};
use vigie_core::text::OsText;
use vigie_core::why::facts::Told;

use super::aside::flat;
use super::call::{self, Arg};
use super::descriptors::mount_id;
use super::mount;
use super::mountinfo::{self, Line, plain};
use super::scene::Scene;
use crate::error::OsError;
use crate::proc::Proc;

/// `AT_FDCWD` of openat(2), as a descriptor.
const WORKING_FOLDER: u32 = (-100_i32).cast_unsigned();

/// The longest path; `PATH_MAX`.
const LONGEST: usize = 4096;

/// How much of the memory of a process is asked for at once: a string may end at the end of what can be read.
const PIECE: usize = 256;

/// A file, before its mount is looked at.
struct Subject<'a> {
    fd: Option<u32>,
    path: Told<OsText>,
    line: Option<&'a Line>,
}

/// The files of this call, those on FUSE first: of two, that is the one to wait for.
pub(super) fn of_call(scene: &Scene<'_>, tid: u32, call: &Call) -> Result<Vec<Object>, OsError> {
    let mut subjects = Vec::new();
    for arg in call::files(call) {
        subjects.extend(match *arg {
            Arg::Fd(at) => descriptor(scene, tid, call::descriptor(call.arguments[at]))?,
            Arg::Path(at) => path(scene, tid, WORKING_FOLDER, call.arguments[at])?,
            Arg::At(folder, at) => path(scene, tid, call::descriptor(call.arguments[folder]), call.arguments[at])?,
        });
    }
    subjects.sort_by_key(|subject| !subject.line.is_some_and(Line::is_fuse));
    subjects.into_iter().map(|subject| object(scene, subject)).collect()
}

fn object(scene: &Scene<'_>, subject: Subject<'_>) -> Result<Object, OsError> {
    let device = subject.path.known().map(|path| path.0.as_slice()).unwrap_or_default();
    let mount = subject.line.map(|line| match &*line.kind {
        b"devtmpfs" => mount::of_device(scene, line, device),
        _ => mount::of_line(scene, line),
    });
    Ok(Object::File { fd: subject.fd, path: subject.path, mount: mount.transpose()? })
}

/// What a descriptor of a thread is; nothing for one that is not open (any more), and for what has no path.
fn descriptor<'a>(scene: &'a Scene<'_>, tid: u32, fd: u32) -> Result<Option<Subject<'a>>, OsError> {
    let path = scene.link(&format!("task/{tid}/fd/{fd}"))?;
    if path.known().is_none_or(|path| !path.0.starts_with(b"/")) {
        return Ok(None);
    }
    let info = scene.file(format!("task/{tid}/fdinfo/{fd}"))?;
    let id = info.known().and_then(|info| mount_id(info));
    let line = scene.mounts()?.iter().find(|line| Some(line.id) == id);
    Ok(Some(Subject { fd: Some(fd), path, line }))
}

/// What a path in the memory of a thread means, from a folder of its.
fn path<'a>(scene: &'a Scene<'_>, tid: u32, folder: u32, address: u64) -> Result<Option<Subject<'a>>, OsError> {
    if address == 0 {
        return Ok(None);
    }
    let path = match string(scene, tid, address)? {
        Told::Known(path) => path,
        Told::Nothing => return Ok(None),
        Told::Hidden(why) => return Ok(Some(Subject { fd: None, path: Told::Hidden(why), line: None })),
    };
    if path.is_empty() && folder != WORKING_FOLDER {
        return descriptor(scene, tid, folder);
    }
    let whole = if path.starts_with(b"/") {
        path
    } else {
        let start = match folder {
            WORKING_FOLDER => scene.link(&format!("task/{tid}/cwd"))?,
            fd => scene.link(&format!("task/{tid}/fd/{fd}"))?,
        };
        let root = scene.link(&format!("task/{tid}/root"))?;
        match start.known() {
            Some(start) => [inside(&start.0, root.known()), b"/", &path].concat(),
            None => return Ok(Some(Subject { fd: None, path: Told::Known(OsText(path)), line: None })),
        }
    };
    let whole = plain(&whole);
    let line = mountinfo::of_path(scene.mounts()?, &whole);
    Ok(Some(Subject { fd: None, path: Told::Known(OsText(whole)), line }))
}

/// A folder as a process with this root has it: the links of `/proc` are written as we have it, its table of mounts and its
/// own paths are not.
fn inside<'a>(folder: &'a [u8], root: Option<&OsText>) -> &'a [u8] {
    match root.map(|root| root.0.as_slice()) {
        None | Some(b"/") => folder,
        Some(root) => folder.strip_prefix(root).unwrap_or(folder),
    }
}

/// The text at an address. By its `mem` file: the kernel waits for its lock of that address space only until a signal comes,
/// which process_vm_readv(2) does not.
fn string(scene: &Scene<'_>, tid: u32, address: u64) -> Result<Told<Vec<u8>>, OsError> {
    let pid = scene.pid;
    let read = move |proc: &Proc| {
        let Some(memory) = proc.memory(pid, tid)? else { return Ok(None) };
        let mut text = Vec::new();
        let mut piece = [0; PIECE];
        while text.len() < LONGEST {
            let at = address.saturating_add(text.len() as u64);
            // Up to the next piece of memory: what follows may not be there.
            let length = PIECE - usize::try_from(at % PIECE as u64).unwrap_or(0);
            let Ok(count @ 1..) = memory.read_at(&mut piece[..length], at) else { return Ok(None) };
            match piece[..count].iter().position(|byte| *byte == 0) {
                Some(end) => {
                    text.extend_from_slice(&piece[..end]);
                    return Ok(Some(text));
                }
                None => text.extend_from_slice(&piece[..count]),
            }
        }
        Ok(None)
    };
    scene.aside.ask(read).map(flat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_inside_of_another_root() {
        let root = |path: &str| Some(OsText::from(path));
        for (folder, root, wanted) in [
            ("/srv/jail/var", root("/srv/jail"), "/var"),
            ("/srv/jail", root("/srv/jail"), ""),
            ("/srv/jail", root("/"), "/srv/jail"),
            ("/elsewhere", root("/srv/jail"), "/elsewhere"),
            ("/a", None, "/a"),
        ] {
            assert_eq!(inside(folder.as_bytes(), root.as_ref()), wanted.as_bytes(), "{folder}");
        }
    }
}
