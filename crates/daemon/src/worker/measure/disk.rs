//! How full the disk of a source is (R11.5): what the file system below the engine's folder says where that is one of this
//! machine, else what the engine says that it keeps.

use std::path::Path;
use std::time::Duration;

use vigie_core::docker::source::Source;
use vigie_core::docker::usage::DiskHow;
use vigie_core::samples::Metric;
use vigie_docker::watch::About;
use vigie_docker::{Dial, Engine};
use vigie_os::clock;
use vigie_os::signs::{Room, room};
use vigie_wire::worker::Readings;

use super::source::{packed, reach};
use crate::aside::off_thread;

/// How long a file system may take.
const ROOM: Duration = Duration::from_secs(20);

/// How long an engine may count.
const COUNT: Duration = Duration::from_secs(60);

/// What came of it.
#[derive(Debug)]
pub(super) struct Sized {
    pub(super) how: DiskHow,
    pub(super) readings: Readings,
}

/// Asks once.
///
/// # Errors
/// Why nothing is known, in a few words.
pub(super) async fn size(source: Source) -> Result<Sized, String> {
    let (engine, about) = reach(&source).await?;
    if let Some(root) = local_root(&engine, &about)
        && let Some(room) = ask(root.to_owned()).await?
    {
        return Ok(Sized { how: DiskHow::Statfs, readings: of_room(&room) });
    }
    let usage = engine.disk_usage(COUNT).await.map_err(|error| error.reason())?;
    let bytes = usage.bytes().ok_or("it does not tell how much it keeps")?;
    Ok(Sized { how: DiskHow::SystemDf, readings: packed([(Metric::DiskUsed, Some(bytes))]) })
}

/// The engine's folder, when the engine is one of this machine. What lies at the path of another machine's folder here says
/// nothing about that one: at a socket may listen what leads elsewhere.
fn local_root<'a>(engine: &Engine, about: &'a About) -> Option<&'a str> {
    is_local(engine, about).then_some(())?;
    about.root.as_deref().filter(|root| root.starts_with('/'))
}

/// Whether the engine is one of this machine.
pub(super) fn is_local(engine: &Engine, about: &About) -> bool {
    let own = rustix::system::uname();
    let name = about.identity.name.as_deref();
    matches!(engine.dial(), Dial::Unix(_)) && name.is_some_and(|name| own.nodename().to_bytes() == name.as_bytes())
}

/// Absent when there is no such folder, as seen from here.
async fn ask(root: String) -> Result<Option<Room>, String> {
    let deadline = clock::mono() + ROOM;
    match off_thread(move || room(Path::new(&root), deadline)).await {
        Ok(Ok(None)) if clock::mono() >= deadline => Err(format!("its file system did not answer within {ROOM:?}")),
        Ok(Ok(room)) => Ok(room),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn of_room(room: &Room) -> Readings {
    packed([
        (Metric::DiskUsed, Some(room.used())),
        (Metric::DiskTotal, Some(room.size)),
        (Metric::DiskUsedPercent, room.used_percent().and_then(|percent| Metric::DiskUsedPercent.stored(percent))),
    ])
}
