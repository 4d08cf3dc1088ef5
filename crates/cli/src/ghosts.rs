//! What no signal ends and was set aside (R5.4), as its records tell: no stray, no copy, nobody's to end.

use std::collections::HashMap;

use vigie_api::status::{self, Service};
use vigie_core::ghost::Ghost;
use vigie_core::ports::{Entry, Holder};
use vigie_os::place::Place;
use vigie_os::ports::Table;
use vigie_os::proc::Proc;

use crate::failure::Failure;
use crate::look;
use crate::out::{Screen, style};

/// The processes of ghosts that are not gone, each with its service: `demo/api`.
///
/// # Errors
/// When `/proc` cannot be read.
pub(crate) fn processes(place: &Place, proc: &Proc) -> Result<HashMap<u32, String>, Failure> {
    let mut processes = HashMap::new();
    for ghost in vigie_os::ghosts::all(&place.ghosts_dir()) {
        let label = format!("{}/{}", ghost.holder.project, ghost.holder.key.service);
        for left in &ghost.left {
            if proc.is_alive(&left.process)? {
                processes.insert(left.process.pid, label.clone());
            }
        }
    }
    Ok(processes)
}

/// A socket that was taken from a ghost: it is bound still, and nothing comes to it.
pub(crate) fn was_taken_back(entry: &Entry, ghosts: &HashMap<u32, String>) -> bool {
    let is_ghost = |holder: &Holder| ghosts.contains_key(&holder.pid);
    !entry.socket.serves() && !entry.holders.is_empty() && entry.holders.iter().all(is_ghost)
}

/// Leaves such sockets out: a start is not hindered by them.
///
/// # Errors
/// When `/proc` cannot be read.
pub(crate) fn leave_out(table: &mut Table, place: &Place, proc: &Proc) -> Result<(), Failure> {
    let ghosts = processes(place, proc)?;
    if !ghosts.is_empty() {
        table.entries.retain(|entry| !was_taken_back(entry, &ghosts));
    }
    Ok(())
}

/// That ghosts are no strays, for whoever looks for these.
///
/// # Errors
/// When `/proc` cannot be read.
pub(crate) fn note(place: &Place, proc: &Proc) -> Result<Option<String>, Failure> {
    let mut all: Vec<String> = processes(place, proc)?.iter().map(|(pid, of)| format!("PID {pid} ({of})")).collect();
    all.sort();
    Ok((!all.is_empty())
        .then(|| format!("not counted, since no signal ends it and it was set aside: {}", all.join(", "))))
}

/// Adds the ghosts that are on record to their services: without a daemon all of them, else those of `vigie run`, which it
/// does not manage.
///
/// # Errors
/// When `/proc` cannot be read.
pub(crate) fn add(services: &mut Vec<Service>, place: &Place, proc: &Proc) -> Result<(), Failure> {
    for ghost in vigie_os::ghosts::all(&place.ghosts_dir()) {
        if services.iter().any(|service| service.ghosts.iter().any(|known| known.run == ghost.run())) {
            continue;
        }
        let mut lives = false;
        for left in &ghost.left {
            lives |= proc.is_alive(&left.process)?;
        }
        if !lives {
            continue;
        }
        let shown = status::Ghost::from(&ghost);
        match services.iter_mut().find(|service| service.key == ghost.holder.key) {
            Some(service) => service.ghosts.push(shown),
            None => services.push(Service { ghosts: vec![shown], ..nothing_else(&ghost) }),
        }
    }
    Ok(())
}

/// A service of which nothing but this is known.
fn nothing_else(ghost: &Ghost) -> Service {
    let holder = &ghost.holder;
    let dir = if holder.key.dir.0.is_empty() { &holder.origin.cwd } else { &holder.key.dir };
    Service { project_dir: dir.clone(), ..look::held_by(holder) }
}

/// What can be done about a service that ended as a ghost, on standard error.
pub(crate) fn hint(label: &str) {
    let screen = Screen::stderr();
    eprintln!(
        "{} 'vigie why {label}' says what it waits for and what would free it; 'vigie quarantine {label}' lets a new run start \
         without it",
        screen.paint(style::HEAD, "hint:")
    );
}
