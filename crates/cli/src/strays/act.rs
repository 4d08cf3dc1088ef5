//! Ends strays and orphans, and removes what they left: as it was shown, by identity, and seen to be gone.

use std::collections::HashSet;

use vigie_api::strays::{Kind, Outcome, Result as Came};
use vigie_core::exit_code::ExitCode;
use vigie_core::identity::ProcKey;
use vigie_core::ladder::Ladder;
use vigie_core::run::Left;
use vigie_os::strays::{self, Ended, Family};

use super::ignored::Ignored;
use super::{Found, Known, One, leftovers, show};
use crate::clear::{Cleared, end_survivors};
use crate::failure::Failure;
use crate::judged;
use crate::out::command;
use crate::plan::Plan;
use crate::runs::Runs;
use crate::scene::Scene;

/// Those that a sweep ends.
pub(crate) fn meant(found: &Found) -> impl Iterator<Item = &One> {
    found.counted().filter(|one| one.kind != Kind::Elsewhere)
}

/// The processes of strays that are to end, and why.
pub(crate) fn described(found: &Found, known: &[Known]) -> Vec<(u32, String)> {
    let mut all = Vec::new();
    for one in meant(found) {
        let stray = show::json(one, known);
        let label = format!("{} of {}/{}", show::kind(stray.kind), stray.project, stray.service);
        all.push((stray.pid, format!("{label}: same {}", stray.matched.join(", "))));
        all.extend(stray.tree.iter().map(|pid| (*pid, format!("started by PID {}", stray.pid))));
    }
    all
}

/// Everything that is to end.
///
/// # Errors
/// When `/proc` cannot be read.
pub(crate) fn plan(found: &Found, known: &[Known], scene: &Scene) -> Result<Plan, Failure> {
    let mut plan = Plan::default();
    for (pid, why) in described(found, known) {
        plan.push(pid, why, &scene.proc)?;
    }
    for orphaned in &found.orphans {
        let holder = &orphaned.record.state.holder;
        for process in &orphaned.processes {
            let why = format!("orphan of {}/{}: its keeper is gone", holder.project, holder.key.service);
            plan.push(process.pid, why, &scene.proc)?;
        }
    }
    Ok(plan)
}

/// Does it: strays by the ladders of their services, or by this one. The exit code is that of the worst.
///
/// # Errors
/// When `/proc` cannot be read.
pub(crate) fn carry_out(
    found: &Found,
    known: &[Known],
    ladder: Option<&Ladder>,
    scene: &Scene,
) -> Result<(Vec<Outcome>, ExitCode), Failure> {
    let mut told = Told::default();
    end_strays(found, known, ladder, scene, &mut told)?;
    started_again(found, known, scene, &mut told)?;
    for orphaned in &found.orphans {
        let holder = &orphaned.record.state.holder;
        let label = format!("{}/{}", holder.project, holder.key.service);
        let ended = end_survivors(&orphaned.record, &scene.place, &scene.proc);
        for process in &orphaned.processes {
            let name = format!("PID {}, orphan of {label}", process.pid);
            match &ended {
                Ok(Cleared::Ended(_)) if !scene.proc.is_alive(process)? => {
                    told.add(process, Came::Ended, format!("{name}: ended"));
                }
                Ok(Cleared::Ended(_)) => told.add(process, Came::Left, format!("{name}: still there")),
                Ok(Cleared::Taken) => {
                    told.add(process, Came::Gone, format!("{name}: a new run has the lock, and has cleared up before"));
                }
                Err(failure) => told.failed(process, &name, failure),
            }
        }
    }
    for leftover in found.leftovers.iter().filter(|leftover| leftover.removable) {
        let line = show::leftover_line(leftover);
        let (came, text) = match leftovers::remove(leftover, known, scene) {
            Ok(true) => (Came::Removed, format!("{line}: removed")),
            Ok(false) => (Came::Gone, format!("{line}: not so any more; left alone")),
            Err(failure) if failure.code() == ExitCode::NotPermitted => {
                (Came::NotPermitted, format!("{line}: not permitted"))
            }
            Err(failure) => (Came::Left, format!("{line}: {}", failure_text(&failure))),
        };
        told.note(came);
        told.outcomes.push(Outcome { pid: None, path: leftover.path.clone(), outcome: came, text });
    }
    Ok((told.outcomes, told.worst))
}

/// All climb their ladders at the same time.
fn end_strays(
    found: &Found,
    known: &[Known],
    ladder: Option<&Ladder>,
    scene: &Scene,
    told: &mut Told,
) -> Result<(), Failure> {
    let expected: Vec<_> = known.iter().map(|known| &known.expected).collect();
    let runs = Runs::read(&scene.place, &scene.proc)?;
    let mut ending: Vec<&One> = Vec::new();
    let mut families: Vec<(Family, Ladder)> = Vec::new();
    for one in meant(found) {
        let process = &one.stray.key;
        // Held first, then looked at once more: what is ended is what was shown, and still is what it was shown as.
        let family = Family::open(&scene.proc, process)?;
        let still = strays::examine(&scene.proc, process.pid, &expected)?.is_some_and(|now| now.key == *process);
        // Adopted between the look and the answer: neither its environment nor its parents tell of it.
        let run = runs.holding(&scene.proc, process.pid);
        match family {
            Some(family) if still && run.is_none() => {
                families.push((family, ladder.unwrap_or(&known[one.stray.of].ladder).clone()));
                ending.push(one);
            }
            _ => {
                let now = scene.proc.key(process.pid)?;
                let text = match now {
                    None => "ended by itself meanwhile",
                    Some(now) if now == *process && run.is_some() => "is a part of a run by now; left alone",
                    Some(now) if now == *process => "is not what it was any more; left alone",
                    Some(_) => "ended by itself meanwhile, and its number is another's now; that one is not touched",
                };
                told.add(process, Came::Gone, format!("{}: {text}", name(one, known)));
            }
        }
    }
    for (one, ended) in ending.into_iter().zip(strays::end(&scene.proc, families)?) {
        let (process, name) = (&one.stray.key, name(one, known));
        match ended {
            Ended::Gone(1) => told.add(process, Came::Ended, format!("{name}: ended")),
            Ended::Gone(count) => {
                told.add(process, Came::Ended, format!("{name}: ended, and {} that it had started", count - 1));
            }
            Ended::Left(left) => {
                if left.iter().any(|left| left.kill_pending) {
                    told.worst = worse(told.worst, ExitCode::Stuck);
                }
                told.add(process, Came::Left, format!("{name}: the ladder is at its end, left: {}", listed(&left)));
                judged::explain_left(&left, None, &scene.proc);
            }
            Ended::Refused(left) => {
                let text = format!("{name}: not permitted: {} may not be signalled by this user", listed(&left));
                told.add(process, Came::NotPermitted, text);
            }
        }
    }
    Ok(())
}

/// Looks once more: what came in the place of what was ended is started by somebody, and ending it again changes nothing.
fn started_again(found: &Found, known: &[Known], scene: &Scene, told: &mut Told) -> Result<(), Failure> {
    let swept: Vec<&One> = meant(found).collect();
    if swept.is_empty() {
        return Ok(());
    }
    let expected: Vec<_> = known.iter().map(|known| &known.expected).collect();
    let mut runs: HashSet<u32> = known.iter().filter_map(|known| known.main).collect();
    runs.extend(crate::ghosts::processes(&scene.place, &scene.proc)?.into_keys());
    for stray in strays::find(&scene.proc, &expected, &runs)? {
        let of_these = swept.iter().any(|one| one.stray.of == stray.of) && stray.elsewhere.is_empty();
        let before = found.strays.iter().any(|one| one.stray.key == stray.key);
        if of_these && !before && !Ignored::read(&scene.place)?.covers(&known[stray.of].key, &stray) {
            let pid = stray.key.pid;
            let label = known[stray.of].label();
            let text = format!(
                "PID {pid}: another stray of {label} was started meanwhile; 'vigie why pid:{pid}' says by whom"
            );
            told.add(&stray.key, Came::Left, text);
        }
    }
    Ok(())
}

/// What came of all, and the worst of it.
struct Told {
    outcomes: Vec<Outcome>,
    worst: ExitCode,
}

impl Default for Told {
    fn default() -> Self {
        Self { outcomes: Vec::new(), worst: ExitCode::Done }
    }
}

impl Told {
    fn add(&mut self, process: &ProcKey, came: Came, text: String) {
        self.note(came);
        self.outcomes.push(Outcome { pid: Some(process.pid), path: None, outcome: came, text });
    }

    fn failed(&mut self, process: &ProcKey, name: &str, failure: &Failure) {
        self.worst = worse(self.worst, failure.code());
        let came = if failure.code() == ExitCode::NotPermitted { Came::NotPermitted } else { Came::Left };
        self.add(process, came, format!("{name}: {}", failure_text(failure)));
    }

    fn note(&mut self, came: Came) {
        let code = match came {
            Came::Ended | Came::Removed | Came::Gone => ExitCode::Done,
            Came::Left => ExitCode::StillAlive,
            Came::NotPermitted => ExitCode::NotPermitted,
        };
        self.worst = worse(self.worst, code);
    }
}

fn worse(one: ExitCode, other: ExitCode) -> ExitCode {
    if other.number() > one.number() { other } else { one }
}

fn name(one: &One, known: &[Known]) -> String {
    let line = command(one.stray.argv.iter().map(|word| &word.0[..]));
    format!("PID {} ({line}), {} of {}", one.stray.key.pid, show::kind(one.kind), known[one.stray.of].label())
}

fn listed(left: &[Left]) -> String {
    let one = |left: &Left| format!("{} (PID {}, state {})", left.name, left.process.pid, left.state);
    left.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn failure_text(failure: &Failure) -> String {
    match failure {
        Failure::Error { message, .. } => message.clone(),
        Failure::Told(_) | Failure::ReaderGone => "it could not be done".to_owned(),
    }
}
