//! Stopping a service that obeys.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::command;
use crate::failure::{Failure, Result};
use crate::floor::Bare;
use crate::page::{Budget, Page, Table};
use crate::procs;
use crate::rollcall::RollCall;
use crate::samples::{Samples, difference, time};
use crate::site::{Arena, Site};
use crate::supervisors::vigie::Vigie;
use crate::supervisors::{Job, Peer, Stop, Supervisor};
use crate::time::until;

const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn measure(site: &Rc<Site>, peers: &[Peer]) -> Result<Page> {
    let mut page = Page::new(
        "Stop of an obedient service",
        &[
            "One of N services, which ends on TERM at once. *Its own time*: a bare child, from the signal until the kernel \
             reports its end. *Inside*: from the journal, the time between the entry `wanted_down` and the entry `empty` \
             (the kernel says that no process of the run is left). *Signal to empty*: from the entry `rung` on. *Command*: \
             `vigie stop NAME --yes`, process start included; it shows what it ends, and comes back when the service is \
             seen to be stopped.",
        ],
    );
    let mut table = Table::new(["subject", "of N", "min", "p50", "p99", "p50 over its own time", "rounds"]);
    let mut own = Samples::default();
    for count in site.pick(vec![1, 50, 1000], vec![1, 50]) {
        let rounds = site.pick(50, 20);
        let vigie = vigie(site, count, rounds)?;
        own = vigie.own.clone();
        let mut row = |name: &str, times: &Samples| {
            table.row([
                name.to_owned(),
                count.to_string(),
                time(times.min()),
                time(times.median()),
                time(times.p99()),
                difference(times.median(), vigie.own.median()),
                times.len().to_string(),
            ]);
        };
        row("its own time", &vigie.own);
        row("vigie: signal to empty", &vigie.signal);
        row("vigie: inside", &vigie.inside);
        row("vigie: command", &vigie.command);
        if count == 50 {
            let over = vigie.inside.median().saturating_sub(vigie.own.median());
            page.budgets.push(Budget::new(
                "`stop` of an obedient service",
                "< 5 ms over its own time",
                format!(
                    "{} over inside (p99 {}), {} over for the whole command",
                    time(over),
                    difference(vigie.inside.p99(), vigie.own.median()),
                    difference(vigie.command.median(), vigie.own.median()),
                ),
                over < Duration::from_millis(5),
            ));
        }
    }
    for peer in peers {
        match a_peer(site, peer, 50, site.pick(20, 5)) {
            Ok(Some(times)) => table.row([
                format!("{}: command", peer.label()),
                "50".to_owned(),
                time(times.min()),
                time(times.median()),
                time(times.p99()),
                difference(times.median(), own.median()),
                times.len().to_string(),
            ]),
            Ok(None) => page.notes.push(format!("{}: it cannot stop one service", peer.label())),
            Err(failure) => page.notes.push(format!("{}: {failure}", peer.label())),
        }
    }
    page.tables.push(table);
    Ok(page)
}

struct Times {
    own: Samples,
    signal: Samples,
    inside: Samples,
    command: Samples,
}

/// Stops one of `count` services, and starts it again, in turns with a bare child.
fn vigie(site: &Rc<Site>, count: usize, rounds: usize) -> Result<Times> {
    let arena = Arena::new(site)?;
    let mut calls = RollCall::new(&arena.dir.join("calls"))?;
    let mut bare = Bare::default();
    let mut vigie = Vigie::new(arena);
    vigie.configure(&Job::many(count, &site.idle, &[]))?;
    vigie.bring_up()?;
    let mut times = Times {
        own: Samples::default(),
        signal: Samples::default(),
        inside: Samples::default(),
        command: Samples::default(),
    };
    for round in 0..rounds {
        bare.spawn(&site.idle, &calls)?;
        calls.next(LIMIT)?;
        times.own.add(bare.stop_last()?);
        let name = format!("s{}", round % count);
        let ended = command::quiet(vigie.verb(&["stop", &name, "--yes"]))?;
        if !ended.status.is_some_and(|status| status.success()) {
            return Err(Failure::new(format!("vigie stop {name} --yes: {}", ended.verdict())));
        }
        times.command.add(ended.took);
        if round + 1 < rounds && count <= rounds {
            command::succeed(vigie.verb(&["start", &name]))?;
        }
    }
    journal(&vigie, &mut times)?;
    vigie.shut_down()?;
    Ok(times)
}

/// Reads the times of every stop from the journal.
fn journal(vigie: &Vigie, times: &mut Times) -> Result<()> {
    let bytes = command::output(vigie.verb(&["events", "--json", "-n", "1000000"]))?;
    // Per service: when the stop was wanted, when it was signalled.
    let mut wanted: BTreeMap<String, u64> = BTreeMap::new();
    let mut signalled: BTreeMap<String, u64> = BTreeMap::new();
    for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let event: Value =
            serde_json::from_slice(line).map_err(|error| Failure::new(format!("vigie events: {error}")))?;
        let Some(service) = event["service"].as_str().map(str::to_owned) else { continue };
        let at =
            event["at"].as_str().and_then(time_of_day).ok_or_else(|| Failure::new(format!("no time in {event}")))?;
        match event["kind"].as_str() {
            Some("wanted_down") => drop(wanted.insert(service, at)),
            Some("rung") => drop(signalled.insert(service, at)),
            Some("empty") => {
                let since = |from: Option<u64>| from.map(|from| Duration::from_nanos(at.saturating_sub(from)));
                since(wanted.remove(&service)).into_iter().for_each(|time| times.inside.add(time));
                since(signalled.remove(&service)).into_iter().for_each(|time| times.signal.add(time));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Nanoseconds since 1970-01-01, or since any other midnight: only differences within a day are taken.
fn time_of_day(text: &str) -> Option<u64> {
    let clock = text.split_once('T')?.1.strip_suffix('Z')?;
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let seconds = whole.split(':').try_fold(0_u64, |sum, part| Some(sum * 60 + part.parse::<u64>().ok()?))?;
    let nanoseconds: u64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Some(seconds * 1_000_000_000 + nanoseconds)
}

fn a_peer(site: &Rc<Site>, peer: &Peer, count: usize, rounds: usize) -> Result<Option<Samples>> {
    let mut supervisor = peer.supervisor(site)?;
    supervisor.configure(&Job::many(count, &site.idle, &[]))?;
    supervisor.bring_up()?;
    let mark = supervisor.arena().mark.clone();
    until("all services run", LIMIT, Duration::from_millis(20), || {
        procs::copies(&mark, &site.idle).is_ok_and(|pids| pids.len() == count).then_some(())
    })?;
    let mut times = Samples::default();
    for round in 0..rounds {
        match supervisor.stop(&format!("s{round}"))? {
            Stop::Whole(_) => return Ok(None),
            Stop::Command(command) => times.add(command::limited(command, LIMIT)?.took),
        }
    }
    supervisor.shut_down()?;
    Ok(Some(times))
}

#[cfg(test)]
mod tests {
    use super::time_of_day;

    #[test]
    fn times_are_read() {
        assert_eq!(time_of_day("2026-11-20T00:01:02.5Z"), Some(62_500_000_000));
        assert_eq!(time_of_day("2026-11-20T10:27:23Z"), Some(37_643_000_000_000));
        assert_eq!(time_of_day("nonsense"), None);
    }
}
