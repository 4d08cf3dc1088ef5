//! An entry of the journal as programs read it: `vigie events --json`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use vigie_core::identity::RunId;
use vigie_core::journal::{Entry, Subject, What, describe};
use vigie_core::name::Name;

use crate::time::Nanos;

/// One entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Entry"))]
pub struct JournalLine {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// Its number in the journal, from 1, ascending. Absent: a keeper wrote it down, and no daemon has journalled it yet.
    pub seq: Option<u64>,
    /// When it happened. Not ascending: what a keeper saw while no daemon lived gets its number later.
    pub at: Nanos,
    /// What kind of thing happened: one of [`vigie_core::journal::KINDS`], or newer.
    pub kind: String,
    /// The project that it is about.
    pub project: Option<Name>,
    /// The service that it is about.
    pub service: Option<Name>,
    /// The mode of the run.
    pub mode: Option<Name>,
    /// The source that it is about.
    #[serde(default)]
    pub source: Option<Name>,
    /// The name of the container that it is about; its id is in `detail`.
    #[serde(default)]
    pub container: Option<String>,
    /// The run that it belongs to.
    pub run: Option<RunId>,
    /// The line for people.
    pub text: String,
    /// The facts, as [`What`] names them.
    pub detail: Map<String, Value>,
}

impl JournalLine {
    /// The line of entry number `seq`.
    pub fn new(seq: impl Into<Option<u64>>, entry: &Entry) -> Self {
        let subject = &entry.subject;
        let mode = if let Subject::Service { mode, .. } = subject { mode.clone() } else { None };
        let detail = match serde_json::to_value(&entry.what) {
            Ok(Value::Object(mut fields)) => {
                fields.remove("kind");
                fields
            }
            // Every variant of `What` is an object.
            _ => Map::new(),
        };
        Self {
            schema: crate::SCHEMA,
            seq: seq.into(),
            at: Nanos(entry.at),
            kind: entry.what.kind().to_owned(),
            project: subject.project().cloned(),
            service: subject.service().cloned(),
            mode,
            source: subject.source().cloned(),
            container: subject.container().map(str::to_owned),
            run: entry.run,
            text: describe(entry),
            detail,
        }
    }

    /// What happened, as a value. `None` when the fields do not fit the kind, which no version writes.
    pub fn what(&self) -> Option<What> {
        let mut fields = self.detail.clone();
        fields.insert("kind".to_owned(), Value::String(self.kind.clone()));
        serde_json::from_value(Value::Object(fields)).ok()
    }

    /// Whom it is about.
    pub fn subject(&self) -> Subject {
        match (&self.project, &self.service) {
            (Some(project), Some(service)) => {
                Subject::Service { project: project.clone(), service: service.clone(), mode: self.mode.clone() }
            }
            (Some(project), None) => Subject::Project(project.clone()),
            (None, _) => match (&self.source, &self.container) {
                (None, _) => Subject::Daemon,
                (Some(source), None) => Subject::Source(source.clone()),
                (Some(source), Some(name)) => {
                    let id = self.detail.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
                    Subject::Container { source: source.clone(), name: name.clone(), id }
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::clock::Wall;
    use vigie_core::exit::Exit;
    use vigie_core::units::Span;

    #[test]
    fn a_line_is_the_entry_again() {
        let name = |text| Name::new(text).expect("name");
        let subject = Subject::Service { project: name("demo"), service: name("api"), mode: None };
        let what = What::Exited { exit: Exit::Code(7), ran: Some(Span::secs(3)) };
        let line = JournalLine::new(9, &Entry::new(Wall(1), subject.clone(), Some(RunId(5)), what.clone()));
        assert_eq!(
            serde_json::to_string(&line).expect("encodes"),
            "{\"schema\":1,\"seq\":9,\"at\":\"1970-01-01T00:00:00.000000001Z\",\"kind\":\"exited\",\"project\":\"demo\",\
             \"service\":\"api\",\"mode\":null,\"source\":null,\"container\":null,\"run\":\"0000000000000005\",\"text\":\"exited with code 7 after 3s\",\
             \"detail\":{\"exit\":{\"code\":7},\"ran\":\"3s\"}}"
        );
        assert_eq!((line.what(), line.subject()), (Some(what), subject));
    }
}
