//! The logs of several services as one, by time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use vigie_core::clock::Wall;

use super::{Item, Lines};
use crate::error::Error;

/// A cursor over several logs. Each keeps its own order; among them, the earliest goes first.
pub struct Merged {
    sources: Vec<Source>,
    /// Those that stand on something, by its time.
    ready: BinaryHeap<Reverse<(Wall, usize)>>,
    /// Those that had nothing when they were last asked.
    idle: Vec<usize>,
    current: Option<usize>,
}

struct Source {
    lines: Lines,
    /// The time of what it stands on; of what came before when that has none.
    at: Wall,
}

/// One of the logs cannot be read any more. The others go on.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Failed {
    /// Which, by its place in what [`Merged::new`] got.
    pub source_number: usize,
    /// Why.
    #[source]
    pub error: Error,
}

impl Merged {
    /// Merges these.
    pub fn new(lines: Vec<Lines>) -> Self {
        let idle = (0..lines.len()).rev().collect();
        let sources = lines.into_iter().map(|lines| Source { lines, at: Wall(0) }).collect();
        Self { sources, ready: BinaryHeap::new(), idle, current: None }
    }

    /// [`Lines::finish`] for all.
    pub fn finish(&mut self) {
        for source in &mut self.sources {
            source.lines.finish();
        }
    }

    /// Goes on to the next item. The number of its source; `None` when no log has more now.
    ///
    /// # Errors
    /// [`Failed`]: calling it again goes on with the others.
    pub fn advance(&mut self) -> Result<Option<usize>, Failed> {
        if let Some(number) = self.current.take() {
            self.ask(number)?;
        }
        // Those at their end are asked again when all others are there too: what they get is newer than what is left.
        if self.ready.is_empty() {
            let mut idle = std::mem::take(&mut self.idle);
            while let Some(number) = idle.pop() {
                if let Err(failed) = self.ask(number) {
                    self.idle.append(&mut idle);
                    return Err(failed);
                }
            }
        }
        self.current = self.ready.pop().map(|Reverse((_, number))| number);
        Ok(self.current)
    }

    /// What it stands on.
    pub fn item(&self) -> Option<Item<'_>> {
        self.sources[self.current?].lines.item()
    }

    fn ask(&mut self, number: usize) -> Result<(), Failed> {
        let source = &mut self.sources[number];
        match source.lines.advance() {
            Ok(true) => {
                source.at = source.lines.item().and_then(|item| item.at()).unwrap_or(source.at);
                self.ready.push(Reverse((source.at, number)));
                Ok(())
            }
            Ok(false) => {
                self.idle.push(number);
                Ok(())
            }
            Err(error) => Err(Failed { source_number: number, error }),
        }
    }
}
