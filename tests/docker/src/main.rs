//! The fake engine by hand: `cargo run -p vigie-fake-engine -- --socket /tmp/e.sock --script FILE`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use vigie_fake_engine::script::Script;
use vigie_fake_engine::{FakeEngine, Faults};

const HELP: &str = "\
usage: vigie-fake-engine --socket PATH [--script FILE]

Listens at PATH, does what the script says, and goes on serving until it is ended.
Without a script: an engine of version 1.41 without containers. The language of
scripts is described in tests/docker/README.md.
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let (mut socket, mut script) = (None, None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--socket" => socket = args.next().map(PathBuf::from),
            "--script" => script = args.next().map(PathBuf::from),
            "--help" => {
                print!("{HELP}");
                return Ok(());
            }
            _ => return Err(format!("{arg:?} is not understood\n\n{HELP}")),
        }
    }
    let socket = socket.ok_or(format!("no --socket\n\n{HELP}"))?;
    let script = match script {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            Some(Script::parse(&text).map_err(|mistake| format!("{}: {mistake}", path.display()))?)
        }
    };
    let engine = FakeEngine::at(&socket, Faults::default())
        .map_err(|error| format!("cannot listen at {}: {error}; is it there already?", socket.display()))?;
    println!("{}", engine.endpoint());
    if let Some(script) = script {
        script.run(&engine, std::thread::park_timeout);
        println!("the script is over");
    }
    loop {
        std::thread::park_timeout(Duration::from_secs(3600));
    }
}
