//! See [`vigie_stuck`].

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    vigie_stuck::run(&args)
}
