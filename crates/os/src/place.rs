//! Where vigie's files lie.
//!
//! | what | user | root | `VIGIE_HOME` |
//! |---|---|---|---|
//! | runtime: locks, sockets, records | `$XDG_RUNTIME_DIR/vigie`, else `/tmp/vigie-UID` | `/run/vigie` | `run` |
//! | state: journal, logs | `$XDG_STATE_HOME/vigie` | `/var/lib/vigie` | `state` |
//! | settings | `$XDG_CONFIG_HOME/vigie` | `/etc/vigie` | `config` |
//! | locks of the machine | `/run/lock` | `/run/lock` | `run/machine` |
//!
//! All folders are 0700 and belong to the user; a symlink or a stranger's folder in their place is refused (R12.4).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, fchmod, fstat, mkdirat, openat};
use rustix::io::Errno;
use vigie_core::launch::{Scope, ServiceKey};

use crate::error::OsError;

/// The folders of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Locks, control sockets, records: what has meaning in one boot.
    pub runtime: PathBuf,
    /// Journal and logs.
    pub state: PathBuf,
    /// Settings.
    pub config: PathBuf,
    /// Locks that all users of the machine share.
    pub machine: PathBuf,
    /// The folder of machine locks is ours alone (`VIGIE_HOME`).
    own_machine: bool,
}

/// Why the environment does not say where the files lie.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// `VIGIE_HOME` is relative.
    #[error("VIGIE_HOME is {0:?}: it must be an absolute path")]
    Relative(PathBuf),
    /// Nothing says where the home folder is.
    #[error("cannot tell where to keep logs and journal: set HOME or VIGIE_HOME")]
    NoHome,
}

impl Place {
    /// Works the folders out from the environment, without touching them. Variables of the XDG base directory
    /// specification that are empty or relative count as unset, as it demands.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub fn from_env(get: impl Fn(&str) -> Option<OsString>, uid: u32) -> Result<Self, PlaceError> {
        let get = |name| get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(home) = get("VIGIE_HOME") {
            if !home.is_absolute() {
                return Err(PlaceError::Relative(home));
            }
            return Ok(Self {
                runtime: home.join("run"),
                state: home.join("state"),
                config: home.join("config"),
                machine: home.join("run/machine"),
                own_machine: true,
            });
        }
        let machine = PathBuf::from("/run/lock");
        if uid == 0 {
            return Ok(Self {
                runtime: "/run/vigie".into(),
                state: "/var/lib/vigie".into(),
                config: "/etc/vigie".into(),
                machine,
                own_machine: false,
            });
        }
        let absolute = |name| get(name).filter(|path| path.is_absolute());
        let below_home = |name, rest| match absolute(name) {
            Some(base) => Ok(base.join("vigie")),
            None => absolute("HOME").map(|home| home.join(rest)).ok_or(PlaceError::NoHome),
        };
        Ok(Self {
            runtime: absolute("XDG_RUNTIME_DIR")
                .map_or_else(|| PathBuf::from(format!("/tmp/vigie-{uid}")), |base| base.join("vigie")),
            state: below_home("XDG_STATE_HOME", ".local/state/vigie")?,
            config: below_home("XDG_CONFIG_HOME", ".config/vigie")?,
            machine,
            own_machine: false,
        })
    }

    /// Makes the folders where they are missing and checks them where they are not.
    ///
    /// # Errors
    /// See [`private_dir`].
    pub fn prepare(&self) -> Result<(), OsError> {
        for dir in [&self.runtime, &self.services_dir(), &self.state, &self.config] {
            private_dir(dir)?;
        }
        if self.own_machine { private_dir(&self.machine) } else { Ok(()) }
    }

    /// The folder with the records of what no signal ends and was set aside ([`crate::ghosts`]).
    pub fn ghosts_dir(&self) -> PathBuf {
        self.runtime.join("ghosts")
    }

    /// One folder per service.
    pub fn services_dir(&self) -> PathBuf {
        self.runtime.join("services")
    }

    /// Lock, control socket, record and events of a service.
    pub fn service_dir(&self, key: &ServiceKey) -> PathBuf {
        self.services_dir().join(key.folder())
    }

    /// The lock of a service. For the scope `machine` it is taken with [`crate::lock::Lock::take_shared`], for the others
    /// with [`crate::lock::Lock::take`].
    pub fn lock_path(&self, key: &ServiceKey) -> PathBuf {
        match key.scope {
            Scope::Project | Scope::User => self.service_dir(key).join("lock"),
            Scope::Machine => self.machine.join(format!("vigie.{}.lock", key.service)),
        }
    }

    /// Where the daemon answers.
    pub fn daemon_socket(&self) -> PathBuf {
        self.runtime.join("daemon.sock")
    }

    /// Where its workers reach the daemon.
    pub fn worker_socket(&self) -> PathBuf {
        self.runtime.join("worker.sock")
    }

    /// What makes the daemon the only one.
    pub fn daemon_lock(&self) -> PathBuf {
        self.runtime.join("daemon.lock")
    }

    /// The journal's database.
    pub fn journal(&self) -> PathBuf {
        self.state.join("journal.db")
    }

    /// The log segments of a service.
    pub fn logs_dir(&self, key: &ServiceKey) -> PathBuf {
        self.state.join("logs").join(key.folder())
    }
}

/// Makes a folder that only the user can enter, with its parents; or checks one that is there: it must be a folder, no
/// link to one, and belong to the user. Rights of others to it are taken away.
///
/// # Errors
/// What the kernel says; `PermissionDenied` for a link or a stranger's folder.
pub fn private_dir(path: &Path) -> Result<(), OsError> {
    let private = Mode::RWXU;
    match mkdirat(CWD, path, private) {
        Err(Errno::NOENT) => {
            if let Some(parent) = path.parent() {
                make_parents(parent)?;
            }
            match mkdirat(CWD, path, private) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(OsError::on("make", path)(errno)),
            }
        }
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(OsError::on("make", path)(errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = openat(CWD, path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::LOOP | Errno::NOTDIR => {
            OsError::refused("use", path, "it is a link or a file where a folder of yours must be; move it away")
        }
        errno => OsError::on("open", path)(errno),
    })?;
    let stat = fstat(&dir).map_err(OsError::on("examine", path))?;
    let uid = rustix::process::geteuid().as_raw();
    if stat.st_uid != uid {
        return Err(OsError::refused("use", path, format!("it belongs to user {}, not to you ({uid})", stat.st_uid)));
    }
    if stat.st_mode & 0o077 != 0 {
        fchmod(&dir, private).map_err(OsError::on("make private", path))?;
    }
    Ok(())
}

/// Missing parents, as private as the folder itself (the XDG base directory specification asks for 0700).
fn make_parents(path: &Path) -> Result<(), OsError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(OsError::on("make", path))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use vigie_core::name::Name;

    use super::*;

    fn place(variables: &[(&str, &str)], uid: u32) -> Result<Place, PlaceError> {
        let get = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        Place::from_env(get, uid)
    }

    fn folders(place: &Place) -> [&str; 4] {
        [&place.runtime, &place.state, &place.config, &place.machine].map(|path| path.to_str().unwrap())
    }

    #[test]
    fn where_things_lie() {
        let xdg = [
            ("HOME", "/home/a"),
            ("XDG_RUNTIME_DIR", "/run/user/7"),
            ("XDG_STATE_HOME", "/s"),
            ("XDG_CONFIG_HOME", "/c"),
        ];
        assert_eq!(folders(&place(&xdg, 7).unwrap()), ["/run/user/7/vigie", "/s/vigie", "/c/vigie", "/run/lock"]);
        let bare = [("HOME", "/home/a"), ("XDG_RUNTIME_DIR", ""), ("XDG_STATE_HOME", "relative")];
        assert_eq!(
            folders(&place(&bare, 7).unwrap()),
            ["/tmp/vigie-7", "/home/a/.local/state/vigie", "/home/a/.config/vigie", "/run/lock"]
        );
        assert_eq!(folders(&place(&xdg, 0).unwrap()), ["/run/vigie", "/var/lib/vigie", "/etc/vigie", "/run/lock"]);
        for uid in [0, 7] {
            assert_eq!(
                folders(&place(&[("VIGIE_HOME", "/v"), ("XDG_STATE_HOME", "/s")], uid).unwrap()),
                ["/v/run", "/v/state", "/v/config", "/v/run/machine"]
            );
        }
        assert_eq!(place(&[("VIGIE_HOME", "v")], 7), Err(PlaceError::Relative("v".into())));
        assert_eq!(place(&[], 7), Err(PlaceError::NoHome));
    }

    #[test]
    fn files_of_a_service() {
        let place = place(&[("VIGIE_HOME", "/v")], 7).unwrap();
        let key = |scope| ServiceKey::new(scope, Path::new("/srv/a"), Name::new("api").unwrap());
        let project = key(Scope::Project);
        let folder = project.folder();
        assert_eq!(place.lock_path(&project), Path::new("/v/run/services").join(&folder).join("lock"));
        assert_eq!(place.logs_dir(&project), Path::new("/v/state/logs").join(&folder));
        assert_eq!(place.lock_path(&key(Scope::Machine)), Path::new("/v/run/machine/vigie.api.lock"));
        assert_ne!(place.lock_path(&key(Scope::User)), place.lock_path(&project));
    }

    #[test]
    fn prepared_folders_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("a/b");
        let place = place(&[("VIGIE_HOME", home.to_str().unwrap())], 7).unwrap();
        place.prepare().unwrap();
        fs::set_permissions(&place.state, fs::Permissions::from_mode(0o755)).unwrap();
        place.prepare().unwrap();
        for path in [&home, &place.runtime, &place.services_dir(), &place.state, &place.config, &place.machine] {
            assert_eq!(fs::symlink_metadata(path).unwrap().permissions().mode(), 0o40700, "{}", path.display());
        }
    }

    #[test]
    fn links_files_and_strangers_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real");
        fs::create_dir(&real).unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o755)).unwrap();
        let link = dir.path().join("link");
        symlink(&real, &link).unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [&link, &file] {
            let error = private_dir(path).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        }
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o755);
        let stranger = dir.path().join("stranger");
        fs::create_dir(&stranger).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&stranger, Some(12345), None).unwrap();
            assert!(private_dir(&stranger).unwrap_err().to_string().contains("user 12345"));
        } else {
            assert!(private_dir(Path::new("/")).unwrap_err().to_string().contains("user 0"));
        }
    }
}
