//! vigie's own: daemon, keepers, journal, room.

use std::path::PathBuf;
use std::time::Duration;

use vigie_api::status::Report;
use vigie_api::{Client, path, report};
use vigie_core::clock::Mono;
use vigie_core::doctor::facts::{Daemon, Disk, Journal, Keeper};
use vigie_os::ancestry;
use vigie_os::lock::read_label;
use vigie_os::signs::room;
use vigie_wire::keeper::Request;

use super::Beside;
use crate::failure::Failure;
use crate::keeper::Link;
use crate::look::{self, Record};
use crate::plan::label;
use crate::scene::Scene;

/// How long one that is awake takes at most. That it did not answer is told only after a second time.
const ANSWER: Duration = Duration::from_millis(400);

/// Asks the daemon who it is; absent when there is none.
pub(super) fn daemon(scene: &Scene) -> Result<Option<Daemon>, Failure> {
    let client = Client::new(scene.place.daemon_socket());
    let ask = async { tokio::time::timeout(ANSWER, client.get_json::<report::Daemon>(path::DAEMON)).await };
    let process = |pid: u32| ancestry::lineage(&scene.proc, pid).ok().flatten().map(|(process, _)| process);
    match scene.runtime.block_on(ask) {
        Ok(Ok(told)) => Ok(Some(Daemon { process: process(told.pid), answers: true, version: Some(told.version) })),
        Ok(Err(error)) if error.is_unreachable() || matches!(error, vigie_api::Error::Broken { .. }) => Ok(None),
        Ok(Err(_)) | Err(_) => {
            let label = read_label(&scene.place.daemon_lock()).ok().flatten();
            let told = label.and_then(|label| serde_json::from_slice::<report::Daemon>(&label).ok());
            let process = told.as_ref().and_then(|told| process(told.pid));
            Ok(Some(Daemon { process, answers: false, version: None }))
        }
    }
}

/// The records of the runs that live, each with the name of its service.
pub(super) type Runs = Vec<(String, Record)>;

/// Asks every keeper for its state, all at the same time. With them the records of the runs that live.
pub(super) fn keepers(report: &Report, scene: &Scene, deadline: Mono) -> Result<(Vec<Keeper>, Runs), Failure> {
    let mut runs = Runs::new();
    let mut asked = Vec::new();
    for service in &report.services {
        let folder = scene.place.service_dir(&service.key);
        let Some(record) = look::record(&folder, &scene.proc)? else { continue };
        if record.keeper_alive {
            let answer = Beside::start({
                let folder = folder.clone();
                move || answers(&folder)
            });
            asked.push((label(service), folder.join("record.json"), record.state.clone(), answer));
        }
        if record.is_live() {
            runs.push((label(service), record));
        }
    }
    let deadline = deadline.min(vigie_os::clock::mono() + ANSWER);
    let mut keepers = Vec::new();
    for (service, record, state, answer) in asked {
        let answers = answer.get(deadline).unwrap_or(false);
        // One that ends at this moment is none any more.
        let Some((process, _)) = ancestry::lineage(&scene.proc, state.holder.keeper.pid)? else { continue };
        if process.key != state.holder.keeper || process.is_zombie() {
            continue;
        }
        keepers.push(Keeper {
            process,
            service,
            answers,
            foreign: state.version != vigie_wire::VERSION,
            version: state.program,
            record: record.display().to_string(),
        });
    }
    Ok((keepers, runs))
}

/// It says something, whatever that is: that nobody listens there any more is an answer as well.
fn answers(folder: &std::path::Path) -> bool {
    let ask = || -> Result<bool, Failure> {
        let Some(mut link) = Link::open(folder)? else { return Ok(true) };
        link.send(&Request::Watch { after: u64::MAX })?;
        link.wait(vigie_os::clock::mono() + ANSWER)
    };
    ask().unwrap_or(false)
}

/// Whether the journal can be read, and its size.
pub(super) fn journal(scene: &Scene) -> Beside<Option<Journal>> {
    let (file, folder) = (scene.place.journal(), scene.place.state.clone());
    Beside::start(move || {
        let told = |fault| {
            let size = std::fs::metadata(&file).ok().map(|meta| meta.len());
            Some(Journal { path: file.display().to_string(), fault, size })
        };
        let reader = match vigie_store::journal::Reader::open(&folder) {
            Ok(reader) => reader,
            // No daemon ever ran here.
            Err(vigie_store::Error::Absent { .. }) => return None,
            Err(error) => return told(Some(error.to_string())),
        };
        let read = || -> Result<(), vigie_store::Error> {
            reader.documents(vigie_daemon::SERVICE)?;
            let last = vigie_store::journal::Query { limit: Some(100), newest: true, ..Default::default() };
            reader.read(&last).map(drop)
        };
        told(read().err().map(|error| error.to_string()))
    })
}

/// The room that is left where vigie writes.
pub(super) fn rooms(scene: &Scene, deadline: Mono) -> Beside<Vec<Disk>> {
    let folders: [(&'static str, PathBuf); 3] = [
        ("state", scene.place.state.clone()),
        ("runtime files", scene.place.runtime.clone()),
        ("logs", scene.place.state.join("logs")),
    ];
    Beside::start(move || {
        let mut disks: Vec<Disk> = Vec::new();
        for (what, folder) in folders {
            let path = folder.display().to_string();
            let nothing = Disk { what, path, size: None, free: None, inodes: None, free_inodes: None };
            match room(&folder, deadline) {
                Ok(Some(room)) => {
                    let limited = room.inodes > 0;
                    let disk = Disk {
                        size: Some(room.size),
                        free: Some(room.free),
                        inodes: limited.then_some(room.inodes),
                        free_inodes: limited.then_some(room.free_inodes),
                        ..nothing
                    };
                    // What lies on one file system is told once.
                    let same = |known: &Disk| known.size == disk.size && known.inodes == disk.inodes;
                    if !disks.iter().any(same) {
                        disks.push(disk);
                    }
                }
                Ok(None) if vigie_os::clock::mono() < deadline => {}
                Ok(None) | Err(_) => disks.push(nothing),
            }
        }
        disks
    })
}
