//! Processes that are to end, with those that would start them again.

use vigie_core::identity::ProcKey;
use vigie_core::ports::Socket;
use vigie_core::protect::Protection;
use vigie_core::why::cgroup;
use vigie_core::why::facts::Process;
use vigie_os::pidfd::Target;

use super::survey::{Scout, Survey, holds, name};
use crate::failure::Failure;
use crate::respawn::{self, Respawner};

/// Between a server and what would start it again there may be so many others: `npm`, `sh -c`, a wrapper.
const BETWEEN: usize = 3;

/// A process that may have to end, held by a descriptor since it was looked at: whatever has its number later, it is not
/// that.
#[derive(Debug)]
pub(super) struct Suspect {
    pub(super) target: Target,
    pub(super) process: Process,
    /// Its sockets; none: it only would start another one again.
    pub(super) inodes: Vec<u64>,
    pub(super) why: String,
    /// Those that end before it, since they would start it again.
    pub(super) watchers: Vec<usize>,
    /// Who else may start it again, and how that is kept from it.
    pub(super) remark: Option<String>,
    /// Its parent, unless that is a shell at which somebody sits: for all that is known it may start it again, too.
    pub(super) parent: Option<ProcKey>,
}

impl Scout<'_> {
    /// Puts a process on the list, with those that would start it again.
    pub(super) fn suspect(
        &self,
        socket: &Socket,
        target: Target,
        process: &Process,
        parents: &[Process],
        survey: &mut Survey,
    ) -> Result<usize, Failure> {
        let why = format!("{} {}", holds(socket), name(socket));
        if let Some(place) = survey.suspects.iter().position(|known| known.target.key() == target.key()) {
            let known = &mut survey.suspects[place];
            if !known.inodes.contains(&socket.inode) {
                known.inodes.push(socket.inode);
                known.why = if known.inodes.len() == 1 {
                    format!("{why}, {}", known.why)
                } else {
                    format!("{}, {why}", known.why)
                };
            }
            return Ok(place);
        }
        let mut watchers = Vec::new();
        let mut remark = self.unit(process.pid())?.map(|unit| {
            format!(
                "{} is of the unit {unit}: systemd may start it again; 'systemctl stop {unit}' stops it",
                process.label()
            )
        });
        let mut between = 0;
        for parent in parents {
            match respawn::kind(parent.argv.known().map_or(&[], Vec::as_slice)) {
                Some(Respawner::Manager(command)) => {
                    remark = Some(format!(
                        "{} may start {} again; there '{command}' stops it",
                        parent.label(),
                        process.label()
                    ));
                    break;
                }
                Some(Respawner::Watcher) if self.protection(parent)?.is_none_or(Protection::yields_to_proof) => {
                    watchers.extend(self.watcher(parent, process, survey)?);
                    between = 0;
                }
                Some(Respawner::Watcher) => {
                    remark = Some(format!("{} may start {} again", parent.label(), process.label()));
                    break;
                }
                None => between += 1,
            }
            if between > BETWEEN || parent.pid() <= 1 {
                break;
            }
        }
        let inodes = vec![socket.inode];
        let parent = match parents.first().filter(|parent| parent.pid() > 1) {
            Some(parent) => {
                let person = matches!(self.protection(parent)?, Some(Protection::Ancestor | Protection::Shell));
                (!person).then(|| parent.key.clone())
            }
            None => None,
        };
        let process = process.clone();
        survey.suspects.push(Suspect { target, process, inodes, why, watchers, remark, parent });
        Ok(survey.suspects.len() - 1)
    }

    fn watcher(&self, parent: &Process, child: &Process, survey: &mut Survey) -> Result<Option<usize>, Failure> {
        if let Some(place) = survey.suspects.iter().position(|known| *known.target.key() == parent.key) {
            return Ok(Some(place));
        }
        let Some(target) = Target::open(&self.scene.proc, &parent.key)? else { return Ok(None) };
        let why = format!("would start {} again", child.label());
        survey.suspects.push(Suspect {
            target,
            process: parent.clone(),
            inodes: Vec::new(),
            why,
            watchers: Vec::new(),
            remark: None,
            parent: None,
        });
        Ok(Some(survey.suspects.len() - 1))
    }

    /// The unit of systemd that a process is a part of; not the whole of a user's session.
    fn unit(&self, pid: u32) -> Result<Option<String>, Failure> {
        let mut buffer = Vec::new();
        for tree in [None, Some("name=systemd")] {
            // Of another user's process it may be hidden, and is then not said.
            let Ok(Some(path)) = self.scene.proc.cgroup(pid, tree, &mut buffer) else { continue };
            let unit = cgroup::read(path).unit;
            if let Some(unit) = unit.filter(|unit| unit.ends_with(".service") && !unit.starts_with("user@")) {
                return Ok(Some(unit));
            }
        }
        Ok(None)
    }
}
