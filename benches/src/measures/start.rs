//! N services until all run.

use std::rc::Rc;
use std::time::Duration;

use crate::failure::{Failure, Result};
use crate::floor::Bare;
use crate::page::{Budget, Page, Table};
use crate::rollcall::{RollCall, last};
use crate::samples::{Samples, time, times};
use crate::site::{Arena, Site};
use crate::supervisors::vigie::Vigie;
use crate::supervisors::{Job, Peer, Supervisor};
use crate::time::Stopwatch;

/// How long the next service may take to come.
const LIMIT: Duration = Duration::from_secs(60);

/// From here on, peers that need megabytes or a second for each service are left out.
const MANY: usize = 1000;

/// Times of one subject.
#[derive(Default)]
struct Times {
    /// Until the `main` of the last service began.
    running: Samples,
    /// Until the command came back.
    returned: Samples,
}

pub(super) fn measure(site: &Rc<Site>, peers: &[Peer]) -> Result<Page> {
    let mut page = Page::new(
        "Start",
        &[
            "N trivial services (a static program that says that it runs, and waits) from one configuration. *All run*: \
             from the start of the command until `main` of the last service began. *Came back*: until the command \
             returned; `vigie up -d` returns when every service is seen to run. The floor is a loop that spawns the same \
             program N times. *Cold*: no daemon was there before, its start is part of the time.",
        ],
    );
    let mut table =
        Table::new(["subject", "N", "all run: min", "median", "came back: median", "to the floor", "rounds"]);
    for (count, rounds) in [(1, site.pick(20, 5)), (100, site.pick(7, 3)), (MANY, site.pick(5, 2))] {
        let (mut floor, mut warm, mut cold) = (Samples::default(), Times::default(), Times::default());
        // The first round warms up.
        for round in 0..=rounds {
            let bare = bare(site, count)?;
            let (from_cold, from_warm) = vigie(site, count)?;
            if round > 0 {
                floor.add(bare);
                for (times, (running, returned)) in [(&mut cold, from_cold), (&mut warm, from_warm)] {
                    times.running.add(running);
                    times.returned.add(returned);
                }
            }
        }
        let mut row = |name: &str, times: &Times| {
            table.row([
                name.to_owned(),
                count.to_string(),
                time(times.running.min()),
                time(times.running.median()),
                if times.returned.len() == 0 { "–".to_owned() } else { time(times.returned.median()) },
                crate::samples::times(times.running.median(), floor.median()),
                times.running.len().to_string(),
            ]);
        };
        row("bare loop", &Times { running: floor.clone(), returned: Samples::default() });
        row("vigie", &warm);
        row("vigie, cold", &cold);
        for peer in peers.iter().filter(|peer| count < MANY || ["runit", "s6", "supervisord"].contains(&peer.name)) {
            let mut times = Times::default();
            for _ in 0..site.pick(3, 1) {
                match a_peer(site, peer, count) {
                    Ok(time) => times.running.add(time),
                    Err(failure) => page.notes.push(format!("{}, {count} services: {failure}", peer.label())),
                }
            }
            if times.running.len() > 0 {
                row(&peer.label(), &times);
            }
        }
        if count == MANY {
            let share = warm.returned.median().as_secs_f64() / floor.median().as_secs_f64();
            page.budgets.push(Budget::new(
                "1,000 services from `up -d` to all running",
                "≤ 2 × a bare loop that spawns the same",
                format!(
                    "{} to all running, {} until `up -d` came back ({} and {}; floor {})",
                    times(warm.running.median(), floor.median()),
                    times(warm.returned.median(), floor.median()),
                    time(warm.running.median()),
                    time(warm.returned.median()),
                    time(floor.median()),
                ),
                share <= 2.0,
            ));
        }
    }
    page.tables.push(table);
    Ok(page)
}

/// The bare loop.
fn bare(site: &Rc<Site>, count: usize) -> Result<Duration> {
    let arena = Arena::new(site)?;
    let mut calls = RollCall::new(&arena.dir.join("calls"))?;
    let mut bare = Bare::default();
    let watch = Stopwatch::start();
    for _ in 0..count {
        bare.spawn(&site.idle, &calls)?;
    }
    let all = calls.wait(count, LIMIT)?;
    Ok(watch.until(last(&all)))
}

/// vigie, first with no daemon, then with one: until all run, until the command came back.
fn vigie(site: &Rc<Site>, count: usize) -> Result<((Duration, Duration), (Duration, Duration))> {
    let arena = Arena::new(site)?;
    let mut calls = RollCall::new(&arena.dir.join("calls"))?;
    let path = calls.path().display().to_string();
    let mut vigie = Vigie::new(arena);
    vigie.configure(&Job::many(count, &site.idle, &[&path]))?;
    let cold = once(&mut vigie, &mut calls, count)?;
    crate::command::succeed(vigie.verb(&["down", "--yes"]))?;
    let warm = once(&mut vigie, &mut calls, count)?;
    vigie.shut_down()?;
    Ok((cold, warm))
}

fn once(vigie: &mut Vigie, calls: &mut RollCall, count: usize) -> Result<(Duration, Duration)> {
    let watch = Stopwatch::start();
    vigie.bring_up()?;
    let returned = watch.elapsed();
    let all = calls.wait(count, LIMIT)?;
    let up = vigie.count(&["running", "ready"])?;
    if up != count {
        return Err(Failure::new(format!("`up -d` came back with {up} of {count} services running")));
    }
    Ok((watch.until(last(&all)), returned))
}

fn a_peer(site: &Rc<Site>, peer: &Peer, count: usize) -> Result<Duration> {
    let mut supervisor = peer.supervisor(site)?;
    let mut calls = RollCall::new(&supervisor.arena().dir.join("calls"))?;
    let path = calls.path().display().to_string();
    supervisor.configure(&Job::many(count, &site.idle, &[&path]))?;
    let watch = Stopwatch::start();
    supervisor.bring_up()?;
    let all = calls.wait(count, LIMIT)?;
    let running = watch.until(last(&all));
    supervisor.shut_down()?;
    Ok(running)
}
