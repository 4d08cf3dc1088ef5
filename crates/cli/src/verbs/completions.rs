//! `vigie completions`: for bash, zsh and fish, generated from the arguments.

use std::io::Write as _;

use clap_complete::Shell;

use crate::failure::Verdict;

/// Write completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vigie completions bash > ~/.local/share/bash-completion/completions/vigie\n  \
    vigie completions zsh > \"${fpath[1]}/_vigie\"\n  \
    vigie completions fish > ~/.config/fish/completions/vigie.fish")]
pub(crate) struct Args {
    /// The shell
    shell: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Bash,
    Zsh,
    Fish,
}

pub(crate) fn run(args: &Args) -> Verdict {
    let shell = match args.shell {
        Kind::Bash => Shell::Bash,
        Kind::Zsh => Shell::Zsh,
        Kind::Fish => Shell::Fish,
    };
    // Into memory first: the generator does not bear a reader that goes away.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::command(), "vigie", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(0)
}
