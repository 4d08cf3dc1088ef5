//! Fills the database and ends.

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    vigie_demo::finish(seed())
}

fn seed() -> io::Result<ExitCode> {
    let mut db = vigie_demo::Db::connect(vigie_demo::address("--db")?)?;
    let values = [("greeting", "hello from the demo"), ("island", "Ouessant"), ("lighthouse", "Phare du Créac'h")];
    for (key, value) in values {
        db.set(key, value)?;
    }
    println!("{} values written", values.len());
    Ok(ExitCode::SUCCESS)
}
