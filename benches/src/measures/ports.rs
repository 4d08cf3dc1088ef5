//! How long it takes to say who holds a port.

use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use vigie_core::ports::State;
use vigie_os::inet;
use vigie_os::owners::{any_owner_on_machine, owners_on_machine};
use vigie_os::proc::Proc;

use crate::command;
use crate::crowd::Crowd;
use crate::failure::{Failure, Result};
use crate::page::{Budget, Page, Table};
use crate::peers;
use crate::procs;
use crate::samples::{Samples, time, times};
use crate::site::{Arena, Site};
use crate::supervisors::Peer;
use crate::time::Stopwatch;

/// Of the spec: the owner of one port beside `ss -ltnp`.
const LIMIT: f64 = 0.5;

/// 2,000 processes, 200 listeners, 15,000 descriptors.
const CROWD: [(usize, usize, usize); 3] = [(990, 0, 4), (20, 10, 27), (990, 0, 4)];

pub(super) fn measure(site: &Rc<Site>, _: &[Peer]) -> Result<Page> {
    let mut crowd = Crowd::new(site)?;
    let [before, listeners, after] = CROWD;
    crowd.add(before.0, before.1, before.2)?;
    crowd.add(listeners.0, listeners.1, listeners.2)?;
    let (port, owner) = crowd.add_listener()?;
    crowd.add(after.0, after.1, after.2)?;
    let proc = Proc::system()?;
    let (processes, descriptors) = procs::descriptors(&proc)?;
    let listening = listening(&proc, None)?.len();
    let mut page = Page::new(
        "Who holds a port",
        &[
            &format!(
                "{processes} processes with {descriptors} descriptors, {listening} listening TCP sockets. The floor is \
                 `ss -ltn`, which asks the kernel for the sockets and for no process. *One port*: one socket, and all \
                 processes that hold it; its owner stands in the middle of all processes."
            ),
            "*Inside*: the functions of `vigie_os`, in this process. The rest are commands, their start included. All take \
             turns.",
        ],
    );
    let mut subjects = subjects(site, port, owner)?;
    let rounds = site.pick(30, 8);
    let warm_up = 1;
    for round in 0..warm_up + rounds {
        for subject in &mut subjects {
            let took = (subject.look)()?;
            if round >= warm_up {
                subject.samples.add(took);
            }
        }
    }
    let of = |name: &str| subjects.iter().find(|subject| subject.name.starts_with(name)).map(|one| &one.samples);
    let (Some(floor), Some(ss)) = (of("`ss -ltn`"), of("`ss -ltnp`")) else {
        return Err(Failure::new("ss is not there; cargo xtask bench --install-peers"));
    };
    let mut table = Table::new(["subject", "min", "p50", "p99", "to the floor", "to `ss -ltnp`", "rounds"]);
    for Subject { name, samples, .. } in &subjects {
        table.row([
            name.clone(),
            time(samples.min()),
            time(samples.median()),
            time(samples.p99()),
            times(samples.median(), floor.median()),
            times(samples.median(), ss.median()),
            samples.len().to_string(),
        ]);
    }
    page.tables.push(table);
    let measured = |samples: &Samples| (samples.median(), times(samples.median(), ss.median()));
    let (Some(inside), Some(whole)) = (of(INSIDE_ONE), of("`vigie ports PORT`")) else {
        return Err(Failure::new("vigie was not measured"));
    };
    let ((_, inside), (took, whole)) = (measured(inside), measured(whole));
    page.budgets.push(Budget::new(
        "owner of one port, 15,000 descriptors",
        &format!("≤ {LIMIT} × `ss -ltnp`"),
        format!("{whole} the whole command, {inside} inside"),
        took.as_secs_f64() <= LIMIT * ss.median().as_secs_f64(),
    ));
    page.notes.push(
        "vigie shares the walk through all descriptors among the processors; each look at a descriptor costs it as much as \
         `ss`. So the ratio rises when the processors are taken: see the load at the end"
            .to_owned(),
    );
    for (program, package) in [("ss", "iproute2"), ("lsof", "lsof"), ("fuser", "psmisc")] {
        page.notes.push(format!("{program}: {package} {}", peers::package_version(package)).trim_end().to_owned());
    }
    if program("killport").is_none() {
        page.notes.push("killport is not there: it is built from source by cargo only".to_owned());
    }
    Ok(page)
}

const INSIDE_ONE: &str = "vigie inside: one port, all owners";

/// Something that tells who holds ports.
struct Subject {
    name: String,
    look: Box<dyn FnMut() -> Result<Duration>>,
    samples: Samples,
}

impl Subject {
    fn new(name: &str, look: impl FnMut() -> Result<Duration> + 'static) -> Self {
        Self { name: name.to_owned(), look: Box::new(look), samples: Samples::default() }
    }

    /// A command that must succeed.
    fn command(name: &str, make: impl Fn() -> Command + 'static) -> Self {
        Self::command_ending(0, name, make)
    }

    /// A command that must end with this code.
    fn command_ending(code: i32, name: &str, make: impl Fn() -> Command + 'static) -> Self {
        Self::new(name, move || {
            let ended = command::quiet(make())?;
            let good = ended.status.and_then(|status| status.code()) == Some(code);
            if good { Ok(ended.took) } else { Err(Failure::new(format!("{:?}: {}", make(), ended.verdict()))) }
        })
    }
}

fn subjects(site: &Rc<Site>, port: u16, owner: u32) -> Result<Vec<Subject>> {
    let with = |program: &'static str, args: Vec<String>| {
        move || {
            let mut command = Command::new(program);
            command.args(&args);
            command
        }
    };
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let inside = |look: fn(&Proc, u16, u32) -> Result<()>| {
        move || {
            let watch = Stopwatch::start();
            look(&Proc::system()?, port, owner)?;
            Ok(watch.elapsed())
        }
    };
    // Not to be disturbed by a vigie that the user runs.
    let arena = Arena::new(site)?;
    let vigie = move |args: Vec<String>| {
        let arena = Rc::clone(&arena);
        move || {
            let mut command = arena.command(&arena.site.vigie);
            command.env("VIGIE_HOME", arena.dir.join("home")).args(&args);
            command
        }
    };
    let one = vigie(vec!["ports".to_owned(), port.to_string()]);
    let told = one().output().map_err(Failure::io("cannot run vigie"))?;
    found(String::from_utf8_lossy(&told.stdout).contains(&owner.to_string()))?;
    let mut subjects = vec![
        Subject::command("`ss -ltn`", with("ss", words("-ltn"))),
        Subject::command("`ss -ltnp`", with("ss", words("-ltnp"))),
        Subject::new(INSIDE_ONE, inside(all_owners)),
        Subject::new("vigie inside: one port, any owner", inside(any_owner)),
        Subject::new("vigie inside: all listeners with owners", inside(every_listener)),
        // 1: the port is used.
        Subject::command_ending(1, "`vigie ports PORT`", one),
        Subject::command("`vigie ports`", vigie(vec!["ports".to_owned()])),
    ];
    for (name, program, args) in [
        ("`lsof -nP -iTCP:PORT -sTCP:LISTEN`", "lsof", format!("-nP -iTCP:{port} -sTCP:LISTEN")),
        ("`lsof -nP -iTCP -sTCP:LISTEN`", "lsof", "-nP -iTCP -sTCP:LISTEN".to_owned()),
        ("`fuser PORT/tcp`", "fuser", format!("{port}/tcp")),
        ("`killport --dry-run PORT`", "killport", format!("--dry-run {port}")),
    ] {
        if self::program(program).is_some() {
            subjects.push(Subject::command(name, with(program, words(&args))));
        }
    }
    Ok(subjects)
}

fn listening(proc: &Proc, port: Option<u16>) -> Result<Vec<u64>> {
    let sockets = inet::sockets(proc, port)?;
    Ok(sockets.iter().filter(|socket| socket.state == State::Listening).map(|socket| socket.inode).collect())
}

fn all_owners(proc: &Proc, port: u16, owner: u32) -> Result<()> {
    let inodes = listening(proc, Some(port))?;
    let owners = owners_on_machine(proc, &inodes)?;
    found(inodes.iter().flat_map(|&inode| owners.of(inode)).eq([owner]))
}

fn any_owner(proc: &Proc, port: u16, owner: u32) -> Result<()> {
    let inodes = listening(proc, Some(port))?;
    let owners = any_owner_on_machine(proc, &inodes)?;
    found(inodes.iter().flat_map(|&inode| owners.of(inode)).eq([owner]))
}

fn every_listener(proc: &Proc, _: u16, owner: u32) -> Result<()> {
    let inodes = listening(proc, None)?;
    let owners = owners_on_machine(proc, &inodes)?;
    found(inodes.iter().any(|&inode| owners.of(inode).eq([owner])))
}

fn found(right: bool) -> Result<()> {
    if right { Ok(()) } else { Err(Failure::new("the owner of the port was not found, or not alone")) }
}

/// Where a program lies that the user could call.
fn program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| Path::is_file(file))
}
