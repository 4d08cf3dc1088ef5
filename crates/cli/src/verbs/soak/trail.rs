//! What the journal tells of a cycle.

use std::time::Duration;

use vigie_core::journal::{Entry, What, describe};
use vigie_core::soak::{Kind, Leftover};
use vigie_os::clock::mono;
use vigie_os::place::Place;
use vigie_os::poll::PollSet;
use vigie_store::journal::{Query, Reader, SubjectFilter};

use crate::failure::Failure;

/// How long the last entry of a run may take to be in the journal.
const PATIENCE: Duration = Duration::from_secs(5);

const PAUSE: Duration = Duration::from_millis(2);

/// Reads on from where it was.
pub(super) struct Trail {
    reader: Reader,
    query: Query,
}

impl Trail {
    /// From now on, about one service.
    pub(super) fn new(place: &Place, about: SubjectFilter) -> Result<Self, Failure> {
        let reader = Reader::open(&place.state)?;
        let after = reader.last_seq()?;
        Ok(Self { reader, query: Query { after, subjects: vec![about], ..Query::default() } })
    }

    /// The entries of a cycle, once the one that says that nothing is left is among them. `false`: it did not come.
    pub(super) fn cycle(&mut self) -> Result<(Vec<Entry>, bool), Failure> {
        let deadline = mono() + PATIENCE;
        let mut all = Vec::new();
        loop {
            let found = self.reader.read(&self.query)?;
            self.query.after = found.last().map_or(self.query.after, |last| last.seq);
            all.extend(found.into_iter().map(|stored| stored.entry));
            let over = all.iter().rev().find_map(|entry: &Entry| match entry.what {
                What::Empty { .. } => Some(true),
                What::Started { .. } => Some(false),
                _ => None,
            });
            if over == Some(true) || mono() >= deadline {
                return Ok((all, over == Some(true)));
            }
            // A signal only makes it shorter.
            let _ = PollSet::default().wait(Some(PAUSE));
        }
    }
}

/// Processes that outlived their main process. `others`: those that were seen beside it, for their numbers.
pub(super) fn orphans(entries: &[Entry], mut others: Vec<(u32, String)>) -> Vec<Leftover> {
    let mut left = Vec::new();
    for entry in entries {
        let What::Orphans { count, names } = &entry.what else { continue };
        for name in names {
            let number = others.iter().position(|(_, other)| other == name).map(|place| others.swap_remove(place).0);
            let number = number.map(|pid| format!(" (PID {pid})")).unwrap_or_default();
            left.push(orphan(
                name,
                format!("{name}{number} was alive when the main process had ended; vigie ended it"),
            ));
        }
        let unnamed = (*count as usize).saturating_sub(names.len());
        left.extend((0..unnamed).map(|_| orphan("another one", "there were more than are named".to_owned())));
    }
    left
}

fn orphan(name: &str, detail: String) -> Leftover {
    Leftover { kind: Kind::Orphan, name: name.to_owned(), detail, remedy: None }
}

/// That it ended before anybody asked for it.
pub(super) fn ended_early(entries: &[Entry]) -> Option<String> {
    let asked = entries.iter().position(|entry| matches!(entry.what, What::WantedDown { .. }));
    let before = &entries[..asked.unwrap_or(entries.len())];
    let exited = before.iter().find(|entry| matches!(entry.what, What::Exited { .. }))?;
    Some(format!("it ended by itself: {}", describe(exited)))
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::clock::Wall;
    use vigie_core::exit::Exit;
    use vigie_core::journal::Subject;

    fn entries(all: Vec<What>) -> Vec<Entry> {
        all.into_iter().map(|what| Entry::new(Wall(0), Subject::Daemon, None, what)).collect()
    }

    #[test]
    fn an_orphan_has_its_number_where_it_was_seen() {
        let names = vec!["worker".to_owned(), "worker".to_owned(), "late".to_owned()];
        let all = entries(vec![What::Locked, What::Orphans { count: 4, names }]);
        let left = orphans(&all, vec![(7, "worker".to_owned()), (8, "other".to_owned())]);
        let told: Vec<_> = left.iter().map(|left| (&*left.name, left.detail.contains("PID 7"))).collect();
        assert_eq!(told, [("worker", true), ("worker", false), ("late", false), ("another one", false)]);
        assert_eq!(orphans(&entries(vec![What::Locked]), Vec::new()), []);
    }

    #[test]
    fn an_end_that_nobody_asked_for() {
        let exited = || What::Exited { exit: Exit::Code(7), ran: None };
        let down = || What::WantedDown { by: "somebody".to_owned() };
        assert_eq!(ended_early(&entries(vec![What::Locked, down(), exited()])), None);
        assert_eq!(ended_early(&entries(vec![What::Locked])), None);
        let why = ended_early(&entries(vec![exited(), down()]));
        assert_eq!(why.as_deref(), Some("it ended by itself: exited with code 7"));
    }
}
