//! It was started again: how often, and why each time (R6.2).

use super::{Noted, ServiceFacts, ServiceVerdict, did, note, output};
use crate::journal::What;
use crate::manifest::{Restart, When};
use crate::units::format_rounded;
use crate::why::{Explanation, Times, Verdict, counted};

/// How many restarts are told of one by one.
const TOLD: usize = 5;

pub(super) fn explain(facts: &ServiceFacts, times: Times<'_>) -> Option<Explanation> {
    let history = facts.since_asked();
    let starts: Vec<usize> =
        (0..history.len()).filter(|place| matches!(history[*place].what, What::Started { attempt: 1.., .. })).collect();
    // The first restart is counted when it is decided, and is still to come.
    let to_come = history.iter().any(|noted| matches!(noted.what, What::RestartScheduled { .. }));
    if starts.is_empty() && (facts.restarts == 0 || to_come) {
        return None;
    }
    let count = starts.len().max(facts.restarts as usize);
    let mut told = Explanation::new(Verdict::Service(ServiceVerdict::Restarted), String::new());
    let last = starts.last().map(|place| (&history[*place], cause(history, *place)));
    told.answer = match last {
        Some((start, Some(cause))) => format!(
            "{} was restarted {}, the last time {}: it {}",
            facts.label,
            counted(count, "time", "times"),
            times.moment(start.at),
            did(cause)
        ),
        Some((start, None)) => format!(
            "{} was restarted {}, the last time {}; why, nobody wrote down",
            facts.label,
            counted(count, "time", "times"),
            times.moment(start.at)
        ),
        None => format!(
            "{} was restarted {}; the journal does not reach back to that",
            facts.label,
            counted(count, "time", "times")
        ),
    };
    for &place in starts.iter().rev().take(TOLD) {
        let start = &history[place];
        match cause(history, place) {
            Some(cause) => {
                told.because.push(format!("restart {}: it {}", times.moment(start.at), did(cause)));
                note(cause, times, &mut told);
            }
            None => told.because.push(format!("restart {}: why, nobody wrote down", times.moment(start.at))),
        }
        note(start, times, &mut told);
    }
    if starts.len() > TOLD {
        told.because.push(format!("and {} before those", counted(starts.len() - TOLD, "restart", "restarts")));
    }
    told.fact("restarts", facts.restarts.to_string(), "the daemon's count since it was asked for");
    if let Some((service, place)) = &facts.manifest {
        let policy = policy(&service.restart);
        told.because.push(format!("its policy: {policy}"));
        told.fact("policy", policy, place.clone());
    }
    if facts.is_up() {
        output(facts, &mut told);
    }
    told.remedy("logs", "shows what it wrote", format!("vigie logs {} -n 50", facts.target));
    told.remedy("reset", "sets the restart counter back", format!("vigie reset {}", facts.target));
    Some(told)
}

/// What led to the start at this place: the nearest entry before it that says how the run before came to its end. What
/// was wrong with it counts more than how it then ended.
fn cause(history: &[Noted], start: usize) -> Option<&Noted> {
    let before = history[..start].iter().rposition(|noted| matches!(noted.what, What::Started { .. }));
    let between = &history[before.map_or(0, |place| place + 1)..start];
    let wrong = |what: &What| {
        matches!(what, What::NotReady { .. } | What::Degraded { .. } | What::SpawnFailed { .. } | What::KeeperLost)
    };
    let ended = |what: &What| matches!(what, What::Exited { .. });
    let find = |fits: &dyn Fn(&What) -> bool| between.iter().rev().find(|noted| fits(&noted.what));
    find(&wrong).or_else(|| find(&ended))
}

/// The policy in words.
pub(super) fn policy(restart: &Restart) -> String {
    let when = match restart.when {
        When::Never => return "it is never started again".to_owned(),
        When::Failure => "after a failure",
        When::Always => "after every end",
    };
    format!(
        "started again {when}, after {} that grow by {} up to {}, at most {} without a stable period of {}",
        format_rounded(restart.delay.0),
        restart.factor,
        format_rounded(restart.max_delay.0),
        counted(restart.attempts as usize, "time", "times"),
        format_rounded(restart.stable.0)
    )
}
