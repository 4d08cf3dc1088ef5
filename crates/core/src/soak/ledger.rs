//! What was left, over all cycles.

use crate::soak::Leftover;

/// The same thing, left in one cycle or in many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The one that was found first.
    pub first: Leftover,
    /// The cycle in which it was found, from 1.
    pub first_cycle: u32,
    /// In how many cycles.
    pub cycles: u32,
    /// How many in all.
    pub count: u32,
    last_cycle: u32,
}

/// So many cycles in a row are no chance.
const NO_CHANCE: u32 = 10;

impl Entry {
    /// It was there in each of these cycles, and as often in each as in every other. What comes with the cycles comes from
    /// them, whoever made it: a helper, for one, that had ended before anybody saw it.
    pub fn keeps_time(&self, cycles: u32) -> bool {
        cycles >= NO_CHANCE && self.cycles == cycles && self.count.is_multiple_of(cycles)
    }
}

/// What was left, in the order in which it was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger(Vec<Entry>);

impl Ledger {
    /// Writes down what `cycle` left.
    pub fn note(&mut self, cycle: u32, left: Vec<Leftover>) {
        for leftover in left {
            let same = |entry: &&mut Entry| (entry.first.kind, &entry.first.name) == (leftover.kind, &leftover.name);
            match self.0.iter_mut().find(same) {
                Some(entry) => {
                    entry.count += 1;
                    entry.cycles += u32::from(entry.last_cycle != cycle);
                    entry.last_cycle = cycle;
                }
                None => {
                    self.0.push(Entry { first: leftover, first_cycle: cycle, cycles: 1, count: 1, last_cycle: cycle });
                }
            }
        }
    }

    /// Everything.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::Kind;

    #[test]
    fn the_same_thing_is_one_entry() {
        let one = |name: &str, detail: &str| Leftover {
            kind: Kind::Orphan,
            name: name.to_owned(),
            detail: detail.to_owned(),
            remedy: None,
        };
        let mut ledger = Ledger::default();
        ledger.note(1, Vec::new());
        assert_eq!(ledger.entries(), []);
        ledger.note(2, vec![one("a", "PID 1"), one("a", "PID 2"), one("b", "PID 3")]);
        ledger.note(4, vec![one("a", "PID 4")]);
        let told: Vec<_> = ledger
            .entries()
            .iter()
            .map(|entry| (&*entry.first.detail, entry.first_cycle, entry.cycles, entry.count))
            .collect();
        assert_eq!(told, [("PID 1", 2, 2, 3), ("PID 3", 2, 1, 1)]);
    }

    #[test]
    fn what_comes_with_every_cycle_comes_from_it() {
        let entry = |cycles, count| {
            let first = Leftover { kind: Kind::SharedMemory, name: String::new(), detail: String::new(), remedy: None };
            Entry { first, first_cycle: 1, cycles, count, last_cycle: cycles }
        };
        for (case, cycles, count, all, wanted) in [
            ("one in each", 10, 10, 10, true),
            ("two in each", 10, 20, 10, true),
            ("not in all", 9, 9, 10, false),
            ("more in some", 10, 11, 10, false),
            ("too few", 9, 9, 9, false),
            ("none", 0, 0, 0, false),
        ] {
            assert_eq!(entry(cycles, count).keeps_time(all), wanted, "{case}");
        }
    }
}
