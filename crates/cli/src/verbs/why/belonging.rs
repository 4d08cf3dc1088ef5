//! What a process is to vigie: the run that it belongs to, the copy that it is, or vigie itself.

use std::collections::HashSet;

use vigie_api::status::{Report, Service};
use vigie_core::identity::{ProcKey, RunId};
use vigie_core::recognise::Expected;
use vigie_core::why::cgroup;
use vigie_core::why::facts::{Belonging, Membership, Story};
use vigie_os::place::Place;
use vigie_os::proc::Proc;
use vigie_os::remains::MARK;
use vigie_os::strays;

use crate::failure::Failure;
use crate::look::{self, Record};
use crate::plan::label;
use crate::scene::Scene;

/// What is known of all runs: asked once, for any number of processes.
pub(crate) struct Known {
    /// The services and their records.
    runs: Vec<(Service, Record)>,
    daemon: Option<u32>,
    /// How copies of the services look, with the label of each.
    expected: Vec<Expected>,
    labels: Vec<String>,
}

impl Known {
    /// Reads the records of the services in `report`, and how those look that a manifest describes.
    pub(crate) fn new(report: &Report, scene: &Scene) -> Result<Self, Failure> {
        let mut runs = Vec::new();
        for service in &report.services {
            if let Some(record) = look::record(&scene.place.service_dir(&service.key), &scene.proc)? {
                runs.push((service.clone(), record));
            }
        }
        let (mut expected, mut labels) = (Vec::new(), Vec::new());
        for described in super::described::all(report, scene) {
            expected.push(strays::of_service(&described.service, described.root.as_path()));
            labels.push(described.label);
        }
        Ok(Self { runs, daemon: report.daemon.as_ref().map(|daemon| daemon.pid), expected, labels })
    }

    /// What the process of a story is.
    pub(crate) fn belonging(&self, story: &Story, proc: &Proc, place: &Place) -> Result<Option<Belonging>, Failure> {
        let key = &story.process.key;
        if key.pid == std::process::id() {
            return Ok(Some(Belonging::Ourselves));
        }
        if self.daemon == Some(key.pid) {
            return Ok(Some(Belonging::Daemon));
        }
        if let Some(found) = self.of_run(story, place) {
            return Ok(Some(found));
        }
        let expected: Vec<&Expected> = self.expected.iter().collect();
        let stray = if story.process.is_zombie() { None } else { strays::examine(proc, key.pid, &expected)? };
        Ok(stray.filter(|stray| stray.key == *key).map(|stray| Belonging::Stray {
            service: self.labels[stray.of].clone(),
            matched: stray.matched.iter().map(|fact| (*fact).to_owned()).collect(),
        }))
    }

    /// By what its record says, by its mark, by its cgroup, by its descent; each by itself is enough.
    fn of_run(&self, story: &Story, place: &Place) -> Option<Belonging> {
        let key = &story.process.key;
        let membership = |service: &Service, record: &Record, by, source: Option<String>| Membership {
            service: label(service),
            run: record.state.holder.run,
            by,
            adopted: record.state.adopted.map(|(at, _)| at),
            asked_by: vigie_core::journal::origin(&record.state.holder.origin),
            source: source.unwrap_or_else(|| place.service_dir(&service.key).join("record.json").display().to_string()),
        };
        let is = |other: Option<&ProcKey>| other == Some(key);
        for (service, record) in &self.runs {
            if is(record.state.holder.main.as_ref()) && record.main_alive {
                return Some(Belonging::Main(membership(service, record, "its record", None)));
            }
            if is(Some(&record.state.holder.keeper)) {
                return Some(Belonging::Keeper(membership(service, record, "its record", None)));
            }
        }
        let of = |run: RunId| self.runs.iter().find(|(_, record)| record.state.holder.run == run);
        let mark = story.variable(MARK).and_then(|mark| std::str::from_utf8(&mark.0).ok()?.parse().ok());
        if let Some((service, record)) = mark.and_then(of) {
            let source = format!("/proc/{}/environ: {MARK}", key.pid);
            return Some(Belonging::Member(membership(service, record, "the mark in its environment", Some(source))));
        }
        let folder = story.cgroups.iter().find_map(|(_, path)| cgroup::read(&path.0).run);
        if let Some((service, record)) = folder.and_then(of) {
            let source = format!("/proc/{}/cgroup", key.pid);
            return Some(Belonging::Member(membership(service, record, "its cgroup", Some(source))));
        }
        let keeper = |record: &Record| story.ancestors.iter().any(|parent| parent.key == record.state.holder.keeper);
        let (service, record) = self.runs.iter().find(|(_, record)| keeper(record))?;
        Some(Belonging::Member(membership(service, record, "its descent from the keeper", None)))
    }

    /// The service whose run it belongs to, and whether that is of the project in `dir`.
    pub(crate) fn service(&self, run: RunId) -> Option<&Service> {
        self.runs.iter().find(|(_, record)| record.state.holder.run == run).map(|(service, _)| service)
    }

    /// The main processes of all runs that live: no copies of anything.
    pub(crate) fn mains(&self) -> HashSet<u32> {
        self.runs
            .iter()
            .filter(|(_, record)| record.main_alive)
            .filter_map(|(_, record)| Some(record.state.holder.main.as_ref()?.pid))
            .collect()
    }
}
