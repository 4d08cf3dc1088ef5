//! Incidents, rules, channels and silences as programs read them: `vigie incidents --json`, `vigie rules --json`, `vigie
//! notify ls --json`, `vigie notify silence --json`, `vigie notify test --json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use vigie_core::identity::RunId;
use vigie_core::incidents::{Incident, RuleId, Severity, Silence, Standing};
use vigie_core::name::Name;

use crate::time::Millis;

/// Incidents: the open ones first, the gravest first among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Incidents"))]
pub struct Report {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// Whether a daemon is there to find new ones.
    pub daemon: bool,
    /// They.
    pub incidents: Vec<Shown>,
}

/// One incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Incident"))]
pub struct Shown {
    /// Its number.
    pub id: u64,
    /// Whether it is over.
    pub standing: Standing,
    /// How grave it is.
    pub severity: Severity,
    /// The rule that found it.
    pub rule: RuleId,
    /// The project that it is about.
    pub project: Option<Name>,
    /// The service that it is about.
    pub service: Option<Name>,
    /// The source that it is about, or that its container is of.
    pub source: Option<Name>,
    /// The name of the container that it is about.
    pub container: Option<String>,
    /// What happened, in one line.
    pub text: String,
    /// How many signs it had.
    pub count: u64,
    /// When its first sign was seen.
    pub since: Millis,
    /// When it was opened.
    pub opened: Option<Millis>,
    /// When its last sign was seen.
    pub last: Millis,
    /// When it was resolved.
    pub resolved: Option<Millis>,
    /// Why it is over.
    pub outcome: Option<String>,
    /// The run that its last sign was about.
    pub run: Option<RunId>,
    /// The last lines of output when it was told, without what looked secret.
    pub output: Vec<String>,
    /// Whether it was told to the channels that there were.
    pub told: bool,
}

impl From<&Incident> for Shown {
    fn from(incident: &Incident) -> Self {
        let subject = &incident.subject;
        Self {
            id: incident.id,
            standing: incident.standing,
            severity: incident.severity,
            rule: incident.rule.clone(),
            project: subject.project().cloned(),
            service: subject.service().cloned(),
            source: subject.source().cloned(),
            container: subject.container().map(str::to_owned),
            text: incident.text.clone(),
            count: incident.count,
            since: Millis(incident.since),
            opened: incident.opened.map(Millis),
            last: Millis(incident.last),
            resolved: incident.resolved.map(Millis),
            outcome: incident.outcome.clone(),
            run: incident.run,
            output: incident.output.clone(),
            told: incident.clock.told,
        }
    }
}

/// All rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rules {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// They.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rule {
    /// Its name.
    pub name: RuleId,
    /// What it is about.
    pub about: String,
    /// Somebody made it: it can be removed.
    pub own: bool,
    /// Every setting as it is now, as it is written.
    pub settings: BTreeMap<String, String>,
    /// Those that somebody changed.
    pub changed: Vec<String>,
}

/// All channels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Channels {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// In the order in which they were added.
    pub channels: Vec<Channel>,
}

/// One channel. Its URL is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Channel {
    /// What it is called.
    pub name: Name,
    /// Its kind; absent when this version does not understand its URL.
    pub kind: Option<String>,
    /// Its URL without what is secret in it; absent as above.
    pub url: Option<String>,
    /// It may reach this machine and private networks.
    pub private: bool,
    /// When it was added.
    pub since: Millis,
    /// How many messages wait for it.
    pub waiting: u64,
    /// How many it took.
    pub delivered: u64,
    /// How many were given up.
    pub dropped: u64,
    /// When it last took one.
    pub delivered_at: Option<Millis>,
    /// When an attempt last failed.
    pub failed_at: Option<Millis>,
    /// Why the last attempt failed; absent when it did not.
    pub why: Option<String>,
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tests {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// One for each channel.
    pub tests: Vec<Test>,
}

/// The test of one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// Which.
    pub channel: Name,
    /// The receiver took the message.
    pub delivered: bool,
    /// What it said, or why it was not reached.
    pub answer: String,
}

/// Silences that are not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Silences {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// They.
    pub silences: Vec<ShownSilence>,
}

/// One silence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "ShownSilence"))]
pub struct ShownSilence {
    /// Its number.
    pub id: u64,
    /// The project; absent: of any.
    pub project: Option<Name>,
    /// The service; absent: any.
    pub service: Option<Name>,
    /// The source, with its containers; absent: any.
    #[serde(default)]
    pub source: Option<Name>,
    /// The container; absent: any.
    #[serde(default)]
    pub container: Option<String>,
    /// When it began.
    pub since: Millis,
    /// When it ends.
    pub ends: Millis,
    /// Who asked for it.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
}

impl From<&Silence> for ShownSilence {
    fn from(silence: &Silence) -> Self {
        Self {
            id: silence.id,
            project: silence.scope.project.clone(),
            service: silence.scope.service.clone(),
            source: silence.scope.source.clone(),
            container: silence.scope.container.clone(),
            since: Millis(silence.since),
            ends: Millis(silence.ends),
            by: silence.by.clone(),
            reason: silence.reason.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::clock::Wall;
    use vigie_core::incidents::{Clockwork, RuleName};
    use vigie_core::journal::Subject;

    #[test]
    fn the_shape_of_incidents() {
        let name = |text| Name::new(text).expect("name");
        let incident = Incident {
            id: 3,
            subject: Subject::Service { project: name("demo"), service: name("api"), mode: None },
            rule: RuleName::CrashLoop.into(),
            severity: Severity::Critical,
            standing: Standing::Open,
            since: Wall(0),
            opened: Some(Wall(1_000_000)),
            last: Wall(2_000_000),
            resolved: None,
            count: 5,
            text: "crash loop".to_owned(),
            outcome: None,
            run: Some(RunId(5)),
            output: vec!["panic".to_owned()],
            clock: Clockwork::default(),
        };
        let report = Report { schema: crate::SCHEMA, daemon: false, incidents: vec![Shown::from(&incident)] };
        assert_eq!(
            serde_json::to_string(&report).expect("encodes"),
            "{\"schema\":1,\"daemon\":false,\"incidents\":[{\"id\":3,\"standing\":\"open\",\"severity\":\"critical\",\
             \"rule\":\"crash-loop\",\"project\":\"demo\",\"service\":\"api\",\"source\":null,\"container\":null,\"text\":\"crash loop\",\"count\":5,\
             \"since\":\"1970-01-01T00:00:00.000Z\",\"opened\":\"1970-01-01T00:00:00.001Z\",\
             \"last\":\"1970-01-01T00:00:00.002Z\",\"resolved\":null,\"outcome\":null,\"run\":\"0000000000000005\",\
             \"output\":[\"panic\"],\"told\":false}]}"
        );
    }

    /// What is stored can be read by later versions: this is what the first one wrote.
    #[test]
    fn a_stored_incident_of_the_first_version() {
        let text = "{\"id\":1,\"subject\":{\"service\":{\"project\":\"demo\",\"service\":\"api\",\"mode\":null}},\
            \"rule\":\"crash-loop\",\"severity\":\"critical\",\"standing\":\"resolved\",\"since\":1,\"opened\":2,\"last\":3,\
            \"resolved\":4,\"count\":200,\"text\":\"crash loop\",\"outcome\":\"it stays up again\",\"run\":null,\"output\":[],\
            \"clock\":{\"first\":1,\"raise_at\":null,\"clear_at\":null,\"clear_why\":null,\"told\":true,\"told_at\":2,\
            \"reminders\":0,\"openings\":1,\"runs\":[]}}";
        let incident: Incident = serde_json::from_str(text).expect("reads");
        assert_eq!((incident.count, Shown::from(&incident).told), (200, true));
    }
}
