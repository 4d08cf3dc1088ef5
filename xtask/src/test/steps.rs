//! The steps of `cargo xtask test`, in their order: what fails fast comes first.

use std::fs;
use std::process::Command;

use super::{Counts, Outcome, Suite};
use crate::failure::Failure;
use crate::{dependencies, packages, process};

/// One of them.
pub(super) struct Step {
    /// For `--only`.
    pub(super) name: &'static str,
    /// In a few words.
    pub(super) what: &'static str,
    /// Left out by `--quick`.
    pub(super) slow: bool,
    pub(super) run: fn(&Suite<'_>) -> Result<Outcome, Failure>,
}

/// All of them.
pub(super) const STEPS: &[Step] = &[
    Step { name: "fmt", what: "the code is formatted", slow: false, run: fmt },
    Step { name: "deps", what: "dependencies keep to deny.toml", slow: false, run: deps },
    Step { name: "clippy", what: "no warning of compiler or linter", slow: false, run: clippy },
    Step { name: "doc", what: "the documentation builds without a warning", slow: false, run: doc },
    Step { name: "unit", what: "tests beside the code", slow: false, run: unit },
    Step { name: "doctest", what: "examples in the documentation", slow: false, run: doctest },
    Step { name: "sim", what: "the simulated world", slow: false, run: sim },
    Step { name: "real", what: "real processes", slow: false, run: real },
    Step { name: "stuck", what: "every way to be stuck", slow: false, run: stuck },
    Step { name: "chaos", what: "daemon and keepers killed at random", slow: true, run: chaos },
];

/// The package of the tests with real processes, and the one of them that takes minutes.
const REAL: &str = "vigie-real-tests";
const CHAOS: &str = "chaos";

/// The package that makes stuck processes, with all its tests.
const STUCK: &str = "vigie-stuck";

fn fmt(suite: &Suite<'_>) -> Result<Outcome, Failure> {
    check(suite.workspace.cargo(&["fmt", "--all", "--check"]), "run cargo fmt --all")
}

fn deps(suite: &Suite<'_>) -> Result<Outcome, Failure> {
    let faults = dependencies::check(suite.workspace)?;
    for fault in &faults {
        println!("{fault}");
    }
    let mut outcome = Outcome::check(faults.first().map(|_| format!("{} faults, see above", faults.len())));
    if packages::on_path("cargo-deny") {
        // A second opinion. Advisories need the network: they are looked at when dependencies change (CONTRIBUTING.md).
        let second = suite.workspace.cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"]);
        let second = check(second, "cargo deny found faults")?;
        outcome.counts.add(second.counts);
        outcome.fault = outcome.fault.or(second.fault);
    }
    Ok(outcome)
}

fn clippy(suite: &Suite<'_>) -> Result<Outcome, Failure> {
    let arguments = ["clippy", "--locked", "--workspace", "--all-targets", "--keep-going", "--", "-D", "warnings"];
    check(suite.workspace.cargo(&arguments), "clippy has something to say")
}

fn doc(suite: &Suite<'_>) -> Result<Outcome, Failure> {
    // With private items: the crates explain how they work by their modules, most of which are private.
    let arguments = ["doc", "--locked", "--workspace", "--no-deps", "--document-private-items", "--keep-going"];
    let mut command = suite.workspace.cargo(&arguments);
    command.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links");
    check(command, "rustdoc has something to say")
}

fn unit(suite: &Suite<'_>) -> Result<Outcome, Failure> {
    tests(suite, &["--workspace", "--exclude", REAL, "--exclude", STUCK])
}

fn doctest(suite: &Suite<'_>) -> Result<Outcome, Failure> {
    runner(suite, suite.workspace.cargo(&["test", "--locked", "--workspace", "--doc"]), Counts::of_libtest)
}

fn sim(suite: &Suite<'_>) -> Result<Outcome, Failure> {
    let schedules = if suite.quick { "2000" } else { "100000" };
    let arguments = ["run", "--locked", "--release", "-p", "vigie-sim", "--", "--schedules", schedules];
    check(suite.workspace.cargo(&arguments), "a schedule broke an invariant; its trace is above")
}

fn real(suite: &Suite<'_>) -> Result<Outcome, Failure> {
    let names = chapters(suite)?;
    // What they share has tests of its own.
    of_real(suite, &["--lib"], names.iter().map(String::as_str).filter(|name| *name != CHAOS))
}

fn chaos(suite: &Suite<'_>) -> Result<Outcome, Failure> {
    of_real(suite, &[], [CHAOS].into_iter())
}

/// As ordinary users these tests say of most states why they cannot be made.
fn stuck(suite: &Suite<'_>) -> Result<Outcome, Failure> {
    with_programs(suite, &["-p", STUCK])
}

/// The test programs of `tests/real`, by name.
fn chapters(suite: &Suite<'_>) -> Result<Vec<String>, Failure> {
    let dir = suite.workspace.root.join("tests/real/tests");
    let entries = fs::read_dir(&dir).map_err(Failure::io(format!("cannot read {}", dir.display())))?;
    let name = |path: std::path::PathBuf| {
        let is_test = path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").exists();
        is_test.then(|| path.file_stem().map(|stem| stem.to_string_lossy().into_owned())).flatten()
    };
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| name(entry.path())).collect();
    names.sort();
    Ok(names)
}

fn of_real<'n>(suite: &Suite<'_>, more: &[&'n str], names: impl Iterator<Item = &'n str>) -> Result<Outcome, Failure> {
    let mut arguments = [&["-p", REAL], more].concat();
    for name in names {
        arguments.extend(["--test", name]);
    }
    with_programs(suite, &arguments)
}

/// Tests that need the programs that they start.
fn with_programs(suite: &Suite<'_>, arguments: &[&str]) -> Result<Outcome, Failure> {
    let programs = ["vigie", "vigie-demo", "vigie-hostile", STUCK].map(|package| ["-p", package]).concat();
    let build = [&["build", "--locked", "--bins"][..], &programs].concat();
    if !process::run(suite.workspace.cargo(&build))?.status.success() {
        return Ok(Outcome::check(Some("the programs do not build".to_owned())));
    }
    tests(suite, arguments)
}

fn check(command: Command, fault: &str) -> Result<Outcome, Failure> {
    let finished = process::run(command)?;
    Ok(Outcome::check((!finished.status.success()).then(|| fault.to_owned())))
}

/// With cargo-nextest where it is installed: every test is a process, and one that hangs is ended.
fn tests(suite: &Suite<'_>, arguments: &[&str]) -> Result<Outcome, Failure> {
    if packages::on_path("cargo-nextest") {
        let first = ["nextest", "run", "--locked", "--no-fail-fast"];
        runner(suite, suite.workspace.cargo(&[&first[..], arguments].concat()), Counts::of_nextest)
    } else {
        let first = ["test", "--locked", "--no-fail-fast"];
        // `--doc` is a step of its own.
        let targets: &[&str] = if arguments.contains(&"--test") { &[] } else { &["--lib", "--bins", "--tests"] };
        runner(suite, suite.workspace.cargo(&[&first[..], arguments, targets].concat()), Counts::of_libtest)
    }
}

fn runner(suite: &Suite<'_>, mut command: Command, count: fn(&str) -> Option<Counts>) -> Result<Outcome, Failure> {
    // Left from the step before, or not there.
    let _ = fs::remove_file(&suite.skips);
    command.env("TMPDIR", &suite.temporary).env("VIGIE_SKIPS", &suite.skips);
    command.env("VIGIE_BIN_DIR", suite.workspace.binaries("debug"));
    let finished = process::run(command)?;
    let Some(counts) = count(&finished.text) else {
        return Ok(Outcome::check(Some("no test ran: it does not compile, or there is none".to_owned())));
    };
    let reasons = fs::read_to_string(&suite.skips).unwrap_or_default();
    Ok(judge(counts, &reasons, finished.status.success()))
}

/// Puts together what a runner counted, what its tests said they could not do, and how it ended.
fn judge(mut counts: Counts, reasons: &str, success: bool) -> Outcome {
    let mut skips: Vec<String> = reasons.lines().map(str::to_owned).collect();
    // For the runner, a test that gave a reason and returned has passed.
    let told = u64::try_from(skips.len()).unwrap_or(u64::MAX).min(counts.passed);
    counts.passed -= told;
    if counts.skipped > 0 {
        skips.push(format!("{} tests are marked #[ignore] in the code", counts.skipped));
    }
    counts.skipped += told;
    let mut fault = (counts.failed > 0).then(|| format!("{} tests", counts.failed));
    if !success && counts.failed == 0 {
        counts.failed = 1;
        fault = Some("the runner failed, though no test did; see above".to_owned());
    }
    Outcome { counts, skips, fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_turns_passed_into_skipped() {
        let counts = Counts { passed: 3, failed: 0, skipped: 1 };
        let outcome = judge(counts, "needs root: no cgroup\n", true);
        assert_eq!(outcome.counts, Counts { passed: 2, failed: 0, skipped: 2 });
        assert_eq!(outcome.skips, ["needs root: no cgroup", "1 tests are marked #[ignore] in the code"]);
        assert!(outcome.fault.is_none());
    }

    #[test]
    fn a_runner_that_fails_without_a_failed_test_is_a_failure() {
        let outcome = judge(Counts { passed: 3, ..Counts::default() }, "", false);
        assert_eq!(outcome.counts.failed, 1);
        assert!(outcome.fault.is_some());
    }
}
