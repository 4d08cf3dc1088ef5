//! Strays that are to be left alone: one process as long as it lives, or one command of a service for good. Kept in the
//! state folder, one file for all projects.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use vigie_core::clock::Wall;
use vigie_core::identity::ProcKey;
use vigie_core::launch::ServiceKey;
use vigie_core::name::Name;
use vigie_core::text::OsText;
use vigie_os::atomic;
use vigie_os::place::Place;
use vigie_os::proc::Proc;
use vigie_os::strays::Stray;

use crate::failure::Failure;

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Of which service.
    pub(crate) key: ServiceKey,
    /// The name of its project.
    pub(crate) project: Name,
    /// What is left alone.
    pub(crate) what: What,
    /// Program and arguments, for people.
    pub(crate) command: Vec<OsText>,
    /// Since when.
    pub(crate) since: Wall,
}

/// What is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    /// This process, until it ends.
    Process(ProcKey),
    /// Whatever runs this executable with these arguments in this folder.
    Command {
        /// The executable.
        executable: OsText,
        /// The arguments, without the program's own name.
        arguments: Vec<OsText>,
        /// The working folder.
        cwd: OsText,
    },
}

impl What {
    /// All that run the same command as this stray.
    pub(crate) fn command_of(stray: &Stray) -> Self {
        Self::Command {
            executable: stray.executable.clone().into(),
            arguments: stray.argv.get(1..).unwrap_or_default().to_vec(),
            cwd: stray.cwd.clone().into(),
        }
    }
}

/// All decisions.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ignored {
    pub(crate) entries: Vec<Entry>,
}

impl Ignored {
    /// Reads them; none when there is no file.
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub(crate) fn read(place: &Place) -> Result<Self, Failure> {
        let path = path(place);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Failure::io(path.display(), &error)),
        };
        serde_json::from_slice(&bytes).map_err(|error| {
            let failure = Failure::io(path.display(), &std::io::Error::other(error));
            failure.hint("it holds which strays are ignored; remove it to ignore none")
        })
    }

    /// Writes them. Processes that are gone are left out: their numbers mean nobody.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write(&mut self, place: &Place, proc: &Proc) -> Result<(), Failure> {
        self.entries.retain(|entry| match &entry.what {
            What::Process(key) => proc.is_alive(key).unwrap_or(true),
            What::Command { .. } => true,
        });
        place.prepare()?;
        let text = serde_json::to_vec(self).map_err(|error| Failure::io("JSON", &std::io::Error::other(error)))?;
        Ok(atomic::write(&path(place), &text)?)
    }

    /// Whether a stray of this service is to be left alone.
    pub(crate) fn covers(&self, key: &ServiceKey, stray: &Stray) -> bool {
        let command = What::command_of(stray);
        let fits = |entry: &&Entry| {
            entry.key == *key && (entry.what == What::Process(stray.key.clone()) || entry.what == command)
        };
        self.entries.iter().any(|entry| fits(&entry))
    }

    /// Adds a decision once.
    pub(crate) fn add(&mut self, entry: Entry) {
        if !self.entries.iter().any(|known| known.key == entry.key && known.what == entry.what) {
            self.entries.push(entry);
        }
    }
}

fn path(place: &Place) -> PathBuf {
    place.state.join("ignored.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::launch::Scope;

    #[test]
    fn one_process_or_one_command() {
        let folder = tempfile::tempdir().expect("a folder");
        let get = |name: &str| (name == "VIGIE_HOME").then(|| folder.path().join("home").into_os_string());
        let place = Place::from_env(get, 1000).expect("a place");
        let proc = Proc::system().expect("/proc");
        let name = |text| Name::new(text).expect("a name");
        let key = |service| ServiceKey::new(Scope::User, std::path::Path::new("/"), name(service));
        let process = proc.key(std::process::id()).expect("readable").expect("alive");
        let stray = |process: ProcKey, argument: &str| Stray {
            key: process,
            of: 0,
            matched: Vec::new(),
            argv: vec!["x".into(), argument.into()],
            executable: "/usr/bin/x".into(),
            cwd: "/srv".into(),
            uid: 0,
            deleted: false,
            elsewhere: Vec::new(),
            tree: Vec::new(),
        };
        let gone = ProcKey { start_ticks: 1, ..process.clone() };
        let mut ignored = Ignored::read(&place).expect("there is no file");
        let what = [
            What::Process(process.clone()),
            What::Process(process.clone()),
            What::Process(gone.clone()),
            What::command_of(&stray(gone.clone(), "always")),
        ];
        for what in what {
            let (project, command) = (name("demo"), Vec::new());
            ignored.add(Entry { key: key("api"), project, what, command, since: Wall(0) });
        }
        ignored.write(&place, &proc).expect("written");
        let ignored = Ignored::read(&place).expect("read");
        assert_eq!(ignored.entries.len(), 2, "once each, and no process that is gone");
        assert!(ignored.covers(&key("api"), &stray(process.clone(), "a")));
        assert!(ignored.covers(&key("api"), &stray(gone.clone(), "always")));
        assert!(!ignored.covers(&key("api"), &stray(gone, "a")), "its number is somebody else's");
        assert!(!ignored.covers(&key("db"), &stray(process, "always")), "another service");
    }
}
