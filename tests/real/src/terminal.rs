//! A terminal that somebody sits at, and that can go away.

use std::fs::File;
use std::io::{Read, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::stream::Stream;
use crate::wait::{LONG, within};
use crate::world::program;

/// A program that leads the session of a terminal. Dropping it closes the terminal and kills the program.
#[derive(Debug)]
pub struct Terminal {
    /// Absent once it is closed.
    master: Option<File>,
    screen: Stream,
    /// Its closing makes the reader end: the terminal is only closed when nobody has its master side any more.
    leave: Option<std::io::PipeWriter>,
    child: Child,
}

impl Terminal {
    /// Starts `command` in a new terminal.
    pub(crate) fn start(command: &Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&master).expect("ours");
        unlockpt(&master).expect("ours");
        let name = ptsname(&master, Vec::new()).expect("it has a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(name, flags, Mode::empty()).expect("its other side");
        let mut size = rustix::termios::tcgetwinsize(&master).expect("a terminal has a size");
        (size.ws_row, size.ws_col) = (40, 200);
        rustix::termios::tcsetwinsize(&master, size).expect("ours");
        let mut leader = Command::new(program("hostile"));
        leader.arg("in-terminal").arg(command.get_program()).args(command.get_args());
        leader.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(dir) = command.get_current_dir() {
            leader.current_dir(dir);
        }
        let side = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let child = leader.stdin(side()).stdout(side()).stderr(side()).spawn().expect("hostile starts");
        let (stay, leave) = std::io::pipe().expect("a pipe");
        let reader = Reader { master: File::from(master.try_clone().expect("a descriptor")), stay: stay.into() };
        Self { master: Some(File::from(master)), screen: Stream::of(reader), leave: Some(leave), child }
    }

    /// The PID of the program.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Types.
    #[track_caller]
    pub fn type_in(&mut self, text: &str) {
        let master = self.master.as_mut().expect("it is open");
        master.write_all(text.as_bytes()).expect("a terminal takes keys");
    }

    /// What stands on the screen, as it was written.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.bytes()).into_owned()
    }

    /// Waits until a text was written; gives what stands behind it in its line, when that is whole.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_for_nth(text, 1)
    }

    /// Waits until a text was written so often.
    #[track_caller]
    pub fn wait_for_nth(&self, text: &str, count: usize) -> String {
        let found = self.screen.find(LONG, |bytes| {
            let all = String::from_utf8_lossy(bytes).into_owned();
            let (place, _) = all.match_indices(text).nth(count - 1)?;
            let rest = &all[place + text.len()..];
            rest.find('\n').map(|end| rest[..end].trim().to_owned())
        });
        found.unwrap_or_else(|| panic!("{text:?} does not appear {count} times; the screen:\n{}", self.screen()))
    }

    /// Waits until a text was written, whether its line is whole or not.
    #[track_caller]
    pub fn wait_for_prompt(&self, text: &str, count: usize) {
        let found = self
            .screen
            .find(LONG, |bytes| (String::from_utf8_lossy(bytes).matches(text).count() >= count).then_some(()));
        found.unwrap_or_else(|| panic!("{text:?} does not appear {count} times; the screen:\n{}", self.screen()));
    }

    /// Closes the terminal: its window, the ssh session that it came through. The program lives on, or does not.
    pub fn hang_up(&mut self) {
        self.leave = None;
        self.screen.join();
        self.master = None;
    }

    /// SIGKILL for the program, while the terminal stays.
    pub fn kill_program(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for the end of the program, and until all that it wrote stands on the screen. What comes later, from
    /// others, is not read.
    #[track_caller]
    pub fn finish(&mut self) -> ExitStatus {
        let status = within(LONG, || self.child.try_wait().expect("our child"));
        let status = status.unwrap_or_else(|| panic!("the program does not end; the screen:\n{}", self.screen()));
        self.leave = None;
        self.screen.join();
        status
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.hang_up();
        self.kill_program();
    }
}

/// Reads the screen until it is to leave.
struct Reader {
    master: File,
    stay: OwnedFd,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut fds = [
            PollFd::from_borrowed_fd(self.master.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.stay.as_fd(), PollFlags::empty()),
        ];
        poll(&mut fds, None)?;
        if fds[0].revents().is_empty() {
            return Ok(0);
        }
        self.master.read(buffer)
    }
}
