//! What is to become of what is in the way: asked once, for all of it.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use vigie_core::exit_code::ExitCode;

use super::{Clash, GoOn, Starter, Wanted, Way, Whose, free_hint};
use crate::failure::Failure;
use crate::out::Screen;
use crate::plan::Plan;
use crate::scene::Scene;

/// How many processes below one that is in the way are listed.
const LISTED: usize = 8;

/// The way that was chosen, by flag or at the terminal.
///
/// # Errors
/// Exit code 3 when there is nobody to ask, or the answer is no.
pub(super) fn decide(
    clashes: &[Clash],
    wanted: &[Wanted],
    way: Option<Way>,
    starter: Starter,
    scene: &Scene,
) -> Result<Way, Failure> {
    if let Some(way) = way {
        if way == Way::Replace {
            // What is about to end is shown, whoever has decided it.
            show(clashes, wanted, scene)?;
        }
        return Ok(way);
    }
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Err(refused(clashes, wanted, starter));
    }
    show(clashes, wanted, scene)?;
    let offers = Offers::of(clashes, wanted, starter);
    let mut terminal = std::io::stderr();
    write!(terminal, "{} ", offers.question())?;
    terminal.flush()?;
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if read.map_err(|error| Failure::io("cannot ask at the terminal", &error))? == 0 {
        // Ctrl-D: the cursor still stands behind the question.
        writeln!(terminal)?;
    }
    offers.chosen(&answer)
}

/// What can be chosen.
#[derive(Debug, Clone, Copy)]
struct Offers {
    replace: bool,
    adopt: bool,
}

impl Offers {
    fn of(clashes: &[Clash], wanted: &[Wanted], starter: Starter) -> Self {
        let can_end = |clash: &Clash| matches!(clash.whose, Whose::Nobodys | Whose::Run(..));
        Self {
            replace: clashes.iter().all(can_end),
            adopt: starter == Starter::Daemon && adopt(clashes, wanted).is_ok(),
        }
    }

    fn question(self) -> String {
        let mut text = String::new();
        if self.replace {
            text.push_str("  1  stop them and start\n");
        }
        if self.adopt {
            text.push_str("  2  adopt: they become the services' runs\n");
        }
        text.push_str("  3  cancel\nWhich? [3]");
        text
    }

    fn chosen(self, answer: &str) -> Result<Way, Failure> {
        match answer.trim() {
            "1" if self.replace => Ok(Way::Replace),
            "2" if self.adopt => Ok(Way::Adopt),
            _ => Err(Failure::new(ExitCode::AlreadyRunning, "cancelled; nothing was done")),
        }
    }
}

/// The evidence: who it is, and why it is meant.
fn show(clashes: &[Clash], wanted: &[Wanted], scene: &Scene) -> Result<(), Failure> {
    let mut plan = Plan::default();
    for clash in clashes {
        let Some(process) = &clash.process else { continue };
        let label = &wanted[clash.of].label;
        plan.push(process.pid, format!("{label}: {}", clash.why()), &scene.proc)?;
        for below in clash.tree.iter().take(LISTED) {
            plan.push(below.pid, format!("{label}: started by PID {}", process.pid), &scene.proc)?;
        }
    }
    let screen = Screen::stderr();
    if screen.terminal {
        plan.measure(&scene.proc);
    }
    if !plan.is_empty() {
        eprint!("{}", plan.render(screen, vigie_os::clock::now().wall));
    }
    for clash in clashes.iter().filter(|clash| clash.process.is_none()) {
        eprintln!("{}", clash.line(wanted));
    }
    Ok(())
}

/// Nobody decided: exit 3, with everything that was found.
fn refused(clashes: &[Clash], wanted: &[Wanted], starter: Starter) -> Failure {
    let lines: Vec<String> = clashes.iter().map(|clash| clash.line(wanted)).collect();
    let flags = match starter {
        Starter::Daemon => "--replace ends what is in the way, --adopt takes a copy over, --keep starts beside copies",
        Starter::Guard => "--replace ends what is in the way, --keep starts beside copies",
    };
    Failure::new(ExitCode::AlreadyRunning, lines.join("\n")).hint(flags)
}

/// Copies are left beside. What is claimed must be free all the same.
pub(super) fn keep(clashes: &[Clash], wanted: &[Wanted]) -> Result<GoOn, Failure> {
    let held: Vec<&Clash> = clashes.iter().filter(|clash| !clash.holds.is_empty()).collect();
    let Some(first) = held.first() else { return Ok(GoOn { adopt: Vec::new(), keep: true }) };
    let lines: Vec<String> = held
        .iter()
        .map(|clash| format!("{}: port {} is held by {}", wanted[clash.of].label, clash.holds[0], clash.who))
        .collect();
    Err(Failure::new(ExitCode::AlreadyRunning, lines.join("\n"))
        .hint(format!("a claimed port cannot be shared; {}", free_hint(first))))
}

/// The copies become runs: one for each service that has any.
pub(super) fn adopt(clashes: &[Clash], wanted: &[Wanted]) -> Result<GoOn, Failure> {
    let refuse =
        |clash: &Clash, hint: String| Err(Failure::new(ExitCode::AlreadyRunning, clash.line(wanted)).hint(hint));
    let mut adopt = Vec::new();
    for clash in clashes {
        let name = &wanted[clash.of].name;
        let process = match &clash.process {
            Some(process) if clash.is_copy() => process,
            Some(process) if clash.whose == Whose::Nobodys => {
                let hint =
                    format!("it is not recognised as {name}; if it is, 'vigie adopt pid:{} --as {name}'", process.pid);
                return refuse(clash, hint);
            }
            _ => return refuse(clash, free_hint(clash)),
        };
        if clashes.iter().any(|other| other.of == clash.of && other.is_copy() && other.process != clash.process) {
            let hint = format!("there are several copies; 'vigie adopt pid:{} --as {name}' chooses one", process.pid);
            return refuse(clash, hint);
        }
        adopt.push((name.clone(), process.clone()));
    }
    Ok(GoOn { adopt, keep: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enter_is_no() {
        let all = Offers { replace: true, adopt: true };
        assert_eq!(all.chosen("1\n").ok(), Some(Way::Replace));
        assert_eq!(all.chosen(" 2 \n").ok(), Some(Way::Adopt));
        for no in ["", "\n", "3\n", "y\n", "12\n"] {
            assert_eq!(all.chosen(no).map_err(|failure| failure.code()), Err(ExitCode::AlreadyRunning), "{no:?}");
        }
        let none = Offers { replace: false, adopt: false };
        assert!(none.chosen("1\n").is_err() && none.chosen("2\n").is_err());
        assert_eq!(none.question(), "  3  cancel\nWhich? [3]");
    }
}
