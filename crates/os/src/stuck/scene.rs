//! What the looks at the threads of one process have in common.

use std::cell::OnceCell;

use vigie_core::clock::Now;
use vigie_core::text::OsText;
use vigie_core::why::facts::{Process, Told};

use super::aside::{Aside, flat};
use super::descriptors::Holders;
use super::mountinfo::{self, Line};
use super::task::out_of_sight;
use crate::ancestry::{hidden, seen};
use crate::error::OsError;
use crate::proc::Proc;

pub(super) struct Scene<'a> {
    pub(super) proc: &'a Proc,
    pub(super) pid: u32,
    pub(super) at: Now,
    pub(super) aside: &'a Aside<'a>,
    mounts: OnceCell<Vec<Line>>,
}

impl<'a> Scene<'a> {
    pub(super) fn new(proc: &'a Proc, pid: u32, at: Now, aside: &'a Aside<'a>) -> Self {
        Self { proc, pid, at, aside, mounts: OnceCell::new() }
    }

    /// The mounts that the process sees; none when they cannot be seen.
    pub(super) fn mounts(&self) -> Result<&[Line], OsError> {
        if self.mounts.get().is_none() {
            let _ = self.mounts.set(self.read_mounts()?);
        }
        Ok(self.mounts.get().map(Vec::as_slice).unwrap_or_default())
    }

    /// By the first thread that has any: one that has ended has none, and the kernel says `EINVAL`
    /// (`mounts_open_common`, fs/proc_namespace.c).
    fn read_mounts(&self) -> Result<Vec<Line>, OsError> {
        let mut threads = Vec::new();
        self.proc.tasks(self.pid, &mut threads)?;
        threads.sort_by_key(|tid| (*tid != self.pid, *tid));
        for tid in threads {
            match self.file(format!("task/{tid}/mountinfo")) {
                Ok(text) => return Ok(text.known().map(|text| mountinfo::parse(text)).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Vec::new())
    }

    /// A file of the process that may let its reader wait.
    pub(super) fn file(&self, file: String) -> Result<Told<Vec<u8>>, OsError> {
        let pid = self.pid;
        let read = move |proc: &Proc| {
            let mut buffer = Vec::new();
            Ok(proc.read(pid, &file, &mut buffer)?.map(<[u8]>::to_vec))
        };
        self.aside.ask(read).map(flat)
    }

    /// The text of a link of the process.
    pub(super) fn link(&self, file: &str) -> Result<Told<OsText>, OsError> {
        match self.proc.link(self.pid, file) {
            Ok(Some(path)) => Ok(Told::Known(path.into())),
            Ok(None) => Ok(Told::Nothing),
            Err(error) => hidden(error),
        }
    }

    /// Who these are, as far as they live still. Hidden: nobody was found, and not everybody could be looked at.
    pub(super) fn people<T>(&self, holders: &Told<Holders<T>>) -> Result<Told<Vec<Process>>, OsError> {
        match holders {
            Told::Known(holders) => {
                let found = self.processes(holders.found.iter().map(|(pid, _)| *pid))?;
                let blind = found.is_empty() && !holders.hidden.is_empty();
                Ok(if blind { Told::Hidden(out_of_sight()) } else { Told::Known(found) })
            }
            Told::Nothing => Ok(Told::Nothing),
            Told::Hidden(why) => Ok(Told::Hidden(*why)),
        }
    }

    /// Who have these numbers.
    pub(super) fn processes(&self, pids: impl IntoIterator<Item = u32>) -> Result<Vec<Process>, OsError> {
        pids.into_iter().filter_map(|pid| seen(self.proc, pid, self.at).transpose()).collect()
    }
}
