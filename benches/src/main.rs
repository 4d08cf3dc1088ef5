//! Measures vigie: as ratios to a bare floor in the same run, beside its peers, against the budgets that it has.
//!
//! # Theory of operation
//!
//! `cargo xtask bench` builds the programs and starts this one. A measurement ([`measures`]) is one function that gives a
//! [`page::Page`]; the pages are shown, kept below `target/bench/results`, and put together as `docs/benchmarks.md`
//! ([`document`]). Nothing fails because something is slow: a budget is met or not met, and the page says which.
//!
//! - vigie and its peers are driven through one trait ([`supervisors::Supervisor`]), each time in an [`site::Arena`]: a
//!   folder and a mark in the environment of everything that is started there. What bears the mark is counted, and is
//!   ended when the arena is dropped; nothing else is ever signalled.
//! - The floor and its subject take turns within one run, so that a machine that slows down slows both.
//! - Services tell by themselves when they run ([`rollcall`]) and when their output was read (`emit`), so that no polling
//!   disturbs what is measured.

mod cgroups;
mod command;
mod crowd;
mod document;
mod engine;
mod failure;
mod floor;
mod machine;
mod measures;
mod page;
mod peers;
mod pour;
mod procs;
mod rollcall;
mod samples;
mod site;
mod supervisors;
mod time;
mod tmpfs;

use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

use failure::{Failure, Result};
use site::Site;
use supervisors::Peer;

const HELP: &str = "\
cargo xtask bench [--install-peers] [--quick] [NAME…]

  --install-peers  fetch the peers into target/peers first (as root)
  --quick          few repetitions, short windows
  --publish        measure nothing, write docs/benchmarks.md from the results that are kept
";

/// What the command line asks for.
struct Options {
    root: PathBuf,
    binaries: PathBuf,
    install: bool,
    quick: bool,
    publish: bool,
    names: Vec<String>,
}

impl Options {
    /// `ROOT BINARIES` come from `cargo xtask bench`, the rest from its user.
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let (Some(root), Some(binaries)) = (args.next(), args.next()) else {
            return Err(Failure::new(format!("it is started by\n\n{HELP}")));
        };
        let mut options = Self {
            root: root.into(),
            binaries: binaries.into(),
            install: false,
            quick: false,
            publish: false,
            names: Vec::new(),
        };
        for arg in args {
            match arg.as_str() {
                "--help" => return Err(Failure::new(format!("{HELP}\n{}", list()))),
                "--install-peers" => options.install = true,
                "--quick" => options.quick = true,
                "--publish" => options.publish = true,
                name if measures::ALL.iter().any(|(known, ..)| *known == name) => options.names.push(arg),
                _ => return Err(Failure::new(format!("`{arg}` is not a measurement\n\n{HELP}\n{}", list()))),
            }
        }
        Ok(options)
    }
}

fn list() -> String {
    measures::ALL.iter().map(|(name, what, _)| format!("  {name:<10} {what}\n")).collect()
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// `false`: a measurement could not be made, and that was said.
fn run() -> Result<bool> {
    let options = Options::parse(std::env::args().skip(1))?;
    let site = Rc::new(Site::new(&options.root, &options.binaries, options.quick)?);
    // Two at once would measure each other, and take each other's keepers for their own.
    let lock = options.root.join("target/bench/lock");
    let _alone = vigie_os::lock::Lock::take(&lock)?
        .ok_or_else(|| Failure::new(format!("{}: another benchmark runs", lock.display())))?;
    if options.install {
        peers::install(&site)?;
    }
    let (peers, mut missing) = Peer::find(&site);
    missing.extend(supervisors::ABSENT.iter().map(|(names, why)| format!("{names}: {why}")));
    for reason in &missing {
        println!("without {reason}");
    }
    let mut complete = true;
    let chosen =
        |name: &str| !options.publish && (options.names.is_empty() || options.names.iter().any(|one| one == name));
    for (name, what, measure) in measures::ALL.iter().filter(|(name, ..)| chosen(name)) {
        println!("\n# {name}: {what}\n");
        match measure(&site, &peers) {
            Ok(page) => {
                let measured = document::measured(&site);
                println!("{}", page.markdown(&measured));
                document::keep(&site, name, &measured, &page)?;
            }
            Err(failure) => {
                eprintln!("error: {name}: {failure}");
                complete = false;
            }
        }
    }
    println!("{}", document::publish(&site, &missing)?.display());
    Ok(complete)
}
