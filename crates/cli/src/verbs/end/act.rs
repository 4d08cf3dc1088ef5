//! The plan, the question, the deed, and what came of it.

use std::collections::HashSet;
use std::io::Write as _;

use vigie_core::exit_code::ExitCode;
use vigie_core::identity::ProcKey;
use vigie_core::ladder::{Ladder, Signal};
use vigie_core::run::Left;
use vigie_os::ports::{Ask, Table, rights};
use vigie_os::proc::{Life, Proc};
use vigie_os::strays::{self, Ended, Family};

use super::meant::{Marked, Meant};
use crate::args::Confirm;
use crate::confirm::{self, Consent};
use crate::failure::{Failure, Verdict};
use crate::judged;
use crate::out::{Screen, safe, style};
use crate::plan::Plan;
use crate::runs::Runs;
use crate::scene::Scene;
use crate::verbs::why::again::again;

/// A process with its tree, held by descriptors since before anybody was asked.
struct Held<'a> {
    marked: &'a Marked,
    family: Family,
}

/// Ends the processes: those of nobody's run first, then, after a question of their own, those of each run.
pub(super) fn end(meant: &Meant, ladder: &Ladder, confirm: Confirm, scene: &Scene) -> Verdict {
    let mut worst = super::Worst::default();
    let (of_runs, free): (Vec<&Marked>, Vec<&Marked>) = meant.processes.iter().partition(|marked| marked.of.is_some());
    let mut acted = false;
    if !free.is_empty() {
        let code = group(&free, ladder, confirm, scene);
        acted |= matches!(code, Ok((_, true)));
        worst.note(code.map(|(code, _)| code))?;
    }
    for marked in of_runs {
        let code = group(&[marked], ladder, confirm, scene);
        acted |= matches!(code, Ok((_, true)));
        worst.note(code.map(|(code, _)| code))?;
    }
    if acted && meant.services.is_empty() && worst.0 == Some(0) {
        worst.note(ports(meant, scene))?;
    }
    Ok(worst.0.unwrap_or(0))
}

/// One plan, one question. The second value: something was done.
fn group(marked: &[&Marked], ladder: &Ladder, confirm: Confirm, scene: &Scene) -> Result<(u8, bool), Failure> {
    let held = hold(marked, &scene.proc)?;
    if held.is_empty() {
        for one in marked {
            say_gone(one)?;
        }
        return Ok((0, false));
    }
    let count = show(&held, confirm, scene)?;
    if confirm::ask(confirm, &question(&held, count))? == Consent::DryRun {
        writeln!(std::io::stdout(), "dry run: nothing was done")?;
        return Ok((0, false));
    }
    let mut worst = ExitCode::Done;
    let mut climbing = Vec::new();
    let runs = Runs::read(&scene.place, &scene.proc)?;
    for one in held {
        let run = runs.holding(&scene.proc, one.marked.story.process.pid());
        if let Some(run) = run.filter(|_| one.marked.of.is_none()) {
            let message = format!("{} is a part of a run of {} by now; it is not touched", name(one.marked), run.label);
            crate::say(&Failure::new(ExitCode::AlreadyRunning, message).hint("look again, or stop the run"));
            worst = ExitCode::AlreadyRunning;
            continue;
        }
        // The descriptor still means the process that was shown; whoever has its number by now was not.
        match still(&scene.proc, &one.marked.story.process.key)? {
            Still::There => climbing.push(one),
            Still::Gone => say_gone(one.marked)?,
            Still::Another => {
                let name = name(one.marked);
                let message =
                    format!("{name} ended meanwhile, and another process has its number; that one is not touched");
                crate::say(&Failure::not_found(message));
                worst = ExitCode::NotFound;
            }
        }
    }
    let (marked, families): (Vec<&Marked>, Vec<(Family, Ladder)>) =
        climbing.into_iter().map(|one| (one.marked, (one.family, ladder.clone()))).unzip();
    for (one, ended) in marked.into_iter().zip(strays::end(&scene.proc, families)?) {
        let code = tell(one, &ended, &scene.proc)?;
        if code.number() > worst.number() {
            worst = code;
        }
    }
    Ok((worst.number(), true))
}

/// Takes hold of each with its tree. One that is in the tree of another is not held twice; one that has ended is left out.
fn hold<'a>(marked: &[&'a Marked], proc: &Proc) -> Result<Vec<Held<'a>>, Failure> {
    let mut held: Vec<Held<'a>> = Vec::new();
    for &one in marked {
        if let Some(family) = Family::open(proc, &one.story.process.key)? {
            held.push(Held { marked: one, family });
        }
    }
    let below: HashSet<ProcKey> = held.iter().flat_map(|one| one.family.members().skip(1).cloned()).collect();
    held.retain(|one| !below.contains(&one.marked.story.process.key));
    Ok(held)
}

/// The table; how many processes it has.
fn show(held: &[Held<'_>], confirm: Confirm, scene: &Scene) -> Result<usize, Failure> {
    let mut plan = Plan::default();
    for one in held {
        let top = one.marked.story.process.pid();
        for (place, key) in one.family.members().enumerate() {
            let why = if place == 0 { one.marked.why.clone() } else { format!("started by PID {top}") };
            plan.push(key.pid, why, &scene.proc)?;
        }
    }
    let screen = Screen::stdout();
    if screen.terminal && !confirm.yes {
        plan.measure(&scene.proc);
    }
    let mut out = std::io::stdout().lock();
    for run in held.iter().filter_map(|one| one.marked.of.as_ref()) {
        writeln!(
            out,
            "{} it belongs to {}, run {}: 'vigie stop {}' stops the whole run in order",
            screen.paint(style::WARN, "note:"),
            run.service,
            run.run,
            run.service
        )?;
    }
    for one in held {
        if let Some((reason, command)) = again(&one.marked.story) {
            let instead = command.map(|command| format!("; '{}' ends both", safe(&command))).unwrap_or_default();
            let name = name(one.marked);
            writeln!(out, "{} {name}: {}{instead}", screen.paint(style::WARN, "note:"), safe(&reason))?;
        }
    }
    write!(out, "{}", plan.render(screen, vigie_os::clock::now().wall))?;
    out.flush()?;
    Ok(plan.count())
}

fn question(held: &[Held<'_>], count: usize) -> String {
    let names: Vec<String> = held.iter().map(|one| name(one.marked)).collect();
    let processes = if count == 1 { "1 process".to_owned() } else { format!("{count} processes") };
    let all_the_same = held.iter().find_map(|one| one.marked.of.as_ref());
    let tail = all_the_same.map(|run| format!(" of {} all the same", run.service)).unwrap_or_default();
    format!("End {}{tail} ({processes})?", names.join(", "))
}

fn name(marked: &Marked) -> String {
    format!("PID {} ({})", marked.story.process.pid(), marked.story.process.name)
}

/// What has become of a process between plan and deed.
enum Still {
    There,
    Gone,
    Another,
}

fn still(proc: &Proc, key: &ProcKey) -> Result<Still, Failure> {
    Ok(match proc.key(key.pid)? {
        Some(now) if now == *key => Still::There,
        Some(_) => Still::Another,
        None => Still::Gone,
    })
}

fn say_gone(marked: &Marked) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout(), "{}: ended by itself meanwhile", name(marked))?)
}

/// Says what came of one.
fn tell(marked: &Marked, ended: &Ended, proc: &Proc) -> Result<ExitCode, Failure> {
    let name = name(marked);
    match ended {
        Ended::Gone(count) => {
            let others = match count.saturating_sub(1) {
                0 => String::new(),
                1 => ", and 1 that it had started".to_owned(),
                more => format!(", and {more} that it had started"),
            };
            let unreaped = match proc.life(&marked.story.process.key)? {
                Life::Zombie => "; its parent has not taken notice yet",
                Life::Alive | Life::Gone => "",
            };
            let done = Screen::stdout().paint(style::GOOD, "ended");
            writeln!(std::io::stdout(), "{name}: {done}{others}{unreaped}")?;
            Ok(ExitCode::Done)
        }
        Ended::Left(left) => {
            eprintln!("{name}: not ended in the time that it had, there is left: {}", listed(left));
            judged::explain_left(left, Some(Signal::Term), proc);
            let stuck = left.iter().any(|left| left.kill_pending);
            Ok(if stuck { ExitCode::Stuck } else { ExitCode::StillAlive })
        }
        Ended::Refused(left) => {
            eprintln!("{name}: not permitted: {} may not be signalled by this user", listed(left));
            Ok(ExitCode::NotPermitted)
        }
    }
}

fn listed(left: &[Left]) -> String {
    let one = |left: &Left| {
        let pending = if left.kill_pending { ", KILL is pending" } else { "" };
        format!("{} (PID {}, state {}{pending})", left.name, left.process.pid, left.state)
    };
    left.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Whether the ports are free that were to be.
fn ports(meant: &Meant, scene: &Scene) -> Verdict {
    let mut worst = ExitCode::Done;
    for port in &meant.ports {
        let table = Table::read(&scene.proc, &Ask::about(&[port.port]))?;
        let verdict = table.judge(port, &rights(&scene.proc)?).verdict;
        if verdict.is_free() || verdict == vigie_core::ports::Verdict::Reserved {
            writeln!(std::io::stdout(), "port {port}: {verdict}")?;
        } else {
            let message = format!("port {port} is still {verdict}: 'vigie why port:{port}' says by whom");
            eprintln!("{}", safe(&message));
            worst = ExitCode::StillAlive;
        }
    }
    Ok(worst.number())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R4.6: a number that was given out again is not what was shown.
    #[test]
    fn who_has_the_number_now() {
        let proc = Proc::system().expect("/proc");
        let key = proc.key(std::process::id()).expect("readable").expect("alive");
        assert!(matches!(still(&proc, &key), Ok(Still::There)));
        let before = ProcKey { start_ticks: key.start_ticks - 1, ..key.clone() };
        assert!(matches!(still(&proc, &before), Ok(Still::Another)));
        assert!(matches!(still(&proc, &ProcKey { pid: u32::MAX, ..key }), Ok(Still::Gone)));
    }
}
