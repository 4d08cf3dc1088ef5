//! The rounds that most supervisors lose: who keeps services exactly once, who stops them for real.

use std::process::{Child, ExitStatus};
use std::rc::Rc;
use std::time::Duration;

use crate::command;
use crate::failure::{Failure, Result};
use crate::page::{Page, Table};
use crate::procs;
use crate::samples::time;
use crate::site::{Arena, Site};
use crate::supervisors::vigie::Vigie;
use crate::supervisors::{Job, Peer, Stop, Supervisor};
use crate::time::{Stopwatch, pass, until};

/// How many services are to run.
const WANTED: usize = 3;

/// So long nothing may change before it is counted.
const SETTLED: Duration = Duration::from_secs(2);

/// What the three misbehaving services are.
const MISBEHAVIOURS: [&str; 3] = ["leader", "escapee", "ignore-term"];

pub(super) fn measure(site: &Rc<Site>, peers: &[Peer]) -> Result<Page> {
    let mut page = Page::new(
        "The five rounds",
        &[
            "Every supervisor with its defaults, every round on its own, live copies counted in `/proc` by a mark in their \
             environment and the file that they execute.",
            "1. *Killed*: three services run; the supervising process gets SIGKILL and is started again with the same \
             configuration. Copies that run then (3 are wanted), and what is left 5 s after an orderly shutdown.\n\
             2. *Second*: it is started once more, with the same configuration, while the first runs: copies, and how the \
             second ended.\n\
             3. *Group child*: a service is stopped whose main process ends on TERM, while a child in its process group \
             ignores TERM.\n\
             4. *setsid child*: the same, and the child called `setsid`.\n\
             5. *Ignores TERM*: the main process itself ignores it.",
            "Of the last three: whether everything of the service was gone, when, and what the stop said. One more round: \
             where a process of the supervisor holds each service, that one gets SIGKILL, all three of them.",
        ],
    );
    let mut table =
        Table::new(["", "1 killed", "2 second", "3 group child", "4 setsid child", "5 ignores TERM", "holders killed"]);
    table.rows.push(contest("**vigie**", &|| Ok(Box::new(Vigie::new(Arena::new(site)?)))));
    for peer in peers {
        table.rows.push(contest(&peer.label(), &|| peer.supervisor(site)));
    }
    page.tables.push(table);
    Ok(page)
}

/// Makes a supervisor in an arena of its own.
type New<'a> = &'a dyn Fn() -> Result<Box<dyn Supervisor>>;

/// All rounds of one supervisor; what could not be played says why.
fn contest(label: &str, new: New<'_>) -> Vec<String> {
    let play = |round: &dyn Fn(&mut dyn Supervisor) -> Result<String>| {
        let result = new().and_then(|mut supervisor| {
            let result = round(supervisor.as_mut());
            if let Err(failure) = supervisor.shut_down() {
                eprintln!("{label}: {failure}");
            }
            result
        });
        result.unwrap_or_else(|failure| format!("not played: {failure}"))
    };
    let mut row = vec![label.to_owned(), play(&killed), play(&second)];
    row.extend(MISBEHAVIOURS.map(|behaviour| play(&|supervisor| stop(supervisor, behaviour))));
    row.push(play(&holders_killed));
    println!("{}", row.join(" | "));
    row
}

/// The live copies.
fn copies(supervisor: &dyn Supervisor) -> Result<Vec<u32>> {
    let arena = supervisor.arena();
    procs::copies(&arena.mark, &arena.site.hostile)
}

fn start(supervisor: &mut dyn Supervisor, jobs: &[Job], processes: usize) -> Result<()> {
    supervisor.configure(jobs)?;
    supervisor.bring_up()?;
    until("all services run", Duration::from_secs(30), Duration::from_millis(10), || {
        copies(supervisor).is_ok_and(|pids| pids.len() == processes).then_some(())
    })
}

fn three(supervisor: &mut dyn Supervisor) -> Result<()> {
    let jobs = Job::many(WANTED, &supervisor.arena().site.hostile, &["wait"]);
    start(supervisor, &jobs, WANTED)
}

/// The copies, once their number has not changed for a while.
fn settled(supervisor: &dyn Supervisor) -> Result<Vec<u32>> {
    let whole = Stopwatch::start();
    let mut seen = copies(supervisor)?;
    let mut since = Stopwatch::start();
    while since.elapsed() < SETTLED && whole.elapsed() < Duration::from_secs(15) {
        pass(Duration::from_millis(20));
        let now = copies(supervisor)?;
        if now != seen {
            since = Stopwatch::start();
            seen = now;
        }
    }
    Ok(seen)
}

/// Round 1.
fn killed(supervisor: &mut dyn Supervisor) -> Result<String> {
    three(supervisor)?;
    let before = copies(supervisor)?;
    supervisor.kill()?;
    let survivors = settled(supervisor)?.len();
    let again = supervisor.bring_up().err();
    let after = settled(supervisor)?;
    let same = if after == before { ", same PIDs" } else { "" };
    supervisor.shut_down()?;
    let none = || copies(supervisor).is_ok_and(|pids| pids.is_empty()).then_some(());
    let _ = until("the end of all", Duration::from_secs(5), Duration::from_millis(20), none);
    let left = copies(supervisor)?.len();
    // What and how; why is too long for a table.
    let brief = |failure: Failure| failure.to_string().splitn(3, ": ").take(2).collect::<Vec<_>>().join(": ");
    let refused = again.map_or(String::new(), |failure| format!(" ({})", brief(failure)));
    let left = if left == 0 { "0".to_owned() } else { format!("**{left}**") };
    Ok(format!("{survivors} survive, {} of {WANTED}{same}{refused}, {left} left", shown(after.len())))
}

/// Round 2.
fn second(supervisor: &mut dyn Supervisor) -> Result<String> {
    three(supervisor)?;
    let verdict = supervisor.second()?;
    let copies = settled(supervisor)?.len();
    Ok(format!("{} of {WANTED}; second: {verdict}", shown(copies)))
}

/// The number of copies; too many or too few stand out.
fn shown(copies: usize) -> String {
    if copies == WANTED { copies.to_string() } else { format!("**{copies}**") }
}

/// One more: the process that holds each service is killed.
fn holders_killed(supervisor: &mut dyn Supervisor) -> Result<String> {
    three(supervisor)?;
    if !supervisor.kill_holders()? {
        return Ok("–".to_owned());
    }
    let copies = settled(supervisor)?.len();
    Ok(format!("{} of {WANTED}", shown(copies)))
}

/// Those among the copies that were started to do this.
fn doing(pids: &[u32], behaviour: &str) -> Result<Vec<u32>> {
    let proc = vigie_os::proc::Proc::system()?;
    let mut buffer = Vec::new();
    let mut found = Vec::new();
    for &pid in pids {
        let arguments = proc.cmdline(pid, &mut buffer)?.unwrap_or_default();
        if arguments.split(|&byte| byte == 0).any(|argument| argument == behaviour.as_bytes()) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Rounds 3 to 5.
fn stop(supervisor: &mut dyn Supervisor, behaviour: &str) -> Result<String> {
    let hostile = supervisor.arena().site.hostile.clone();
    let processes = if behaviour == "ignore-term" { 1 } else { 2 };
    // Beside two that obey: honcho counts the time of its ladder from the first end of any.
    let mut jobs = Job::many(WANTED, &hostile, &["wait"]);
    jobs[0] = Job::new("s0", &hostile, &[behaviour]);
    start(supervisor, &jobs, WANTED - 1 + processes)?;
    let left = |supervisor: &dyn Supervisor| Ok::<_, Failure>(doing(&copies(supervisor)?, behaviour)?.len());
    // Past the first second, in which some supervisors count a service as still starting.
    pass(Duration::from_millis(1500));
    let patience = supervisor.patience();
    let watch = Stopwatch::start();
    let mut asked = Asked::new(supervisor)?;
    let (mut gone, mut said) = (None, None);
    while (gone.is_none() || said.is_none()) && watch.elapsed() < patience + Duration::from_secs(10) {
        if said.is_none() {
            said = asked.ended()?.map(|verdict| (verdict, watch.elapsed()));
        }
        if gone.is_none() && left(supervisor)? == 0 {
            gone = Some(watch.elapsed());
        }
        // It has said its word, and what is left has had its time.
        if said.is_some() && watch.elapsed() > patience {
            break;
        }
        pass(Duration::from_millis(5));
    }
    let left = left(supervisor)?;
    let said = said.map_or("the stop hangs".to_owned(), |(verdict, took)| format!("{verdict} after {}", time(took)));
    Ok(match gone {
        Some(took) => format!("gone, {} ({said})", time(took)),
        None => format!("**{left} left** ({said})"),
    })
}

/// A stop that was asked for.
struct Asked(Option<Child>, Option<u32>);

impl Asked {
    fn new(supervisor: &dyn Supervisor) -> Result<Self> {
        match supervisor.stop("s0")? {
            Stop::Command(command) => {
                let log = supervisor.arena().dir.join("stop.log");
                Ok(Self(Some(command::stay(command, &log)?), None))
            }
            Stop::Whole(pid) => {
                let number = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
                let number = number.ok_or_else(|| Failure::new(format!("{pid} is no process")))?;
                // An unreaped child of ours: the number is its own.
                rustix::process::kill_process(number, rustix::process::Signal::TERM)
                    .map_err(|errno| Failure::new(format!("cannot signal process {pid}: {errno}")))?;
                Ok(Self(None, Some(pid)))
            }
        }
    }

    /// What it said, once it did.
    fn ended(&mut self) -> Result<Option<String>> {
        if let Some(child) = &mut self.0 {
            let status = child.try_wait().map_err(Failure::io("cannot wait for the stop"))?;
            return Ok(status.map(verdict));
        }
        let Some(pid) = self.1 else { return Ok(None) };
        // A zombie executes nothing any more.
        let gone = vigie_os::proc::Proc::system()?.link(pid, "exe")?.is_none();
        Ok(gone.then(|| "it ended".to_owned()))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            command::end(child);
        }
    }
}

fn verdict(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("exit {code}"))
}
