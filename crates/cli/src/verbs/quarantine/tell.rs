//! What is going to be done, and what came of it, for people and for programs.

use std::io::Write as _;

use vigie_api::quarantine::{Bindable as Shown, Port, Process, Report};
use vigie_api::status::Stuck;
use vigie_core::run::Left;
use vigie_core::stuck::Judgement;
use vigie_core::why::facts::Story;
use vigie_os::takeback::Bindable;

use super::survey::Survey;
use super::take::Taken;
use crate::failure::Failure;
use crate::out::{Align, Column, Screen, Table, bytes, or_absent, safe, style};
use crate::plan::label;

/// Who is left, and what will be done about what they hold.
pub(super) fn plan(survey: &Survey) -> Result<(), Failure> {
    let screen = Screen::stdout();
    let mut table = Table::new(&[
        Column::new("PID", Align::Right),
        Column::new("STATE", Align::Left),
        Column::new("MEMORY", Align::Right),
        Column::text("NAME"),
        Column::text("HOLDS"),
    ]);
    let plain = anstyle::Style::new();
    for left in &survey.left {
        let pid = left.process.pid;
        let holds = survey.held.iter().filter(|(_, pids)| pids.contains(&pid)).map(|(claim, _)| claim.to_string());
        table.row(vec![
            (style::HEAD, pid.to_string()),
            (style::BAD, format!("{}, KILL pending", left.state)),
            (plain, or_absent(survey.memory.get(&pid).map(|memory| bytes(*memory)))),
            (plain, left.name.to_string()),
            (plain, or_absent(Some(holds.collect::<Vec<_>>().join(" ")).filter(|holds| !holds.is_empty()))),
        ]);
    }
    let mut out = std::io::stdout().lock();
    write!(out, "{}", table.render(screen))?;
    for (claim, _) in &survey.held {
        writeln!(
            out,
            "port {claim}: will be taken back; a successor can bind to it if it sets SO_REUSEADDR, as most servers do"
        )?;
    }
    if !survey.memory.is_empty() {
        let total = survey.memory.values().sum();
        writeln!(out, "memory: what is private of {} will be taken back", bytes(total))?;
    }
    writeln!(
        out,
        "the processes themselves, their open files and mounts stay as they are until the kernel lets them go"
    )?;
    Ok(out.flush()?)
}

/// What came of it.
pub(super) fn came(survey: &Survey, taken: &Taken, refused: Option<&str>) -> Result<(), Failure> {
    let name = label(&survey.service);
    let screen = Screen::stdout();
    let mut out = std::io::stdout().lock();
    for (claim, bindable, _) in &taken.ports {
        let text = match bindable {
            Bindable::Plainly => "taken back: it is free",
            Bindable::WithReuse => "taken back: a server that sets SO_REUSEADDR, as most do, can bind to it",
            Bindable::No => "not taken back",
            Bindable::Unknown => "taken back; whether it can be bound to cannot be tried without root",
        };
        writeln!(out, "port {claim}: {text}")?;
    }
    if let Some((before, after)) = taken.memory {
        writeln!(out, "memory: {} taken back, {} stay", bytes(before.saturating_sub(after)), bytes(after))?;
    }
    for failure in &taken.failures {
        writeln!(out, "{} {}", screen.paint(style::WARN, "note:"), safe(failure))?;
    }
    if refused.is_none() {
        let service = &survey.service.service;
        writeln!(out, "{name}: {}", screen.paint(style::GOOD, "quarantined"))?;
        writeln!(
            out,
            "'vigie start {service}' starts a new run; 'vigie status {service}' shows what is left of this one"
        )?;
    }
    out.flush()?;
    if let Some(why) = refused {
        eprintln!("{name}: not quarantined: {}", safe(why));
    }
    Ok(())
}

/// For programs.
pub(super) fn json(
    survey: &Survey,
    judged: &[(Story, Judgement)],
    done: Option<(&Taken, bool)>,
    dry_run: bool,
    why: &[String],
) -> Result<(), Failure> {
    let taken = done.map(|(taken, _)| taken);
    let bindable = |claim| {
        let (_, bindable, _) = taken?.ports.iter().find(|(of, ..)| of == claim)?;
        Some(match bindable {
            Bindable::Plainly => Shown::Plainly,
            Bindable::WithReuse => Shown::WithReuse,
            Bindable::No => Shown::No,
            Bindable::Unknown => Shown::Unknown,
        })
    };
    let ports = survey.held.iter().map(|(claim, pids)| Port {
        claim: claim.to_string(),
        pids: pids.clone(),
        bindable: bindable(claim),
    });
    let process = |left: &Left| {
        let judgement = judged.iter().find(|(story, _)| story.process.key == left.process).map(|(_, judged)| judged);
        Process {
            stuck: Stuck::from(left),
            verdict: judgement.map(|judgement| judgement.verdict.name().to_owned()),
            said: judgement.map(|judgement| judgement.said.clone()),
        }
    };
    let memory = taken.and_then(|taken| taken.memory);
    let total = (!survey.memory.is_empty()).then(|| survey.memory.values().sum());
    let report = Report {
        schema: vigie_api::SCHEMA,
        dry_run,
        project: survey.service.project.clone(),
        service: survey.service.service.clone(),
        run: survey.run,
        processes: survey.left.iter().map(process).collect(),
        memory_before: memory.map(|(before, _)| before).or(total),
        memory_after: memory.map(|(_, after)| after),
        ports: ports.collect(),
        quarantined: done.is_some_and(|(_, done)| done),
        why: why.to_vec(),
    };
    let text = serde_json::to_string(&report)
        .map_err(|error| Failure::io("cannot write JSON", &std::io::Error::other(error)))?;
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
