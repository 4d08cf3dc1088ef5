//! What is known of a process that holds a port: whose it is, and who protects it.

use vigie_api::status::Service;
use vigie_core::exit_code::ExitCode;
use vigie_core::ports::Socket;
use vigie_core::protect::{Asker, Facts, Protection, protection};
use vigie_core::why::facts::Process;
use vigie_docker::holder::Role;
use vigie_os::user;

use super::obstacle::{Known, Membership, Refusal};
use super::survey::Scout;
use crate::containers;
use crate::failure::Failure;

impl Scout<'_> {
    pub(super) fn known(&self, socket: &Socket, process: &Process, parents: &[Process]) -> Result<Known, Failure> {
        let role = containers::role(&self.scene.proc, process.pid());
        let run = self.crew.get(&process.pid()).map(|place| (*place, self.membership(&self.report.services[*place])));
        Ok(Known {
            role,
            silence: role.and_then(|role| self.silence(socket, role)),
            run,
            foreign_keeper: parents.iter().find(|parent| self.is_keeper(parent)).map(Process::pid),
            protection: self.protection(process)?,
        })
    }

    fn membership(&self, service: &Service) -> Membership {
        let here = service.project_dir.as_path() == self.scene.here.dir;
        if here { Membership::Here } else { Membership::Elsewhere }
    }

    /// Why it is not known which container is behind a process that holds ports for one, or is inside of one.
    fn silence(&self, socket: &Socket, role: Role) -> Option<Refusal> {
        let what = if role == Role::Inside { "it is in a container" } else { "it holds the port for a container" };
        let stop = "stop the container: to end this process would only break it";
        match self.containers.errors() {
            [error, ..] => Some(Refusal {
                code: error.exit_code(),
                why: format!("{what}, and which one is not known: {error}; {stop}"),
            }),
            // A proxy that no engine knows was left behind by one. In another network, or in a container that no engine here
            // knows, it is of an engine that was not asked.
            [] if self.containers.answered() > 0 && role != Role::Inside && socket.namespace.is_none() => None,
            [] => {
                let why = format!("{what}, and no engine here tells which one; {stop}");
                Some(Refusal { code: ExitCode::Unreachable, why })
            }
        }
    }

    pub(super) fn protection(&self, process: &Process) -> Result<Option<Protection>, Failure> {
        let proc = &self.scene.proc;
        let mut buffer = Vec::new();
        let status = proc.status(process.pid(), &mut buffer)?;
        // Its link is hidden for other users' processes.
        let executable = proc.link(process.pid(), "exe").ok().flatten();
        let facts = Facts {
            pid: process.pid(),
            uid: process.uid.unwrap_or(u32::MAX),
            kernel: process.kernel,
            init: status.is_some_and(|status| status.innermost_pid == Some(1)),
            executable: executable.as_deref(),
            name: &process.name.0,
            argv: process.argv.known().map_or(&[], Vec::as_slice),
        };
        Ok(protection(&facts, &Asker { pid: std::process::id(), ancestors: &self.ancestors, uid: user::uid() }))
    }

    /// A keeper of vigie, by its program; not one that this command itself lives under.
    fn is_keeper(&self, process: &Process) -> bool {
        let executable = self.scene.proc.link(process.pid(), "exe").ok().flatten();
        let first = || process.argv.known().and_then(|argv| argv.first()).map(|word| word.as_path().to_owned());
        let name = executable.or_else(first).and_then(|path| path.file_name().map(ToOwned::to_owned));
        let is_it = name.is_some_and(|name| name.to_string_lossy().trim_end_matches(" (deleted)") == "vigie-keeper");
        is_it && !self.ancestors.contains(&process.pid())
    }

    /// Somebody has the socket, and it cannot be seen who.
    pub(super) fn hidden_holder(&self, socket: &Socket) -> Refusal {
        let why = if let ([error, ..], true) = (self.containers.errors(), user::uid() != 0) {
            let why = format!("who it is cannot be seen: this needs root; whether a container has it: {error}");
            return Refusal { code: ExitCode::NotPermitted, why };
        } else if user::uid() != 0 {
            "who it is cannot be seen: this needs root"
        } else if !self.hidden.processes.is_empty() {
            "who it is cannot be seen, not even by root here: it is outside of this container, or hidden"
        } else if socket.inode == 0 {
            "no process has it"
        } else {
            "no process has it that can be seen: the kernel itself, or one on its way between two processes"
        };
        Refusal { code: ExitCode::NotPermitted, why: why.to_owned() }
    }

    pub(super) fn unseen(&self, socket: &Socket) -> String {
        format!("a process of user {}", user::name(socket.uid).unwrap_or_else(|| socket.uid.to_string()))
    }
}
