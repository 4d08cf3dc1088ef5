//! `cargo xtask demo`: builds what is needed, runs `examples/demo` in the foreground, and sees afterwards that nothing
//! is left.
//!
//! `vigie up` runs in a process group of its own, and each signal that arrives here is passed on to it once: the same
//! for Ctrl-C at a terminal and for `kill -INT` of this process alone.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Failure, Verdict};
use crate::leftovers::Snapshot;
use crate::stopwatch::Stopwatch;
use crate::workspace::Workspace;
use crate::{packages, process};

/// Variable of the manifest, its default, what it is.
const PORTS: &[(&str, u16, &str)] = &[("DEMO_WEB_PORT", 8000, "web server"), ("DEMO_DB_PORT", 5433, "database")];

/// `timeout` and some shells send a signal both to a process and to its group: within this time it is one.
const TWIN: Duration = Duration::from_millis(300);

/// Runs it until it is ended.
pub(crate) fn run(workspace: &Workspace) -> Verdict {
    packages::ensure()?;
    println!("building vigie and the demo");
    // The development profile: it builds in a third of the time, and nothing here is slow.
    let build = workspace.cargo(&["build", "--locked", "-p", "vigie", "-p", "vigie-demo", "--bins"]);
    if !process::run(build)?.status.success() {
        return Err(Failure::new("the build failed"));
    }
    let before = Snapshot::take(workspace);
    let scene = Scene::new(workspace)?;
    scene.explain();
    let status = scene.play()?;
    scene.end_daemon();
    let marks = scene.marks();
    let left = before.since(workspace, None, |thing| marks.iter().any(|mark| thing.contains(mark)));
    for thing in &left {
        println!("left behind: {thing}");
    }
    let well = status.success() || status.code() == Some(130);
    if !well {
        println!("vigie up ended with {status}");
    }
    if left.is_empty() {
        println!("nothing is left: no process, no socket, no cgroup, no mount");
    }
    Ok(well && left.is_empty())
}

/// One run of the demo: where it lives and which ports it has.
struct Scene<'a> {
    workspace: &'a Workspace,
    /// What a second terminal needs, too.
    variables: Vec<(&'static str, String)>,
    web: u16,
}

impl<'a> Scene<'a> {
    fn new(workspace: &'a Workspace) -> Result<Self, Failure> {
        let place = workspace.target.join("demo");
        let home = place.join("home");
        std::fs::create_dir_all(&home).map_err(Failure::io(format!("cannot make {}", home.display())))?;
        let mut variables = vec![("VIGIE_HOME", text(&home))];
        if workspace.target != workspace.root.join("target") {
            variables.push(("VIGIE_DEMO_BIN", text(&workspace.binaries("debug"))));
            variables.push(("VIGIE_DEMO_DATA", text(&place)));
        }
        let mut web = 0;
        for (variable, default, what) in PORTS {
            let port = match std::env::var(variable) {
                // Whoever names a port gets that one.
                Ok(port) => port.parse().map_err(|_| Failure::new(format!("{variable}={port} is not a port")))?,
                Err(_) => free_port(*default, what)?,
            };
            if port != *default {
                variables.push((variable, port.to_string()));
            }
            if web == 0 {
                web = port;
            }
        }
        Ok(Self { workspace, variables, web })
    }

    fn vigie(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.workspace.binaries("debug").join("vigie"));
        command.args(arguments).current_dir(self.workspace.root.join("examples/demo"));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn explain(&self) {
        println!("\nThis terminal shows the output of all services; Ctrl-C stops them. In a second terminal:\n");
        println!("  cd {}", self.workspace.root.join("examples/demo").display());
        for (name, value) in &self.variables {
            println!("  export {name}={value}");
        }
        println!("  export PATH={}:$PATH", self.workspace.binaries("debug").display());
        println!();
        let web = format!("http://127.0.0.1:{}", self.web);
        for (line, what) in [
            ("vigie status --watch".to_owned(), "what runs, every second"),
            (format!("curl {web}/"), "what the web server serves"),
            (format!("curl -X POST {web}/crash"), "exit code 7: see it start again"),
            ("vigie run -n robot -- sleep 5".to_owned(), "refused: it runs already; names the holder"),
            ("vigie stop robot --yes".to_owned(), "and nothing of it is left"),
            ("vigie start robot:headless".to_owned(), "another mode: it stops by itself after 10 s"),
            ("vigie daemon status".to_owned(), "its PID: kill -9 it; the services go on"),
        ] {
            println!("  {line:<48}{what}");
        }
        println!();
    }

    /// Runs `vigie up` until it ends.
    fn play(&self) -> Result<ExitStatus, Failure> {
        let failed = |what: &'static str| Failure::io(what);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed("cannot wait for signals"))?;
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).map_err(failed("cannot take over SIGINT"))?;
            let mut terminate = signal(SignalKind::terminate()).map_err(failed("cannot take over SIGTERM"))?;
            let mut hangup = signal(SignalKind::hangup()).map_err(failed("cannot take over SIGHUP"))?;
            let mut command = tokio::process::Command::from(self.vigie(&["up"]));
            // A group in the background must not read from the terminal.
            command.process_group(0).stdin(Stdio::null());
            let mut child = command.spawn().map_err(failed("cannot start vigie"))?;
            let mut last: Option<(Signal, Stopwatch)> = None;
            loop {
                let arrived = tokio::select! {
                    status = child.wait() => return status.map_err(failed("cannot wait for vigie")),
                    _ = interrupt.recv() => Signal::INT,
                    _ = terminate.recv() => Signal::TERM,
                    _ = hangup.recv() => Signal::HUP,
                };
                let twin = last.is_some_and(|(signal, watch)| signal == arrived && watch.elapsed() < TWIN);
                last = Some((arrived, Stopwatch::start()));
                if !twin {
                    pass_on(&child, arrived);
                }
            }
        })
    }

    /// By what one knows that something belongs to the demo: its home, and the ids of its runs.
    fn marks(&self) -> Vec<String> {
        let mut marks: Vec<String> = self.variables.iter().take(1).map(|(_, home)| home.clone()).collect();
        // The journal is read without a daemon.
        let events = process::output(self.vigie(&["events", "--json"])).unwrap_or_default();
        for line in events.split(|byte| *byte == b'\n') {
            let event: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
            marks.extend(event["run"].as_str().map(str::to_owned));
        }
        marks.sort();
        marks.dedup();
        marks
    }

    /// The demo's own daemon is of no use to anybody.
    fn end_daemon(&self) {
        // It may have ended by itself; what counts is what is left, and that is looked at next.
        let _ = self.vigie(&["daemon", "stop", "--yes"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// The child is unreaped as long as it has an id, so the number means it and nobody else.
fn pass_on(child: &Child, signal: Signal) {
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
        // It may just have ended: then there is nobody to tell.
        let _ = kill_process(pid, signal);
    }
}

/// The default, or another one that is free now when the default is taken.
fn free_port(default: u16, what: &str) -> Result<u16, Failure> {
    if TcpListener::bind((Ipv4Addr::LOCALHOST, default)).is_ok() {
        return Ok(default);
    }
    let failed = |error| Failure::io("cannot find a free port")(error);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    println!("port {default} is taken: the {what} gets {port}");
    Ok(port)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
