//! What the worker tells of what containers use and how full disks are, on its way to the samples. Nothing is kept of it here
//! but the last of each source, to be shown.

use std::collections::HashMap;
use std::sync::Arc;

use vigie_api::source::{DiskUsage, LastCycle};
use vigie_api::time::Millis;
use vigie_core::clock::Wall;
use vigie_core::name::Name;
use vigie_core::samples::{Metric, Moment, Subject, pack_readings};
use vigie_store::samples::{Round, Sample};
use vigie_wire::worker::{Cycle, Disk, Readings, Whole};

/// More subjects than twice the containers of a cycle and these are of containers that are gone.
const SPARE: usize = 64;

/// What is known of how a source is measured.
#[derive(Debug, Default)]
pub(super) struct Measuring {
    /// By id, as long as they are seen.
    subjects: HashMap<String, Arc<Subject>>,
    pub(super) cycle: Option<LastCycle>,
    pub(super) disk: Option<DiskUsage>,
    /// Why it was not measured the last time.
    pub(super) why: Option<String>,
}

impl Measuring {
    /// A cycle, or a part of one.
    pub(super) fn take(&mut self, source: &Name, cycle: Cycle) -> Round {
        let Cycle { at, every, begins, containers, whole } = cycle;
        let count = containers.len();
        let mut samples = Vec::with_capacity(count + 1);
        for one in containers {
            let known = self.subjects.get(&one.id).filter(|known| known.key == Subject::container_key(&one.name));
            let subject = match known {
                Some(known) => Arc::clone(known),
                None => {
                    // One whose id is none cannot be told from others.
                    let Some(subject) = Subject::container(source, &one.id, &one.name) else { continue };
                    let subject = Arc::new(subject);
                    self.subjects.insert(one.id, Arc::clone(&subject));
                    subject
                }
            };
            samples.extend(sample(&subject, &one.readings));
        }
        if let Some(whole) = whole {
            samples.extend(sample(&Arc::new(Subject::source(source)), &whole.readings));
            if self.subjects.len() > 2 * whole.measured as usize + SPARE {
                self.subjects.clear();
            }
            self.cycle = Some(shown(at, whole));
            self.why = None;
        }
        Round { at: Moment(at), every, begins, samples }
    }

    /// How full its disk is.
    pub(super) fn take_disk(&mut self, source: &Name, disk: Disk) -> Round {
        let Disk { at, every, begins, readings, how, took } = disk;
        let value =
            |metric: Metric| readings.iter().find(|(number, _)| *number == metric.number()).map(|(_, value)| *value);
        self.disk = Some(DiskUsage {
            at: time(at),
            used_bytes: value(Metric::DiskUsed),
            total_bytes: value(Metric::DiskTotal),
            used_percent: value(Metric::DiskUsedPercent).map(|stored| Metric::DiskUsedPercent.value(stored)),
            how,
            took_ms: took,
        });
        if self.why.as_ref().is_some_and(|why| why.starts_with("disk: ")) {
            self.why = None;
        }
        let samples = sample(&Arc::new(Subject::source(source)), &readings).into_iter().collect();
        Round { at: Moment(at), every, begins, samples }
    }
}

fn shown(at: u64, whole: Whole) -> LastCycle {
    let Whole { measured, running, how, remark, took, skipped, dropped, .. } = whole;
    LastCycle { at: time(at), measured, running, how, remark, took_ms: took, skipped, dropped }
}

fn time(at: u64) -> Millis {
    Millis(Wall::from(Moment(at)))
}

/// Absent when nothing was seen. Metrics of another version are left out.
fn sample(subject: &Arc<Subject>, readings: &Readings) -> Option<Sample> {
    let mut known: Vec<(Metric, u64)> =
        readings.iter().filter_map(|(number, value)| Some((Metric::of_number(*number)?, *value))).collect();
    known.sort_unstable_by_key(|(metric, _)| metric.number());
    known.dedup_by_key(|(metric, _)| *metric);
    let mut row = Vec::with_capacity(48);
    pack_readings(&known, &mut row);
    (!known.is_empty()).then(|| Sample { subject: Arc::clone(subject), row: row.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::docker::usage::DiskHow;
    use vigie_core::samples::unpack_readings;
    use vigie_wire::worker::Measured;

    fn nas() -> Name {
        Name::lossy("nas")
    }

    fn cycle(containers: &[(&str, &str)], whole: bool) -> Cycle {
        let measured = |(id, name): &(&str, &str)| Measured {
            id: (*id).to_owned(),
            name: (*name).to_owned(),
            readings: vec![(Metric::Memory.number(), 7), (250, 1), (Metric::CpuOfCore.number(), 1_000)],
        };
        let of_all = Whole {
            readings: vec![(Metric::Containers.number(), 1)],
            measured: 1,
            running: 2,
            how: None,
            remark: None,
            took: 5,
            skipped: 3,
            dropped: 0,
        };
        Cycle {
            at: 1_000,
            every: 30_000,
            begins: true,
            containers: containers.iter().map(measured).collect(),
            whole: whole.then_some(of_all),
        }
    }

    #[test]
    fn a_cycle_becomes_a_round() {
        let mut measuring = Measuring { why: Some("away".to_owned()), ..Measuring::default() };
        let round = measuring.take(&nas(), cycle(&[("ab", "web"), ("c d", "x"), ("", "y")], true));
        let names: Vec<(&str, &str)> =
            round.samples.iter().map(|sample| (sample.subject.name.as_str(), sample.subject.key.as_str())).collect();
        assert_eq!(names, [("container nas/ab", "web"), ("source nas", "")], "an id that is none is nobody's");
        assert_eq!((round.at, round.every, round.begins), (Moment(1_000), 30_000, true));
        let readings = unpack_readings(&round.samples[0].row).expect("a row");
        assert_eq!(readings, [(Metric::CpuOfCore, 1_000), (Metric::Memory, 7)], "in order, and of known metrics only");
        assert_eq!(measuring.why, None);
        let shown = measuring.cycle.as_ref().expect("shown");
        assert_eq!((shown.measured, shown.running, shown.skipped), (1, 2, 3));

        // Another name begins another series; the same one goes on with its own.
        let renamed = measuring.take(&nas(), cycle(&[("ab", "api")], false));
        assert_eq!(renamed.samples[0].subject.key, "api");
        let again = measuring.take(&nas(), cycle(&[("ab", "api")], false));
        assert!(Arc::ptr_eq(&renamed.samples[0].subject, &again.samples[0].subject));
    }

    #[test]
    fn containers_that_are_gone_are_forgotten() {
        let mut measuring = Measuring::default();
        let ids: Vec<String> = (0..200).map(|id| format!("{id:x}")).collect();
        let many: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "web")).collect();
        measuring.take(&nas(), cycle(&many, false));
        assert_eq!(measuring.subjects.len(), 200);
        measuring.take(&nas(), cycle(&[("ab", "web")], true));
        assert!(measuring.subjects.is_empty());
    }

    #[test]
    fn a_disk() {
        let mut measuring = Measuring { why: Some("disk: slow".to_owned()), ..Measuring::default() };
        let readings = vec![(Metric::DiskUsed.number(), 50), (Metric::DiskUsedPercent.number(), 12_500)];
        let disk = Disk { at: 1, every: 300_000, begins: false, readings, how: DiskHow::Statfs, took: 2 };
        let round = measuring.take_disk(&nas(), disk);
        assert_eq!((round.samples.len(), round.every), (1, 300_000));
        let shown = measuring.disk.as_ref().expect("shown");
        assert_eq!((shown.used_bytes, shown.total_bytes, shown.used_percent), (Some(50), None, Some(12.5)));
        assert_eq!(measuring.why, None);
    }
}
