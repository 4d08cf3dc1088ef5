//! The connections of FUSE on which somebody waits, and who that is. No file system is asked anything.

use vigie_core::doctor::facts::Connection;
use vigie_core::text::OsText;
use vigie_core::why::facts::{Process, Told};
use vigie_os::cure::fuse::Connections;
use vigie_os::error::OsError;
use vigie_os::proc::Proc;
use vigie_os::signs::{self, Mounted};
use vigie_os::{ancestry, stuck};

/// The connections on which requests wait: of those that are mounted here, and for root of those of the whole machine. And
/// whether somebody may wait for one at all; how many requests wait, an ordinary user is not told.
pub(super) fn connections(proc: &Proc) -> Result<(Vec<Connection>, bool), OsError> {
    let here = signs::mounted(proc, std::process::id());
    let control = Connections::open().ok();
    if here.is_empty() && control.is_none() {
        return Ok((Vec::new(), false));
    }
    let mut numbers: Vec<u32> = here.iter().map(|one| one.connection).collect();
    if let Some(control) = &control {
        numbers.extend(control.all()?);
    }
    numbers.sort_unstable();
    numbers.dedup();
    let waiting = |number| match control.as_ref().map(|control| control.waiting(number)) {
        Some(Ok(count)) => Some(count.unwrap_or(0)),
        Some(Err(_)) | None => None,
    };
    let all: Vec<(u32, Option<u64>)> = numbers.into_iter().map(|number| (number, waiting(number))).collect();
    let asked = all.iter().any(|(_, waiting)| *waiting != Some(0));
    let busy: Vec<(u32, u64)> =
        all.into_iter().filter_map(|(number, waiting)| Some((number, waiting.filter(|count| *count > 0)?))).collect();
    if busy.is_empty() {
        return Ok((Vec::new(), asked));
    }
    let served = stuck::fuse_servers(proc)?;
    let connection = |(number, waiting)| {
        let of = |(pid, serves): &(u32, u32)| (*serves == number).then_some(*pid);
        let servers: Vec<Process> = served
            .iter()
            .filter_map(of)
            .filter_map(|pid| ancestry::lineage(proc, pid).ok().flatten().map(|(process, _)| process))
            .collect();
        let mount = here.iter().find(|one| one.connection == number).cloned();
        // Another namespace has it: its server lives there, mostly.
        let there = || servers.iter().find_map(|server| find(signs::mounted(proc, server.pid()), number));
        let unknown = || Mounted { connection: number, point: "another namespace".into(), kind: OsText::from("FUSE") };
        let mount = mount.or_else(there).unwrap_or_else(unknown);
        let servers = if servers.is_empty() { Told::Nothing } else { Told::Known(servers) };
        Connection { number, point: mount.point, kind: mount.kind, waiting: Told::Known(waiting), servers }
    };
    Ok((busy.into_iter().map(connection).collect(), asked))
}

fn find(all: Vec<Mounted>, number: u32) -> Option<Mounted> {
    all.into_iter().find(|one| one.connection == number)
}

/// Who sleeps in FUSE, as the name of the kernel's function says. Such a wait is no `D` at first, and shows in no list.
pub(super) fn waiters(proc: &Proc) -> Result<Vec<u32>, OsError> {
    let (mut pids, mut found) = (Vec::new(), Vec::new());
    proc.pids(&mut pids)?;
    let (mut tasks, mut buffer) = (Vec::new(), Vec::new());
    for pid in pids {
        tasks.clear();
        if !proc.tasks(pid, &mut tasks).unwrap_or(false) {
            continue;
        }
        let waits = tasks.iter().any(|tid| {
            let place = proc.read(pid, &format!("task/{tid}/wchan"), &mut buffer).ok().flatten();
            place.is_some_and(|place| place == b"request_wait_answer" || place.starts_with(b"fuse_"))
        });
        if waits {
            found.push(pid);
        }
    }
    Ok(found)
}
