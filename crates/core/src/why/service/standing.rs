//! Where it stands: who started it, since when; or who stopped it.

use super::{ServiceFacts, ServiceVerdict, note};
use crate::journal::{What, origin};
use crate::service::State;
use crate::why::{Explanation, Times, Verdict};

pub(super) fn explain(facts: &ServiceFacts, times: Times<'_>) -> Explanation {
    let mut told = if facts.is_up() || facts.run.is_some() { running(facts, times) } else { stopped(facts, times) };
    for ghost in &facts.ghosts {
        let (pid, moment) = (ghost.pid, times.moment(ghost.at));
        told.because.push(format!(
            "{} (PID {pid}) of an earlier run, which no signal ends, was set aside {moment}: it is in the way of no other run",
            ghost.name
        ));
        told.fact("ghost", format!("{} (PID {pid}), set aside {moment}", ghost.name), "vigie status");
        told.remedy("why", format!("says what PID {pid} waits for"), format!("vigie why pid:{pid}"));
    }
    told
}

/// Nothing of it runs.
fn stopped(facts: &ServiceFacts, times: Times<'_>) -> Explanation {
    let label = &facts.label;
    let since = facts.since.map(|since| format!(", since {}", times.moment(since))).unwrap_or_default();
    let answer = match facts.state {
        None => format!("{label} is not running: it was never started"),
        Some(state @ (State::Stopped | State::Done)) => match &facts.last_exit {
            Some((exit, at)) => {
                let at = at.map(|at| format!(" {}", times.moment(at))).unwrap_or_default();
                format!("{label} is {state}: its last run ended{at} with {exit}")
            }
            None => format!("{label} is {state}{since}"),
        },
        Some(state) => format!("{label} is {state}{since}"),
    };
    let mut told = Explanation::new(Verdict::Service(ServiceVerdict::Stopped), answer);
    if let Some(why) = &facts.why {
        told.because.push(why.clone());
        told.fact("why", why.clone(), "vigie status");
    }
    let ends = |what: &What| matches!(what, What::WantedDown { .. } | What::Stopping { .. } | What::Exited { .. });
    let begin = facts.history.iter().rposition(|noted| matches!(noted.what, What::Started { .. })).unwrap_or(0);
    for noted in facts.history[begin..].iter().filter(|noted| ends(&noted.what)) {
        told.because.push(format!("{}, {}", noted.text(), times.moment(noted.at)));
        note(noted, times, &mut told);
    }
    told.remedy("start", "starts it", format!("vigie start {}", facts.target));
    told
}

/// It runs.
fn running(facts: &ServiceFacts, times: Times<'_>) -> Explanation {
    let state = facts.state.map_or_else(|| "running".to_owned(), |state| state.to_string());
    let pid = facts.main.as_ref().map(|main| format!(" as PID {}", main.process.pid())).unwrap_or_default();
    let main = facts.main.as_ref().and_then(|main| main.process.started);
    let mut answer = format!("{} is {state}{pid}", facts.label);
    if let Some(started) = main {
        answer.push_str(&format!(", started {}", times.moment(started)));
    }
    if let Some(adopted) = facts.adopted {
        answer.push_str(&format!(", adopted {}", times.moment(adopted)));
    }
    if let Some(holder) = &facts.holder {
        answer.push_str(&format!(" by {}", origin(&holder.origin)));
    }
    let mut told = Explanation::new(Verdict::Service(ServiceVerdict::Well), answer);
    if let Some(since) = facts.since {
        told.fact(format!("{state} since"), times.moment(since), "vigie status");
    }
    if let Some(holder) = &facts.holder {
        let fact = if facts.adopted.is_some() { "adopted by" } else { "started by" };
        told.fact(fact, origin(&holder.origin), facts.record.clone());
        told.fact("run", holder.run.to_string(), facts.record.clone());
        told.fact("keeper", format!("PID {}", holder.keeper.pid), facts.record.clone());
    }
    if let Some(main) = &facts.main {
        let pid = main.process.pid();
        told.fact("command", main.process.short_command(), format!("/proc/{pid}/cmdline"));
        if let Some(started) = main.process.started {
            told.fact("started", times.moment(started), format!("/proc/{pid}/stat"));
        }
    }
    let begin = |what: &What| matches!(what, What::WantedUp { .. } | What::AdoptedStray { .. } | What::Ready { .. });
    for noted in facts.since_asked().iter().filter(|noted| begin(&noted.what)) {
        told.because.push(format!("{}, {}", noted.text(), times.moment(noted.at)));
        note(noted, times, &mut told);
    }
    if let Some(started) = facts.last(|what| matches!(what, What::Started { .. })) {
        note(started, times, &mut told);
    }
    if let Some(why) = &facts.why {
        told.because.push(why.clone());
    }
    told
}
