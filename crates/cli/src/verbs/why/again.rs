//! Who would start a process again once it has ended.

use vigie_core::text::OsText;
use vigie_core::why::facts::{Process, Story};
use vigie_core::why::{Launcher, cgroup, launcher};

use crate::respawn::{Respawner, kind};

/// How far up it is looked: what such programs start, they start through a shell at most.
const NEAR: usize = 2;

/// A sentence, when there is somebody; and the command that stops both.
pub(crate) fn again(story: &Story) -> Option<(String, Option<String>)> {
    for parent in story.ancestors.iter().take(NEAR) {
        let name = parent.label();
        match kind(parent.argv.known().map(Vec::as_slice).unwrap_or_default()) {
            Some(Respawner::Watcher) => {
                let text = format!("{name} starts it again when it ends, or when a file changes");
                return Some((text, Some(format!("vigie end pid:{}", parent.pid()))));
            }
            Some(Respawner::Manager(command)) => {
                return Some((format!("{name} may start it again: '{command}' stops it there"), None));
            }
            None => {}
        }
    }
    let unit = unit(story)?;
    let parent = story.ancestors.first()?;
    (launcher(parent) == Some(Launcher::Systemd)).then(|| {
        let user = if is_users(parent) { "--user " } else { "" };
        (format!("systemd may start it again, as its unit {unit} says"), Some(format!("systemctl {user}stop {unit}")))
    })
}

/// The service of systemd that it belongs to.
fn unit(story: &Story) -> Option<String> {
    let told = |path: &OsText| cgroup::read(&path.0).unit;
    story.cgroups.iter().find_map(|(_, path)| told(path)).filter(|unit| unit.ends_with(".service"))
}

/// The manager of one user is not PID 1.
fn is_users(manager: &Process) -> bool {
    manager.pid() != 1
}
