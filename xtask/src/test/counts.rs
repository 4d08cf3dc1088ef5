//! How many tests passed, failed and were skipped, from what the runners print.

use std::fmt;

/// The sum of some tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// From the summary of cargo-nextest: `Summary [ 1.2s] 5 tests run: 3 passed (1 slow), 1 failed, 1 timed out, 2
    /// skipped`. `None` when there is no summary: it did not compile, or there was nothing to run.
    pub(crate) fn of_nextest(text: &str) -> Option<Self> {
        let line = text.lines().rev().find(|line| line.trim_start().starts_with("Summary ["))?;
        Self::from_words(line.split_once("run:")?.1, ',')
    }

    /// From the lines of libtest, one for each test program: `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    pub(crate) fn of_libtest(text: &str) -> Option<Self> {
        let mut sum: Option<Self> = None;
        for line in text.lines() {
            let Some((_, words)) = line.split_once("test result: ").and_then(|(_, rest)| rest.split_once(". ")) else {
                continue;
            };
            sum.get_or_insert_default().add(Self::from_words(words, ';').unwrap_or_default());
        }
        sum
    }

    /// Pairs of a number and what it counts.
    fn from_words(text: &str, separator: char) -> Option<Self> {
        let mut sum = Self::default();
        let mut depth = 0;
        let plain: String = text
            .chars()
            .filter(|c| {
                depth += i32::from(*c == '(') - i32::from(*c == ')');
                depth == 0 && *c != ')'
            })
            .collect();
        for part in plain.split(separator) {
            let Some((number, what)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what.trim() {
                "passed" => sum.passed += number,
                "skipped" | "ignored" => sum.skipped += number,
                "failed" | "timed out" | "exec failed" => sum.failed += number,
                // Measured and filtered out, of libtest: neither run nor wanted.
                _ => {}
            }
        }
        (!sum.is_empty() || text.contains("0 passed")).then_some(sum)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_nextest() {
        let text = "x\n     Summary [   1.234s] 7/9 tests run: 4 passed (1 slow, 1 leaky), 1 failed, 1 exec failed, 1 timed out, 2 skipped\n";
        assert_eq!(Counts::of_nextest(text), Some(Counts { passed: 4, failed: 3, skipped: 2 }));
        let text = "     Summary [   0.001s] 3 tests run: 3 passed, 0 skipped";
        assert_eq!(Counts::of_nextest(text), Some(Counts { passed: 3, failed: 0, skipped: 0 }));
        assert_eq!(Counts::of_nextest("error: could not compile"), None);
    }

    #[test]
    fn summaries_of_libtest_are_added() {
        let text = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 9 filtered out; finished in 0.00s\n\
                    test result: FAILED. 0 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        assert_eq!(Counts::of_libtest(text), Some(Counts { passed: 3, failed: 2, skipped: 1 }));
        let nothing = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        assert_eq!(Counts::of_libtest(nothing), Some(Counts::default()));
        assert_eq!(Counts::of_libtest("error: could not compile"), None);
    }
}
