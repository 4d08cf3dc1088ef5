//! An explanation for people: the answer, what it follows from, the facts with their sources, what can be done.

use anstyle::Style;
use unicode_width::UnicodeWidthStr as _;

use vigie_core::why::{Explanation, Remedy, ServiceVerdict, TaskVerdict, Verdict};

use crate::out::{Screen, safe, style, wrap};

/// Before a fact.
const INDENT: usize = 2;

/// Between two columns.
const GAP: usize = 2;

/// A value gets so many columns, however narrow the terminal is.
const NARROWEST: usize = 20;

/// The whole text. `also`: what else is found, told more shortly.
pub(crate) fn text(told: &Explanation, also: &[Explanation], screen: Screen) -> String {
    let mut text = format!("{}\n", screen.paint(colour(told.verdict), screen.folded(&safe(&told.answer), 0, INDENT)));
    reasons(told, screen, &mut text);
    facts(told, screen, &mut text);
    cures(&told.remedies, screen, &mut text);
    for other in also {
        text.push_str(&format!("\n{}\n", screen.paint(style::HEAD, screen.folded(&safe(&other.answer), 0, INDENT))));
        reasons(other, screen, &mut text);
        if other.verdict != Verdict::Service(ServiceVerdict::Well) {
            facts(other, screen, &mut text);
        }
        let news: Vec<Remedy> =
            other.remedies.iter().filter(|remedy| !told.remedies.contains(remedy)).cloned().collect();
        cures(&news, screen, &mut text);
    }
    text
}

fn reasons(told: &Explanation, screen: Screen, text: &mut String) {
    let indent = INDENT + "because ".len();
    for reason in &told.because {
        let reason = screen.folded(&safe(reason), indent, indent);
        text.push_str(&format!("  {} {reason}\n", screen.paint(style::DIM, "because")));
    }
}

/// One fact a line: what, what was seen, and behind that the source. A terminal gets long ones wrapped.
fn facts(told: &Explanation, screen: Screen, text: &mut String) {
    let widest = told.evidence.iter().map(|evidence| safe(&evidence.fact).width()).max().unwrap_or(0);
    if widest > 0 {
        text.push('\n');
    }
    for evidence in &told.evidence {
        let fact = safe(&evidence.fact);
        let (value, source) = (safe(&evidence.value), safe(&evidence.source));
        let indent = INDENT + widest + GAP;
        let room = screen.width.map_or(usize::MAX, |width| width.saturating_sub(indent).max(NARROWEST));
        let mut lines = if value.width() <= room { vec![value] } else { wrap(&value, room) };
        let last = lines.pop().unwrap_or_default();
        let fill = " ".repeat(widest - fact.width());
        text.push_str(&format!("{}{fact}{fill}{}", " ".repeat(INDENT), " ".repeat(GAP)));
        for line in lines {
            text.push_str(&format!("{line}\n{}", " ".repeat(indent)));
        }
        // What does not fit behind the value goes below it.
        let between = if last.width() + GAP + source.width() <= room {
            " ".repeat(GAP)
        } else {
            format!("\n{}", " ".repeat(indent))
        };
        text.push_str(&last);
        if !source.is_empty() {
            text.push_str(&format!("{between}{}", screen.paint(style::DIM, source)));
        }
        text.push('\n');
    }
}

fn cures(remedies: &[Remedy], screen: Screen, text: &mut String) {
    if remedies.is_empty() {
        return;
    }
    text.push_str("\nwhat can be done:\n");
    let shown = |remedy: &Remedy| remedy.command.as_ref().map(|command| safe(command)).unwrap_or_default();
    let widest = remedies.iter().map(|remedy| shown(remedy).width()).max().unwrap_or(0);
    for remedy in remedies {
        let command = shown(remedy);
        let needs = remedy.needs.map(|needs| format!(" (needs {needs})")).unwrap_or_default();
        let gap = if widest > 0 { GAP } else { 0 };
        let fill = " ".repeat(widest - command.width() + gap);
        let effect = format!("{}{needs}", safe(&remedy.effect));
        let before = INDENT + widest + gap;
        // Beside a long command there is no room to fold it in; below it there is.
        let indent = if screen.width.is_some_and(|width| before + NARROWEST > width) { 2 * INDENT } else { before };
        let effect = screen.folded(&effect, before, indent);
        text.push_str(&format!("  {}{fill}{effect}\n", screen.paint(style::HEAD, command)));
    }
}

fn colour(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Service(ServiceVerdict::Well) => style::GOOD,
        Verdict::Service(ServiceVerdict::Stopped) | Verdict::Process(TaskVerdict::Running | TaskVerdict::Sleeping) => {
            style::HEAD
        }
        Verdict::Port(verdict) if verdict.is_free() => style::GOOD,
        Verdict::Service(ServiceVerdict::CannotStart | ServiceVerdict::Stuck) => style::BAD,
        _ => style::WARN,
    }
}
