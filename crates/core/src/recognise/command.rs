//! A service's command, with what is needed to see what becomes of it.

use std::path::{Path, PathBuf};

use super::Files;
use crate::text::OsText;

/// A command, where and as whom it would run.
#[derive(Debug, Clone)]
pub struct Command<'a> {
    /// Each way to call it: program and arguments, for a service with modes one for each.
    pub argvs: Vec<Vec<OsText>>,
    /// The value of `PATH` that the program is searched in.
    pub path: Option<&'a OsText>,
    /// The working folder, canonical.
    pub cwd: &'a Path,
    /// The folder of the project, canonical; the working folder when there is none.
    pub root: &'a Path,
    /// The user.
    pub uid: u32,
}

impl Command<'_> {
    /// The file that is executed for a program's name, links resolved, as execvp(3) finds it.
    pub(super) fn program(&self, name: &OsText, cwd: &Path, files: &dyn Files) -> Option<PathBuf> {
        if name.0.contains(&b'/') {
            return files.canonical(&cwd.join(name.as_path()));
        }
        let path = self.path.map_or("/usr/local/bin:/usr/bin:/bin".as_ref(), |path| path.as_os_str());
        std::env::split_paths(path).find_map(|folder| files.canonical(&cwd.join(folder).join(name.as_path())))
    }
}
