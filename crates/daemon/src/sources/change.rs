//! What users change of sources.

use vigie_api::report::FailureDetail;
use vigie_api::source::Change;
use vigie_core::clock::Wall;
use vigie_core::docker::source::Source;
use vigie_core::exit_code::ExitCode;
use vigie_core::journal::{Entry, Subject, What};
use vigie_core::name::Name;
use vigie_store::state::DocumentChange;
use vigie_store::writer::Batch;
use vigie_wire::worker::{Asked, Role};

use crate::log::Log;

use super::held::Held;
use super::{SETTINGS, Sources};

impl Sources {
    /// Carries out a change. Workers hear of it at once, those that it concerns: they touch only what is different.
    ///
    /// # Errors
    /// When it is not possible, with the exit code.
    pub(crate) fn change(&mut self, change: Change, by: &str, now: Wall, log: &Log) -> Result<Batch, FailureDetail> {
        let (name, how, before) = match change {
            Change::Add { source, replace } => {
                let name = source.name.clone();
                let before = self.held.get(&name).map(|held| held.source.clone());
                if before.is_some() && !replace {
                    let message = format!("there is a source {name} already; --replace gives it other settings");
                    return Err(FailureDetail { code: ExitCode::Usage, message });
                }
                let same_place = before.as_ref().is_some_and(|before| before.endpoint == source.endpoint);
                let how = match &before {
                    None => format!("added: {}", source.endpoint),
                    Some(_) if same_place => format!("changed: {}", source.endpoint),
                    Some(_) => format!("moved: {}", source.endpoint),
                };
                match self.held.get_mut(&name).filter(|_| same_place) {
                    Some(held) => held.source = *source,
                    None => {
                        // What was known of the engine at another place is not known of this one.
                        let gone = self.held.remove(&name).map(|held| held.forget()).unwrap_or_default();
                        self.number += 1;
                        self.held.insert(name.clone(), Held::new(*source, self.number));
                        return self.changed(&name, before.as_ref(), &how, by, now, gone, log);
                    }
                }
                (name, how, before)
            }
            Change::Remove(name) => {
                let Some(held) = self.held.remove(&name) else { return Err(unknown(&name)) };
                let mut documents = held.forget();
                documents.push(DocumentChange::delete(SETTINGS, name.as_str()));
                for role in Role::ALL {
                    self.ask(role, Asked::RefreshSources { put: Vec::new(), remove: vec![name.clone()] }, log);
                }
                return Ok(Batch { entries: vec![entry(&name, "removed", by, now)], documents });
            }
            Change::Set { name, settings } => {
                let held = self.held.get_mut(&name).ok_or_else(|| unknown(&name))?;
                let before = held.source.clone();
                held.source.set(&settings).map_err(|message| FailureDetail { code: ExitCode::Usage, message })?;
                let written = settings.iter().map(|(key, value)| format!("{key}={value}"));
                (name, format!("set {}", written.collect::<Vec<_>>().join(" ")), Some(before))
            }
            Change::Pause(name) => {
                let held = self.held.get_mut(&name).ok_or_else(|| unknown(&name))?;
                let before = held.source.clone();
                held.source.paused = true;
                (name, "paused".to_owned(), Some(before))
            }
            Change::Resume(name) => {
                let held = self.held.get_mut(&name).ok_or_else(|| unknown(&name))?;
                let before = held.source.clone();
                held.source.paused = false;
                (name, "resumed".to_owned(), Some(before))
            }
        };
        if self.held.get(&name).map(|held| &held.source) == before.as_ref() {
            return Ok(Batch::default());
        }
        self.changed(&name, before.as_ref(), &how, by, now, Vec::new(), log)
    }

    #[allow(clippy::too_many_arguments, reason = "what a change consists of")]
    fn changed(
        &mut self,
        name: &Name,
        before: Option<&Source>,
        how: &str,
        by: &str,
        now: Wall,
        mut documents: Vec<DocumentChange>,
        log: &Log,
    ) -> Result<Batch, FailureDetail> {
        let Some(held) = self.held.get_mut(name) else { return Ok(Batch::default()) };
        match DocumentChange::put(SETTINGS, name.as_str(), &held.source) {
            Ok(document) => documents.push(document),
            Err(error) => return Err(FailureDetail { code: ExitCode::Internal, message: error.to_string() }),
        }
        let source = &held.source;
        let teller = source.follows_events();
        let follows_like = before.is_some_and(|before| source.follows_like(before));
        let measures_like =
            before.is_some_and(|before| source.measures_like(before) && teller == before.follows_events());
        for (role, same) in [(Role::Events, follows_like), (Role::Metrics, measures_like)] {
            if same {
                continue;
            }
            if let Some(held) = self.held.get_mut(name).filter(|_| role == Role::Events || !teller) {
                held.status = None;
            }
            let asked = match self.assign(name, role) {
                Some(assigned) => Asked::RefreshSources { put: vec![assigned], remove: Vec::new() },
                None => Asked::RefreshSources { put: Vec::new(), remove: vec![name.clone()] },
            };
            self.ask(role, asked, log);
        }
        Ok(Batch { entries: vec![entry(name, how, by, now)], documents })
    }
}

fn unknown(name: &Name) -> FailureDetail {
    FailureDetail {
        code: ExitCode::NotFound,
        message: format!("there is no source {name}; 'vigie source ls' shows all"),
    }
}

fn entry(name: &Name, how: &str, by: &str, now: Wall) -> Entry {
    let what = What::SourceChanged { how: how.to_owned(), by: by.to_owned() };
    Entry::new(now, Subject::Source(name.clone()), None, what)
}
