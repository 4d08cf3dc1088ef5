//! Memory over time: one source that is away, and one where much happens.

use std::rc::Rc;
use std::time::Duration;

use vigie_os::proc::Proc;

use crate::command;
use crate::failure::{Failure, Result};
use crate::page::{Budget, Page, Table};
use crate::pour::Pour;
use crate::procs;
use crate::samples::{digits, size};
use crate::site::{Arena, Site};
use crate::supervisors::Peer;
use crate::supervisors::vigie::Vigie;
use crate::time::{Stopwatch, until};

/// What the busy one tells, a second.
const RATE: usize = 100;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(10);

/// What counts as flat, in MiB an hour. Measured over minutes, a page here or there is already some hundredths.
const FLAT: f64 = 1.0;

pub(super) fn measure(site: &Rc<Site>, _: &[Peer]) -> Result<Page> {
    let minutes = site.pick(60, 2);
    let mut page = Page::new(
        "A source that is away",
        &[&format!(
            "One source at a socket where nobody listens, and one that tells of {RATE} events a second, for {minutes} minutes. \
             Resident memory is looked at every {} s; *slope* is the median of the slopes between all pairs of looks in the \
             second half, when everything has been needed once. The journal grows meanwhile, on disk.",
            LOOK.as_secs()
        )],
    );
    let arena = Arena::new(site)?;
    let vigie = Vigie::new(Rc::clone(&arena));
    let mut pour = Pour::new();
    let away = format!("unix://{}", arena.dir.join("nobody.sock").display());
    command::succeed(vigie.verb(&["source", "add", "away", &away]))?;
    command::succeed(vigie.verb(&["source", "add", "busy", &pour.engine.endpoint()]))?;
    let worker = until("a worker follows", Duration::from_secs(60), Duration::from_millis(50), || {
        let sources = command::output(vigie.verb(&["source", "ls", "--json"])).ok()?;
        let sources: serde_json::Value = serde_json::from_slice(&sources).ok()?;
        let live = sources["sources"].as_array()?.iter().any(|source| source["stage"] == "live");
        live.then_some(())?;
        sources["worker"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
    })?;
    let daemon = vigie.daemon()?.ok_or_else(|| Failure::new("no daemon runs"))?;
    let watched = [("worker", worker), ("daemon", daemon)];
    let before = [procs::cost(&[worker])?, procs::cost(&[daemon])?];
    let watch = Stopwatch::start();
    let mut looks: [Vec<(f64, f64)>; 2] = [Vec::new(), Vec::new()];
    let mut told = 0;
    while watch.elapsed() < Duration::from_secs(minutes as u64 * 60) {
        pour.at(RATE, RATE * LOOK.as_secs() as usize);
        told += RATE * LOOK.as_secs() as usize;
        for ((_, pid), looks) in watched.iter().zip(&mut looks) {
            looks.push((watch.elapsed().as_secs_f64() / 3600.0, resident(*pid)? as f64));
        }
    }
    let mut table = Table::new(["process", "at the beginning", "at the end", "most", "slope", "processor"]);
    let mut slopes = Vec::new();
    for (((who, pid), looks), before) in watched.iter().zip(&looks).zip(&before) {
        let after = procs::cost(&[*pid])?;
        if after.processes == 0 {
            return Err(Failure::new(format!("the {who} was replaced meanwhile")));
        }
        let slope = slope(&looks[looks.len() / 2..]) / f64::from(1 << 20);
        slopes.push(slope);
        let most = looks.iter().map(|(_, bytes)| *bytes).fold(0.0, f64::max);
        let busy = 100.0 * (after.cpu - before.cpu).as_secs_f64() / watch.elapsed().as_secs_f64();
        table.row([
            (*who).to_owned(),
            size(looks[0].1 as u64),
            size(looks[looks.len() - 1].1 as u64),
            size(most as u64),
            format!("{} MiB/h", digits(slope)),
            format!("{} % of a core", digits(busy)),
        ]);
    }
    page.tables.push(table);
    page.notes.push(format!("{told} events were told meanwhile"));
    page.budgets.push(Budget::new(
        "memory of worker and daemon while a source is away",
        "flat",
        format!("{} and {} MiB/h over {minutes} minutes", digits(slopes[0]), digits(slopes[1])),
        slopes.iter().all(|slope| *slope < FLAT),
    ));
    Ok(page)
}

/// In bytes.
fn resident(pid: u32) -> Result<u64> {
    let statm = Proc::system()?.statm(pid, &mut Vec::new())?;
    let statm = statm.ok_or_else(|| Failure::new(format!("PID {pid} has ended")))?;
    Ok(statm.resident_pages * rustix::param::page_size() as u64)
}

/// The median of the slopes of all pairs (Theil and Sen): one outlier says nothing.
fn slope(looks: &[(f64, f64)]) -> f64 {
    let pairs = looks.iter().enumerate().flat_map(|(place, a)| looks[place + 1..].iter().map(move |b| (a, b)));
    let mut slopes: Vec<f64> = pairs.map(|(a, b)| (b.1 - a.1) / (b.0 - a.0)).collect();
    slopes.sort_by(f64::total_cmp);
    slopes.get(slopes.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_outlier_makes_no_slope() {
        assert_eq!(slope(&[(0.0, 5.0), (1.0, 5.0), (2.0, 50.0), (3.0, 5.0), (4.0, 5.0)]), 0.0);
        assert_eq!(slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]), 2.0);
        assert_eq!(slope(&[]), 0.0);
    }
}
