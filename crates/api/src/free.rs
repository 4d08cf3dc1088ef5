//! What was in the way of ports, and what became of it: `vigie free --json` (R7.3).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use vigie_core::claim::Proto;
use vigie_core::ports::Verdict;

/// The ports that were to be free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// It was only looked: nothing was done.
    pub dry_run: bool,
    /// In the order in which they were named.
    pub ports: Vec<Port>,
}

/// One port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The port.
    pub port: u16,
    /// The protocol.
    pub proto: Proto,
    /// The address that was named; absent: all.
    pub address: Option<IpAddr>,
    /// What it was.
    pub before: Verdict,
    /// What it is; absent when nothing was done.
    pub after: Option<Verdict>,
    /// Nobody holds it now, as the kernel says.
    pub free: bool,
    /// What is or was in the way.
    pub steps: Vec<Step>,
    /// What else there is to know, for people.
    pub note: Option<String>,
}

/// What is done about one holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What.
    pub what: What,
    /// The process that holds the socket; absent when it cannot be seen.
    pub pid: Option<u32>,
    /// The thread that has the socket, when the main thread has ended.
    pub tid: Option<u32>,
    /// Its name, or what takes its place.
    pub who: String,
    /// What it holds: `127.0.0.1:8000/tcp`.
    pub socket: String,
    /// The service whose run is stopped: `demo/api`.
    pub service: Option<String>,
    /// The container that is stopped: name and short id.
    pub container: Option<String>,
    /// The network namespace, when that is another one.
    pub netns: Option<u64>,
    /// Why nothing is done.
    pub why: Option<String>,
}

/// What is done about a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The process is ended.
    End,
    /// The run is stopped by its own ladder, and not started again.
    Stop,
    /// The same, of another project: only when that was agreed to.
    StopOther,
    /// Its engine stops the container.
    StopContainer,
    /// Nothing: `why` says the reason.
    Refuse,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_of_free() {
        let step = Step {
            what: What::StopContainer,
            pid: Some(9),
            tid: None,
            who: "docker-proxy (PID 9)".to_owned(),
            socket: "0.0.0.0:8000/tcp".to_owned(),
            service: None,
            container: Some("web (0123456789ab)".to_owned()),
            netns: None,
            why: None,
        };
        let port = Port {
            port: 8000,
            proto: Proto::Tcp,
            address: None,
            before: Verdict::Used,
            after: Some(Verdict::Free),
            free: true,
            steps: vec![step],
            note: None,
        };
        let report = Report { schema: crate::SCHEMA, dry_run: false, ports: vec![port] };
        let json = serde_json::to_value(&report).expect("encodes");
        assert_eq!(json["ports"][0]["steps"][0]["what"], "stop-container");
        assert!(json["ports"][0].get("note").is_some_and(serde_json::Value::is_null), "absent values are named");
        assert_eq!(serde_json::from_value::<Report>(json).expect("reads"), report);
    }
}
