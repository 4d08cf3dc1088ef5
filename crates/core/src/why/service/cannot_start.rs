//! It is to run, and does not: the spawn failed, it ended at once, another has its lock or a claim, a dependency failed.

use super::{Noted, ServiceFacts, ServiceVerdict, Stuck, claims, did, note, output, restarted};
use crate::journal::What;
use crate::ladder::Signal;
use crate::service::State;
use crate::stuck::Cure;
use crate::why::{Explanation, Remedy, Times, Verdict};

pub(super) fn explain(facts: &ServiceFacts, times: Times<'_>) -> Option<Explanation> {
    match facts.state? {
        State::Conflict => Some(conflict(facts, times)),
        State::Failed | State::Backoff => Some(failed(facts, times)),
        State::Ghost => Some(ghost(facts, times)),
        _ => None,
    }
}

fn new(facts: &ServiceFacts, why: &str) -> Explanation {
    let text = match facts.state {
        Some(State::Backoff) => "will be started again",
        Some(State::Failed) => "was given up",
        _ => "cannot start",
    };
    Explanation::new(Verdict::Service(ServiceVerdict::CannotStart), format!("{} {text}: {why}", facts.label))
}

/// Another has its lock, or a port that it claims.
fn conflict(facts: &ServiceFacts, times: Times<'_>) -> Explanation {
    let noted = facts.last(|what| matches!(what, What::Conflict { .. }));
    let Some(holder) = &facts.holder else {
        let why = facts.why.clone().unwrap_or_else(|| "another holds its lock or a port that it claims".to_owned());
        let mut told = new(facts, &why);
        if let Some(noted) = noted {
            note(noted, times, &mut told);
        }
        busy_claims(facts, times, &mut told);
        return told;
    };
    let pid = holder.main.as_ref().unwrap_or(&holder.keeper).pid;
    let origin = crate::journal::origin(&holder.origin);
    let mut told = new(
        facts,
        &format!("it runs already, as PID {pid}, since {}, started by {origin}", times.moment(holder.since)),
    );
    told.because.push(format!(
        "the lock of {} is held by the keeper PID {} of run {}",
        facts.label, holder.keeper.pid, holder.run
    ));
    told.fact("lock", format!("held by PID {} for run {}", holder.keeper.pid, holder.run), facts.record.clone());
    told.fact("started by", origin, facts.record.clone());
    if let Some(noted) = noted {
        note(noted, times, &mut told);
    }
    busy_claims(facts, times, &mut told);
    told.remedy("stop", "stops the run that has the lock", format!("vigie stop {}", facts.target));
    told
}

/// It ended, or could not be spawned.
fn failed(facts: &ServiceFacts, times: Times<'_>) -> Explanation {
    let causes = |what: &What| {
        matches!(
            what,
            What::SpawnFailed { .. }
                | What::Exited { .. }
                | What::NotReady { .. }
                | What::Degraded { .. }
                | What::DependencyFailed { .. }
                | What::AdoptFailed { .. }
                | What::KeeperLost
        )
    };
    // What was wrong with it counts more than how it was ended for that.
    let of_last_run = last_run(facts.since_asked());
    let wrong =
        of_last_run.iter().rev().find(|noted| causes(&noted.what) && !matches!(noted.what, What::Exited { .. }));
    let cause = wrong.or_else(|| of_last_run.iter().rev().find(|noted| causes(&noted.what)));
    let why = match (cause, &facts.why) {
        (Some(noted), _) => said(noted),
        (None, Some(why)) => why.clone(),
        (None, None) => "nobody wrote down why".to_owned(),
    };
    let mut told = new(facts, &why);
    if let Some(noted) = cause {
        note(noted, times, &mut told);
        about(noted, facts, &mut told);
    }
    for noted in
        of_last_run.iter().filter(|noted| matches!(noted.what, What::ClaimHeld { .. } | What::AnsweredByOther { .. }))
    {
        told.because.push(noted.text());
        note(noted, times, &mut told);
    }
    let next = facts.last(|what| matches!(what, What::RestartScheduled { .. } | What::GaveUp { .. }));
    if let Some(noted) = next {
        told.because.push(noted.text());
        note(noted, times, &mut told);
    }
    let told_already = |why: &String, told: &Explanation| {
        told.answer.contains(why) || told.because.iter().any(|reason| reason.contains(why))
    };
    if let Some(why) = facts.why.as_ref().filter(|why| !told_already(why, &told)) {
        told.because.push(why.clone());
        told.fact("why", why.clone(), "vigie status");
    }
    if facts.restarts > 0 {
        told.fact("restarts", facts.restarts.to_string(), "the daemon's count since it was asked for");
    }
    if let Some((service, place)) = &facts.manifest {
        told.fact("policy", restarted::policy(&service.restart), place.clone());
    }
    busy_claims(facts, times, &mut told);
    output(facts, &mut told);
    told.remedy("logs", "shows what it wrote", format!("vigie logs {} -n 50", facts.target));
    told.remedy("start", "tries it again, once the cause is gone", format!("vigie start {}", facts.target));
    told
}

/// The entries of the newest run among these, and those that belong to none and came later.
fn last_run(history: &[Noted]) -> &[Noted] {
    let begin = history.iter().rposition(|noted| matches!(noted.what, What::Locked)).unwrap_or(0);
    &history[begin..]
}

/// As the reason in a sentence about the service.
fn said(noted: &Noted) -> String {
    match &noted.what {
        What::SpawnFailed { .. } | What::KeeperLost | What::DependencyFailed { .. } | What::AdoptFailed { .. } => {
            noted.text()
        }
        _ => format!("it {}", did(noted)),
    }
}

/// What helps with this cause.
fn about(noted: &Noted, facts: &ServiceFacts, told: &mut Explanation) {
    match &noted.what {
        What::SpawnFailed { step, on, error } => {
            told.fact("step", format!("{step} {on}: {error}"), noted.source());
            if let Some((service, place)) = &facts.manifest {
                told.fact("command", service.command.join(" "), place.clone());
                told.fact("folder", service.cwd.to_string(), place.clone());
            }
        }
        What::DependencyFailed { on, .. } => {
            told.remedy("why", "explains what is the matter with that", format!("vigie why {on}"));
        }
        _ => {}
    }
}

fn busy_claims(facts: &ServiceFacts, times: Times<'_>, told: &mut Explanation) {
    for claim in claims::busy(facts) {
        let port = crate::why::port::explain(&claim.facts, times);
        told.because.push(port.answer);
        told.because.extend(port.because);
        told.evidence.extend(port.evidence);
        told.remedies.extend(port.remedies);
        told.blind |= port.blind;
    }
}

/// No signal ends what is left of it (R5.4).
fn ghost(facts: &ServiceFacts, times: Times<'_>) -> Explanation {
    let noted = facts.last(|what| matches!(what, What::Stuck { .. }));
    let why = noted.map_or_else(|| "processes of it are left that no signal ended".to_owned(), Noted::text);
    let mut told =
        Explanation::new(Verdict::Service(ServiceVerdict::Stuck), format!("{} is not gone: {why}", facts.label));
    if let Some(noted) = noted {
        note(noted, times, &mut told);
    }
    told.because
        .push("the ladder of its stop is at its end; its lock stays held until the kernel ends them".to_owned());
    for stuck in &facts.stuck {
        of_process(stuck, &mut told);
    }
    if let Some(main) = facts.main.as_ref().filter(|_| facts.stuck.is_empty()) {
        let pid = main.process.pid();
        told.remedy("why", "says what holds it", format!("vigie why pid:{pid}"));
    }
    let effect = "lets a new run start without it: its ports and its memory are taken back";
    told.remedy("quarantine", effect, format!("vigie quarantine {}", facts.target));
    told
}

/// What one of those waits for that are left, and what frees it: not the end of itself, which was tried.
fn of_process(stuck: &Stuck, told: &mut Explanation) {
    let Stuck { process, judgement } = stuck;
    told.because.push(format!("PID {} ({}) {}", process.pid(), process.name, judgement.said));
    told.because.extend(judgement.because.iter().cloned());
    told.evidence.extend(judgement.evidence.iter().cloned());
    let itself = |remedy: &Remedy| match &remedy.cure {
        Some(Cure::End { role, .. }) => *role == "itself",
        Some(Cure::Signal { signal: Signal::Kill, .. }) => true,
        _ => false,
    };
    for remedy in judgement.remedies.iter().filter(|remedy| !itself(remedy)) {
        if !told.remedies.contains(remedy) {
            told.remedies.push(remedy.clone());
        }
    }
    told.blind |= judgement.blind;
}
