//! All processes of the machine, again and again, by difference.
//!
//! # Theory of operation
//!
//! The first [`Scanner::refresh`] reads every process; each later one lists `/proc` once and compares with the list
//! before. Only who is new is read. Reading a process costs thirty times what its line in the list does, so that a look at
//! a machine where little happens costs little more than the list.
//!
//! **Who is whom.** A number that is given out again is noticed at no cost: the list also holds the inode of each
//! folder. The kernel makes that inode for a process (`struct pid`), not for a number, and counts upwards (`get_next_ino`,
//! 2^32 values): when the process is reaped its folder is dropped from the cache (`proc_flush_pid`), and whoever gets the
//! number gets another inode. An inode that changed though the process lives (the cache was short of memory) only causes
//! a second reading.
//!
//! **What may have changed.** A process that stays the same one may execute another program. It is read again
//! - when the process connector says that it did something of the kind ([`Scanner::attend`], where the kernel lets us);
//! - at the next refresh, as long as it was younger than [`YOUTH`] when it was read: `exec` follows `fork` closely;
//! - when its parent has ended, since another takes its place;
//! - in turns: one of [`TURNS`] at each refresh, when the connector is not there or has lost something.
//!
//! So without the connector this holds: that a process is there, and which one, is always as of the last refresh. Its
//! arguments, name, user and session are as of that too while it is young, and at most [`TURNS`] refreshes old afterwards.
//! Who is about to act upon what a process *is* asks [`Scanner::again`] first; one that signals opens it by its identity
//! ([`crate::pidfd`]) in any case.
//!
//! Where many are to be read at once (a first look), several processors share the work. Built with the feature `bpf`, and
//! for root, the kernel's own iterator over its tasks then tells of all of them (see `bpf` in this crate), in half of
//! the time; what it tells is the same, and where the kernel refuses it `/proc` is read. The feature is off by default: it
//! pays from a thousand processes on, and a program that puts programs into the kernel is noticed, and has to be
//! explained, on machines that are watched.
//!
//! Nothing here can hang: `stat` and `cmdline` are read, which wait for no file system, and links are not followed.
//! A process that vanishes between two reads was not there.

mod ahead;
mod read;

use std::time::Duration;

use vigie_core::identity::ProcKey;

use crate::clock;
use crate::connector::Connector;
use crate::error::OsError;
use crate::proc::{Listed, Proc};
use ahead::Ahead;
pub use read::{ARGUMENTS, COMMAND_LINE, Process};
use read::{Reader, Reading};

/// A process that was younger than this when it was read is read again at the next refresh.
pub const YOUTH: Duration = Duration::from_secs(2);

/// After so many refreshes every process was read again, if the connector does not tell who has to be.
pub const TURNS: usize = 32;

/// What is different from the last look.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// Numbers of processes that were not there before. A number that was given out again is here too.
    pub added: Vec<u32>,
    /// Those that are the same processes and execute something else, belong to another parent, user or session, or have
    /// died without being reaped.
    pub changed: Vec<u32>,
    /// Those that are not there any more.
    pub gone: Vec<ProcKey>,
}

/// A line of the list.
#[derive(Debug)]
struct Known {
    pid: u32,
    inode: u64,
    /// It was read when it was young.
    young: bool,
    /// Something happened to it.
    suspect: bool,
    /// Absent: it is there, and may not be looked at.
    process: Option<Process>,
}

/// The processes of the machine. See the module.
#[derive(Debug)]
pub struct Scanner {
    proc: Proc,
    reader: Reader,
    /// Whom the refresh that goes on has read already.
    ahead: Ahead,
    /// By number, each once.
    known: Vec<Known>,
    /// The list as it was read last; kept for its memory.
    listed: Vec<Listed>,
    connector: Option<Connector>,
    /// Whose turn it is to be read again.
    turn: usize,
    /// Lowest start of those that count as young, for this refresh.
    young_from_ticks: u64,
}

impl Scanner {
    /// Has read nothing yet.
    ///
    /// # Errors
    /// None today; opening what a faster way of reading needs may fail.
    pub fn new(proc: Proc) -> Result<Self, OsError> {
        Ok(Self { ahead: Ahead::default(), ..Self::plain(proc) })
    }

    /// One that reads `/proc` and nothing else, whatever this was built with.
    pub fn plain(proc: Proc) -> Self {
        Self {
            proc,
            reader: Reader::default(),
            ahead: Ahead::plain(),
            known: Vec::new(),
            listed: Vec::new(),
            connector: None,
            turn: 0,
            young_from_ticks: 0,
        }
    }

    /// Where it reads.
    pub fn proc(&self) -> &Proc {
        &self.proc
    }

    /// Lets the process connector tell what happens between two looks; `false` where the kernel does not. For those who
    /// look again and again: every change on the machine then costs a message.
    pub fn attend(&mut self) -> bool {
        self.connector = Connector::open();
        // What happened before it was there was not told.
        self.known.iter_mut().for_each(|known| known.suspect = true);
        self.connector.is_some()
    }

    /// Lets the kernel's own iterator tell of many processes; `false` where it does not let us. By itself a scanner does
    /// that when it has a thousand to read.
    #[cfg(feature = "bpf")]
    pub fn hasten(&mut self) -> bool {
        self.ahead.hasten(&self.proc)
    }

    /// All that can be looked at, in the order of their numbers, as of the last refresh.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.known.iter().filter_map(|known| known.process.as_ref())
    }

    /// Whoever has this number, as of the last refresh.
    pub fn process(&self, pid: u32) -> Option<&Process> {
        self.known[self.place(pid).ok()?].process.as_ref()
    }

    /// How many processes may not be looked at.
    pub fn hidden(&self) -> usize {
        self.known.iter().filter(|known| known.process.is_none()).count()
    }

    /// Reads one process again. `None` when this one is gone, or may not be looked at.
    ///
    /// # Errors
    /// As for [`Scanner::refresh`].
    pub fn again(&mut self, key: &ProcKey) -> Result<Option<&Process>, OsError> {
        let Ok(place) = self.place(key.pid) else { return Ok(None) };
        self.read_again(place, &mut Change::default())?;
        Ok(self.known[place].process.as_ref().filter(|process| process.key == *key))
    }

    /// Looks at the machine.
    ///
    /// # Errors
    /// When `/proc` cannot be listed, or vigie itself is short of files or memory. What one process does is never an error.
    pub fn refresh(&mut self) -> Result<Change, OsError> {
        let mut change = Change::default();
        // What happens from here on is told at the next refresh.
        let told = self.listen();
        self.young_from_ticks = ticks_ago(YOUTH);
        self.listed.clear();
        self.proc.listed(&mut self.listed)?;
        if !self.listed.is_sorted_by_key(|listed| listed.pid) {
            self.listed.sort_unstable_by_key(|listed| listed.pid);
        }
        self.listed.dedup_by_key(|listed| listed.pid);
        self.compare(&mut change);
        let read = self.read_suspects(told, &mut change);
        self.ahead.forget();
        read?;
        self.read_children_of_ended(&mut change)?;
        Ok(change)
    }

    /// Marks whom the connector names. `false` when it does not tell everything.
    fn listen(&mut self) -> bool {
        let Self { connector: Some(connector), known, .. } = self else { return false };
        let heard = connector.drain(|pid| {
            if let Ok(place) = known.binary_search_by_key(&pid, |known| known.pid) {
                known[place].suspect = true;
            }
        });
        match heard {
            Ok(complete) => {
                if !complete {
                    known.iter_mut().for_each(|known| known.suspect = true);
                }
                true
            }
            Err(_) => {
                self.connector = None;
                known.iter_mut().for_each(|known| known.suspect = true);
                false
            }
        }
    }

    /// Brings the list up to date. Who is new is only put there, as suspect.
    fn compare(&mut self, change: &mut Change) {
        let mut listed = self.listed.iter().copied().peekable();
        let mut added = Vec::new();
        let new =
            |listed: Listed| Known { pid: listed.pid, inode: listed.inode, young: false, suspect: true, process: None };
        self.known.retain_mut(|known| {
            while let Some(one) = listed.next_if(|one| one.pid < known.pid) {
                added.push(new(one));
            }
            let Some(one) = listed.next_if(|one| one.pid == known.pid) else {
                change.gone.extend(known.process.take().map(|process| process.key));
                return false;
            };
            if one.inode != known.inode {
                known.inode = one.inode;
                known.suspect = true;
            }
            true
        });
        added.extend(listed.map(new));
        if !added.is_empty() {
            self.known.append(&mut added);
            // Two sorted runs, which the stable sort merges.
            self.known.sort_by_key(|known| known.pid);
        }
    }

    fn read_suspects(&mut self, told: bool, change: &mut Change) -> Result<(), OsError> {
        let turn = self.turn;
        self.turn = (turn + 1) % TURNS;
        let wanted = |known: &Known| {
            let in_turn = !told && known.pid as usize % TURNS == turn;
            known.suspect || known.young || in_turn
        };
        let pids: Vec<u32> = self.known.iter().filter(|known| wanted(known)).map(|known| known.pid).collect();
        self.ahead.read(&self.proc, &pids)?;
        let mut place = 0;
        while let Some(known) = self.known.get(place) {
            if wanted(known) && !self.read_again(place, change)? {
                self.known.remove(place);
            } else {
                place += 1;
            }
        }
        Ok(())
    }

    /// Who has lost a parent has another one now.
    fn read_children_of_ended(&mut self, change: &mut Change) -> Result<(), OsError> {
        if change.gone.is_empty() && change.changed.is_empty() {
            return Ok(());
        }
        let mut ended: Vec<u32> = change.gone.iter().map(|key| key.pid).collect();
        ended.extend(change.changed.iter().filter(|&&pid| self.process(pid).is_some_and(|process| process.zombie)));
        ended.sort_unstable();
        let mut place = 0;
        while let Some(known) = self.known.get(place) {
            let orphan = known.process.as_ref().is_some_and(|process| ended.binary_search(&process.parent).is_ok());
            if orphan && !change.added.contains(&known.pid) && !self.read_again(place, change)? {
                self.known.remove(place);
            } else {
                place += 1;
            }
        }
        Ok(())
    }

    /// Reads the process at this place in the list; `false` when it is gone.
    fn read_again(&mut self, place: usize, change: &mut Change) -> Result<bool, OsError> {
        let known = &mut self.known[place];
        known.suspect = false;
        known.young = false;
        let reading = match self.ahead.take(&self.proc, known.pid) {
            Some(reading) => reading,
            None => self.reader.read(&self.proc, known.pid)?,
        };
        let before = known.process.take();
        let (there, after) = match reading {
            Reading::Read(process, inode) => {
                known.inode = inode.unwrap_or(known.inode);
                known.young = process.started() >= self.young_from_ticks;
                (true, Some(process))
            }
            Reading::Hidden => (true, None),
            Reading::Gone => (false, None),
        };
        match (before, &after) {
            (Some(before), Some(after)) if before.key == after.key => {
                if before != *after && change.changed.last() != Some(&known.pid) {
                    change.changed.push(known.pid);
                }
            }
            (before, after) => {
                change.gone.extend(before.map(|process| process.key));
                change.added.extend(after.as_ref().map(|process| process.key.pid));
            }
        }
        known.process = after;
        Ok(there)
    }

    fn place(&self, pid: u32) -> Result<usize, usize> {
        self.known.binary_search_by_key(&pid, |known| known.pid)
    }
}

/// A moment in clock ticks since boot.
fn ticks_ago(ago: Duration) -> u64 {
    let nanos = u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX);
    clock::mono().0.saturating_sub(nanos) / (1_000_000_000 / rustix::param::clock_ticks_per_second().max(1))
}

#[cfg(test)]
mod tests;
