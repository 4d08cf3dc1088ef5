//! Findings for people.

use std::time::Duration;

use anstyle::Style;
use vigie_core::clock::Wall;
use vigie_core::doctor::facts::Facts;
use vigie_core::doctor::{Change, Finding, Scope, Severity};
use vigie_core::units::format_rounded;

use super::Examined;
use crate::out::{Screen, safe, style, time};

/// Before what belongs to a finding.
const INDENT: usize = 2;

/// The whole text: a line when there is nothing, else each finding with what it rests on and what mends it.
pub(super) fn text(examined: &Examined, scope: &Scope, screen: Screen) -> String {
    let mut text = String::new();
    for finding in &examined.found {
        if !text.is_empty() {
            text.push('\n');
        }
        one(finding, screen, &mut text);
    }
    if examined.found.is_empty() {
        let line = format!("nothing found: {}", looked_at(&examined.facts, scope));
        text.push_str(&format!("{}\n", screen.paint(style::GOOD, screen.folded(&line, 0, INDENT))));
    } else {
        let line = counts(&examined.found);
        text.push_str(&format!("\n{}\n", screen.paint(style::HEAD, line)));
    }
    for (what, why) in &examined.facts.unseen {
        let line = safe(&format!("not seen: {what}: {why}"));
        text.push_str(&format!("{}\n", screen.paint(style::DIM, screen.folded(&line, 0, INDENT))));
    }
    text
}

fn one(finding: &Finding, screen: Screen, text: &mut String) {
    let name = finding.kind.name();
    let rest = screen.folded(&safe(&finding.text), name.len() + 2, INDENT);
    text.push_str(&format!("{}  {rest}\n", screen.paint(colour(finding.severity), name)));
    for reason in &finding.because {
        let indent = INDENT + "because ".len();
        let reason = screen.folded(&safe(reason), indent, indent);
        text.push_str(&format!("  {} {reason}\n", screen.paint(style::DIM, "because")));
    }
    for evidence in &finding.evidence {
        let source = if evidence.source.is_empty() { String::new() } else { format!("  ({})", evidence.source) };
        let line = safe(&format!("{}: {}{source}", evidence.fact, evidence.value));
        let line = screen.folded(&line, INDENT, 2 * INDENT);
        text.push_str(&format!("  {}\n", screen.paint(style::DIM, line)));
    }
    for remedy in &finding.remedies {
        let needs = remedy.needs.map(|needs| format!(" (needs {needs})")).unwrap_or_default();
        let effect = safe(&format!("{}{needs}", remedy.effect));
        match &remedy.command {
            Some(command) => {
                let command = safe(command);
                let before = INDENT + 3 + command.chars().count() + 2;
                let effect = screen.folded(&effect, before, 2 * INDENT + 3);
                text.push_str(&format!("  -> {}  {effect}\n", screen.paint(style::HEAD, command)));
            }
            None => {
                let effect = screen.folded(&effect, INDENT + 3, 2 * INDENT + 3);
                text.push_str(&format!("  -> {effect}\n"));
            }
        }
    }
}

/// `3 findings: 1 critical, 2 notices`
fn counts(found: &[Finding]) -> String {
    let of = |severity| found.iter().filter(|finding| finding.severity == severity).count();
    let mut parts = Vec::new();
    for (severity, one, many) in [
        (Severity::Critical, "critical", "critical"),
        (Severity::Warning, "warning", "warnings"),
        (Severity::Notice, "notice", "notices"),
    ] {
        match of(severity) {
            0 => {}
            1 => parts.push(format!("1 {one}")),
            count => parts.push(format!("{count} {many}")),
        }
    }
    let all = if found.len() == 1 { "1 finding".to_owned() } else { format!("{} findings", found.len()) };
    format!("{all}: {}", parts.join(", "))
}

/// What was looked at.
fn looked_at(facts: &Facts, scope: &Scope) -> String {
    match scope {
        Scope::Machine => {
            let services = match facts.services.len() {
                0 => "no services are known".to_owned(),
                1 => "1 service".to_owned(),
                count => format!("{count} services"),
            };
            let daemon = if facts.daemon.is_some() { "the daemon" } else { "no daemon runs" };
            format!("processes, cgroups, FUSE mounts, {services}, strays, ports, room, journal, {daemon}")
        }
        Scope::Process(pid) => format!("nothing holds up PID {pid}"),
        Scope::Service(project, service) => format!("{project}/{service}, its processes, ports, strays and leftovers"),
    }
}

/// The first line of `--watch`.
pub(super) fn watched(facts: &Facts, scope: &Scope, every: Duration) -> String {
    format!("looking every {}: {}", format_rounded(every), looked_at(facts, scope))
}

/// One change of `--watch`.
pub(super) fn change(change: &Change, at: Wall, screen: Screen) -> String {
    let (word, colour, finding) = match change {
        Change::Opened(finding) => ("opened", colour(finding.severity), finding),
        Change::Resolved(finding) => ("resolved", style::GOOD, finding),
    };
    let clock = time::local(at);
    let before = clock.chars().count() + word.len() + finding.kind.name().len() + 4;
    let rest = screen.folded(&safe(&finding.text), before, INDENT);
    let mut text = format!("{clock} {} {}  {rest}\n", screen.paint(colour, word), finding.kind.name());
    if let Change::Opened(finding) = change
        && let Some(remedy) = finding.remedies.iter().find(|remedy| remedy.command.is_some())
    {
        let command = safe(remedy.command.as_deref().unwrap_or_default());
        text.push_str(&format!("  -> {}  {}\n", screen.paint(style::HEAD, command), safe(&remedy.effect)));
    }
    text
}

fn colour(severity: Severity) -> Style {
    match severity {
        Severity::Critical => style::BAD,
        Severity::Warning => style::WARN,
        Severity::Notice => style::HEAD,
    }
}
