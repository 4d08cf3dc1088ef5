//! `cargo xtask test`: everything that CI runs.
//!
//! Every step runs, whatever became of the one before. A step is a check, which counts as one test, or a runner of
//! tests, whose own counts are taken from what it prints. The last line is the sum; above it stands why something was
//! skipped and what failed.
//!
//! A test that cannot run on this machine appends `name: reason` to the file that `VIGIE_SKIPS` names, and returns.

mod counts;
mod steps;

use std::fs;
use std::path::PathBuf;

pub(crate) use counts::Counts;

use crate::failure::{Failure, Verdict};
use crate::leftovers::Snapshot;
use crate::packages;
use crate::stopwatch::Stopwatch;
use crate::workspace::Workspace;
use steps::STEPS;

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    quick: bool,
    only: Option<String>,
    list: bool,
}

impl Options {
    /// Reads the words after `test`.
    ///
    /// # Errors
    /// Unknown words and unknown steps.
    pub(crate) fn parse(words: &[String]) -> Result<Self, Failure> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quick" => options.quick = true,
                "--list" => options.list = true,
                "--only" => {
                    let name = words.next().ok_or_else(|| Failure::new("--only needs the name of a step"))?;
                    if !STEPS.iter().any(|step| step.name == name) {
                        let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
                        return Err(Failure::new(format!("no step is called {name}; there are: {}", names.join(", "))));
                    }
                    options.only = Some(name.clone());
                }
                word => return Err(Failure::new(format!("test does not know {word}"))),
            }
        }
        Ok(options)
    }
}

/// What became of a step.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    counts: Counts,
    /// One line each: why something was skipped.
    skips: Vec<String>,
    /// One line: what is wrong.
    fault: Option<String>,
}

impl Outcome {
    /// A check that is a test of its own.
    fn check(fault: Option<String>) -> Self {
        let counts = Counts { passed: u64::from(fault.is_none()), failed: u64::from(fault.is_some()), skipped: 0 };
        Self { counts, skips: Vec::new(), fault }
    }
}

/// What the steps share.
pub(crate) struct Suite<'a> {
    workspace: &'a Workspace,
    quick: bool,
    /// The temporary folder of all tests: empty at the end.
    temporary: PathBuf,
    /// Where tests say that they cannot run.
    skips: PathBuf,
}

impl Suite<'_> {
    /// Whether something belongs to a home that is not of a test: whoever works on this machine may use vigie, too.
    fn is_foreign(&self, thing: &str) -> bool {
        let own = self.temporary.display().to_string();
        let home = thing.split_once("VIGIE_HOME=").map(|(_, home)| home);
        let socket =
            thing.strip_prefix("open socket ").filter(|path| path.starts_with('/') && !path.starts_with("/proc/"));
        home.or(socket).is_some_and(|place| !place.starts_with(&own))
    }
}

/// Runs the steps, prints the sum.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Verdict {
    if options.list {
        for step in STEPS {
            println!("{:8}{}", step.name, step.what);
        }
        return Ok(true);
    }
    packages::ensure()?;
    packages::ensure_for_tests();
    let whole = Stopwatch::start();
    let folder = std::env::temp_dir().join(format!("vigie-tests.{}", std::process::id()));
    let suite = Suite { workspace, quick: options.quick, temporary: folder.join("t"), skips: folder.join("skips") };
    fs::create_dir_all(&suite.temporary).map_err(Failure::io(format!("cannot make {}", folder.display())))?;
    let before = Snapshot::take(workspace);
    let mut report = Report::default();
    // After which step what was there: whoever left something is among those before it.
    let mut history: Vec<(&str, Snapshot)> = Vec::new();
    for step in STEPS.iter().filter(|step| options.only.as_deref().is_none_or(|only| only == step.name)) {
        println!("\n=== {}: {}", step.name, step.what);
        let watch = Stopwatch::start();
        let outcome = if step.slow && options.quick && options.only.is_none() {
            let skips = vec!["left out by --quick".to_owned()];
            Outcome { counts: Counts { skipped: 1, ..Counts::default() }, skips, fault: None }
        } else {
            (step.run)(&suite).unwrap_or_else(|failure| Outcome::check(Some(failure.to_string())))
        };
        report.add(step.name, watch, outcome);
        history.push((step.name, Snapshot::take(workspace)));
    }
    println!("\n=== left: nothing is left behind");
    let watch = Stopwatch::start();
    let left = before.since(workspace, Some(&suite.temporary), |thing| !suite.is_foreign(thing));
    for thing in &left {
        let first = history.iter().find(|(_, snapshot)| snapshot.has(thing));
        println!("left behind: {thing}{}", first.map(|(step, _)| format!(" (by {step})")).unwrap_or_default());
    }
    if left.is_empty() {
        println!("no process, no socket, no cgroup, no mount, no file is left");
    }
    let fault = (!left.is_empty()).then(|| format!("{} things are left behind", left.len()));
    report.add("left", watch, Outcome::check(fault));
    // What is in it was reported above.
    let _ = fs::remove_dir_all(&folder);
    println!("\nwhole run: {whole}");
    Ok(report.print())
}

#[derive(Default)]
struct Report {
    lines: Vec<String>,
    skips: Vec<String>,
    faults: Vec<String>,
    sum: Counts,
}

impl Report {
    fn add(&mut self, name: &str, watch: Stopwatch, outcome: Outcome) {
        let time = watch.to_string();
        let line = format!("{name:10}{time:>14}   {}", outcome.counts);
        println!("--- {}", line.trim_end());
        self.lines.push(line);
        self.skips.extend(outcome.skips.into_iter().map(|reason| format!("skipped: {name}: {reason}")));
        self.faults.extend(outcome.fault.map(|fault| format!("failed: {name}: {fault}")));
        self.sum.add(outcome.counts);
    }

    /// Whether all is well.
    fn print(&self) -> bool {
        for line in self.lines.iter().chain(&self.skips).chain(&self.faults) {
            println!("{line}");
        }
        println!("{}", self.sum);
        self.sum.failed == 0 && self.faults.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, Failure> {
        Options::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn flags() {
        let options = parse(&["--quick", "--only", "sim"]).expect("known");
        assert_eq!(options, Options { quick: true, only: Some("sim".to_owned()), list: false });
        assert!(parse(&["--only", "nope"]).expect_err("unknown").to_string().contains("fmt"));
        assert!(parse(&["--only"]).is_err());
        assert!(parse(&["--fast"]).is_err());
    }

    #[test]
    fn only_what_surely_is_anothers_is_foreign() {
        let workspace = Workspace::find();
        let suite =
            Suite { workspace: &workspace, quick: true, temporary: "/tmp/s/t".into(), skips: "/tmp/s/k".into() };
        assert!(suite.is_foreign("process 7: vigie daemon run (VIGIE_HOME=/home/ana/v)"));
        assert!(suite.is_foreign("open socket /run/vigie/daemon.sock"));
        assert!(!suite.is_foreign("process 7: sleep 5 (VIGIE_RUN=1)"));
        assert!(!suite.is_foreign("process 7: vigie (VIGIE_HOME=/tmp/s/t/a)"));
        assert!(!suite.is_foreign("open socket /tmp/s/t/a/run/daemon.sock"));
        assert!(!suite.is_foreign("open socket /proc/self/fd/7/control.sock"));
        assert!(!suite.is_foreign("cgroup /sys/fs/cgroup/vigie-1"));
    }

    #[test]
    fn a_failed_check_is_counted_and_named() {
        let mut report = Report::default();
        report.add("a", Stopwatch::start(), Outcome::check(None));
        report.add("b", Stopwatch::start(), Outcome::check(Some("broken".to_owned())));
        assert_eq!(report.sum.to_string(), "1 passed, 1 failed, 0 skipped");
        assert_eq!(report.faults, ["failed: b: broken"]);
        assert!(!report.print());
    }
}
