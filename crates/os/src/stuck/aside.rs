//! Questions that may not be answered, asked by a thread that nobody waits for longer than a deadline (R8.3).
//!
//! Where the kernel may hold up whoever reads `/proc` (the lock of an address space, of a table of mounts, of an exec that
//! is going on), it does so until a signal ends the reader: a thread that is left behind ends with the program.

use std::sync::mpsc::{RecvTimeoutError, channel};

use vigie_core::clock::Mono;
use vigie_core::why::facts::{Hidden, Told};

use crate::ancestry::hidden;
use crate::clock::mono;
use crate::error::OsError;
use crate::proc::Proc;

/// Who asks.
pub(super) struct Aside<'a> {
    proc: &'a Proc,
    deadline: Mono,
}

impl<'a> Aside<'a> {
    pub(super) fn new(proc: &'a Proc, deadline: Mono) -> Self {
        Self { proc, deadline }
    }

    /// Asks once. What does not come in half of the time that is left is [`Hidden::NoAnswer`]: the other half is for the
    /// questions after it.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        question: impl Fn(&Proc) -> Result<T, OsError> + Send + 'static,
    ) -> Result<Told<T>, OsError> {
        let mut answers = self.each(vec![()], move |proc, ()| question(proc))?;
        Ok(answers.pop().unwrap_or(Told::Hidden(Hidden::NoAnswer)))
    }

    /// Asks the same of each of these, one after the other.
    pub(super) fn each<I: Send + 'static, T: Send + 'static>(
        &self,
        items: Vec<I>,
        question: impl Fn(&Proc, I) -> Result<T, OsError> + Send + 'static,
    ) -> Result<Vec<Told<T>>, OsError> {
        let mut answers: Vec<Told<T>> = items.iter().map(|_| Told::Hidden(Hidden::NoAnswer)).collect();
        let now = mono();
        let deadline = now + self.deadline.since(now) / 2;
        let worker = self.proc.try_clone()?;
        let (sender, receiver) = channel();
        let body = move || {
            for (place, item) in items.into_iter().enumerate() {
                if sender.send((place, question(&worker, item))).is_err() {
                    return;
                }
            }
        };
        // Not joined: it may never come back.
        let thread = std::thread::Builder::new().name("vigie-aside".to_owned()).spawn(body);
        thread.map_err(|error| OsError::new("start", "a thread", error))?;
        loop {
            match receiver.recv_timeout(deadline.since(mono())) {
                Ok((place, Ok(answer))) => answers[place] = Told::Known(answer),
                Ok((place, Err(error))) => answers[place] = hidden(error)?,
                Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => return Ok(answers),
            }
        }
    }
}

/// A fact in a fact.
pub(super) fn flat<T>(told: Told<Option<T>>) -> Told<T> {
    match told {
        Told::Known(Some(value)) => Told::Known(value),
        Told::Known(None) | Told::Nothing => Told::Nothing,
        Told::Hidden(why) => Told::Hidden(why),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proc::tests::FakeProc;

    #[test]
    fn what_does_not_come_is_no_answer_and_what_came_before_is_kept() {
        let proc = FakeProc::new(true).open();
        let none = Told::Hidden(Hidden::NoAnswer);
        let first = |patience| {
            let aside = Aside::new(&proc, mono() + patience);
            let (hang, hung) = channel::<()>();
            let hung = std::sync::Mutex::new(hung);
            let answers = aside.each(vec![1, 2, 3], move |_, item| {
                if item == 2 {
                    let _ = hung.lock().unwrap().recv();
                }
                Ok(item)
            });
            let answers = answers.unwrap();
            assert_eq!(answers[1..], [none.clone(), none.clone()]);
            drop(hang);
            answers[0] == Told::Known(1)
        };
        // On a busy machine, even what does not hang takes a while.
        let patience = [50, 500, 5_000, 15_000].map(Duration::from_millis);
        assert!(patience.into_iter().any(first));
        // There is time for another one.
        let aside = Aside::new(&proc, mono() + Duration::from_secs(20));
        assert_eq!(aside.ask(|_| Ok(7)).unwrap(), Told::Known(7));
    }

    #[test]
    fn a_refusal_is_a_value_and_a_fault_is_an_error() {
        let proc = FakeProc::new(true).open();
        let aside = Aside::new(&proc, mono() + Duration::from_secs(20));
        let failing = |errno| aside.ask(move |_| Err::<(), _>(OsError::on_process("ask", 1)(errno)));
        assert!(failing(rustix::io::Errno::ACCESS).unwrap().hidden().is_some());
        assert!(failing(rustix::io::Errno::IO).is_err());
    }
}
