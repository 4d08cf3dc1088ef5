//! The repository's own commands: `cargo xtask COMMAND`.
//!
//! # Theory of operation
//!
//! A command is one module with one function. Cargo, the built programs and Debian's package manager are run as
//! processes; what they print is shown as it comes. Nothing of vigie is linked in, so a command can report that vigie
//! does not compile. `test` is all that CI runs.
//!
//! | module | what it is |
//! |---|---|
//! | [`demo`], [`mod@test`], [`mod@bench`], [`dist`] | the commands |
//! | [`leftovers`] | what processes, sockets, cgroups and mounts are there now that were not there before |
//! | [`dependencies`] | the rules of `deny.toml`, applied to the packages that cargo knows |
//! | [`workspace`], [`process`], [`packages`], [`stopwatch`] | folders, running things, what must be installed, time |

mod bench;
mod demo;
mod dependencies;
mod dist;
mod failure;
mod leftovers;
mod packages;
mod process;
mod stopwatch;
mod test;
mod workspace;

use std::process::ExitCode;

use failure::Failure;
use workspace::Workspace;

const HELP: &str = "\
cargo xtask COMMAND

  demo                          build vigie and run examples/demo in the foreground; Ctrl-C ends it
  test [--quick] [--only NAME]  everything that CI runs; --quick: no chaos, few simulated schedules
  test --list                   the names of the steps
  bench [NAME…]                 measure vigie beside bare floors and its peers; --help lists more
  dist                          release binaries, man pages and completions below target/dist
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let workspace = Workspace::find();
    let result = match arguments.split_first() {
        Some((command, rest)) => match (command.as_str(), rest) {
            ("demo", []) => demo::run(&workspace),
            ("test", rest) => test::Options::parse(rest).and_then(|options| test::run(&workspace, &options)),
            ("bench", rest) => bench::run(&workspace, rest),
            ("dist", []) => dist::run(&workspace),
            ("help" | "--help" | "-h", _) => {
                print!("{HELP}");
                Ok(true)
            }
            _ => Err(Failure::new(format!("`{}` is not a command\n\n{HELP}", arguments.join(" ")))),
        },
        None => Err(Failure::new(format!("which command?\n\n{HELP}"))),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod documents;
