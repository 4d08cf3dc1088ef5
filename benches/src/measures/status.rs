//! How long looking takes.

use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use crate::command;
use crate::failure::{Failure, Result};
use crate::page::{Budget, Page, Table};
use crate::procs;
use crate::samples::{Samples, time, times};
use crate::site::{Arena, Site};
use crate::supervisors::vigie::Vigie;
use crate::supervisors::{Job, Peer, Supervisor};
use crate::time::until;

pub(super) fn measure(site: &Rc<Site>, peers: &[Peer]) -> Result<Page> {
    let mut page = Page::new(
        "Status",
        &[
            "The state of all services by the command that users type, the start of that process included. The floor is \
             the start and end of `/bin/true`. *Without the daemon*: it was killed, the services go on, and the command \
             looks by itself.",
        ],
    );
    let mut table = Table::new(["subject", "services", "min", "p50", "p99", "to the floor", "rounds"]);
    for (count, limit) in [(50, 5), (1000, 20)] {
        let rounds = site.pick(200, 30);
        let mut row = |name: &str, times_of: &Samples, floor: &Samples| {
            table.row([
                name.to_owned(),
                count.to_string(),
                time(times_of.min()),
                time(times_of.median()),
                time(times_of.p99()),
                times(times_of.median(), floor.median()),
                times_of.len().to_string(),
            ]);
        };
        let mut vigie = Vigie::new(Arena::new(site)?);
        vigie.configure(&Job::many(count, &site.idle, &[]))?;
        vigie.bring_up()?;
        let (floor, with) = pairs(rounds, || vigie.verb(&["status", "--json"]))?;
        let (_, table_form) = pairs(rounds / 4, || vigie.verb(&["status"]))?;
        vigie.kill()?;
        let (_, without) = pairs(rounds / 4, || vigie.verb(&["status", "--json"]))?;
        row("`true`", &floor, &floor);
        row("vigie status --json", &with, &floor);
        row("vigie status", &table_form, &floor);
        row("vigie status --json, without the daemon", &without, &floor);
        vigie.shut_down()?;
        let most = Duration::from_millis(limit);
        page.budgets.push(Budget::new(
            &format!("`status` of {count} services"),
            &format!("< {limit} ms, process start included"),
            format!("p50 {}, p99 {}", time(with.median()), time(with.p99())),
            with.median() < most,
        ));
        for peer in peers.iter().filter(|_| count == 50) {
            match a_peer(site, peer, count, site.pick(20, 5)) {
                Ok(Some(samples)) => row(&peer.label(), &samples, &floor),
                Ok(None) => page.notes.push(format!("{}: it has no such command", peer.label())),
                Err(failure) => page.notes.push(format!("{}: {failure}", peer.label())),
            }
        }
    }
    page.tables.push(table);
    Ok(page)
}

/// `true` and the command in turns.
fn pairs(rounds: usize, subject: impl Fn() -> Command) -> Result<(Samples, Samples)> {
    let (mut floor, mut times) = (Samples::default(), Samples::default());
    let warm_up = 3;
    for round in 0..warm_up + rounds {
        let bare = command::quiet(Command::new("/bin/true"))?;
        let ended = command::quiet(subject())?;
        if !ended.status.is_some_and(|status| status.success()) {
            return Err(Failure::new(format!("{:?}: {}", subject(), ended.verdict())));
        }
        if round >= warm_up {
            floor.add(bare.took);
            times.add(ended.took);
        }
    }
    Ok((floor, times))
}

fn a_peer(site: &Rc<Site>, peer: &Peer, count: usize, rounds: usize) -> Result<Option<Samples>> {
    let mut supervisor = peer.supervisor(site)?;
    supervisor.configure(&Job::many(count, &site.idle, &[]))?;
    if supervisor.status().is_none() {
        return Ok(None);
    }
    supervisor.bring_up()?;
    let mark = supervisor.arena().mark.clone();
    until("all services run", Duration::from_secs(30), Duration::from_millis(20), || {
        procs::copies(&mark, &site.idle).is_ok_and(|pids| pids.len() == count).then_some(())
    })?;
    let mut times = Samples::default();
    for _ in 0..rounds {
        let Some(status) = supervisor.status() else { break };
        times.add(command::quiet(status)?.took);
    }
    supervisor.shut_down()?;
    Ok(Some(times))
}
