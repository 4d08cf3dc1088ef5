//! `vigie man`: pages generated from the arguments.

use std::io::Write as _;
use std::path::PathBuf;

use vigie_core::exit_code::ExitCode;

use crate::failure::{Failure, Verdict};

/// Write man pages
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vigie man | man -l -                    read the main page\n  \
    vigie man ~/.local/share/man/man1       install all pages")]
pub(crate) struct Args {
    /// The folder to write vigie.1, vigie-up.1 and so on into; absent: the main page to standard output
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Verdict {
    let mut command = crate::command();
    command.build();
    let Some(dir) = &args.dir else {
        std::io::stdout().write_all(&page(command)?)?;
        return Ok(0);
    };
    let failed =
        |error: std::io::Error| Failure::io(format_args!("cannot write man pages to {}", dir.display()), &error);
    std::fs::create_dir_all(dir).map_err(failed)?;
    write_all(dir, "vigie", command).map_err(failed)?;
    Ok(0)
}

fn write_all(dir: &std::path::Path, name: &str, command: clap::Command) -> std::io::Result<()> {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = format!("{name}-{}", verb.get_name());
        write_all(dir, &name, verb.clone().name(name.clone()))?;
    }
    std::fs::write(dir.join(format!("{name}.1")), render(command)?)
}

fn page(command: clap::Command) -> Result<Vec<u8>, Failure> {
    render(command).map_err(|error| Failure::new(ExitCode::Internal, format!("cannot make the man page: {error}")))
}

fn render(command: clap::Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page() {
        let dir = tempfile::tempdir().expect("folder");
        run(&Args { dir: Some(dir.path().join("man1")) }).expect("pages");
        for name in ["vigie", "vigie-up", "vigie-run", "vigie-kill-all", "vigie-config-check", "vigie-daemon-stop"] {
            let page = std::fs::read_to_string(dir.path().join("man1").join(format!("{name}.1"))).expect(name);
            assert!(page.contains(".SH NAME"), "{name}");
        }
    }
}
