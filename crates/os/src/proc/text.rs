//! The files of `/proc/PID` that hold lists of bytes: `cmdline`, `environ`, `cgroup`, `statm`.

use super::stat::number;

/// The arguments in the content of `cmdline`; proc_pid_cmdline(5). A process may have written anything over them.
pub fn arguments(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let content = content.strip_suffix(b"\0").unwrap_or(content);
    // An empty file (kernel thread, zombie) has no arguments, not one empty argument.
    let parts = if content.is_empty() { None } else { Some(content.split(|&byte| byte == 0)) };
    parts.into_iter().flatten()
}

/// The value of one variable in the content of `environ`: the environment at the start of the program, unless it has
/// written over it; proc_pid_environ(5). The first one counts, as for getenv(3).
pub fn variable<'a>(content: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    content.split(|&byte| byte == 0).find_map(|entry| entry.strip_prefix(name).and_then(|rest| rest.strip_prefix(b"=")))
}

/// The path of a process in the content of `cgroup`; proc_pid_cgroup(5): of the cgroup v2 tree for `None`, else of the
/// v1 tree that has this controller (`freezer`) or name (`name=systemd`).
pub fn cgroup_path<'a>(content: &'a [u8], controller: Option<&[u8]>) -> Option<&'a [u8]> {
    content.split(|&byte| byte == b'\n').find_map(|line| {
        // `hierarchy:controllers:path`; the path may hold colons.
        let mut parts = line.splitn(3, |&byte| byte == b':');
        let (hierarchy, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let found = match controller {
            None => hierarchy == b"0" && controllers.is_empty(),
            Some(wanted) => controllers.split(|&byte| byte == b',').any(|one| one == wanted),
        };
        found.then_some(path)
    })
}

/// Memory in pages, from `statm`; proc_pid_statm(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statm {
    /// Address space.
    pub size_pages: u64,
    /// Resident.
    pub resident_pages: u64,
    /// Resident and backed by a file or shared memory.
    pub shared_pages: u64,
}

/// Parses `statm`. `None` when it is not one.
pub fn statm(content: &[u8]) -> Option<Statm> {
    let mut fields = content.split(u8::is_ascii_whitespace);
    Some(Statm {
        size_pages: number(fields.next()?)?,
        resident_pages: number(fields.next()?)?,
        shared_pages: number(fields.next()?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_as_they_are() {
        for (content, wanted) in [
            (b"".as_slice(), &[][..]),
            (b"sleep\x005\0", &[b"sleep".as_slice(), b"5"][..]),
            (b"a\0\0b\0", &[b"a".as_slice(), b"", b"b"][..]),
            (b"title: rewritten", &[b"title: rewritten".as_slice()][..]),
            (b"\xff\n\0", &[b"\xff\n".as_slice()][..]),
        ] {
            assert_eq!(arguments(content).collect::<Vec<_>>(), wanted, "{content:?}");
        }
    }

    #[test]
    fn one_variable() {
        let content = b"A=1\0XVIGIE_RUN=no\0VIGIE_RUNS=no\0VIGIE_RUN=a=b\xff\0VIGIE_RUN=second\0E=\0broken\0";
        assert_eq!(variable(content, b"VIGIE_RUN"), Some(b"a=b\xff".as_slice()));
        assert_eq!(variable(content, b"E"), Some(b"".as_slice()));
        assert_eq!(variable(content, b"broken"), None);
        assert_eq!(variable(b"", b"A"), None);
    }

    #[test]
    fn cgroups() {
        let hybrid = b"13:name=systemd:/a\n5:cpu,cpuacct:/b\n3:freezer:/c:d\n0::/user.slice/e\n";
        assert_eq!(cgroup_path(hybrid, None), Some(b"/user.slice/e".as_slice()));
        assert_eq!(cgroup_path(hybrid, Some(b"freezer")), Some(b"/c:d".as_slice()));
        assert_eq!(cgroup_path(hybrid, Some(b"cpuacct")), Some(b"/b".as_slice()));
        assert_eq!(cgroup_path(hybrid, Some(b"name=systemd")), Some(b"/a".as_slice()));
        assert_eq!(cgroup_path(hybrid, Some(b"memory")), None);
        assert_eq!(cgroup_path(b"5:cpu:/b\n", None), None);
    }

    #[test]
    fn pages() {
        let wanted = Statm { size_pages: 700, resident_pages: 200, shared_pages: 150 };
        assert_eq!(statm(b"700 200 150 4 0 60 0\n"), Some(wanted));
        assert_eq!(statm(b""), None);
    }
}
