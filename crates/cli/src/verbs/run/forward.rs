//! Signals that reach the guard and are meant for the command.
//!
//! Guard and command are in one process group. What the terminal sends (Ctrl-C, Ctrl-\, a changed window) reaches both
//! by itself; what somebody sends to the guard with kill(2) reaches only the guard, which hands it on. The kernel tells
//! the two apart (`si_code`, sigaction(2)). Ctrl-Z is left alone: it stops both, as it would stop the command alone.

use vigie_core::ladder::Signal;
use vigie_os::proc::Proc;
use vigie_os::proc::status::Status;
use vigie_os::signals::SignalFd;

use crate::failure::Failure;

/// Those that are taken over.
const TAKEN: [Signal; 9] = [
    Signal::Hup,
    Signal::Int,
    Signal::Quit,
    Signal::Usr1,
    Signal::Usr2,
    Signal::Alrm,
    Signal::Term,
    Signal::Cont,
    Signal::Winch,
];

/// A signal that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrived {
    /// Which.
    pub(super) signal: Signal,
    /// The command has it already.
    pub(super) to_all: bool,
}

/// Takes the signals over. Those that whoever started us wants ignored stay so (nohup(1)).
pub(super) fn take(proc: &Proc) -> Result<SignalFd, Failure> {
    let mut buffer = Vec::new();
    let ignored = proc.status(std::process::id(), &mut buffer)?.map_or(0, |status| status.ignored);
    let numbers: Vec<i32> =
        TAKEN.iter().map(|signal| signal.number()).filter(|number| !Status::has(ignored, *number)).collect();
    SignalFd::take(&numbers, &[]).map_err(|errno| Failure::io("cannot take over signals", &std::io::Error::from(errno)))
}

/// The next one, if one has arrived.
pub(super) fn next(signals: &SignalFd) -> Option<Arrived> {
    loop {
        let (number, from_kernel) = signals.next_with_origin()?;
        if let Some(signal) = Signal::from_number(number) {
            // Nobody but the terminal makes the kernel send these; to the whole foreground group.
            return Some(Arrived { signal, to_all: from_kernel });
        }
    }
}
