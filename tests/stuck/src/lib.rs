//! Every way in which a process of Linux can be stuck, made on purpose, held, and freed again.
//!
//! `stuck STATE` makes one, says `ready state=… pid=… …` on its standard output, and holds it until its standard input ends or
//! it gets TERM; then it frees everything that it made. So does the helper that it starts first, when the program itself is
//! killed. The README teaches each state.
//!
//! What it makes is seen by as few as possible: mounts are in a table of its own, cgroups and folders are called
//! `vigie-stuck-PID`, a loop device is given back with its last user, and what asks for permissions (fanotify) asks for one
//! file that nobody else can see.

mod bed;
mod fuse;
mod loops;
mod raw;
pub mod seen;
mod states;
pub mod wait;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use bed::{Bed, Failure, Made};
use states::{cgroups, disks, ends, mounts, signals, traced, waits};

/// The status of a state that this machine, this kernel or this user cannot have. The reason is on standard error.
pub const IMPOSSIBLE: u8 = 77;

/// The status of a state that should have been made, and was not; or of one that could not be freed.
pub const BROKEN: u8 = 99;

/// The status of a call that was not understood.
const USAGE: u8 = 2;

/// One of them.
#[derive(Debug, Clone, Copy)]
pub struct State {
    /// What it is called.
    pub name: &'static str,
    /// Whether only root can make it.
    pub root: bool,
    /// In one line.
    pub what: &'static str,
    make: fn(&mut Bed) -> Made,
}

/// All of them.
pub const STATES: &[State] = &[
    state("zombie", false, "it has ended, and its parent never asks how", ends::zombie),
    state("leader-exited", false, "its main thread has ended; another one holds a port", ends::leader_exited),
    state("exit-in-fuse", true, "it ends while a thread of it waits for a FUSE server", states::fuse::exit_in),
    state("term-ignored", false, "it has told the kernel to drop TERM", signals::ignored),
    state("term-blocked", false, "it blocks TERM, which then waits for it", signals::blocked),
    state("term-swallowed", false, "it has a handler for TERM, which does nothing", signals::swallowed),
    state("stopped", false, "a signal stopped it", signals::stopped),
    state("traced", false, "its tracer holds it, and does nothing more", traced::traced),
    state("traced-at-exit", false, "KILL was sent; its tracer wants to see its end, and never looks", traced::at_exit),
    state("namespace-init", false, "it is PID 1 of a namespace, without a handler for TERM", ends::namespace_init),
    state("vfork", false, "its child, made by vfork, never executes a program", ends::vfork),
    state("fuse-read", true, "it reads a page that a FUSE server never supplies", states::fuse::read),
    state("fuse-getattr", true, "it asks for a file's status; the server took the question", states::fuse::getattr),
    state("fuse-behind", true, "it waits for a lock of somebody who waits for a FUSE server", states::fuse::behind),
    state("fuse-flush", true, "it ends, and the close of its file waits for a FUSE server", states::fuse::flush),
    state("block-device", true, "it writes to a disk that does not answer", disks::device),
    state("frozen-filesystem", true, "it writes to a file system that was frozen", disks::frozen),
    state("frozen-v1", true, "it is frozen with its cgroup, of version 1", cgroups::v1),
    state("frozen-v2", true, "it is frozen with its cgroup, of version 2", cgroups::v2),
    state("fanotify", true, "it opens a file that a listener must permit, and never does", mounts::fanotify),
    state("autofs", true, "it looks for what an automounter never mounts", mounts::autofs),
    state("userfault", false, "it touches a page that another process never supplies", waits::userfault),
    state("pipe-full", false, "its output is a full pipe that nobody reads", waits::pipe_full),
    state("flock", false, "it waits for a lock of flock(2)", waits::with_flock),
    state("posix-lock", false, "it waits for a lock of fcntl(2)", waits::with_posix),
    state("ofd-lock", false, "it waits for a lock of fcntl(2) that belongs to an open file", waits::with_ofd),
    state("daemon", false, "it left its parent, its session and its terminal", ends::daemon),
    state("fuse-holder", true, "it writes to a FUSE file, and holds two ports and much memory", states::fuse::holder),
    state("fuse-server", true, "nobody is stuck yet: a FUSE server that answers no write", states::fuse::server),
];

const fn state(name: &'static str, root: bool, what: &'static str, make: fn(&mut Bed) -> Made) -> State {
    State { name, root, what, make }
}

/// What can be said about `fuse-holder`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Bytes of memory.
    memory: usize,
    /// Ports; 0 for one that is free.
    tcp: u16,
    udp: u16,
    /// The server of a `fuse-server` that runs.
    within: Option<u32>,
}

const HELP: &str = "\
Makes a process that is stuck, says `ready state=STATE pid=PID …`, and holds it until its standard input ends or it gets
TERM. Then it frees everything.

    stuck STATE                 makes one
    stuck --list                the states, one a line
    stuck --help                this

For fuse-holder:
    --memory SIZE               holds so much memory: 500MB, 64KB, 4096 (0)
    --tcp PORT, --udp PORT      listens on it at 127.0.0.1; 0: one that is free (0)
    --in PID                    is stuck itself, on the file system that the `server` of a running `fuse-server` serves

Exit codes: 0 freed, 2 not understood, 77 cannot be made here (with the reason), 99 broken.
";

/// The whole life of the program.
pub fn run(args: &[OsString]) -> ExitCode {
    let args: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    match args.first().map(String::as_str) {
        Some("--help") => print!("{HELP}\nStates:\n{}", list()),
        Some("--list") => print!("{}", list()),
        Some(name) => return call(name, &args[1..]),
        None => {
            eprint!("{HELP}");
            return ExitCode::from(USAGE);
        }
    }
    ExitCode::SUCCESS
}

fn list() -> String {
    let line = |state: &State| format!("{:<20}{}{}\n", state.name, state.what, if state.root { " (root)" } else { "" });
    STATES.iter().map(line).collect()
}

fn call(name: &str, rest: &[String]) -> ExitCode {
    let Some(state) = STATES.iter().find(|state| state.name == name) else {
        eprintln!("stuck: there is no state {name}; 'stuck --list' names them all");
        return ExitCode::from(USAGE);
    };
    let options = match options(state, rest) {
        Ok(options) => options,
        Err(text) => {
            eprintln!("stuck: {text}");
            return ExitCode::from(USAGE);
        }
    };
    let made = match options.within {
        Some(server) => states::fuse::holder_in(server, &options),
        None => make(state, options),
    };
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Impossible(why)) => {
            eprintln!("stuck: {name} cannot be made here: {why}");
            ExitCode::from(IMPOSSIBLE)
        }
        Err(Failure::Broken(why)) => {
            eprintln!("stuck: {name}: {why}");
            ExitCode::from(BROKEN)
        }
    }
}

fn make(state: &State, options: Options) -> Made {
    let mut bed = Bed::new(options)?;
    let made = (state.make)(&mut bed).and_then(|()| Ok(bed.hold(state.name)?));
    // Whatever was made is freed, also when not everything was.
    let freed = bed.finish();
    made?;
    Ok(freed?)
}

fn options(state: &State, rest: &[String]) -> Result<Options, String> {
    let mut options = Options::default();
    let mut rest = rest.iter();
    while let Some(name) = rest.next() {
        if state.name != "fuse-holder" {
            return Err(format!("{} takes no {name}", state.name));
        }
        let value = rest.next().ok_or_else(|| format!("{name} needs a value"))?;
        let wrong = || format!("{name} {value} is not understood");
        match name.as_str() {
            "--memory" => options.memory = size(value).ok_or_else(wrong)?,
            "--tcp" => options.tcp = value.parse().map_err(|_| wrong())?,
            "--udp" => options.udp = value.parse().map_err(|_| wrong())?,
            "--in" => options.within = Some(value.parse().map_err(|_| wrong())?),
            _ => return Err(format!("there is no {name}; see 'stuck --help'")),
        }
    }
    Ok(options)
}

/// `500MB`, `64KB`, `4096`
fn size(text: &str) -> Option<usize> {
    let (number, unit) = match text {
        _ if text.ends_with("MB") => (text.trim_end_matches("MB"), 1 << 20),
        _ if text.ends_with("KB") => (text.trim_end_matches("KB"), 1 << 10),
        _ => (text, 1),
    };
    number.parse::<usize>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("500MB"), Some(500 << 20));
        assert_eq!(size("64KB"), Some(65536));
        assert_eq!(size("4096"), Some(4096));
        assert_eq!(size("much"), None);
        assert_eq!(size("99999999999999999999MB"), None);
    }

    #[test]
    fn every_state_is_taught() {
        let readme = include_str!("../README.md");
        for state in STATES {
            assert!(readme.contains(&format!("`{}`", state.name)), "{}", state.name);
        }
    }

    #[test]
    fn only_one_takes_options() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let of = |name: &str| STATES.iter().find(|state| state.name == name).unwrap();
        let given = options(of("fuse-holder"), &words(&["--memory", "1KB", "--tcp", "80", "--in", "7"])).unwrap();
        assert_eq!((given.memory, given.tcp, given.udp, given.within), (1024, 80, 0, Some(7)));
        assert!(options(of("zombie"), &words(&["--tcp", "80"])).is_err());
        assert!(options(of("fuse-holder"), &words(&["--tcp"])).is_err());
        assert!(options(of("fuse-holder"), &words(&["--tcp", "65536"])).is_err());
    }
}
