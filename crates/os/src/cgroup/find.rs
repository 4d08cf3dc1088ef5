//! Where cgroup trees are mounted, and where in them this process is.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The own cgroup folders, where they can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Own {
    /// In the cgroup v2 tree, with or without controllers.
    pub v2: Option<PathBuf>,
    /// In the v1 tree of the freezer.
    pub freezer: Option<PathBuf>,
}

/// Reads `self/mountinfo` and `self/cgroup` below `proc`, which is `/proc` or a test's folder.
pub fn own(proc: &Path) -> Own {
    let read = |file| std::fs::read(proc.join(file)).unwrap_or_default();
    parse(&read("self/mountinfo"), &read("self/cgroup"))
}

/// Puts the two files together (proc_pid_mountinfo(5), cgroups(7)).
pub(crate) fn parse(mountinfo: &[u8], cgroup: &[u8]) -> Own {
    let trees = Trees::parse(mountinfo);
    let folder =
        |controller: Option<&[u8]>| trees.folder(controller, crate::proc::text::cgroup_path(cgroup, controller)?);
    Own { v2: folder(None), freezer: folder(Some(b"freezer")) }
}

/// The cgroup trees that are mounted here.
#[derive(Debug, Default)]
pub(crate) struct Trees(Vec<Tree>);

#[derive(Debug)]
struct Tree {
    root: Vec<u8>,
    point: Vec<u8>,
    /// With v1 the controllers of this tree are among them; absent: it is v2.
    options: Option<Vec<u8>>,
}

impl Trees {
    /// Reads the content of `mountinfo`.
    pub(crate) fn parse(mountinfo: &[u8]) -> Self {
        Self(mountinfo.split(|byte| *byte == b'\n').filter_map(tree).collect())
    }

    /// Where `path` of the v2 tree can be seen (`None`), or of the v1 tree that has this controller.
    pub(crate) fn folder(&self, controller: Option<&[u8]>, path: &[u8]) -> Option<PathBuf> {
        let fits = |tree: &&Tree| match (controller, &tree.options) {
            (None, options) => options.is_none(),
            (Some(wanted), Some(options)) => options.split(|byte| *byte == b',').any(|option| option == wanted),
            (Some(_), None) => false,
        };
        self.0.iter().filter(fits).find_map(|tree| tree.folder(path))
    }
}

impl Tree {
    /// Where `path` of the tree can be seen. A mount may show only a part of its tree: in a container, mostly.
    fn folder(&self, path: &[u8]) -> Option<PathBuf> {
        let below = match self.root.as_slice() {
            b"/" => path,
            root => path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with(b"/"))?,
        };
        let relative = below.strip_prefix(b"/").unwrap_or(below);
        // Outside of the own cgroup namespace.
        if relative.split(|byte| *byte == b'/').any(|part| part == b"..") {
            return None;
        }
        let point = PathBuf::from(OsStr::from_bytes(&self.point));
        Some(if relative.is_empty() { point } else { point.join(OsStr::from_bytes(relative)) })
    }
}

/// `36 35 98:0 /root /point rw,noatime master:1 - kind source options`; any number of fields before the dash.
fn tree(line: &[u8]) -> Option<Tree> {
    let mut fields = line.split(|byte| *byte == b' ');
    let (root, point) = (fields.nth(3)?, fields.next()?);
    fields.by_ref().find(|field| *field == b"-")?;
    let kind = fields.next()?;
    fields.next()?;
    let options = match (kind, fields.next()?) {
        (b"cgroup2", _) => None,
        (b"cgroup", options) => Some(options.to_vec()),
        _ => return None,
    };
    Some(Tree { root: unescape(root), point: unescape(point), options })
}

/// Space, tab, newline and backslash are written as `\040` and the like.
pub(crate) fn unescape(field: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                text.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = after;
            }
            _ => {
                text.push(*first);
                rest = tail;
            }
        }
    }
    text
}
