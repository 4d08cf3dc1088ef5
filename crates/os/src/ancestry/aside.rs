//! What may block, read by a thread that nobody waits for longer than a deadline (R8.3).
//!
//! For `cmdline` and `environ` the kernel takes the lock of the target's address space. A process that is stuck while it
//! holds that lock lets every reader wait with it; such a wait ends when the reader is killed, so a thread that is
//! left behind ends with the program.

use std::sync::mpsc::{RecvTimeoutError, channel};

use vigie_core::clock::Mono;
use vigie_core::text::OsText;
use vigie_core::why::facts::{Hidden, Process, TELLING, Told};

use super::hidden;
use crate::clock::mono;
use crate::error::OsError;
use crate::proc::{Proc, text};

/// Reads one file of each of these processes; what does not come before the deadline is [`Hidden::NoAnswer`].
fn read(proc: &Proc, file: &'static str, pids: Vec<u32>, deadline: Mono) -> Result<Vec<Told<Vec<u8>>>, OsError> {
    let (sender, receiver) = channel();
    let mut contents: Vec<Told<Vec<u8>>> = pids.iter().map(|_| Told::Hidden(Hidden::NoAnswer)).collect();
    let worker = proc.try_clone()?;
    let body = move || {
        let mut buffer = Vec::new();
        for (place, pid) in pids.into_iter().enumerate() {
            let content = worker.read(pid, file, &mut buffer).map(|content| content.map(<[u8]>::to_vec));
            if sender.send((place, content)).is_err() {
                return;
            }
        }
    };
    // Not joined: it may never come back.
    let thread = std::thread::Builder::new().name("vigie-aside".to_owned()).spawn(body);
    thread.map_err(|error| OsError::new("start", "a thread", error))?;
    loop {
        match receiver.recv_timeout(deadline.since(mono())) {
            Ok((place, Ok(content))) => contents[place] = content.map_or(Told::Nothing, Told::Known),
            Ok((place, Err(error))) => contents[place] = hidden(error)?,
            Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => return Ok(contents),
        }
    }
}

/// Fills in the arguments. Kernel threads and zombies have none.
pub(crate) fn arguments(proc: &Proc, processes: Vec<&mut Process>, deadline: Mono) -> Result<(), OsError> {
    let pids = processes.iter().map(|process| process.pid()).collect();
    for (process, content) in processes.into_iter().zip(read(proc, "cmdline", pids, deadline)?) {
        process.argv = match content {
            Told::Known(content) if content.is_empty() => Told::Nothing,
            Told::Known(content) => Told::Known(text::arguments(&content).map(|word| OsText(word.to_vec())).collect()),
            Told::Nothing => Told::Nothing,
            Told::Hidden(why) => Told::Hidden(why),
        };
    }
    Ok(())
}

/// The variables of [`TELLING`] in the environment that the process was started with.
pub(super) fn environment(
    proc: &Proc,
    process: &Process,
    deadline: Mono,
) -> Result<Told<Vec<(&'static str, OsText)>>, OsError> {
    let content = read(proc, "environ", vec![process.pid()], deadline)?.pop().unwrap_or(Told::Nothing);
    Ok(match content {
        // Kernel threads and zombies have none.
        Told::Known(content) if content.is_empty() => Told::Nothing,
        Told::Known(content) => {
            let value = |name: &&'static str| {
                text::variable(&content, name.as_bytes()).map(|value| (*name, OsText(value.to_vec())))
            };
            Told::Known(TELLING.iter().filter_map(value).collect())
        }
        Told::Nothing => Told::Nothing,
        Told::Hidden(why) => Told::Hidden(why),
    })
}
