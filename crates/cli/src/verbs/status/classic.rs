//! `status --classic`: a list of processes as scripts of old show it. Title, a rule of 50 signs, the locked process, then
//! each process with its CPU, memory and command.
//!
//! CPU is measured here, between two looks, so that it is never a zero that nobody saw.

use vigie_api::status::Report;
use vigie_os::place::Place;
use vigie_os::proc::Proc;

use crate::failure::Failure;
use crate::out::ABSENT;
use crate::plan::{Line, Plan};

const RULE: usize = 50;

/// Commands are cut to this many characters, as they always were.
const COMMAND: usize = 100;

pub(super) fn render(report: &Report, title: &str, place: &Place, proc: &Proc) -> Result<String, Failure> {
    let running: Vec<_> = report.services.iter().filter(|service| service.run.is_some()).collect();
    let mut plan = Plan::of(&running, place, proc)?;
    plan.measure(proc);
    let locked: Vec<u32> = running.iter().filter_map(|service| service.run.as_ref()?.pid).collect();
    Ok(layout(title, &locked, &plan.lines()))
}

fn layout(title: &str, locked: &[u32], lines: &[Line]) -> String {
    let mut text = format!("{title}\n{}\n", "=".repeat(RULE));
    for pid in locked {
        text.push_str(&format!("locked process: PID {pid}\n"));
    }
    if locked.is_empty() {
        text.push_str("locked process: none\n");
    }
    text.push_str(&format!("{} {} running:\n", lines.len(), if lines.len() == 1 { "process" } else { "processes" }));
    for line in lines {
        let marker = if locked.contains(&line.pid) { "LOCKED" } else { "ACTIVE" };
        let cpu = line.cpu_percent.map_or_else(|| ABSENT.to_owned(), |cpu| format!("{cpu:.1}%"));
        let ram = line.memory.map_or_else(|| ABSENT.to_owned(), |bytes| format!("{:.1} MB", bytes as f64 / 1e6));
        let command: String = line.command.chars().take(COMMAND).collect();
        text.push_str(&format!("  {marker} PID {}  CPU {cpu}  RAM {ram}\n      {command}\n", line.pid));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layout of case A, with its example values.
    #[test]
    fn the_layout() {
        let line = |pid, cpu_percent, memory, command: &str| Line {
            pid,
            cpu_percent,
            memory: Some(memory),
            command: command.to_owned(),
        };
        let lines = [
            line(12345, Some(2.3), 45_200_000, "python3 scripts/launch_complete_robot.py --headless"),
            line(12346, None, 1_000_000, &"x".repeat(200)),
        ];
        let text = layout("status of robot", &[12345], &lines);
        let expected = format!(
            "status of robot\n{}\nlocked process: PID 12345\n2 processes running:\n  \
               LOCKED PID 12345  CPU 2.3%  RAM 45.2 MB\n      python3 scripts/launch_complete_robot.py --headless\n  \
               ACTIVE PID 12346  CPU –  RAM 1.0 MB\n      {}\n",
            "=".repeat(50),
            "x".repeat(100)
        );
        assert_eq!(text, expected);
        let nothing = layout("status of robot", &[], &[]);
        assert!(nothing.ends_with("locked process: none\n0 processes running:\n"), "{nothing}");
    }
}
