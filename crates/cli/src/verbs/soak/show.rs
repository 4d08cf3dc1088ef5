//! The report for people, and the line that shows how far it is.

use std::fmt::Write as _;
use std::io::Write as _;

use anstyle::Style;

use vigie_api::soak::{Growth, Leftover, Report, Step};
use vigie_core::soak::Ledger;

use crate::out::{ABSENT, Align, Column, Screen, Table, bytes, safe, style};

/// How many things are listed that accuse nobody: a browser makes dozens.
const UNCLEAR: usize = 5;

/// How far it is, on a terminal.
#[derive(Debug)]
pub(super) struct Meter {
    cycles: u32,
    shown: bool,
}

impl Meter {
    pub(super) fn new(cycles: u32) -> Self {
        Self { cycles, shown: Screen::stderr().terminal }
    }

    pub(super) fn show(&mut self, cycle: u32, left: &Ledger) {
        if self.shown {
            let count: u32 = left.entries().iter().map(|entry| entry.count).sum();
            let left = if count == 0 { String::new() } else { format!(", {count} left behind") };
            eprint!("\r\x1b[Kcycle {cycle} of {}{left}", self.cycles);
            let _ = std::io::stderr().flush();
        }
    }

    pub(super) fn clear(&mut self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}

pub(super) fn render(report: &Report, screen: Screen) -> String {
    let mut text = String::new();
    let service = match &report.mode {
        Some(mode) => format!("{}/{}:{mode}", report.project, report.service),
        None => format!("{}/{}", report.project, report.service),
    };
    let service = screen.paint(style::HEAD, service);
    let _ = writeln!(text, "{service}: {} of {} cycles", report.done, report.cycles);
    if let Some(why) = &report.why {
        let _ = writeln!(text, "  {}", screen.paint(style::WARN, safe(why)));
    }
    text.push('\n');
    text.push_str(&times(report).render(screen));
    text.push('\n');
    if report.leftovers.is_empty() && report.done > 0 {
        let _ = writeln!(text, "{}", screen.paint(style::GOOD, "nothing was left behind"));
    }
    if !report.leftovers.is_empty() {
        let _ = writeln!(text, "{}", screen.paint(style::BAD, "left behind:"));
        list(&report.leftovers, &mut text);
    }
    if !report.unclear.is_empty() {
        text.push_str("came meanwhile, and whose it is cannot be told:\n");
        list(&report.unclear[..report.unclear.len().min(UNCLEAR)], &mut text);
        let more = report.unclear.len().saturating_sub(UNCLEAR);
        if more > 0 {
            let _ = writeln!(text, "  and {more} more; --json has them all");
        }
    }
    for unseen in &report.unseen {
        let _ = writeln!(text, "{} {}", screen.paint(style::WARN, "not seen:"), safe(unseen));
    }
    own(report, screen, &mut text);
    text
}

fn times(report: &Report) -> Table {
    let columns = ["p50", "p99", "max"].map(|head| Column::new(head, Align::Right));
    let mut table = Table::new(&[&[Column::new("", Align::Left)], &columns[..]].concat());
    let times = &report.times;
    for (name, step) in [("start", times.start), ("ready", times.ready), ("stop", times.stop)] {
        let value = |of: fn(&Step) -> f64| step.as_ref().map_or_else(|| ABSENT.to_owned(), |step| millis(of(step)));
        let cells = [name.to_owned(), value(|step| step.p50_ms), value(|step| step.p99_ms), value(|step| step.max_ms)];
        table.row(cells.into_iter().map(|cell| (Style::new(), cell)).collect());
    }
    table
}

fn millis(value: f64) -> String {
    if value >= 1000.0 { format!("{:.2} s", value / 1000.0) } else { format!("{value:.1} ms") }
}

fn list(leftovers: &[Leftover], text: &mut String) {
    for left in leftovers {
        let kind = left.kind.text();
        // Some bear the name of what they are.
        let what = if left.name.starts_with(kind) { left.name.clone() } else { format!("{} ({kind})", left.name) };
        let often = match (left.count, left.cycles) {
            (1, _) => String::new(),
            (count, 1) => format!(", {count} of them"),
            (count, cycles) => format!(", {count} in {cycles} cycles"),
        };
        let _ = writeln!(text, "  {}: first in cycle {}{often}", safe(&what), left.first_cycle);
        let _ = writeln!(text, "      {}", safe(&left.detail));
        if let Some(remedy) = &left.remedy {
            let _ = writeln!(text, "      taken away by: {}", safe(remedy));
        }
    }
}

/// What vigie itself keeps.
fn own(report: &Report, screen: Screen, text: &mut String) {
    let told = |process: &&vigie_api::soak::Upkeep| process.descriptors.is_some();
    if !report.vigie.iter().any(|process| told(&process)) {
        text.push_str("whether vigie itself grows takes 20 cycles to tell\n");
        return;
    }
    let mut table = Table::new(&[
        Column::new("VIGIE ITSELF", Align::Left),
        Column::new("DESCRIPTORS", Align::Left),
        Column::new("THREADS", Align::Left),
        Column::new("MEMORY", Align::Left),
    ]);
    for process in report.vigie.iter().filter(told) {
        let count = |value: u64| value.to_string();
        table.row(vec![
            (style::HEAD, process.process.clone()),
            cell(process.descriptors, count),
            cell(process.threads, count),
            cell(process.memory_bytes, bytes),
        ]);
    }
    text.push('\n');
    text.push_str(&table.render(screen));
}

/// `18`, `18 → 19`, `18 → 318, leaks 1.00 a cycle`
fn cell(growth: Option<Growth>, shown: impl Fn(u64) -> String) -> (Style, String) {
    let Some(growth) = growth else { return (Style::new(), ABSENT.to_owned()) };
    let (first, last) = (shown(growth.first), shown(growth.last));
    let change = if first == last { first } else { format!("{first} → {last}") };
    if !growth.leaks {
        return (Style::new(), change);
    }
    let rate =
        if growth.per_cycle < 100.0 { format!("{:.2}", growth.per_cycle) } else { bytes(growth.per_cycle as u64) };
    (style::BAD, format!("{change}, leaks {rate} a cycle"))
}
