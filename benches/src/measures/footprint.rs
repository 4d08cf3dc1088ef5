//! What it costs while nothing happens.

use std::rc::Rc;
use std::time::Duration;

use crate::failure::Result;
use crate::page::{Budget, Page, Table};
use crate::procs::{self, Cost};
use crate::samples::{digits, size};
use crate::site::{Arena, Site};
use crate::supervisors::vigie::Vigie;
use crate::supervisors::{Job, Peer, Supervisor};
use crate::time::{pass, until};

/// What a supervisor was seen to cost.
struct Seen {
    now: Cost,
    /// Of one processor core, in percent, over the window.
    busy: f64,
    /// How often its processes ran, a second.
    wakes: f64,
}

pub(super) fn measure(site: &Rc<Site>, peers: &[Peer]) -> Result<Page> {
    let window = site.pick(Duration::from_secs(30), Duration::from_secs(6));
    let mut page = Page::new(
        "Memory and idle processor time",
        &[&format!(
            "N idle services, measured 10 s after all run, over a window of {} s. Only the supervisor's side is counted: its \
             processes and those that it has for each service. Memory is PSS (`smaps_rollup`): pages that processes share \
             count by their share. Processor time is that of `schedstat`; *switches* is how often these processes were put on \
             a processor a second. vigie samples every run every 5 s meanwhile.",
            window.as_secs()
        )],
    );
    let mut table =
        Table::new(["subject", "N", "processes", "threads", "PSS", "PSS per service", "% of a core", "switches/s"]);
    let mut row = |name: &str, count: usize, seen: &Seen| {
        table.row([
            name.to_owned(),
            count.to_string(),
            seen.now.processes.to_string(),
            seen.now.threads.to_string(),
            size(seen.now.pss),
            size(seen.now.pss / count as u64),
            format!("{:.3}", seen.busy),
            digits(seen.wakes),
        ]);
    };
    for count in [50, 100, 1000] {
        let mut vigie = Vigie::new(Arena::new(site)?);
        vigie.configure(&Job::many(count, &site.idle, &[]))?;
        vigie.bring_up()?;
        pass(Duration::from_secs(10));
        let keepers = vigie.keepers()?;
        let daemon: Vec<u32> = vigie.daemon()?.into_iter().collect();
        let nursery = vigie.nursery()?;
        let [daemon, nursery, keepers] = watch(window, [&daemon, &nursery, &keepers])?;
        vigie.shut_down()?;
        let whole = sum(&sum(&daemon, &nursery), &keepers);
        row("vigie", count, &whole);
        row("vigie: its daemon", count, &daemon);
        row("vigie: its nursery (keepers are forked from it)", count, &nursery);
        row("vigie: its keepers", count, &keepers);
        budgets(&mut page, count, &whole, &daemon, &keepers);
    }
    for count in [50, 100] {
        for peer in peers {
            match a_peer(site, peer, count, window) {
                Ok(seen) => row(&peer.label(), count, &seen),
                Err(failure) => page.notes.push(format!("{}, {count} services: {failure}", peer.label())),
            }
        }
    }
    page.tables.push(table);
    Ok(page)
}

fn budgets(page: &mut Page, count: usize, whole: &Seen, daemon: &Seen, keepers: &Seen) {
    let each = keepers.now.pss / count as u64;
    if count == 50 {
        page.budgets.push(Budget::new(
            "whole of vigie with 50 idle services: memory",
            "< 15 MiB PSS",
            size(whole.now.pss),
            whole.now.pss < 15 << 20,
        ));
        page.budgets.push(Budget::new(
            "whole of vigie with 50 idle services: processor",
            "< 0.05 % of one core",
            format!("{:.3} %", whole.busy),
            whole.busy < 0.05,
        ));
        page.budgets.push(Budget::new("keeper, 50 services", "≤ 130 KiB PSS each", size(each), each <= 130 << 10));
        page.budgets.push(Budget::new(
            "keeper while nothing happens",
            "no wake-ups",
            format!("{} a second, of all 50", digits(keepers.wakes)),
            keepers.wakes == 0.0,
        ));
    }
    if count == 1000 {
        page.budgets.push(Budget::new(
            "daemon with 1,000 idle services: memory",
            "< 40 MiB PSS",
            size(daemon.now.pss),
            daemon.now.pss < 40 << 20,
        ));
        page.budgets.push(Budget::new(
            "daemon with 1,000 idle services: processor",
            "< 0.5 % of one core",
            format!("{:.3} %", daemon.busy),
            daemon.busy < 0.5,
        ));
    }
}

/// Watches groups of processes over the same window.
fn watch<const N: usize>(window: Duration, groups: [&[u32]; N]) -> Result<[Seen; N]> {
    let before = groups.map(procs::cost);
    pass(window);
    let mut seen = Vec::new();
    for (before, group) in before.into_iter().zip(groups) {
        let (before, now) = (before?, procs::cost(group)?);
        let seconds = window.as_secs_f64();
        seen.push(Seen {
            now,
            busy: 100.0 * now.cpu.saturating_sub(before.cpu).as_secs_f64() / seconds,
            wakes: now.switches.saturating_sub(before.switches) as f64 / seconds,
        });
    }
    seen.try_into().map_err(|_| crate::failure::Failure::new("as many were seen as were watched"))
}

fn sum(a: &Seen, b: &Seen) -> Seen {
    Seen {
        now: Cost {
            processes: a.now.processes + b.now.processes,
            threads: a.now.threads + b.now.threads,
            pss: a.now.pss + b.now.pss,
            cpu: a.now.cpu + b.now.cpu,
            switches: a.now.switches + b.now.switches,
        },
        busy: a.busy + b.busy,
        wakes: a.wakes + b.wakes,
    }
}

fn a_peer(site: &Rc<Site>, peer: &Peer, count: usize, window: Duration) -> Result<Seen> {
    let mut supervisor = peer.supervisor(site)?;
    supervisor.configure(&Job::many(count, &site.idle, &[]))?;
    supervisor.bring_up()?;
    let mark = supervisor.arena().mark.clone();
    until("all services run", Duration::from_secs(60), Duration::from_millis(20), || {
        procs::copies(&mark, &site.idle).is_ok_and(|pids| pids.len() == count).then_some(())
    })?;
    pass(Duration::from_secs(10));
    let pids = supervisor.processes(&site.idle)?;
    let [seen] = watch(window, [&pids])?;
    supervisor.shut_down()?;
    Ok(seen)
}
