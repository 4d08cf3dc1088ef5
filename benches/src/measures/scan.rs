//! How long it takes to look at all processes.

use std::mem::MaybeUninit;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};
use vigie_os::proc::Proc;
use vigie_os::scan::{Scanner, YOUTH};

use crate::command;
use crate::crowd::Crowd;
use crate::failure::{Failure, Result};
use crate::page::{Budget, Page, Table};
use crate::peers;
use crate::samples::{Samples, time, times};
use crate::site::Site;
use crate::supervisors::Peer;
use crate::time::{Stopwatch, pass};

/// Of the spec: steady state beside the bare loop.
const LIMIT: f64 = 0.25;

/// Debian's Python, for which Debian's psutil is.
const PYTHON: &str = "/usr/bin/python3";

/// Prints how many nanoseconds each look took. The list of processes is kept between two looks, as psutil does by itself.
const PSUTIL: &str = "\
import sys, time, psutil
for _ in range(int(sys.argv[1])):
    begin = time.perf_counter_ns()
    for process in psutil.process_iter(['pid', 'ppid', 'name', 'cmdline', 'uids', 'create_time']):
        process.info
    print(time.perf_counter_ns() - begin)
";

pub(super) fn measure(site: &Rc<Site>, _: &[Peer]) -> Result<Page> {
    let mut page = Page::new(
        "All processes",
        &[
            "Number, parent, user, session, terminal, name, arguments and start of every process. The floor is a loop over \
             `/proc` that opens, reads and closes each `/proc/PID/stat`, and looks at nothing that it has read. *First look*: \
             `Scanner::refresh` of a scanner that knows nothing, by all processors. *Steady state*: the same again, while little happens; it \
             uses nothing that an ordinary user may not. *Connector*: the kernel tells it who has executed something, so \
             that nobody is read again in turns. *BPF*: built with the feature `bpf`, the kernel's own iterator tells; its first look \
             includes loading it.",
            "`ps` and `pgrep` are commands, their start included; psutil is measured inside of a Python \
             that runs already. All take turns.",
        ],
    );
    let mut table = Table::new(["subject", "processes", "min", "p50", "p99", "to the floor", "rounds"]);
    for (count, rounds) in [(2_000, site.pick(100, 20)), (10_000, site.pick(30, 8))] {
        let seen = look(site, count, rounds)?;
        let floor = seen.floor.clone();
        for (name, samples) in seen.rows() {
            table.row([
                name,
                seen.processes.to_string(),
                time(samples.min()),
                time(samples.median()),
                time(samples.p99()),
                times(samples.median(), floor.median()),
                samples.len().to_string(),
            ]);
        }
        page.notes.extend(seen.notes.iter().map(|note| format!("{count} processes: {note}")));
        if count == 2_000 {
            let (steady, floor) = (seen.steady.median(), floor.median());
            page.budgets.push(Budget::new(
                "all processes, unprivileged, steady state, 2,000 processes",
                &format!("≤ {LIMIT} × a plain loop over `/proc/PID/stat`"),
                format!("{} ({}, the loop {})", times(steady, floor), time(steady), time(floor)),
                steady.as_secs_f64() <= LIMIT * floor.as_secs_f64(),
            ));
        }
    }
    page.tables.push(table);
    Ok(page)
}

/// What the subjects took.
#[derive(Default)]
struct Seen {
    processes: usize,
    floor: Samples,
    first: Samples,
    steady: Samples,
    attended: Option<Samples>,
    hastened: Option<Samples>,
    others: Vec<(String, Samples)>,
    notes: Vec<String>,
}

impl Seen {
    fn rows(&self) -> Vec<(String, &Samples)> {
        let mut rows = vec![
            ("bare loop over `/proc/PID/stat`".to_owned(), &self.floor),
            ("vigie: first look".to_owned(), &self.first),
            ("vigie: steady state".to_owned(), &self.steady),
        ];
        rows.extend(self.attended.iter().map(|samples| ("vigie: steady state, connector".to_owned(), samples)));
        rows.extend(self.hastened.iter().map(|samples| ("vigie: first look, BPF, as root".to_owned(), samples)));
        rows.extend(self.others.iter().map(|(name, samples)| (name.clone(), samples)));
        rows
    }
}

fn look(site: &Rc<Site>, count: usize, rounds: usize) -> Result<Seen> {
    let mut crowd = Crowd::new(site)?;
    crowd.add(count, 0, 0)?;
    let mut seen = Seen::default();
    let mut steady = Scanner::plain(Proc::system()?);
    let mut attended = Scanner::plain(Proc::system()?);
    let attends = attended.attend();
    if Scanner::new(Proc::system()?)?.hasten() {
        seen.hastened = Some(Samples::default());
    } else {
        seen.notes.push("this kernel has no iterator over tasks for us".to_owned());
    }
    if attends {
        seen.attended = Some(Samples::default());
    } else {
        seen.notes.push("this kernel has no process connector for us".to_owned());
    }
    // Until nobody counts as young any more.
    pass(YOUTH);
    for scanner in [&mut steady, &mut attended] {
        scanner.refresh()?;
        scanner.refresh()?;
    }
    seen.processes = steady.processes().count();
    for _ in 0..rounds {
        seen.floor.add(taken(bare_loop)?);
        seen.first.add(taken(|| known(&mut Scanner::plain(Proc::system()?)))?);
        seen.steady.add(taken(|| known(&mut steady))?);
        if let Some(samples) = &mut seen.attended {
            samples.add(taken(|| known(&mut attended))?);
        }
        if let Some(samples) = &mut seen.hastened {
            samples.add(taken(|| known(&mut Scanner::new(Proc::system()?)?))?);
        }
    }
    if known(&mut steady)? < count {
        return Err(Failure::new(format!("of {count} processes not all were seen")));
    }
    commands(&mut seen, rounds.div_ceil(5))?;
    psutil(&mut seen, rounds.div_ceil(5));
    Ok(seen)
}

/// How long it took to see how many there are.
fn taken(look: impl FnOnce() -> Result<usize>) -> Result<Duration> {
    let watch = Stopwatch::start();
    let count = look()?;
    let took = watch.elapsed();
    if count == 0 { Err(Failure::new("no process was seen")) } else { Ok(took) }
}

fn known(scanner: &mut Scanner) -> Result<usize> {
    scanner.refresh()?;
    Ok(scanner.processes().count())
}

/// The floor: nothing that reads every process by `/proc` can be faster.
fn bare_loop() -> Result<usize> {
    let failed = |errno: rustix::io::Errno| Failure::new(format!("cannot read /proc: {errno}"));
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let dir = openat(CWD, "/proc", flags | OFlags::DIRECTORY, Mode::empty()).map_err(failed)?;
    let mut names = [MaybeUninit::<u8>::uninit(); 32 * 1024];
    let mut entries = RawDir::new(&dir, &mut names);
    let mut line = [0; 2048];
    let mut count = 0;
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_bytes();
        if !name.first().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        let mut path = [0; 32];
        path[..name.len()].copy_from_slice(name);
        path[name.len()..name.len() + 5].copy_from_slice(b"/stat");
        // One that has vanished meanwhile.
        let Ok(file) = openat(&dir, &path[..name.len() + 5], flags, Mode::empty()) else { continue };
        count += usize::from(rustix::io::read(&file, &mut line).is_ok_and(|len| len > 0));
    }
    Ok(count)
}

fn commands(seen: &mut Seen, rounds: usize) -> Result<()> {
    let subjects: [(&str, &str, &[&str]); 2] =
        [("ps aux", "ps", &["aux"]), ("pgrep -f", "pgrep", &["-f", "no process is called like this"])];
    let version = peers::package_version("procps");
    let mut all = subjects.map(|_| Samples::default());
    for _ in 0..rounds {
        for (samples, (_, program, args)) in all.iter_mut().zip(subjects) {
            let mut command = Command::new(program);
            command.args(args);
            samples.add(command::quiet(command)?.took);
        }
    }
    for (samples, (name, ..)) in all.into_iter().zip(subjects) {
        seen.others.push((format!("`{name}` {version}").trim_end().to_owned(), samples));
    }
    Ok(())
}

fn psutil(seen: &mut Seen, rounds: usize) {
    let mut python = Command::new(PYTHON);
    // The first look fills what it keeps.
    python.args(["-c", PSUTIL]).arg((rounds + 1).to_string());
    let name = format!("psutil {}, `process_iter`", peers::package_version("python3-psutil"));
    match Path::new(PYTHON).exists().then(|| command::output(python)) {
        Some(Ok(output)) => {
            let text = String::from_utf8_lossy(&output);
            let nanos = text.lines().skip(1).filter_map(|line| line.parse().ok());
            seen.others.push((name, nanos.map(Duration::from_nanos).collect()));
        }
        _ => seen.notes.push("psutil is not there; cargo xtask bench --install-peers".to_owned()),
    }
}
