//! The process that holds one service; see `vigie_keeper`.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == "--version") {
        println!("vigie-keeper {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    vigie_keeper::run()
}
