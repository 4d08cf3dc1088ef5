//! What was taken back from a ghost before it was set aside: `vigie quarantine --json` (R5.4, R8.4).

use serde::{Deserialize, Serialize};

use vigie_core::identity::RunId;
use vigie_core::name::Name;

use crate::status::Stuck;

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// It was only looked: nothing was done.
    pub dry_run: bool,
    /// The name of its project.
    pub project: Name,
    /// Its name.
    pub service: Name,
    /// The run that no signal ends.
    pub run: RunId,
    /// Those of whom it consists.
    pub processes: Vec<Process>,
    /// The resident memory of them all before, in bytes; absent when it could not be read.
    pub memory_before: Option<u64>,
    /// And after it was taken back; absent when that was not done.
    pub memory_after: Option<u64>,
    /// The ports that the service claims and that they hold.
    pub ports: Vec<Port>,
    /// The run is set aside: a successor may start.
    pub quarantined: bool,
    /// Why it is not, or what could not be taken back.
    pub why: Vec<String>,
}

/// One of those of whom a ghost consists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Who, and its state.
    #[serde(flatten)]
    pub stuck: Stuck,
    /// The name of the verdict on it, as in `vigie why --json`; absent when it could not be looked at in time.
    pub verdict: Option<String>,
    /// The verdict for people.
    pub said: Option<String>,
}

/// A claimed port that a ghost holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The claim: `127.0.0.1:8000/tcp`.
    pub claim: String,
    /// Who of them holds it.
    pub pids: Vec<u32>,
    /// Who can bind to it now; absent when nothing was done.
    pub bindable: Option<Bindable>,
}

/// Who can bind to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bindable {
    /// Everybody.
    Plainly,
    /// Who sets `SO_REUSEADDR` before, as most servers do.
    WithReuse,
    /// Nobody.
    No,
    /// This user may not try.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_of_quarantine() {
        let name = |text| Name::new(text).expect("name");
        let port = Port { claim: "8000/tcp".to_owned(), pids: vec![9], bindable: Some(Bindable::WithReuse) };
        let report = Report {
            schema: crate::SCHEMA,
            dry_run: false,
            project: name("demo"),
            service: name("api"),
            run: RunId(1),
            processes: Vec::new(),
            memory_before: Some(5),
            memory_after: None,
            ports: vec![port],
            quarantined: true,
            why: Vec::new(),
        };
        let json = serde_json::to_value(&report).expect("encodes");
        assert_eq!((&json["schema"], &json["run"]), (&1.into(), &"0000000000000001".into()));
        assert_eq!(json["ports"][0]["bindable"], "with-reuse");
        assert!(json.get("memory_after").is_some_and(serde_json::Value::is_null), "named, and not observed");
        assert_eq!(serde_json::from_value::<Report>(json).expect("reads"), report);
    }
}
