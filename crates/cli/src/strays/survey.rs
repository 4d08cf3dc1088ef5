//! Looks for what is one too many, or was left behind.

use std::collections::HashSet;

use vigie_api::status::Report;
use vigie_api::strays::{Kind, Leftover};
use vigie_core::identity::ProcKey;
use vigie_core::recognise::Expected;
use vigie_os::strays::{self, Present, Stray, System};
use vigie_wire::keeper::Phase;

use super::{Known, ignored, leftovers};
use crate::failure::Failure;
use crate::look::{self, Record};
use crate::scene::Scene;

/// A stray with what it means.
#[derive(Debug)]
pub(crate) struct One {
    pub(crate) stray: Stray,
    pub(crate) kind: Kind,
    /// It is to be left alone.
    pub(crate) ignored: bool,
}

/// What a run left behind whose keeper is gone.
#[derive(Debug)]
pub(crate) struct Orphaned {
    pub(crate) record: Record,
    pub(crate) processes: Vec<ProcKey>,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) strays: Vec<One>,
    pub(crate) orphans: Vec<Orphaned>,
    pub(crate) leftovers: Vec<Leftover>,
}

impl Found {
    /// Those that are not to be left alone.
    pub(crate) fn counted(&self) -> impl Iterator<Item = &One> {
        self.strays.iter().filter(|one| !one.ignored)
    }

    /// There is nothing to be told.
    pub(crate) fn is_empty(&self) -> bool {
        self.counted().next().is_none() && self.orphans.is_empty() && self.leftovers.is_empty()
    }
}

/// The strays of these services.
///
/// # Errors
/// When `/proc` or what is to be left alone cannot be read.
pub(crate) fn strays(known: &[Known], report: &Report, scene: &Scene) -> Result<Vec<One>, Failure> {
    if known.is_empty() {
        return Ok(Vec::new());
    }
    strays_among(&Present::list(&scene.proc)?, known, report, scene)
}

/// As [`strays()`], of those who were there a moment ago.
///
/// # Errors
/// As of [`strays()`].
pub(crate) fn strays_among(
    present: &Present,
    known: &[Known],
    report: &Report,
    scene: &Scene,
) -> Result<Vec<One>, Failure> {
    if known.is_empty() {
        return Ok(Vec::new());
    }
    let ignored = ignored::Ignored::read(&scene.place)?;
    let of_runs = report.services.iter().filter_map(|service| service.run.as_ref());
    let mut runs: HashSet<u32> = of_runs.flat_map(|run| run.pid.into_iter().chain(run.keeper)).collect();
    // On record, and nobody's to end.
    runs.extend(crate::ghosts::processes(&scene.place, &scene.proc)?.into_keys());
    let expected: Vec<&Expected> = known.iter().map(|known| &known.expected).collect();
    let found = strays::find_among(&scene.proc, present, &expected, &runs)?;
    let with_meaning = found.into_iter().map(|stray| {
        let of = &known[stray.of];
        let kind = match (&stray.elsewhere[..], of.runs) {
            ([_, ..], _) => Kind::Elsewhere,
            (_, true) => Kind::Duplicate,
            (_, false) => Kind::Stray,
        };
        let ignored = ignored.covers(&of.key, &stray);
        One { stray, kind, ignored }
    });
    Ok(with_meaning.collect())
}

/// All of it; of these services only, when `only` is given.
///
/// # Errors
/// As of [`strays()`], and when the folders cannot be read.
pub(crate) fn survey(
    known: &[Known],
    report: &Report,
    scene: &Scene,
    only: impl Fn(&Known) -> bool,
) -> Result<Found, Failure> {
    let mut strays = strays(known, report, scene)?;
    strays.retain(|one| only(&known[one.stray.of]));
    let mut found = Found { strays, ..Found::default() };
    for record in look::records(&scene.place, &scene.proc, &HashSet::new())? {
        let set_aside = record.state.phase == Phase::Quarantined;
        if record.keeper_alive
            || set_aside
            || !known.iter().any(|known| known.key == record.state.holder.key && only(known))
        {
            continue;
        }
        let mut processes = Vec::new();
        for pid in record.members(&scene.proc)? {
            processes.extend(scene.proc.key(pid)?);
        }
        if !processes.is_empty() {
            found.orphans.push(Orphaned { record, processes });
        } else if let Some(leftover) = leftovers::record(&record) {
            found.leftovers.push(leftover);
        }
    }
    let files = System::default();
    for known in known.iter().filter(|known| only(known)) {
        leftovers::of(known, &files, scene, &mut found.leftovers)?;
    }
    Ok(found)
}
