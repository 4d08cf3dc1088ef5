//! One explanation: `vigie why --json` (R3.6).

use serde::{Deserialize, Serialize};

use vigie_core::stuck::Judgement;
use vigie_core::text::OsText;
use vigie_core::why::{Evidence, Explanation, Remedy};

use crate::time::Millis;

/// The answer to `why TARGET`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// The target as it was asked for.
    pub target: String,
    /// When it was looked.
    pub at: Millis,
    /// What it is found to be.
    pub verdict: String,
    /// The answer in one sentence.
    pub answer: String,
    /// Of a process: whether KILL ends it; absent when what was seen does not tell.
    pub killable: Option<bool>,
    /// Of a process: its threads, the main thread first.
    pub tasks: Vec<Task>,
    /// Of a process: what was seen proves the verdict. `false`: what could not be seen may change it.
    #[serde(default)]
    pub sure: Option<bool>,
    /// Of a process: who it waits for, or who holds it; the nearest first.
    #[serde(default)]
    pub blamed: Vec<Blamed>,
    /// What the answer follows from.
    pub because: Vec<String>,
    /// The raw facts.
    pub evidence: Vec<Fact>,
    /// What can be done, the mildest first.
    pub remedies: Vec<Cure>,
    /// Something that the answer rests on could not be seen.
    pub blind: bool,
    /// What else is found about the target, the gravest first.
    pub also: Vec<Also>,
}

/// One thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its number.
    pub tid: u32,
    /// What it calls itself.
    pub name: OsText,
    /// The letter of its state; proc_pid_stat(5).
    pub state: char,
    /// What it is found to be.
    pub verdict: String,
    /// Whether KILL ends it; absent when what was seen does not tell.
    #[serde(default)]
    pub killable: Option<bool>,
    /// What was seen proves the verdict.
    #[serde(default)]
    pub sure: bool,
}

/// Somebody who is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blamed {
    /// Its number.
    pub pid: u32,
    /// What it calls itself.
    pub name: OsText,
    /// What it is to the stuck one: `tracer`, `child`, `parent`, `reader`, `holder`, `owner`, `server`, `listener`,
    /// `supplier`
    pub role: String,
}

/// A raw fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is about.
    pub fact: String,
    /// What was seen, or why it could not be.
    pub value: String,
    /// Where it can be read again; absent when nowhere.
    pub source: Option<String>,
}

/// Something that can be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cure {
    /// Its stable name.
    pub name: String,
    /// What it needs that the caller does not have.
    pub needs: Option<String>,
    /// What comes of it.
    pub effect: String,
    /// How it is done; absent when no command does it.
    pub command: Option<String>,
}

/// Another explanation of the same target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Also {
    /// As of [`Why`].
    pub verdict: String,
    /// As of [`Why`].
    pub answer: String,
    /// As of [`Why`].
    pub because: Vec<String>,
    /// As of [`Why`].
    pub evidence: Vec<Fact>,
    /// As of [`Why`].
    pub remedies: Vec<Cure>,
}

impl Why {
    /// The answer about `target`.
    pub fn new(target: String, at: Millis, told: &Explanation, also: &[Explanation]) -> Self {
        Self {
            schema: crate::SCHEMA,
            target,
            at,
            verdict: told.verdict.name(),
            answer: told.answer.clone(),
            killable: None,
            tasks: Vec::new(),
            sure: None,
            blamed: Vec::new(),
            because: told.because.clone(),
            evidence: told.evidence.iter().map(Fact::from).collect(),
            remedies: told.remedies.iter().map(Cure::from).collect(),
            blind: told.blind || also.iter().any(|other| other.blind),
            also: also.iter().map(Also::from).collect(),
        }
    }

    /// What is told of processes only.
    #[must_use]
    pub fn of_process(mut self, judgement: &Judgement) -> Self {
        self.killable = judgement.killable;
        self.sure = Some(judgement.sure);
        self.tasks = judgement
            .tasks
            .iter()
            .map(|one| Task {
                tid: one.tid,
                name: one.name.clone(),
                state: one.state,
                verdict: one.verdict.name().to_owned(),
                killable: one.killable,
                sure: one.sure,
            })
            .collect();
        let blamed = |one: &vigie_core::stuck::Blamed| Blamed {
            pid: one.process.pid(),
            name: one.process.name.clone(),
            role: one.role.to_owned(),
        };
        self.blamed = judgement.blamed.iter().map(blamed).collect();
        self
    }
}

impl From<&Explanation> for Also {
    fn from(told: &Explanation) -> Self {
        Self {
            verdict: told.verdict.name(),
            answer: told.answer.clone(),
            because: told.because.clone(),
            evidence: told.evidence.iter().map(Fact::from).collect(),
            remedies: told.remedies.iter().map(Cure::from).collect(),
        }
    }
}

impl From<&Evidence> for Fact {
    fn from(evidence: &Evidence) -> Self {
        Self {
            fact: evidence.fact.clone(),
            value: evidence.value.clone(),
            source: Some(evidence.source.clone()).filter(|source| !source.is_empty()),
        }
    }
}

impl From<&Remedy> for Cure {
    fn from(remedy: &Remedy) -> Self {
        Self {
            name: remedy.name.to_owned(),
            needs: remedy.needs.map(str::to_owned),
            effect: remedy.effect.clone(),
            command: remedy.command.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::clock::Wall;
    use vigie_core::why::{TaskVerdict, Verdict};

    /// R3.6: the names are those of the specification, and what was not observed is null.
    #[test]
    fn the_shape_of_why() {
        let mut told = Explanation::new(Verdict::Process(TaskVerdict::Stopped), "PID 9 is stopped");
        told.fact("state", "T (stopped)", "/proc/9/task/9/stat");
        told.remedy("continue", "lets it go on", "");
        let why = Why::new("pid:9".to_owned(), Millis(Wall(0)), &told, &[]);
        let json = serde_json::to_value(&why).expect("encodes");
        for (field, value) in [("target", "pid:9"), ("verdict", "stopped"), ("at", "1970-01-01T00:00:00.000Z")] {
            assert_eq!(json[field], value);
        }
        let evidence = serde_json::json!([{"fact": "state", "value": "T (stopped)", "source": "/proc/9/task/9/stat"}]);
        assert_eq!(json["evidence"], evidence);
        let remedies = serde_json::json!([
            {"name": "continue", "needs": null, "effect": "lets it go on", "command": null}
        ]);
        assert_eq!(json["remedies"], remedies);
        assert!(json["killable"].is_null() && json["tasks"].as_array().is_some_and(Vec::is_empty));
        assert_eq!(serde_json::from_value::<Why>(json).expect("reads"), why);
    }
}
