//! From the crash of a service to its next process.

use std::rc::Rc;
use std::time::Duration;

use vigie_core::ladder::Signal;

use crate::failure::Result;
use crate::floor::Bare;
use crate::page::{Budget, Page, Table};
use crate::procs;
use crate::rollcall::{Here, RollCall};
use crate::samples::{Samples, difference, time};
use crate::site::{Arena, Site};
use crate::supervisors::vigie::Vigie;
use crate::supervisors::{Job, Peer, Supervisor};
use crate::time::{Stopwatch, pass};

const LIMIT: Duration = Duration::from_secs(30);

/// No delay, and no end of it.
const POLICY: &str =
    "restart = { when = \"always\", delay = \"0ms\", max_delay = \"0ms\", jitter = 0.0, attempts = 1000000 }\n";

pub(super) fn measure(site: &Rc<Site>, peers: &[Peer]) -> Result<Page> {
    let mut page = Page::new(
        "Crash to new process",
        &["The service is killed (SIGKILL); measured is from just before the signal until `main` of its next process \
             began. The floor kills and spawns a child of its own. vigie restarts with `delay = \"0ms\"`; the peers as \
             they do by default, after the service had been up for 1.5 s."],
    );
    let rounds = site.pick(300, 50);
    let (floor, vigie) = pairs(site, rounds)?;
    let mut table = Table::new(["subject", "min", "p50", "p99", "p50 over the floor", "rounds"]);
    let mut row = |name: &str, times: &Samples| {
        table.row([
            name.to_owned(),
            time(times.min()),
            time(times.median()),
            time(times.p99()),
            difference(times.median(), floor.median()),
            times.len().to_string(),
        ]);
    };
    row("bare fork + exec", &floor);
    row("vigie", &vigie);
    for peer in peers {
        match a_peer(site, peer, site.pick(6, 2)) {
            Ok(times) => row(&peer.label(), &times),
            Err(failure) => page.notes.push(format!("{}: {failure}", peer.label())),
        }
    }
    page.tables.push(table);
    let over = vigie.median().saturating_sub(floor.median());
    page.budgets.push(Budget::new(
        "crash → new process running, zero delay",
        "< 1 ms p50 over a bare fork + exec",
        format!("{} over (p50 {}, floor {})", time(over), time(vigie.median()), time(floor.median())),
        over < Duration::from_millis(1),
    ));
    Ok(page)
}

/// The floor and vigie in turns.
fn pairs(site: &Rc<Site>, rounds: usize) -> Result<(Samples, Samples)> {
    let arena = Arena::new(site)?;
    let mut bare_calls = RollCall::new(&arena.dir.join("bare"))?;
    let mut bare = Bare::default();
    bare.spawn(&site.idle, &bare_calls)?;
    bare_calls.next(LIMIT)?;
    let mut calls = RollCall::new(&arena.dir.join("calls"))?;
    let path = calls.path().display().to_string();
    let mut vigie = Vigie::with(arena, POLICY);
    vigie.configure(&[Job::new("s0", &site.idle, &[&path])])?;
    vigie.bring_up()?;
    let mut here = calls.next(LIMIT)?;
    let (mut floor, mut times) = (Samples::default(), Samples::default());
    let warm_up = 10;
    for round in 0..warm_up + rounds {
        let watch = Stopwatch::start();
        bare.stop_last()?;
        bare.spawn(&site.idle, &bare_calls)?;
        let bare_time = watch.until(bare_calls.next(LIMIT)?.at);
        let (time, next) = crash(site, here, &mut calls)?;
        here = next;
        if round >= warm_up {
            floor.add(bare_time);
            times.add(time);
        }
    }
    vigie.shut_down()?;
    Ok((floor, times))
}

/// Kills the service and waits for its next process.
fn crash(site: &Site, here: Here, calls: &mut RollCall) -> Result<(Duration, Here)> {
    let watch = Stopwatch::start();
    procs::signal(here.pid, &site.idle, Signal::Kill)?;
    let next = calls.next(LIMIT)?;
    Ok((watch.until(next.at), next))
}

fn a_peer(site: &Rc<Site>, peer: &Peer, rounds: usize) -> Result<Samples> {
    let mut supervisor = peer.supervisor(site)?;
    let mut calls = RollCall::new(&supervisor.arena().dir.join("calls"))?;
    let path = calls.path().display().to_string();
    supervisor.configure(&[Job::new("s0", &site.idle, &[&path])])?;
    supervisor.bring_up()?;
    let mut here = calls.next(LIMIT)?;
    let mut times = Samples::default();
    for _ in 0..rounds {
        // Most of them treat a service that ends within its first second as one that failed to start.
        pass(Duration::from_millis(1500));
        let (time, next) = crash(site, here, &mut calls)?;
        here = next;
        times.add(time);
    }
    supervisor.shut_down()?;
    Ok(times)
}
