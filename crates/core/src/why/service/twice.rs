//! It runs twice: a copy beside the run, or several copies (R4.5).

use super::{ServiceFacts, ServiceVerdict};
use crate::why::starter::starter;
use crate::why::{Explanation, Times, Verdict, counted, listed};

pub(super) fn explain(facts: &ServiceFacts, times: Times<'_>) -> Option<Explanation> {
    if facts.copies.is_empty() {
        return None;
    }
    let twice = facts.run.is_some() || facts.copies.len() > 1;
    let verdict = if twice { ServiceVerdict::RunsTwice } else { ServiceVerdict::Stray };
    let mut told = Explanation::new(Verdict::Service(verdict), answer(facts, times));
    for copy in &facts.copies {
        let process = &copy.story.process;
        let pid = process.pid();
        let started = process.started.map(|at| format!(" {}", times.moment(at))).unwrap_or_default();
        told.because.push(format!("PID {pid} was started{started} {}", starter(&copy.story, None)));
        told.because.push(format!("PID {pid} is the same thing: its {} match", listed(&copy.matched)));
        if !copy.ports.is_empty() {
            told.because.push(format!("PID {pid} holds {}", listed(&copy.ports)));
        }
        told.fact("copy", format!("PID {pid}: {}", process.short_command()), format!("/proc/{pid}/cmdline"));
        told.fact("matched", copy.matched.join(", "), format!("/proc/{pid}/exe, cmdline, cwd, status"));
        if let Some(at) = process.started {
            told.fact("started", times.moment(at), format!("/proc/{pid}/stat"));
        }
        if let Some(parent) = copy.story.ancestors.first() {
            told.fact(
                "parent",
                format!("PID {}: {}", parent.pid(), parent.short_command()),
                format!("/proc/{pid}/stat"),
            );
        }
    }
    if let Some(main) = &facts.main {
        told.fact("run", format!("PID {}: {}", main.process.pid(), main.process.short_command()), facts.record.clone());
    }
    let copies = if facts.copies.len() == 1 { "ends the copy" } else { "ends the copies" };
    let effect = if facts.run.is_some() { format!("{copies}; the run of vigie goes on") } else { copies.to_owned() };
    told.remedy("sweep", effect, format!("vigie sweep {}", facts.target));
    if facts.run.is_none() {
        told.remedy(
            "replace",
            "ends what runs and starts it under vigie",
            format!("vigie start {} --replace", facts.target),
        );
        if let [only] = &facts.copies[..] {
            let pid = only.story.process.pid();
            told.remedy(
                "adopt",
                "makes the copy the run of vigie",
                format!("vigie adopt pid:{pid} --as {}", facts.target),
            );
        }
    }
    for copy in &facts.copies {
        let pid = copy.story.process.pid();
        told.remedy("ignore", "leaves it alone, and remembers that", format!("vigie ignore pid:{pid}"));
    }
    Some(told)
}

fn answer(facts: &ServiceFacts, times: Times<'_>) -> String {
    let copies: Vec<String> = facts
        .copies
        .iter()
        .map(|copy| {
            let process = &copy.story.process;
            let since = process.started.map(|at| format!(", since {}", times.moment(at))).unwrap_or_default();
            format!("PID {} ({}){since}", process.pid(), process.name)
        })
        .collect();
    let names = listed(&copies);
    let label = &facts.label;
    match (&facts.main, copies.len()) {
        (Some(main), 1) => {
            format!("{label} runs twice: PID {} is its run, {names} is another copy", main.process.pid())
        }
        (Some(main), more) => {
            format!("{label} runs {} times: PID {} is its run; the others are {names}", more + 1, main.process.pid())
        }
        (None, 1) if facts.run.is_some() => format!("{label} runs twice: beside its run there is {names}"),
        (None, 1) => format!("vigie does not run {label}, and a copy of it runs: {names}"),
        (None, more) => {
            format!("vigie does not run {label}, and {} of it run: {names}", counted(more, "copy", "copies"))
        }
    }
}
