//! It runs, or waits, and is not ready (R2.3, R6.4).

use std::time::Duration;

use super::{Dependency, ServiceFacts, ServiceVerdict, note, output, shown};
use crate::journal::What;
use crate::manifest::{Condition, Probe, Ready};
use crate::plan::{Gate, gate};
use crate::service::State;
use crate::units::format_rounded;
use crate::why::{Explanation, Times, Verdict, listed};

pub(super) fn explain(facts: &ServiceFacts, times: Times<'_>) -> Option<Explanation> {
    match facts.state? {
        State::Waiting => Some(waiting(facts, times)),
        State::Starting | State::Running => {
            let (service, place) = facts.manifest.as_ref()?;
            let ready = service.ready.as_ref()?;
            Some(probing(facts, ready, place, times))
        }
        State::Degraded => Some(degraded(facts, times)),
        _ => None,
    }
}

fn new(facts: &ServiceFacts, why: &str) -> Explanation {
    Explanation::new(Verdict::Service(ServiceVerdict::NotReady), format!("{} is not ready: {why}", facts.label))
}

/// It waits for others.
fn waiting(facts: &ServiceFacts, times: Times<'_>) -> Explanation {
    let open: Vec<&Dependency> = facts.dependencies.iter().filter(|dependency| !holds(dependency)).collect();
    let names: Vec<String> = open.iter().map(|dependency| wish(dependency)).collect();
    let why = match (&names[..], &facts.why) {
        ([], Some(why)) => why.clone(),
        ([], None) => "it waits to be started".to_owned(),
        _ => format!("it waits for {}", listed(&names)),
    };
    let mut told = new(facts, &why);
    for dependency in open {
        let state = dependency.state.map_or_else(|| "was never started".to_owned(), |state| format!("is {state}"));
        let more = dependency.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        told.because.push(format!("{} {state}{more}", dependency.name));
        told.fact(format!("after {}", dependency.name), format!("{state}{more}"), "vigie status");
        told.remedy("why", "explains what it waits for", format!("vigie why {}", dependency.name));
    }
    if let Some(since) = facts.since {
        told.fact("waiting since", times.moment(since), "vigie status");
    }
    told
}

/// As the rest of "it waits for".
fn wish(dependency: &Dependency) -> String {
    let what = match dependency.condition {
        Condition::Started => "to be started",
        Condition::Ready => "to be ready",
        Condition::Done => "to be done",
    };
    format!("{} {what}", dependency.name)
}

/// Whether it lets its dependent start. One that runs without a probe is settled; that it has one is not known here, so
/// "running" does not hold a wish for "ready" to be open.
fn holds(dependency: &Dependency) -> bool {
    dependency.state.is_some_and(|state| {
        gate(dependency.condition, state, matches!(state, State::Ready | State::Degraded)) == Gate::Open
    })
}

/// Its probe is not answered as it should be.
fn probing(facts: &ServiceFacts, ready: &Ready, place: &str, times: Times<'_>) -> Explanation {
    let other = facts.last(|what| matches!(what, What::AnsweredByOther { .. }));
    let mut told = new(facts, &seen(facts, ready));
    told.because.push(format!("ready means: {}", means(&ready.probe)));
    told.fact("ready", means(&ready.probe), place);
    let begun = facts.main.as_ref().and_then(|main| main.process.started).or(facts.since);
    if let Some(begun) = begun {
        let within = ready.within.0;
        let past = Duration::from_nanos(times.now.0.saturating_sub(begun.0));
        let text = match within.checked_sub(past) {
            Some(left) => format!(
                "it has {} for that, of which {} are left",
                format_rounded(within),
                format_rounded(seconds(left))
            ),
            None => format!("it had {} for that, which are over", format_rounded(within)),
        };
        told.because.push(text);
        let source = match &facts.main {
            Some(main) => format!("/proc/{}/stat", main.process.pid()),
            None => "vigie status".to_owned(),
        };
        told.fact("started", times.moment(begun), source);
    }
    if let Some(probed) = &facts.probed {
        let value = match (probed.ours, &probed.others[..]) {
            (Some(true), []) => "its run listens".to_owned(),
            (Some(true), others) => format!("its run listens, and so do {}", listed(others)),
            (_, [_, ..]) => format!("held by {}", listed(&probed.others)),
            (Some(false), []) => "nobody listens".to_owned(),
            (None, []) => "who listens cannot be seen: needs root".to_owned(),
        };
        told.fact(format!("port {}", probed.port), value, "sock_diag(7)");
        told.blind |= probed.ours.is_none();
    }
    if let Some(noted) = other {
        told.because.push(noted.text());
        note(noted, times, &mut told);
    }
    for dependency in facts.dependencies.iter().filter(|dependency| {
        dependency.state.is_some_and(|state| !matches!(state, State::Ready | State::Running | State::Done))
    }) {
        let state = dependency.state.map(|state| state.to_string()).unwrap_or_default();
        told.because.push(format!("it depends on {}, which is {state}", dependency.name));
    }
    output(facts, &mut told);
    told.remedy("logs", "shows what it writes", format!("vigie logs {} -f", facts.target));
    if let Some(probed) = facts.probed.as_ref().filter(|probed| !probed.others.is_empty()) {
        told.remedy("why", "explains who answers in its place", format!("vigie why port:{}", probed.port));
    }
    told
}

/// What is seen of the probe now.
fn seen(facts: &ServiceFacts, ready: &Ready) -> String {
    let at = |port| format!("nobody listens on port {port} yet");
    match (&ready.probe, &facts.probed) {
        (Probe::Http { .. } | Probe::Tcp { .. }, Some(probed)) => match (probed.ours, &probed.others[..]) {
            (Some(false) | None, [_, ..]) => {
                format!("port {} is another's: {}", probed.port, listed(&probed.others))
            }
            (Some(false), []) => at(probed.port),
            (Some(true), _) => match &ready.probe {
                Probe::Http { url, status } => format!("it listens, and {url} does not answer {status} yet"),
                _ => "it listens, and nobody has connected yet".to_owned(),
            },
            (None, []) => format!("who listens on port {} cannot be seen from here", probed.port),
        },
        (Probe::Http { url, status }, None) => format!("{url} does not answer {status} yet"),
        (Probe::Tcp { address }, None) => format!("{address} accepts no connection yet"),
        (Probe::Unix { path }, _) => format!("{} accepts no connection yet", shown(path)),
        (Probe::Exec { command }, _) => format!("'{}' has not ended with 0 yet", command.join(" ")),
        (Probe::Log { pattern }, _) => format!("no line of its output matches {pattern:?} yet"),
    }
}

/// What the probe asks.
fn means(probe: &Probe) -> String {
    match probe {
        Probe::Http { url, status } => format!("{url} answers with status {status}, from its own run"),
        Probe::Tcp { address } => format!("{address} accepts a connection, of its own run"),
        Probe::Unix { path } => format!("{} accepts a connection, of its own run", shown(path)),
        Probe::Exec { command } => format!("'{}' ends with 0", command.join(" ")),
        Probe::Log { pattern } => format!("a line of its output matches {pattern:?}"),
    }
}

fn degraded(facts: &ServiceFacts, times: Times<'_>) -> Explanation {
    let why = facts.why.clone().unwrap_or_else(|| "its health probe fails".to_owned());
    let mut told = Explanation::new(
        Verdict::Service(ServiceVerdict::NotReady),
        format!("{} was ready, and its health probe fails: {why}", facts.label),
    );
    if let Some(noted) = facts.last(|what| matches!(what, What::Degraded { .. })) {
        told.because.push(noted.text());
        note(noted, times, &mut told);
    }
    if let Some((service, place)) = &facts.manifest
        && let Some(alive) = &service.alive
    {
        told.because.push(format!("well means: {}", means(&alive.probe)));
        told.fact("alive", means(&alive.probe), place.clone());
    }
    output(facts, &mut told);
    told.remedy("logs", "shows what it writes", format!("vigie logs {} -f", facts.target));
    told
}

fn seconds(span: Duration) -> Duration {
    Duration::from_secs(span.as_secs())
}
