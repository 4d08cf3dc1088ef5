//! Cgroups as an engine makes them, each with a process that waits.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::crowd::Crowd;
use crate::failure::{Failure, Result};
use crate::site::Site;

/// Those of cgroup v1 that tell what a container uses.
const CONTROLLERS: [&str; 4] = ["cpuacct", "memory", "blkio", "pids"];

/// Many containers without an engine. Their processes end and their cgroups are removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Cgroups {
    crowd: Option<Crowd>,
    /// The folder of all, in each tree.
    parents: Vec<PathBuf>,
    ids: Vec<String>,
}

impl Cgroups {
    /// So many.
    ///
    /// # Errors
    /// When there are no trees of cgroup v1, or they may not be written to.
    pub(crate) fn new(site: &Rc<Site>, count: usize) -> Result<Self> {
        let name = format!("vb-{}", std::process::id());
        let trees = CONTROLLERS.map(|controller| Path::new("/sys/fs/cgroup").join(controller));
        if let Some(missing) = trees.iter().find(|tree| !tree.join("cgroup.procs").exists()) {
            return Err(Failure::new(format!("{}: there is no such tree of cgroup v1", missing.display())));
        }
        let parents = trees.iter().map(|tree| tree.join(&name)).collect();
        let ids = (0..count).map(|number| format!("{number:064x}")).collect();
        let mut cgroups = Self { crowd: None, parents, ids };
        let mut crowd = Crowd::new(site)?;
        crowd.add(count, 0, 0)?;
        let pids = crowd.pids()?;
        cgroups.crowd = Some(crowd);
        if pids.len() != count {
            return Err(Failure::new(format!("{} processes are there, not {count}", pids.len())));
        }
        for (id, pid) in cgroups.ids.iter().zip(pids) {
            for parent in &cgroups.parents {
                let folder = parent.join(id);
                let failed = |error| Failure::io(format!("cannot make {}", folder.display()))(error);
                std::fs::create_dir_all(&folder).map_err(failed)?;
                std::fs::write(folder.join("cgroup.procs"), pid.to_string()).map_err(failed)?;
            }
        }
        Ok(cgroups)
    }

    /// The ids that their paths bear.
    pub(crate) fn ids(&self) -> &[String] {
        &self.ids
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        // A cgroup with a process in it stays.
        drop(self.crowd.take());
        for parent in &self.parents {
            for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    let _ = std::fs::remove_dir(entry.path());
                }
            }
            if parent.exists()
                && let Err(error) = std::fs::remove_dir(parent)
            {
                eprintln!("warning: cannot remove {}: {error}", parent.display());
            }
        }
    }
}
