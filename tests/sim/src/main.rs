//! `vigie-sim [--schedules N] [--from SEED] [--seed SEED]`: runs schedules, prints the trace of the first that fails.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    if let Some(seed) = number("--seed") {
        return report(vigie_sim::run(seed).map(|summary| (1, summary)));
    }
    let (from, count) = (number("--from").unwrap_or(0), number("--schedules").unwrap_or(100_000));
    report(vigie_sim::many(from, count))
}

fn report(result: Result<(u64, vigie_sim::Summary), Box<vigie_sim::Failure>>) -> ExitCode {
    match result {
        Ok((schedules, summary)) => {
            println!(
                "{schedules} schedules, {} happenings, {} faults, {} ghosts: all invariants held",
                summary.happenings, summary.faults, summary.ghosts
            );
            ExitCode::SUCCESS
        }
        Err(failure) => {
            for line in &failure.trace {
                println!("{line}");
            }
            println!("seed {}: {}", failure.seed, failure.violation);
            println!("again with: cargo run --release -p vigie-sim -- --seed {}", failure.seed);
            println!("keep it: add the seed to tests/sim/cases.txt");
            ExitCode::FAILURE
        }
    }
}
