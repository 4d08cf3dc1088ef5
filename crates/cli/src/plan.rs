//! What a verb is about to end, process by process, before it asks (R3.2).

use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use anstyle::Style;

use vigie_api::status::Service;
use vigie_core::clock::Wall;
use vigie_os::place::Place;
use vigie_os::proc::{Proc, text};

use crate::failure::Failure;
use crate::look;
use crate::out::{ABSENT, Align, Column, Screen, Table, bytes, command, or_absent, percent, style, time};

/// How many processes of one run are listed; the others are counted.
const LISTED: usize = 12;

/// A process as other layouts show it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) pid: u32,
    pub(crate) cpu_percent: Option<f64>,
    /// Resident bytes.
    pub(crate) memory: Option<u64>,
    pub(crate) command: String,
}

/// A process that is to end.
#[derive(Debug)]
struct Row {
    pid: u32,
    user: Option<String>,
    started: Option<Wall>,
    cpu_percent: Option<f64>,
    memory: Option<u64>,
    command: String,
    why: String,
    /// Clock ticks that it had used when it was seen.
    ticks: u64,
}

/// The processes that are to end.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    rows: Vec<Row>,
    more: usize,
}

impl Plan {
    /// Looks at the processes of `services`. Those that vanish meanwhile are left out.
    pub(crate) fn of(services: &[&Service], place: &Place, proc: &Proc) -> Result<Self, Failure> {
        let mut plan = Self::default();
        for service in services {
            let Some(run) = &service.run else { continue };
            let record = look::record(&place.service_dir(&service.key), proc)?;
            let record = record.filter(|record| record.state.holder.run == run.id);
            let members = match &record {
                Some(record) => record.members(proc)?,
                None => Vec::new(),
            };
            let label = label(service);
            plan.add(members, run.pid, &label, proc)?;
        }
        Ok(plan)
    }

    fn add(&mut self, mut members: Vec<u32>, main: Option<u32>, label: &str, proc: &Proc) -> Result<(), Failure> {
        // The main process first, whether its tree could be listed or not.
        members.retain(|pid| Some(*pid) != main);
        members.sort_unstable();
        if let Some(main) = main {
            members.insert(0, main);
        }
        let mut listed = 0;
        for pid in members {
            if listed == LISTED {
                self.more += 1;
                continue;
            }
            let why = if Some(pid) == main { label.to_owned() } else { format!("{label}, started by it") };
            if let Some(row) = row(pid, why, proc)? {
                self.rows.push(row);
                listed += 1;
            }
        }
        Ok(())
    }

    /// Adds a process of which nothing is known but its number, with what is said of it; not one that is gone.
    pub(crate) fn push(&mut self, pid: u32, why: String, proc: &Proc) -> Result<(), Failure> {
        self.rows.extend(row(pid, why, proc)?);
        Ok(())
    }

    /// The processes that are listed.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.rows
            .iter()
            .map(|row| Line {
                pid: row.pid,
                cpu_percent: row.cpu_percent,
                memory: row.memory,
                command: row.command.clone(),
            })
            .collect()
    }

    /// Nothing is left to be ended.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many processes.
    pub(crate) fn count(&self) -> usize {
        self.rows.len() + self.more
    }

    /// Measures the CPU of all for a moment; for people only, it takes [`SAMPLE`].
    pub(crate) fn measure(&mut self, proc: &Proc) {
        let before = vigie_os::clock::mono();
        let mut nothing = vigie_os::poll::PollSet::default();
        if nothing.wait(Some(SAMPLE)).is_err() {
            return;
        }
        let elapsed = vigie_os::clock::mono().since(before).as_secs_f64();
        let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
        let mut buffer = Vec::new();
        for row in &mut self.rows {
            if let Ok(Some(stat)) = proc.stat(row.pid, &mut buffer) {
                let used = (stat.utime_ticks + stat.stime_ticks).saturating_sub(row.ticks) as f64;
                row.cpu_percent = Some(used / ticks_per_second / elapsed * 100.0);
            }
        }
    }

    /// The table.
    pub(crate) fn render(&self, screen: Screen, now: Wall) -> String {
        let mut table = Table::new(&[
            Column::new("PID", Align::Right),
            Column::spare("USER", Align::Left, 2),
            Column::spare("AGE", Align::Right, 1),
            Column::spare("CPU", Align::Right, 4),
            Column::spare("MEMORY", Align::Right, 3),
            Column::text("COMMAND"),
            Column::text("WHY"),
        ]);
        let plain = Style::new();
        for row in &self.rows {
            table.row(vec![
                (style::HEAD, row.pid.to_string()),
                (plain, or_absent(row.user.as_ref())),
                (plain, row.started.map_or_else(|| ABSENT.to_owned(), |started| time::age(started, now))),
                (plain, row.cpu_percent.map_or_else(|| ABSENT.to_owned(), percent)),
                (plain, row.memory.map_or_else(|| ABSENT.to_owned(), bytes)),
                (plain, row.command.clone()),
                (plain, row.why.clone()),
            ]);
        }
        let mut text = table.render(screen);
        if self.more > 0 {
            text.push_str(&format!("and {} more of the same runs\n", self.more));
        }
        text
    }
}

/// How long the CPU is measured before a question.
const SAMPLE: Duration = Duration::from_millis(150);

/// `demo/api:headless`
pub(crate) fn label(service: &Service) -> String {
    match &service.mode {
        Some(mode) => format!("{}/{}:{mode}", service.project, service.service),
        None => format!("{}/{}", service.project, service.service),
    }
}

fn row(pid: u32, why: String, proc: &Proc) -> Result<Option<Row>, Failure> {
    let mut buffer = Vec::new();
    let Some(stat) = proc.stat(pid, &mut buffer)?.filter(|stat| !stat.is_zombie()) else { return Ok(None) };
    let page = rustix::param::page_size() as u64;
    // A main thread that has ended shows neither memory nor arguments; those that go on do.
    let ended = stat.state == b'Z';
    let memory = (!ended).then_some(stat.rss_pages * page);
    let ticks = stat.utime_ticks + stat.stime_ticks;
    let started = started(stat.start_ticks);
    let name = format!("[{}]", vigie_core::text::escaped(stat.comm));
    let user = proc
        .status(pid, &mut buffer)?
        .map(|status| vigie_os::user::name(status.uid).unwrap_or_else(|| status.uid.to_string()));
    let file = match ended.then(|| other_thread(pid, proc)).transpose()?.flatten() {
        Some(tid) => format!("task/{tid}/cmdline"),
        None => "cmdline".to_owned(),
    };
    let line = proc.read(pid, &file, &mut buffer)?.map(|content| command(text::arguments(content)));
    let command = line.filter(|line| !line.is_empty()).unwrap_or(name);
    Ok(Some(Row { pid, user, started, cpu_percent: None, memory, command, why, ticks }))
}

fn other_thread(pid: u32, proc: &Proc) -> Result<Option<u32>, Failure> {
    let mut tasks = Vec::new();
    proc.tasks(pid, &mut tasks)?;
    Ok(tasks.into_iter().find(|task| *task != pid))
}

/// When a process was started: its ticks count from the boot, on the clock that goes on during suspend.
pub(crate) fn started(start_ticks: u64) -> Option<Wall> {
    let nanos_per_tick = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    let now = vigie_os::clock::now();
    let age = now.mono.0.saturating_sub(start_ticks.saturating_mul(nanos_per_tick));
    now.wall.0.checked_sub(age).map(Wall)
}

/// The arguments of a command as they were given.
pub(crate) fn shown(argv: &[std::ffi::OsString]) -> String {
    command(argv.iter().map(|word| word.as_os_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_described() {
        let proc = Proc::system().expect("/proc");
        let now = vigie_os::clock::now().wall;
        let row = row(std::process::id(), "because".to_owned(), &proc).expect("readable").expect("alive");
        assert!(row.memory.is_some_and(|memory| memory > 100_000));
        let age = now.0.saturating_sub(row.started.expect("known").0);
        assert!(age < 3_600_000_000_000, "this test has not been running for {age} ns");
        assert_eq!(row.cpu_percent, None, "one look tells no CPU");
        let mut plan = Plan { rows: vec![row], more: 0 };
        plan.measure(&proc);
        assert!(plan.rows[0].cpu_percent.is_some());
        let text = plan.render(Screen { terminal: false, colour: false, width: None }, now);
        assert!(text.lines().next().is_some_and(|head| head.contains("USER") && head.contains("WHY")), "{text}");
        assert!(text.contains("because"), "{text}");
    }
}
