//! Whose run a process is in, by the name of its cgroup: also one that was adopted, which bears no mark and lives under no
//! keeper.

use vigie_core::identity::RunId;

use crate::proc::Proc;

/// The run in whose cgroup a process is; `None` when it is in none, or its cgroup cannot be seen.
pub(super) fn run_of(proc: &Proc, pid: u32) -> Option<RunId> {
    let mut buffer = Vec::new();
    named(proc.read(pid, "cgroup", &mut buffer).ok()??)
}

/// The run that the content of `cgroup` (proc_pid_cgroup(5)) names: a folder `vigie-` and its id, perhaps with who made it
/// behind. Of nested ones the innermost.
fn named(content: &[u8]) -> Option<RunId> {
    let run = |part: &[u8]| {
        let id = std::str::from_utf8(part.strip_prefix(b"vigie-")?).ok()?.split('-').next()?;
        (id.len() == 16).then(|| id.parse().ok()).flatten()
    };
    content.split(|byte| matches!(byte, b'/' | b'\n')).filter_map(run).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_cgroups() {
        for (content, run) in [
            ("0::/user.slice/vigie-0190f3a2b4c5d6e7/below\n", Some(0x0190_f3a2_b4c5_d6e7)),
            ("4:freezer:/a/vigie-0190f3a2b4c5d6e7-12\n0::/\n", Some(0x0190_f3a2_b4c5_d6e7)),
            ("0::/vigie-0123456789abcdef-1000\n", Some(0x0123_4567_89ab_cdef)),
            ("0::/vigie-0123456789abcdef/vigie-0190f3a2b4c5d6e7\n", Some(0x0190_f3a2_b4c5_d6e7)),
            ("0::/vigie-demo\n", None),
            ("0::/system.slice/vigie-daemon.service\n", None),
            ("0::/\n", None),
            ("", None),
        ] {
            assert_eq!(named(content.as_bytes()), run.map(RunId), "{content}");
        }
    }
}
