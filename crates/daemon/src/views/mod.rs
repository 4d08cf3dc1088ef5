//! What is kept, as it is shown: read from the database, so that a command that looks without a daemon and a client of the
//! API see the same.

pub mod samples;

use std::cmp::Reverse;
use std::path::Path;

use serde::de::DeserializeOwned;

use vigie_api::SCHEMA;
use vigie_api::containers::{Container, Containers};
use vigie_api::incidents::{Channel, Channels, Report, Rule, Rules as ShownRules, Shown, ShownSilence, Silences};
use vigie_api::time::Millis;
use vigie_core::clock::Wall;
use vigie_core::docker::known;
use vigie_core::incidents::{Edits, Incident, RuleId, Rules, Silence, Standing};
use vigie_core::name::Name;
use vigie_core::outbox::{Health, Item};
use vigie_notify::book::{Book, BookError};
use vigie_store::Error;
use vigie_store::journal::Reader;

use crate::incidents::{HEALTH, INCIDENT, OUTBOX, RULE, SILENCE};
use crate::sources::CONTAINER;

/// Why something cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] Error),
    /// The file with the channels cannot be read.
    #[error(transparent)]
    Book(#[from] BookError),
}

/// All documents of a kind, by key. What this version does not understand is left out; none when there is no database yet.
///
/// # Errors
/// When it cannot be read.
pub fn documents<T: DeserializeOwned>(state: &Path, kind: &str) -> Result<Vec<(String, T)>, Error> {
    let reader = match Reader::open(state) {
        Ok(reader) => reader,
        Err(Error::Absent { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let documents = reader.documents(kind)?;
    Ok(documents.into_iter().filter_map(|document| Some((document.key.clone(), document.parse().ok()?))).collect())
}

/// Incidents that are open; also those that were over `since` then, or `all`. `daemon`: whether one is there.
///
/// # Errors
/// When they cannot be read.
pub fn incidents(state: &Path, all: bool, since: Option<Wall>, daemon: bool) -> Result<Report, Error> {
    let wanted = |incident: &Incident| {
        let since = since.is_some_and(|since| incident.resolved.is_some_and(|resolved| resolved >= since));
        incident.standing == Standing::Open || all || since
    };
    let known = documents::<Incident>(state, INCIDENT)?;
    let mut incidents: Vec<Incident> = known.into_iter().map(|(_, incident)| incident).filter(wanted).collect();
    incidents.sort_by_key(|one| {
        let open = one.standing == Standing::Open;
        // Of those that are over the latest first, however grave they were.
        (Reverse(open), Reverse(if open { Some(one.severity) } else { None }), Reverse(one.resolved), Reverse(one.id))
    });
    Ok(Report { schema: SCHEMA, daemon, incidents: incidents.iter().map(Shown::from).collect() })
}

/// The rules as they are now.
///
/// # Errors
/// When they cannot be read.
pub fn rules(state: &Path) -> Result<Rules, Error> {
    let edits = documents::<Edits>(state, RULE)?;
    Ok(Rules::new(edits.into_iter().filter_map(|(key, edits)| Some((key.parse().ok()?, edits)))))
}

/// Some of them as they are shown.
pub fn shown_rules(rules: &Rules, names: &[RuleId]) -> ShownRules {
    ShownRules { schema: SCHEMA, rules: names.iter().map(|name| shown_rule(rules, name)).collect() }
}

fn shown_rule(rules: &Rules, name: &RuleId) -> Rule {
    let rule = rules.get(name);
    let about = match (name, &rule.limit) {
        (RuleId::Own(_), Some(limit)) => limit.about(),
        (RuleId::Own(_), None) => String::new(),
        (RuleId::Known(name), _) => name.about().to_owned(),
    };
    Rule {
        name: name.clone(),
        about,
        own: matches!(name, RuleId::Own(_)),
        settings: rule.shown(name).into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        changed: rules.edits(name).into_iter().flatten().map(|(key, _)| key.clone()).collect(),
    }
}

/// The channels, without what is secret in their URLs. `config`: the folder of the settings.
///
/// # Errors
/// When they cannot be read, or the file could be read by others.
pub fn channels(config: &Path, state: &Path) -> Result<Channels, ViewError> {
    let book = Book::read(config)?;
    let waiting = documents::<Item>(state, OUTBOX)?;
    let health = documents::<Health>(state, HEALTH)?;
    let shown = book.channels.iter().map(|entry| {
        let channel = entry.channel().ok();
        let health = health.iter().find(|(name, _)| name == entry.name.as_str());
        let health = health.map(|(_, health)| health.clone()).unwrap_or_default();
        Channel {
            name: entry.name.clone(),
            kind: channel.as_ref().map(|channel| channel.kind().to_owned()),
            url: channel.as_ref().map(|channel| channel.masked().to_owned()),
            private: entry.private,
            since: Millis(entry.since),
            waiting: waiting.iter().filter(|(_, item)| item.channel == entry.name).count() as u64,
            delivered: health.delivered,
            dropped: health.dropped,
            delivered_at: health.delivered_at.map(Millis),
            failed_at: health.failed_at.map(Millis),
            why: health.why,
        }
    });
    Ok(Channels { schema: SCHEMA, channels: shown.collect() })
}

/// The silences that are not over at `now`: where no daemon is, nobody clears away what is.
///
/// # Errors
/// When they cannot be read.
pub fn silences(state: &Path, now: Wall) -> Result<Vec<Silence>, Error> {
    let known = documents::<Silence>(state, SILENCE)?;
    Ok(known.into_iter().map(|(_, silence)| silence).filter(|silence| silence.ends > now).collect())
}

/// They as they are shown.
pub fn shown_silences(silences: &[Silence]) -> Silences {
    Silences { schema: SCHEMA, silences: silences.iter().map(ShownSilence::from).collect() }
}

/// The containers of all sources as they were last known.
///
/// # Errors
/// When they cannot be read.
pub fn containers(state: &Path) -> Result<Containers, Error> {
    let known = documents::<known::Container>(state, CONTAINER)?;
    let container = |(key, container): (String, known::Container)| {
        let (source, id) = key.split_once('/')?;
        Some(Container::new(Name::new(source).ok()?, id.to_owned(), container))
    };
    let mut containers: Vec<Container> = known.into_iter().filter_map(container).collect();
    containers.sort_by(|a, b| (&a.source, &a.id).cmp(&(&b.source, &b.id)));
    Ok(Containers { schema: SCHEMA, containers })
}
