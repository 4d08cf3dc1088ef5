//! Where a process lives: its files, cgroups, namespaces, and the login it came from.

use vigie_core::text::OsText;
use vigie_core::why::facts::{Namespace, Told};

use super::hidden;
use crate::error::OsError;
use crate::proc::Proc;
use crate::proc::stat::number;
use crate::user;

/// The namespaces that change what a process sees of others; namespaces(7).
const NAMESPACES: &[&str] = &["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];

/// The text of a link.
pub(super) fn link(proc: &Proc, pid: u32, file: &str) -> Result<Told<OsText>, OsError> {
    match proc.link(pid, file) {
        Ok(Some(path)) => Ok(Told::Known(path.into())),
        Ok(None) => Ok(Told::Nothing),
        Err(error) => hidden(error),
    }
}

/// The lines of `cgroup`; proc_pid_cgroup(5).
pub(super) fn cgroups(proc: &Proc, pid: u32) -> Result<Vec<(String, OsText)>, OsError> {
    let mut buffer = Vec::new();
    let content = proc.read(pid, "cgroup", &mut buffer)?.unwrap_or_default();
    let lines = content.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut parts = line.splitn(3, |byte| *byte == b':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        Some((String::from_utf8_lossy(controllers).into_owned(), OsText(path.to_vec())))
    });
    Ok(lines.collect())
}

/// The namespaces that it does not share with this process.
pub(super) fn namespaces(proc: &Proc, pid: u32) -> Result<Told<Vec<Namespace>>, OsError> {
    let own = std::process::id();
    let mut others = Vec::new();
    for &kind in NAMESPACES {
        let file = format!("ns/{kind}");
        let id = match link(proc, pid, &file)? {
            Told::Known(link) => namespace(&link.0),
            Told::Nothing => continue,
            Told::Hidden(why) => return Ok(Told::Hidden(why)),
        };
        let ours = link(proc, own, &file)?.known().and_then(|link| namespace(&link.0));
        if let (Some(id), Some(ours)) = (id, ours)
            && id != ours
        {
            others.push(Namespace { kind, id, ours });
        }
    }
    Ok(Told::Known(others))
}

/// `net:[4026531840]`
fn namespace(link: &[u8]) -> Option<u64> {
    let start = link.iter().position(|byte| *byte == b'[')?;
    number(link[start + 1..].strip_suffix(b"]")?)
}

/// Who logged in, from `loginuid`: it is set once and inherited, through `su` and `sudo` too. `u32::MAX` stands for
/// nobody; a kernel without audit has no such file.
pub(super) fn login(proc: &Proc, pid: u32) -> Result<Option<(u32, Option<String>)>, OsError> {
    let mut buffer = Vec::new();
    let content = match proc.read(pid, "loginuid", &mut buffer) {
        Ok(content) => content,
        Err(error) => return hidden::<()>(error).map(|_| None),
    };
    let uid: Option<u32> = content.and_then(|content| number(content.trim_ascii()));
    Ok(uid.filter(|uid| *uid != u32::MAX).map(|uid| (uid, user::name(uid))))
}

/// For tests of what may not be seen.
#[cfg(test)]
pub(super) fn is_hidden<T>(told: &Told<T>) -> bool {
    use vigie_core::why::facts::Hidden;
    matches!(told.hidden(), Some(Hidden::NeedsRoot | Hidden::FromRoot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_namespaces() {
        assert_eq!(namespace(b"net:[4026531840]"), Some(4_026_531_840));
        for other in [b"net:[]".as_slice(), b"net:4026531840", b"net:[1", b""] {
            assert_eq!(namespace(other), None);
        }
    }
}
