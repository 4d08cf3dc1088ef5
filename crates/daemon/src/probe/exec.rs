//! Whether a command says yes. It runs in the service's folder and environment, in a process group of its own, and is
//! ended with that group when the attempt is over.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use vigie_core::exit::Exit;
use vigie_core::launch::Launch;
use vigie_core::supervisor::ProbeOutcome;
use vigie_os::remains::MARK;

use super::bad;
use crate::children::{Child, Children};

/// Ends the group when the attempt is given up.
struct Attempt(Child);

impl Drop for Attempt {
    fn drop(&mut self) {
        self.0.kill_group();
    }
}

/// Runs the command once.
pub(super) async fn run(command: &[String], launch: &Launch, children: &Children) -> ProbeOutcome {
    let Some((program, arguments)) = command.split_first() else { return bad("the command of the probe is empty") };
    // The mark is for processes of the run: whoever looks for those must not find the probe.
    let env = launch.env.iter().filter(|(name, _)| name.0 != MARK.as_bytes());
    let spawned = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(env.map(|(name, value)| (name.as_os_str(), value.as_os_str())))
        .current_dir(launch.cwd.as_path())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut attempt = match spawned {
        Ok(child) => Attempt(children.register(child)),
        Err(error) => return bad(format!("{program} cannot be started: {error}")),
    };
    match attempt.0.ended().await {
        Exit::Code(0) => ProbeOutcome::Good,
        exit => bad(format!("{program} ended with {exit}")),
    }
}
