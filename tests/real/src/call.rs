//! Running one program.

use std::fmt;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::processes::wait_stopped;
use crate::stream::Stream;
use crate::wait::{LONG, elapsed, now, within};

/// A program that is to be run.
#[derive(Debug)]
pub struct Call {
    command: Command,
    input: Option<Vec<u8>>,
}

impl Call {
    pub(crate) fn new(command: Command) -> Self {
        Self { command, input: None }
    }

    /// Adds a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// In this folder.
    #[must_use]
    pub fn within(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// With another argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// With this on its standard input, instead of nothing.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// The command, for what else must be changed.
    pub fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Starts it.
    #[track_caller]
    pub fn start(mut self) -> Running {
        let stdin = if self.input.is_some() { Stdio::piped() } else { Stdio::null() };
        self.command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let start = now();
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", self.command));
        if let (Some(input), Some(mut stdin)) = (self.input.take(), child.stdin.take()) {
            // Whoever does not read it all is tested for something else.
            std::thread::spawn(move || drop(stdin.write_all(&input)));
        }
        let out = Stream::of(child.stdout.take().expect("piped"));
        let err = Stream::of(child.stderr.take().expect("piped"));
        Running { shown: format!("{:?}", self.command), child, out, err, start, over: None }
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(self) -> Done {
        self.start().finish()
    }

    /// Runs it to its end, if it has one; kills it else. For cleaning up, which must not fail on the way.
    pub(crate) fn attempt(self) -> Option<Done> {
        let mut running = self.start();
        within(LONG, || running.is_over().then_some(()))?;
        Some(running.finish())
    }
}

/// A program that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    shown: String,
    child: Child,
    out: Stream,
    err: Stream,
    start: Duration,
    over: Option<ExitStatus>,
}

impl Running {
    /// Its PID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output until now.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.out.bytes()).into_owned()
    }

    /// The whole lines that it has written to standard output until now: the last one may be on its way.
    pub fn lines(&self) -> Vec<String> {
        let out = self.out();
        let whole = out.rfind('\n').map_or("", |end| &out[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    /// What it has written to standard error until now.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.err.bytes()).into_owned()
    }

    /// Waits for a text on standard output and gives the rest of its line.
    #[track_caller]
    pub fn wait_out(&self, text: &str) -> String {
        self.out.find(LONG, |bytes| line_after(bytes, text)).unwrap_or_else(|| {
            panic!("{} did not write {text:?}; output:\n{}\nerrors:\n{}", self.shown, self.out(), self.err())
        })
    }

    /// Waits for a text on standard error and gives the rest of its line.
    #[track_caller]
    pub fn wait_err(&self, text: &str) -> String {
        self.err.find(LONG, |bytes| line_after(bytes, text)).unwrap_or_else(|| {
            panic!("{} did not say {text:?}; output:\n{}\nerrors:\n{}", self.shown, self.out(), self.err())
        })
    }

    /// Signals it: it is our child and not yet waited for, so the number means it.
    pub fn signal(&self, signal: Signal) {
        if self.over.is_none()
            && let Some(pid) = Pid::from_raw(self.child.id().cast_signed())
        {
            let _ = kill_process(pid, signal);
        }
    }

    /// Stops it, and waits until it is stopped.
    #[track_caller]
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        wait_stopped(self.pid());
    }

    /// Whether it has ended.
    pub fn is_over(&mut self) -> bool {
        if self.over.is_none() {
            self.over = self.child.try_wait().expect("a child can be waited for");
        }
        self.over.is_some()
    }

    /// Waits for its end, and for the end of its output: nothing that it left behind may hold that.
    #[track_caller]
    pub fn finish(mut self) -> Done {
        if within(LONG, || self.is_over().then_some(())).is_none() {
            panic!("{} does not end; output:\n{}\nerrors:\n{}", self.shown, self.out(), self.err());
        }
        let took = elapsed(self.start);
        if !(self.out.ended(LONG) && self.err.ended(LONG)) {
            panic!("{} has ended, but something holds its output", self.shown);
        }
        let status = self.over.expect("just seen");
        Done { shown: self.shown.clone(), status, out: self.out.bytes(), err: self.err.bytes(), took }
    }

    /// SIGKILL, and its end. What it left behind may hold its output.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if !self.is_over() {
            let _ = self.child.kill();
            self.over = self.child.wait().ok();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

fn line_after(bytes: &[u8], text: &str) -> Option<String> {
    let all = String::from_utf8_lossy(bytes);
    let rest = &all[all.find(text)? + text.len()..];
    rest.find('\n').map(|end| rest[..end].trim().to_owned())
}

/// How a program ended.
#[derive(Debug)]
pub struct Done {
    shown: String,
    /// Its status.
    pub status: ExitStatus,
    /// Its standard output.
    pub out: Vec<u8>,
    /// Its standard error.
    pub err: Vec<u8>,
    /// From its start to its end.
    pub took: Duration,
}

impl Done {
    /// It must have ended with this code.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self}");
        self
    }

    /// The signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    /// Standard error as text.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.err).into_owned()
    }

    /// Standard error must hold this.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.errors().contains(text), "{text:?} is missing: {self}");
        self
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            if text.len() > 4000 { text.chars().take(4000).chain("…".chars()).collect() } else { text }
        };
        writeln!(f, "{}: {} after {:?}", self.shown, self.status, self.took)?;
        write!(f, "output:\n{}\nerrors:\n{}", shown(&self.out), shown(&self.err))
    }
}
