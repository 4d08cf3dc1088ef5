//! Incidents and messages as the daemon holds them: the pure engine and outbox, with what of them lies in the database.

use std::path::{Path, PathBuf};

use vigie_api::settings::Change;
use vigie_core::clock::Mono;
use vigie_core::incidents::{Edits, Engine, Kept, Moment, RuleError, RuleId, Silence, Standards, Turn, masked};
use vigie_core::journal::Entry;
use vigie_core::name::Name;
use vigie_core::outbox::{Changes, Health, Item, Outbox, Parcel, Verdict};
use vigie_core::policy::Draws;
use vigie_notify::book::Book;
use vigie_os::clock;
use vigie_os::place::Place;
use vigie_store::journal::{Journal, Query, Reader, Stored};
use vigie_store::logs::{Filter, Item as LogItem, LogDir};
use vigie_store::samples::Round;
use vigie_store::state::DocumentChange;

use crate::input::Refused;
use crate::log::Log;

/// The kind of the documents that keep incidents as they are shown, each a [`vigie_core::incidents::Incident`].
pub const INCIDENT: &str = "incident";

/// The kind of those that keep what was changed of a rule, each an [`Edits`].
pub const RULE: &str = "rule";

/// The kind of those that keep silences, each a [`Silence`].
pub const SILENCE: &str = "silence";

/// The kind of those that keep messages that wait, each an [`Item`].
pub const OUTBOX: &str = "outbox";

/// The kind of those that keep how channels do, each a [`Health`].
pub const HEALTH: &str = "channel";

/// The kind and the key of the document that keeps the engine.
const ENGINE: (&str, &str) = ("incidents", "engine");

/// So many entries are heard at once by a daemon that comes back.
const PAGE: u32 = 1000;

/// The longest silence.
const YEAR: std::time::Duration = std::time::Duration::from_secs(365 * 86_400);

/// Engine, outbox, and what they need.
pub(crate) struct Incidents {
    engine: Engine,
    outbox: Outbox,
    draws: Draws,
    /// The folder with the channels.
    config: PathBuf,
    /// The folder of the journal.
    state: PathBuf,
    host: String,
    log: Log,
}

impl Incidents {
    /// Reads what an earlier daemon kept. What is not understood is left out and told of.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(crate) fn read(
        journal: &Journal,
        place: &Place,
        same_boot: bool,
        seed: u64,
        log: &Log,
    ) -> Result<Self, vigie_store::Error> {
        let reader = journal.reader();
        let rules = parsed::<Edits>(reader, RULE, log)?;
        let rules = rules.into_iter().filter_map(|(key, edits)| Some((key.parse::<RuleId>().ok()?, edits)));
        let silences = parsed::<Silence>(reader, SILENCE, log)?.into_iter().map(|(_, silence)| silence);
        let kept = reader.document(ENGINE.0, ENGINE.1)?.map(|document| document.parse::<Kept>());
        let mut draws = Draws::new(seed);
        let kept = match kept {
            Some(Ok(kept)) => kept,
            other => {
                if let Some(Err(error)) = other {
                    log.line(&error.to_string());
                }
                // What happened before there were incidents is nobody's news.
                Engine::new(draws.bits(), reader.last_seq()?).kept(clock::now())
            }
        };
        let engine = Engine::restore(kept, rules, silences, clock::now(), same_boot);
        let items = parsed::<Item>(reader, OUTBOX, log)?.into_iter().map(|(_, item)| item).collect();
        let health = parsed::<Health>(reader, HEALTH, log)?;
        let health = health.into_iter().filter_map(|(key, health)| Some((Name::new(&key).ok()?, health))).collect();
        Ok(Self {
            engine,
            outbox: Outbox::restore(items, health),
            draws,
            config: place.config.clone(),
            state: place.state.clone(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            log: log.clone(),
        })
    }

    /// The name of this machine.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    fn moment(&self) -> Moment {
        let now = clock::now();
        // Only asked when somebody looks at the time of day: it reads a file.
        let offset = if self.engine.has_quiet_hours() { offset(now.wall.0) } else { 0 };
        Moment { now, offset }
    }

    /// As [`Self::moment`], for a change after which the time of day may begin to matter.
    fn new_moment(&self) -> Moment {
        Moment { offset: offset(clock::now().wall.0), ..self.moment() }
    }

    /// The document of a rule.
    fn written(&self, rule: &RuleId) -> Option<DocumentChange> {
        self.put(RULE, rule.name(), self.engine.rules().edits(rule)?)
    }

    /// Entries that are in the journal and were not heard.
    pub(crate) fn missed(&self) -> Vec<Stored> {
        let query = |after| Query { after, limit: Some(PAGE), ..Query::default() };
        let read = || {
            let reader = Reader::open(&self.state)?;
            let mut missed: Vec<Stored> = Vec::new();
            loop {
                let after = missed.last().map_or(self.engine.cursor(), |last| last.seq);
                let page = reader.read(&query(after))?;
                let last = page.len() < PAGE as usize;
                missed.extend(page);
                if last {
                    return Ok::<_, vigie_store::Error>(missed);
                }
            }
        };
        read().unwrap_or_else(|error| {
            self.log.line(&format!("what happened meanwhile cannot be looked at for incidents: {error}"));
            Vec::new()
        })
    }

    /// An entry is in the journal.
    pub(crate) fn hear(&mut self, seq: u64, entry: &Entry) -> Turn {
        self.engine.hear(self.moment(), seq, entry)
    }

    /// Holds what was measured against the rules.
    pub(crate) fn judge(&mut self, round: &Round, standards: &dyn Standards) -> Turn {
        let samples = round.samples.iter().map(|sample| (&*sample.subject, &*sample.row));
        let every = std::time::Duration::from_millis(round.every);
        let at = self.moment();
        self.engine.judge(at, every, samples, standards)
    }

    /// Looks at the clock.
    pub(crate) fn tick(&mut self) -> Turn {
        self.engine.tick(self.moment())
    }

    /// When there is something to do. `only_watch`: nothing can be sent now.
    pub(crate) fn due(&self, only_watch: bool) -> Option<Mono> {
        let post = self.outbox.deadline().filter(|_| !only_watch);
        self.engine.deadline(self.moment()).into_iter().chain(post).min()
    }

    /// Lines that explain an incident.
    pub(crate) fn explain(&mut self, incident: u64, lines: Vec<String>) -> Turn {
        self.engine.explain(incident, lines)
    }

    /// Takes what follows from a step: what is to be recorded.
    pub(crate) fn take(&mut self, turn: Turn) -> (Vec<Entry>, Vec<DocumentChange>) {
        let mut entries = turn.entries;
        let mut documents: Vec<DocumentChange> = Vec::new();
        if !turn.messages.is_empty() {
            let channels = self.channels();
            for message in &turn.messages {
                let changes = self.outbox.push(clock::now(), message, &channels);
                let (more, stored) = self.stored(changes);
                entries.extend(more);
                documents.extend(stored);
            }
        }
        for incident in &turn.incidents {
            documents.extend(self.put(INCIDENT, &padded(incident.id), incident));
        }
        documents.extend(turn.forgotten.iter().map(|id| DocumentChange::delete(INCIDENT, &padded(*id))));
        documents.extend(turn.ended.iter().map(|id| DocumentChange::delete(SILENCE, &padded(*id))));
        if turn.store {
            documents.extend(self.put(ENGINE.0, ENGINE.1, &self.engine.kept(clock::now())));
        }
        (entries, documents)
    }

    /// The names of all channels. Read each time: whoever adds one needs no daemon, and messages are rare.
    fn channels(&self) -> Vec<Name> {
        match Book::read(&self.config) {
            Ok(book) => book.channels.into_iter().map(|entry| entry.name).collect(),
            Err(error) => {
                self.log.line(&format!("nobody can be told of an incident: {error}"));
                Vec::new()
            }
        }
    }

    /// What is to be sent now.
    pub(crate) fn pump(&mut self) -> Vec<Parcel> {
        self.outbox.pump(clock::mono())
    }

    /// Something came of an attempt: what is to be recorded.
    pub(crate) fn posted(&mut self, channel: &Name, verdict: Verdict) -> (Vec<Entry>, Vec<DocumentChange>) {
        let draw = self.draws.unit();
        let changes = self.outbox.done(clock::now(), channel, verdict, draw);
        self.stored(changes)
    }

    fn stored(&self, changes: Changes) -> (Vec<Entry>, Vec<DocumentChange>) {
        let mut documents: Vec<DocumentChange> = Vec::new();
        for item in &changes.put {
            documents.extend(self.put(OUTBOX, &padded(item.id), item));
        }
        documents.extend(changes.gone.iter().map(|id| DocumentChange::delete(OUTBOX, &padded(*id))));
        for (channel, health) in &changes.health {
            documents.extend(self.put(HEALTH, channel.as_str(), health));
        }
        (changes.entries, documents)
    }

    fn put(&self, kind: &str, key: &str, value: &impl serde::Serialize) -> Option<DocumentChange> {
        DocumentChange::put(kind, key, value).map_err(|error| self.log.line(&error.to_string())).ok()
    }

    /// All documents, for a new journal.
    pub(crate) fn documents(&self) -> Vec<DocumentChange> {
        let rules = self.engine.rules().ids().into_iter().filter_map(|rule| {
            let edits = self.engine.rules().edits(&rule)?;
            self.put(RULE, rule.name(), edits)
        });
        let silences = self.engine.silences().filter_map(|silence| self.put(SILENCE, &padded(silence.id), silence));
        let shown = self.engine.live().filter(|incident| incident.id > 0);
        let incidents = shown.filter_map(|incident| self.put(INCIDENT, &padded(incident.id), incident));
        let items = self.outbox.items().filter_map(|item| self.put(OUTBOX, &padded(item.id), item));
        let health = self.outbox.health().filter_map(|(channel, health)| self.put(HEALTH, channel.as_str(), health));
        let engine = self.put(ENGINE.0, ENGINE.1, &self.engine.kept(clock::now()));
        rules.chain(silences).chain(incidents).chain(items).chain(health).chain(engine).collect()
    }

    /// Changes a rule or a silence: the silence that began, the document that keeps the change, and what follows.
    pub(crate) fn change(
        &mut self,
        change: Change,
    ) -> Result<(Option<Silence>, Option<DocumentChange>, Turn), Refused> {
        match change {
            Change::Set { .. } | Change::Reset { .. } => Err(Refused::usage("no rule or silence is meant")),
            Change::AddRule { rule, settings } => {
                let turn = self.engine.add_rule(self.new_moment(), &rule, &settings).map_err(refused)?;
                Ok((None, self.written(&rule), turn))
            }
            Change::RemoveRule { rule } => {
                let turn = self.engine.remove_rule(self.moment(), &rule).map_err(refused)?;
                Ok((None, Some(DocumentChange::delete(RULE, rule.name())), turn))
            }
            Change::SetRule { rule, settings } => {
                let turn = self.engine.set_rule(self.new_moment(), &rule, &settings).map_err(refused)?;
                Ok((None, self.written(&rule), turn))
            }
            Change::ResetRule { rule } => {
                let turn = self.engine.reset_rule(self.moment(), rule);
                Ok((None, Some(DocumentChange::delete(RULE, rule.name())), turn))
            }
            Change::Silence { scope, length, by, reason } => {
                if length.0.is_zero() || length.0 > YEAR {
                    return Err(Refused::usage("a silence lasts for a year at most, and not for no time"));
                }
                if !scope.is_possible() {
                    return Err(Refused::usage("a silence is about services or about containers: nothing is both"));
                }
                let (silence, turn) = self.engine.silence(self.moment(), scope, length.0, by, reason);
                let document = self.put(SILENCE, &padded(silence.id), &silence);
                Ok((Some(silence), document, turn))
            }
            Change::EndSilence { id } => {
                let turn = self.engine.end_silence(self.moment(), id);
                // Its document goes with the turn.
                let turn = turn.ok_or_else(|| Refused::not_found(format!("there is no silence {id}")))?;
                Ok((None, None, turn))
            }
        }
    }
}

fn refused(error: RuleError) -> Refused {
    match error {
        RuleError::NoRule { .. } => Refused::not_found(error),
        other => Refused::usage(other),
    }
}

/// Numbers as keys sort like numbers.
fn padded(id: u64) -> String {
    format!("{id:020}")
}

fn offset(wall: u64) -> i32 {
    let at = jiff::Timestamp::from_nanosecond(i128::from(wall)).unwrap_or_default();
    jiff::tz::TimeZone::system().to_offset(at).seconds()
}

fn parsed<T: serde::de::DeserializeOwned>(
    reader: &Reader,
    kind: &str,
    log: &Log,
) -> Result<Vec<(String, T)>, vigie_store::Error> {
    let mut all = Vec::new();
    for document in reader.documents(kind)? {
        match document.parse() {
            Ok(value) => all.push((document.key, value)),
            Err(error) => log.line(&error.to_string()),
        }
    }
    Ok(all)
}

/// The last lines of what a service wrote, as they may leave the machine. Output that cannot be read explains nothing.
pub fn last_lines(logs: &Path, count: usize) -> Vec<String> {
    /// Longer lines are cut, in characters.
    const LENGTH: usize = 300;
    if count == 0 || !logs.is_dir() {
        return Vec::new();
    }
    let Ok(mut lines) = LogDir::new(logs).tail(count, Filter::default(), &mut |_| true) else { return Vec::new() };
    lines.finish();
    let mut found = Vec::new();
    while let Ok(true) = lines.advance() {
        if let Some(LogItem::Line(line)) = lines.item() {
            let text = vigie_core::text::escaped(line.bytes);
            found.push(masked(&text.chars().take(LENGTH).collect::<String>()));
        }
    }
    found.split_off(found.len().saturating_sub(count))
}
