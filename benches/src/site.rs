//! Where the programs lie that are measured, and the folder that one measurement has for itself.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::failure::{Failure, Result};
use crate::procs;
use crate::tmpfs::Tmpfs;

/// The environment variable that marks everything that a measurement starts.
pub(crate) const MARK: &str = "VIGIE_BENCH";

/// The programs.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// The repository.
    pub(crate) root: PathBuf,
    /// Where the peers are installed.
    pub(crate) peers: PathBuf,
    pub(crate) vigie: PathBuf,
    pub(crate) keeper: PathBuf,
    pub(crate) idle: PathBuf,
    pub(crate) emit: PathBuf,
    pub(crate) crowd: PathBuf,
    pub(crate) hostile: PathBuf,
    /// Fewer repetitions, shorter windows.
    pub(crate) quick: bool,
}

impl Site {
    /// # Errors
    /// Names the program that was not built.
    pub(crate) fn new(root: &Path, binaries: &Path, quick: bool) -> Result<Self> {
        let program = |name: &str| {
            let path = binaries.join(name);
            path.canonicalize().map_err(Failure::io(format!("{}: build it first: cargo xtask bench", path.display())))
        };
        Ok(Self {
            root: root.to_owned(),
            peers: root.join("target/peers"),
            vigie: program("vigie")?,
            keeper: program("vigie-keeper")?,
            idle: program("idle")?,
            emit: program("emit")?,
            crowd: program("crowd")?,
            hostile: program("hostile")?,
            quick,
        })
    }

    /// One number for a thorough run, another for a quick one.
    pub(crate) fn pick<T>(&self, thorough: T, quick: T) -> T {
        if self.quick { quick } else { thorough }
    }
}

/// A folder and a mark of its own. When it is dropped, what bears the mark is ended and the folder removed.
#[derive(Debug)]
pub(crate) struct Arena {
    pub(crate) site: Rc<Site>,
    pub(crate) dir: PathBuf,
    /// The value of [`MARK`].
    pub(crate) mark: String,
    folder: Option<tempfile::TempDir>,
    memory: Option<Tmpfs>,
}

impl Arena {
    /// One whose folder lies in memory, where that can be made.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub(crate) fn in_memory(site: &Rc<Site>) -> Result<Rc<Self>> {
        let mut arena = Self::make(site)?;
        arena.memory = Tmpfs::over(&arena.dir);
        Ok(Rc::new(arena))
    }

    /// # Errors
    /// When the folder cannot be made.
    pub(crate) fn new(site: &Rc<Site>) -> Result<Rc<Self>> {
        Self::make(site).map(Rc::new)
    }

    fn make(site: &Rc<Site>) -> Result<Self> {
        // Short: Unix sockets of peers lie in it, and their paths end at 107 bytes.
        let folder = tempfile::Builder::new().prefix("vb-").tempdir().map_err(Failure::io("cannot make a folder"))?;
        let dir = folder.path().to_owned();
        let mark = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { site: Rc::clone(site), dir, mark, folder: Some(folder), memory: None })
    }

    /// A command that bears the mark, in the folder.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> std::process::Command {
        let mut command = std::process::Command::new(program);
        command.env(MARK, &self.mark).current_dir(&self.dir);
        command
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        let failed = |error| Failure::io(format!("cannot write {}", path.display()))(error);
        path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
        std::fs::write(&path, text).map_err(failed)?;
        Ok(path)
    }

    /// A script that can be executed.
    pub(crate) fn script(&self, name: &str, text: &str) -> Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.write(name, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .map_err(Failure::io(format!("cannot change {}", path.display())))?;
        Ok(path)
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if let Err(failure) = procs::end_marked(&self.mark) {
            eprintln!("warning: {failure}");
        }
        drop(self.memory.take());
        if let Some(Err(error)) = self.folder.take().map(tempfile::TempDir::close) {
            eprintln!("warning: cannot remove {}: {error}", self.dir.display());
        }
    }
}
