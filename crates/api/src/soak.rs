//! What many cycles of start and stop left behind: `vigie soak --json` (R5.7).

use serde::{Deserialize, Serialize};

use vigie_core::exit_code::ExitCode;
use vigie_core::name::Name;
use vigie_core::soak::Kind;

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// The project of the service.
    pub project: Name,
    /// The service.
    pub service: Name,
    /// Its mode, when it has one.
    pub mode: Option<Name>,
    /// How many cycles were asked for.
    pub cycles: u32,
    /// How many were gone through to their end.
    pub done: u32,
    /// Why not all of them were; absent when all were.
    pub ended: Option<Ended>,
    /// The same for people: which leftover, what the daemon said.
    pub why: Option<String>,
    /// Nothing was left, as far as it was looked, and nothing of vigie grows.
    pub clean: bool,
    /// With which code the command ends.
    pub code: ExitCode,
    /// How long the steps took.
    pub times: Times,
    /// What was left, in the order in which it was found.
    pub leftovers: Vec<Leftover>,
    /// What came while it ran, belongs to the same user, and whose it is the kernel does not tell. No fault.
    pub unclear: Vec<Leftover>,
    /// What could not be looked at, and why.
    pub unseen: Vec<String>,
    /// What vigie's own processes keep.
    pub vigie: Vec<Upkeep>,
}

/// Why it ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Something was left.
    Leftover,
    /// The service could not be started, did not become ready, or could not be stopped.
    Failed,
    /// Somebody asked for it.
    Interrupted,
}

/// How long the steps took, in milliseconds; absent where no cycle has come so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// From the request to the spawned main process.
    pub start: Option<Step>,
    /// From the request to its being ready.
    pub ready: Option<Step>,
    /// From the request to its being stopped, which the kernel has proved.
    pub stop: Option<Step>,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Half of all took no longer.
    pub p50_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
    /// None took longer.
    pub max_ms: f64,
}

/// Something that was left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftover {
    /// What it is.
    pub kind: Kind,
    /// What it is called; the same in every cycle.
    pub name: String,
    /// The first one of them, with its numbers.
    pub detail: String,
    /// A command that takes it away.
    pub remedy: Option<String>,
    /// The cycle in which it was found first, from 1.
    pub first_cycle: u32,
    /// In how many cycles it was found.
    pub cycles: u32,
    /// How many there are in all.
    pub count: u32,
}

/// What one of vigie's own processes keeps, cycle by cycle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Upkeep {
    /// `daemon`, `nursery` (from which keepers are forked), `keeper` (another one in each cycle)
    pub process: String,
    /// Descriptors.
    pub descriptors: Option<Growth>,
    /// Threads.
    pub threads: Option<Growth>,
    /// Memory of its own, in bytes.
    pub memory_bytes: Option<Growth>,
}

/// How a value went. All of it is absent when there were too few cycles to tell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// After the warm-up.
    pub first: u64,
    /// At the end.
    pub last: u64,
    /// How much it grew with each cycle.
    pub per_cycle: f64,
    /// It grew steadily, and by as much as matters.
    pub leaks: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_of_soak() {
        let name = |text| Name::new(text).expect("a name");
        let leftover = Leftover {
            kind: Kind::SharedMemory,
            name: "shared-memory segment of 4096 bytes by api".to_owned(),
            detail: "id 3 of 4096 bytes, by api (PID 9)".to_owned(),
            remedy: Some("ipcrm -m 3".to_owned()),
            first_cycle: 1,
            cycles: 1,
            count: 1,
        };
        let growth = Growth { first: 20, last: 20, per_cycle: 0.0, leaks: false };
        let report = Report {
            schema: crate::SCHEMA,
            project: name("demo"),
            service: name("api"),
            mode: None,
            cycles: 500,
            done: 1,
            ended: Some(Ended::Leftover),
            why: None,
            clean: false,
            code: ExitCode::No,
            times: Times { start: Some(Step { p50_ms: 4.5, p99_ms: 4.5, max_ms: 4.5 }), ready: None, stop: None },
            leftovers: vec![leftover],
            unclear: Vec::new(),
            unseen: Vec::new(),
            vigie: vec![Upkeep {
                process: "daemon".to_owned(),
                descriptors: Some(growth),
                threads: None,
                memory_bytes: None,
            }],
        };
        let json = serde_json::to_value(&report).expect("encodes");
        assert_eq!(json["schema"], 1);
        assert_eq!((&json["ended"], &json["code"]), (&"leftover".into(), &1.into()));
        assert_eq!(json["leftovers"][0]["kind"], "shared-memory");
        assert_eq!(json["times"]["start"]["p50_ms"], 4.5);
        assert_eq!(json["vigie"][0]["descriptors"]["leaks"], false);
        for absent in ["/mode", "/why", "/times/ready", "/vigie/0/threads"] {
            assert!(json.pointer(absent).is_some_and(serde_json::Value::is_null), "{absent} is named all the same");
        }
        assert_eq!(serde_json::from_value::<Report>(json).expect("reads"), report);
    }
}
