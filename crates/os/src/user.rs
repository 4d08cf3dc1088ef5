//! Who asks, and from which terminal.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use rustix::fs::{major, minor};
use vigie_core::launch::Origin;
use vigie_core::text::OsText;

use crate::error::OsError;
use crate::proc::Proc;

/// The effective user id of this process.
pub fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The name of a user as `/etc/passwd` has it. Absent for users that only a directory service knows: asking one can
/// take seconds, and a name is only shown.
pub fn name(uid: u32) -> Option<String> {
    std::fs::read("/etc/passwd").ok().and_then(|content| name_in(&content, uid))
}

/// The home folder of a user as `/etc/passwd` has it, for those who run without `HOME`, as cron jobs and services may.
pub fn home(uid: u32) -> Option<PathBuf> {
    std::fs::read("/etc/passwd").ok().and_then(|content| home_in(&content, uid))
}

/// Looks the home folder of a user id up in the content of passwd(5).
pub fn home_in(passwd: &[u8], uid: u32) -> Option<PathBuf> {
    passwd.split(|&byte| byte == b'\n').find_map(|line| {
        let fields: Vec<&[u8]> = line.split(|&byte| byte == b':').collect();
        let id: u32 = std::str::from_utf8(fields.get(2)?).ok()?.parse().ok()?;
        let home = PathBuf::from(OsStr::from_bytes(fields.get(5)?));
        (id == uid && home.is_absolute()).then_some(home)
    })
}

/// Looks a user id up in the content of passwd(5).
pub fn name_in(passwd: &[u8], uid: u32) -> Option<String> {
    passwd.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = line.split(|&byte| byte == b':');
        let (name, _password, id) = (fields.next()?, fields.next()?, fields.next()?);
        let id: u32 = std::str::from_utf8(id).ok()?.parse().ok()?;
        (id == uid && !name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
    })
}

/// The name of a terminal below `/dev` from the device number in [`crate::proc::stat::Stat::tty_nr`]; absent for 0 and
/// for devices that are no terminals of a person. Numbers: Documentation/admin-guide/devices.txt of the kernel.
pub fn terminal_name(tty_nr: i32) -> Option<String> {
    let device = u64::from(tty_nr.cast_unsigned());
    match (major(device), minor(device)) {
        (136, number) => Some(format!("pts/{number}")),
        (4, number @ 1..=63) => Some(format!("tty{number}")),
        (4, number @ 64..) => Some(format!("ttyS{}", number - 64)),
        (5, 1) => Some("console".to_owned()),
        (204, number @ 64..) => Some(format!("ttyAMA{}", number - 64)),
        (229, number) => Some(format!("hvc{number}")),
        _ => None,
    }
}

/// Who this process is, for the label of what it starts (R4.2).
///
/// # Errors
/// When this process cannot read its own `stat`.
pub fn origin(proc: &Proc) -> Result<Origin, OsError> {
    let pid = std::process::id();
    let mut buf = Vec::new();
    let terminal = proc.stat(pid, &mut buf)?.and_then(|stat| terminal_name(stat.tty_nr));
    // A folder that was removed has no name; that does not keep anybody from starting something.
    let cwd = std::env::current_dir().map_or_else(|_| OsText::default(), OsText::from);
    Ok(Origin { uid: uid(), user: name(uid()), terminal, pid, cwd })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_passwd() {
        let passwd =
            b"root:x:0:0:root:/root:/bin/bash\n# note\n\nbroken\nj\xffrg:x:1000:1000::/home/j:/bin/sh\n:x:7:7::/:\n\
            second:x:1000:1000::/:\n";
        assert_eq!(name_in(passwd, 0).as_deref(), Some("root"));
        assert_eq!(name_in(passwd, 1000).as_deref(), Some("j\u{fffd}rg"));
        assert_eq!(name_in(passwd, 7), None);
        assert_eq!(name_in(passwd, 8), None);
    }

    #[test]
    fn home_folders() {
        let passwd = b"root:x:0:0:root:/root:/bin/bash\nodd:x:5:5::relative:/bin/sh\nshort:x:6\n";
        assert_eq!(home_in(passwd, 0), Some("/root".into()));
        for uid in [5, 6, 7] {
            assert_eq!(home_in(passwd, uid), None);
        }
    }

    #[test]
    fn names_of_terminals() {
        for (tty_nr, name) in [
            (0, None),
            (0x8803, Some("pts/3")),
            (0x8800, Some("pts/0")),
            // Minor numbers above 255 go on in the upper bits.
            (0x0010_8801, Some("pts/257")),
            (0x0402, Some("tty2")),
            (0x0440, Some("ttyS0")),
            (0x0501, Some("console")),
            (0x0103, None),
        ] {
            assert_eq!(terminal_name(tty_nr).as_deref(), name, "{tty_nr:#x}");
        }
    }

    #[test]
    fn this_process() {
        let origin = origin(&Proc::system().unwrap()).unwrap();
        assert_eq!(origin.pid, std::process::id());
        assert_eq!(origin.uid, uid());
        assert_eq!(origin.cwd.as_path(), std::env::current_dir().unwrap());
        assert_eq!(name(0).as_deref(), Some("root"));
    }
}
