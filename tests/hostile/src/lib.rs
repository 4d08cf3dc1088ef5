//! Small programs that behave badly on purpose: what a supervisor must be able to hold, to hear and to end.
//!
//! `hostile MODE ARGUMENTS…`; [`MODES`] lists them. Each says `ready …` on its standard output when it has become what it
//! is to be, so that tests wait for a line instead of for a time. Three variables of the environment serve every mode:
//!
//! - `HOSTILE_LIFELINE`: a FIFO that is opened for writing and never closed, by whatever is forked either. Its reader gets
//!   the end of the file when the last process of the whole family is gone, and not before: the kernel's own word,
//!   which no scan of `/proc` can give for something that forks every half millisecond.
//! - `HOSTILE_REGISTER`: a folder. The process appends a line to `starts` and takes an exclusive flock(2) on `alive`, which
//!   its family holds too. Who finds it taken was started beside a living copy: it says so in `doubles`.
//! - `HOSTILE_SAFETY`: other seconds than [`SAFETY`], for a test that takes minutes.
//!
//! Nothing of it outlives its test for long: every process, forked ones included, gets SIGALRM after [`SAFETY`] seconds,
//! and no mode ignores that. (Only a stopped one keeps it pending until it is continued.)

mod breed;
pub mod content;
mod disguise;
mod endure;
mod fuse;
mod hold;
mod leak;
mod listen;
mod output;
mod plain;
mod raw;
mod register;

use std::ffi::OsString;
use std::process::ExitCode;

/// After so many seconds each of these processes is ended by SIGALRM, unless `HOSTILE_SAFETY` says another number.
pub const SAFETY: u32 = 120;

/// How many seconds that are for this one.
fn safety() -> u32 {
    std::env::var("HOSTILE_SAFETY").ok().and_then(|text| text.parse().ok()).unwrap_or(SAFETY)
}

/// The status with which a mode ends that was called wrongly or could not do what it is for.
pub const BROKEN: u8 = 99;

/// Why a mode could not do what it is for.
type Broken = Box<dyn std::error::Error>;

/// What a mode comes to: its exit status.
type Outcome = Result<u8, Broken>;

type Mode = fn(&[OsString]) -> Outcome;

/// Every mode: its name, its arguments, what it does.
pub const MODES: &[(&str, &str, &str)] = &[
    ("wait", "", "waits; every signal has its default action"),
    ("exit", "CODE [LINES]", "writes LINES numbered lines to standard output, ends with CODE"),
    ("exit-when", "FILE CODE [LINES]", "waits until FILE is there, then as `exit`"),
    ("life", "LINES MILLIS CODE", "writes LINES lines `RUN n/LINES`, lasts MILLIS, ends with CODE"),
    ("crash", "SIGNAL", "ends itself by this signal number"),
    ("print", "[ARGUMENT…]", "writes its arguments, folder and environment, one a line, ends with 0"),
    ("stdin", "", "reads standard input to its end, writes how many bytes there were, ends with 0"),
    ("until-eof", "", "ignores TERM; ends with 0 at the end of its standard input"),
    ("cat", "", "copies standard input to standard output"),
    ("ignore-term", "", "ignores TERM, INT and HUP"),
    ("slow-stop", "MILLIS|FILE [CODE]", "on TERM takes so long, or until FILE is there, then ends with CODE (0)"),
    (
        "tell-stop",
        "FILE NAME MILLIS",
        "on TERM writes `NAME stopping` to FILE, after MILLIS `NAME stopped`, ends with 0",
    ),
    ("stopped", "", "stops itself and a child with SIGSTOP"),
    ("leader", "", "ends on TERM; its child in the same group ignores it"),
    ("escapee", "", "its child calls setsid and ignores TERM"),
    ("double-fork", "", "its grandchild calls setsid and ignores TERM; the child between is gone"),
    ("daemonize", "", "as `double-fork`, but it ends itself at once"),
    (
        "hydra",
        "MICROS",
        "beside it something that forks and ends every MICROS, each time in a new session, deaf to TERM",
    ),
    ("hydra-alone", "MICROS", "the same, but it ends itself at once"),
    ("unreaped", "", "its child has ended, and it never asks how"),
    ("traced", "", "traces its child, which stands still"),
    ("pipe-holder", "", "ends with 0 at once; a child keeps its output open"),
    ("family", "FILE", "three processes (main, group, session) write each signal but KILL that they get to FILE"),
    ("recorder", "FILE", "writes each signal but KILL that it gets to FILE"),
    ("rename", "", "calls itself by newlines, escapes and invalid UTF-8"),
    ("close-output", "", "closes standard output and error, then waits"),
    ("flood", "BYTES [no-newline] [wait]", "writes numbered lines, the last one cut off at BYTES"),
    ("bytes", "COUNT", "writes COUNT bytes of every value"),
    ("tick", "MILLIS", "writes a numbered line every MILLIS"),
    (
        "listen",
        "PORT [http] [when FILE]",
        "accepts connections on 127.0.0.1:PORT; with `http` answers 200; with `when` only once FILE is there",
    ),
    (
        "hold",
        "WAY [PORT]",
        "holds a port: other-loopback, v6-only, dual-stack, udp, twin PORT, bound, connection PORT, time-wait, thread, \
         inherited, deaf (to TERM), drain (gives the port up on TERM and goes on), namespace",
    ),
    ("listen-unix", "PATH", "accepts connections on a Unix socket"),
    (
        "hung-mount",
        "FOLDER",
        "as root: holds a file of a file system that has stopped answering, and listens on a port",
    ),
    (
        "leak",
        "WHAT",
        "leaves something behind, and ends on TERM: child (without parent, session and environment), shm BYTES, semaphore KEY, \
         queue KEY, posix FILE",
    ),
    ("leak-and-go", "BYTES", "leaves shared memory behind, ends with 0 at once"),
    ("remove-ipc", "shm|semaphore|queue ID", "removes what `leak` has left"),
    ("in-terminal", "CMD…", "makes its standard input the controlling terminal of a new session, becomes CMD"),
];

fn find(name: &str) -> Option<Mode> {
    Some(match name {
        "wait" => endure::wait,
        "exit" => plain::exit,
        "exit-when" => plain::exit_when,
        "life" => plain::life,
        "crash" => plain::crash,
        "print" => plain::print,
        "stdin" => plain::stdin,
        "until-eof" => plain::until_eof,
        "cat" => plain::cat,
        "ignore-term" => endure::ignore_term,
        "slow-stop" => endure::slow_stop,
        "tell-stop" => endure::tell_stop,
        "stopped" => endure::stopped,
        "leader" => breed::leader,
        "escapee" => breed::escapee,
        "double-fork" => breed::double_fork,
        "daemonize" => breed::daemonize,
        "hydra" => breed::hydra,
        "hydra-alone" => breed::hydra_alone,
        "unreaped" => breed::unreaped,
        "traced" => breed::traced,
        "pipe-holder" => breed::pipe_holder,
        "family" => breed::family,
        "recorder" => breed::recorder,
        "rename" => disguise::rename,
        "close-output" => output::close_output,
        "flood" => output::flood,
        "bytes" => output::bytes,
        "tick" => output::tick,
        "listen" => listen::tcp,
        "hold" => hold::hold,
        "listen-unix" => listen::unix,
        "hung-mount" => fuse::hung_mount,
        "leak" => leak::leak,
        "leak-and-go" => leak::leak_and_go,
        "remove-ipc" => leak::remove_ipc,
        "in-terminal" => plain::in_terminal,
        _ => return None,
    })
}

/// The whole life of the program.
pub fn run(args: &[OsString]) -> ExitCode {
    let mode = args.first().and_then(|name| name.to_str()).and_then(find);
    let Some(mode) = mode else {
        for (name, args, what) in MODES {
            eprintln!("hostile {name} {args}\n    {what}");
        }
        return ExitCode::from(BROKEN);
    };
    raw::alarm(safety());
    match register::begin().and_then(|()| mode(&args[1..])) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("hostile: {error}");
            ExitCode::from(BROKEN)
        }
    }
}

/// The argument at this place, read as it must be.
fn argument<T: std::str::FromStr>(args: &[OsString], place: usize) -> Result<T, Broken> {
    let text =
        args.get(place).and_then(|arg| arg.to_str()).ok_or_else(|| format!("argument {} is missing", place + 1))?;
    text.parse().map_err(|_| format!("argument {} is not understood: {text:?}", place + 1).into())
}

/// Says on standard output that it has become what it is to be.
fn ready(what: &str) -> Result<(), Broken> {
    say(&format!("ready {} {what}", std::process::id()))
}

/// One line on standard output, whole or not at all.
fn say(line: &str) -> Result<(), Broken> {
    use std::io::Write as _;
    let mut out = std::io::stdout();
    out.write_all(format!("{}\n", line.trim_end()).as_bytes())?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_that_is_listed_is_there() {
        for (name, ..) in MODES {
            assert!(find(name).is_some(), "{name}");
        }
    }
}
