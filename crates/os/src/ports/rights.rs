//! Which ports this process, and what it starts, may bind.

use vigie_core::ports::Rights;

use crate::error::OsError;
use crate::proc::Proc;

/// `CAP_NET_BIND_SERVICE`, capabilities(7).
const NET_BIND_SERVICE: u32 = 10;

/// `PROT_SOCK`: where the kernel has no setting (before Linux 4.11, or in a sandbox), this one holds.
const LOWEST_PORT: u16 = 1024;

/// Reads the setting of this network namespace and the effective capabilities of this process.
///
/// # Errors
/// When its `status` cannot be read.
pub fn rights(proc: &Proc) -> Result<Rights, OsError> {
    let mut buf = Vec::new();
    let setting = proc.read_global("sys/net/ipv4/ip_unprivileged_port_start", &mut buf).ok().flatten();
    let lowest_port = setting.and_then(text).and_then(|text| text.parse().ok()).unwrap_or(LOWEST_PORT);
    let status = proc.read_global("self/status", &mut buf)?.unwrap_or_default();
    Ok(Rights { lowest_port, privileged: effective(status).is_some_and(|set| set >> NET_BIND_SERVICE & 1 == 1) })
}

/// The line `CapEff:` of `status`; proc_pid_status(5).
fn effective(status: &[u8]) -> Option<u64> {
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"CapEff:"))?;
    u64::from_str_radix(text(line)?, 16).ok()
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes.trim_ascii()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::tests::FakeProc;

    #[test]
    fn setting_and_capability() {
        for (setting, capabilities, lowest_port, privileged) in [
            (Some("80\n"), "0000000000000400", 80, true),
            (Some("0\n"), "000001fffffffbff", 0, false),
            (Some("nonsense"), "0000000000000000", 1024, false),
            (None, "000001ffffffffff", 1024, true),
        ] {
            let fake = FakeProc::new(true);
            if let Some(setting) = setting {
                fake.file("sys/net/ipv4/ip_unprivileged_port_start", setting);
            }
            fake.file("self/status", format!("Name:\ta\nCapPrm:\tffff\nCapEff:\t{capabilities}\n"));
            assert_eq!(rights(&fake.open()).unwrap(), Rights { lowest_port, privileged });
        }
    }

    #[test]
    fn of_this_process() {
        let rights = rights(&Proc::system().unwrap()).unwrap();
        let bound = std::net::TcpListener::bind("127.0.0.9:1");
        let allowed = rights.privileged || rights.lowest_port <= 1;
        let denied = bound.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
        assert_ne!(allowed, denied, "{rights:?}");
    }
}
