//! The finding of a service that is a ghost (R5.4): who is left, what it still holds, what can be done.

use serde_json::Value;

use vigie_core::service::State;

use crate::doctor::Finding;
use crate::status::Service;
use crate::why::{Cure, Fact};

/// The kind of the finding, as `vigie doctor` calls it.
const KIND: &str = "ghost";

impl Service {
    /// Adds the finding, when it is a ghost, from what the report says of it by now.
    pub fn note_ghost(&mut self) {
        self.findings.retain(|finding| finding["kind"] != KIND);
        if self.state == State::Ghost {
            self.findings.extend(serde_json::to_value(finding(self)).ok().filter(Value::is_object));
        }
    }
}

fn finding(service: &Service) -> Finding {
    let label = format!("{}/{}", service.project, service.service);
    let fact = |fact: &str, value: String, source: String| Fact { fact: fact.to_owned(), value, source: Some(source) };
    let left = service.run.as_ref().map_or(&[][..], |run| &run.left);
    let mut evidence: Vec<Fact> = left
        .iter()
        .map(|left| {
            let kill = if left.kill_pending { ", KILL pending" } else { "" };
            let value = format!("{} (PID {}): {}{kill}", left.name, left.pid, left.state);
            fact("process", value, format!("/proc/{}/status", left.pid))
        })
        .collect();
    evidence.push(fact("lock", "held: no other run can start".to_owned(), format!("vigie status {label}")));
    for port in service.run.iter().flat_map(|run| run.ports.iter().flatten()) {
        evidence.push(fact("port", format!("{port} is held"), "vigie ports".to_owned()));
    }
    let cure = |name: &str, effect: &str| Cure {
        name: name.to_owned(),
        needs: None,
        effect: effect.to_owned(),
        command: Some(format!("vigie {name} {label}")),
    };
    let remedies = vec![
        cure("why", "says what holds it and what frees it"),
        cure("quarantine", "takes back its ports and memory, and lets a successor start"),
    ];
    Finding {
        kind: KIND.to_owned(),
        severity: "critical".to_owned(),
        text: format!("{label} was stopped, and the kernel does not end it"),
        because: service.why.iter().cloned().collect(),
        evidence,
        remedies,
        pids: left.iter().map(|left| left.pid).collect(),
        service: Some(label.clone()),
        subject: label,
    }
}
