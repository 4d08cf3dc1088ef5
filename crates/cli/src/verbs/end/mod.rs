//! `vigie end`: end any process, by identity and with a ladder.

mod act;
mod meant;

use std::io::Write as _;
use std::time::Duration;

use vigie_core::exit_code::ExitCode;
use vigie_core::ladder::{Audience, Deed, Ladder, Rung, Signal};
use vigie_core::target::Target;
use vigie_core::units::Span;

use crate::args::{Confirm, ManifestLong, duration, target};
use crate::failure::{Failure, Verdict};
use crate::out::{Screen, style};
use crate::scene::Scene;
use crate::verbs::stop;
use meant::Meant;

/// End any process, by identity and with a ladder
#[derive(Debug, clap::Args)]
#[command(
    long_about = "End processes, whoever started them, and what those have started: TERM first, KILL when they have not \
        ended after 10s. What will end is shown first, and asked. Each is held by a descriptor from then on, so that a number \
        which is given out again meanwhile is never signalled; it is over when the kernel says so.\n\n\
        port:N means the listeners of a port, never its clients. The main process of a run of vigie stands for the whole \
        run, which is stopped as `vigie stop` does; another process of a run is asked about separately. Refused, with what \
        to do instead: PID 1, this command and where it comes from, threads of the kernel, vigie's own processes, what keeps \
        the machine, a session or containers going, other users' processes, and the dead.\n\n\
        Exit code 5: still alive; 6: KILL is pending and the kernel does not end it; 7: refused, or not permitted; 8: there \
        is no such process any more.",
    after_help = "Examples:\n  \
        vigie end pid:4711\n  \
        vigie end pid:4711 pid:4712 --dry-run\n  \
        vigie end port:8000 --yes --timeout 2s          KILL after two seconds\n  \
        vigie end pid:4711 --upto TERM --timeout 3s     ask it to end, and no more than that"
)]
pub(crate) struct Args {
    /// pid:N, port:N, or a service
    #[arg(value_name = "TARGET", required = true, value_parser = target)]
    pub(crate) targets: Vec<Target>,
    /// The last step that may be taken
    #[arg(long, value_name = "SIGNAL", value_enum, ignore_case = true, default_value = "KILL")]
    pub(crate) upto: Upto,
    /// KILL follows TERM after this; absent: 10s. A run of vigie keeps the ladder of its service
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Span>,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
    #[command(flatten)]
    pub(crate) manifest: ManifestLong,
}

/// How long a process may take to end by itself.
const AFTER_TERM: Duration = Duration::from_secs(10);

/// How long the kernel may take to end it.
const AFTER_KILL: Duration = Duration::from_secs(5);

/// How far a ladder goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Upto {
    /// They are asked to end
    #[value(name = "TERM")]
    Term,
    /// They are ended
    #[value(name = "KILL")]
    Kill,
}

pub(crate) fn run(args: &Args) -> Verdict {
    let mut scene = Scene::new(args.manifest.file.as_deref())?;
    let report = scene.report(false)?;
    let meant = meant::resolve(&args.targets, &report, &scene)?;
    let patience = args.timeout.map_or(AFTER_TERM, |timeout| timeout.0);
    let ladder = ladder(args.upto, patience).map_err(|error| Failure::usage(error.to_string()))?;
    let mut worst = Worst::default();
    worst.note(act::end(&meant, &ladder, args.confirm, &scene))?;
    if !meant.services.is_empty() {
        announce(&meant)?;
        let stopped = stop::stop(&meant.services, args.confirm, None, upto_term(args.upto, patience), &scene);
        worst.note(stopped)?;
    }
    Ok(worst.0.unwrap_or(0))
}

/// The worst that came of several questions; one that was answered with no keeps nobody from asking the next.
#[derive(Default)]
struct Worst(Option<u8>);

impl Worst {
    fn note(&mut self, verdict: Verdict) -> Result<(), Failure> {
        let code = match verdict {
            Ok(code) => code,
            Err(failure) if failure.code() == ExitCode::No => {
                crate::say(&failure);
                ExitCode::No.number()
            }
            Err(failure) => return Err(failure),
        };
        self.0 = Some(self.0.map_or(code, |worst| worst.max(code)));
        Ok(())
    }
}

/// Says that a whole run is meant where a process of it was named.
fn announce(meant: &Meant) -> Result<(), Failure> {
    let screen = Screen::stdout();
    let mut out = std::io::stdout().lock();
    for text in &meant.instead {
        writeln!(out, "{} {text}", screen.paint(style::WARN, "note:"))?;
    }
    Ok(())
}

/// TERM, then KILL, each to the whole tree: all of it was shown, and a child whose parent ends at once, as a shell does,
/// is to be asked as well.
fn ladder(upto: Upto, patience: Duration) -> Result<Ladder, vigie_core::ladder::LadderError> {
    let mut rungs = vec![(Signal::Term, patience)];
    if upto == Upto::Kill {
        rungs.push((Signal::Kill, AFTER_KILL));
    }
    let rung = |(signal, wait)| Rung { deed: Deed::Signal(signal, Audience::Tree), wait };
    Ladder::new(rungs.into_iter().map(rung).collect())
}

/// The ladder for a run; absent: its own.
fn upto_term(upto: Upto, patience: Duration) -> Option<Ladder> {
    match upto {
        Upto::Kill => None,
        Upto::Term => ladder(Upto::Term, patience).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_ends_where_it_is_to_end() {
        let shown = |upto, seconds| -> Vec<String> {
            let ladder = ladder(upto, Duration::from_secs(seconds)).expect("rungs");
            ladder.rungs().iter().map(ToString::to_string).collect()
        };
        assert_eq!(shown(Upto::Kill, 10), ["TERM tree 10s", "KILL 5s"]);
        assert_eq!(shown(Upto::Kill, 2), ["TERM tree 2s", "KILL 5s"]);
        assert_eq!(shown(Upto::Term, 3), ["TERM tree 3s"]);
        assert!(upto_term(Upto::Kill, AFTER_TERM).is_none(), "the run's own");
    }
}
