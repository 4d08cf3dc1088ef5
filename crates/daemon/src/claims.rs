//! Whether what a service claims is free (R4.4): looked at under the lock, right before the spawn, so that a port that
//! is taken is a conflict that names its holder and not a crash that says `EADDRINUSE`.

use vigie_core::launch::Launch;
use vigie_core::supervisor::Claims;
use vigie_core::text::OsText;
use vigie_os::error::OsError;
use vigie_os::pidfile::{self, Says};
use vigie_os::proc::Proc;
use vigie_os::{ghosts, holder, strays};

/// A claim that is not free.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Occupied {
    /// For people: what is held by whom.
    pub(crate) what: String,
    /// The holder, when it can be seen.
    pub(crate) pid: Option<u32>,
}

/// The first claim that is held by another. Nothing of the service lives: any holder is another.
///
/// # Errors
/// When the kernel cannot be asked.
pub(crate) fn occupied(claims: &Claims, launch: &Launch) -> Result<Option<Occupied>, OsError> {
    if claims.ports.is_empty() && claims.legacy_pidfile.is_none() {
        return Ok(None);
    }
    let proc = Proc::system()?;
    if let Some(holder) = holder::first(&proc, &claims.ports)? {
        let what = format!("port {} is held by {}", holder.claim, holder.who);
        return Ok(Some(Occupied { what, pid: holder.pid }));
    }
    Ok(claims.legacy_pidfile.as_ref().and_then(|file| legacy(&proc, file, launch)))
}

/// The first port that somebody holds although nothing of the service lives.
///
/// # Errors
/// When the kernel cannot be asked.
pub(crate) fn held(claims: &Claims) -> Result<Option<String>, OsError> {
    if claims.ports.is_empty() {
        return Ok(None);
    }
    let holder = holder::first(&Proc::system()?, &claims.ports)?;
    Ok(holder.map(|holder| format!("port {} is held by {}", holder.claim, holder.who)))
}

/// The process that a PID file of an older tool names, if it is recognisably the same thing. A number that has become a
/// stranger's, a file that cannot be read: neither blocks anything.
fn legacy(proc: &Proc, file: &OsText, launch: &Launch) -> Option<Occupied> {
    let Says::Names(pid) = pidfile::read(file.as_path())? else { return None };
    let ghosts = ghosts::all(&ghosts::beside(launch.folder.as_path()));
    if ghosts.iter().any(|ghost| ghost.left.iter().any(|left| left.process.pid == pid)) {
        // It is the same thing, and was set aside so that this one may run.
        return None;
    }
    let stray = strays::examine(proc, pid, &[&strays::of_launch(launch)]).ok()??;
    let what = format!(
        "a copy that vigie did not start runs as PID {pid} (named by {file}; same {})",
        stray.matched.join(", ")
    );
    Some(Occupied { what, pid: Some(pid) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// `sleep 600` in `/`
    fn launch() -> Launch {
        use vigie_core::launch::{Group, Input, Limits, Origin, Orphans, Output, Scope, ServiceKey};
        use vigie_core::name::Name;
        let service = Name::lossy("old");
        Launch {
            key: ServiceKey::new(Scope::User, std::path::Path::new("/"), service.clone()),
            project: service,
            mode: None,
            run: vigie_core::identity::RunId(1),
            lock: OsText::default(),
            folder: OsText::default(),
            argv: vec!["sleep".into(), "600".into()],
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            cwd: "/".into(),
            input: Input::Null,
            output: Output::Inherit,
            group: Group::Own,
            ladder: vigie_core::ladder::Ladder::default(),
            orphans: Orphans::End,
            limits: Limits::default(),
            origin: Origin::default(),
            managed: false,
            attempt: 0,
            adopt: None,
        }
    }

    #[test]
    fn a_held_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let claim = listener.local_addr().expect("bound").to_string();
        let claims = Claims { ports: vec![claim.parse().expect("a claim")], legacy_pidfile: None };
        let found = occupied(&claims, &launch()).expect("the kernel answers").expect("occupied");
        // Not always ours: a child of another test may hold a copy of the descriptor until its exec.
        assert!(found.pid.is_some(), "{found:?}");
        assert!(found.what.starts_with(&format!("port {claim}/tcp is held by PID ")), "{}", found.what);
        drop(listener);
        let deadline = vigie_os::clock::mono() + std::time::Duration::from_secs(60);
        while let Some(found) = occupied(&claims, &launch()).expect("the kernel answers") {
            assert!(vigie_os::clock::mono() < deadline, "{found:?}");
            std::thread::yield_now();
        }
    }

    /// R4.8: a copy that an older tool started is told by executable, arguments, folder and user, not by its number.
    #[test]
    fn a_copy_in_a_pid_file_is_recognised() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("old.pid");
        let mut copy = std::process::Command::new("sleep").arg("600").current_dir("/").spawn().expect("sleep");
        std::fs::write(&file, format!("{}\n1700000000\n", copy.id())).expect("written");
        let claims = Claims { ports: Vec::new(), legacy_pidfile: Some(file.into()) };
        // For an instant after an exec the kernel shows no arguments yet.
        let deadline = vigie_os::clock::mono() + std::time::Duration::from_secs(60);
        let found = loop {
            let found = occupied(&claims, &launch()).expect("the kernel answers");
            if found.is_some() || vigie_os::clock::mono() > deadline {
                break found;
            }
            std::thread::yield_now();
        };
        copy.kill().expect("our own child");
        copy.wait().expect("our own child");
        assert_eq!(found.and_then(|found| found.pid), Some(copy.id()));
        assert_eq!(occupied(&claims, &launch()).expect("the kernel answers"), None, "it is gone");
    }

    /// R4.8: a PID file that names a living stranger blocks nothing.
    #[test]
    fn a_stranger_in_a_pid_file_blocks_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("old.pid");
        let claims = Claims { ports: Vec::new(), legacy_pidfile: Some(file.clone().into()) };
        for content in [std::process::id().to_string(), "1".to_owned(), "x".to_owned(), String::new()] {
            std::fs::write(&file, content).expect("written");
            assert_eq!(occupied(&claims, &launch()).expect("the kernel answers"), None);
        }
    }
}
