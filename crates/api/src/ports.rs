//! Who holds which port: `vigie ports --json` (R3.6, R7).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use vigie_core::claim::{PortClaim, Proto};
use vigie_core::identity::RunId;
use vigie_core::ports::Verdict;
use vigie_core::text::OsText;

use crate::time::Millis;

/// The ports that were asked about, or all that somebody holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// When it was looked.
    pub at: Millis,
    /// Those asked about in the order in which they were named, claims by service, the rest of the machine by port.
    pub ports: Vec<Port>,
    /// What could not be seen.
    pub hidden: Hidden,
}

/// One port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// What was asked about or is claimed, as `8000/tcp`; absent for the rest of the machine.
    pub asked: Option<PortClaim>,
    /// The port.
    pub port: u16,
    /// The protocol.
    pub proto: Proto,
    /// The address that was asked about; when all were, the only one that is held. Absent: all, or several.
    pub address: Option<IpAddr>,
    /// Whether a server can have it.
    pub verdict: Verdict,
    /// The service of the manifest that claims it: `demo/api`.
    pub claimed_by: Option<String>,
    /// Who is in the way, each process once; without a PID when it cannot be seen.
    pub holders: Vec<Holder>,
    /// What else there is to know, for people.
    pub note: Option<String>,
    /// The network namespace in which this is so; absent: the one of whoever looked.
    pub netns: Option<u64>,
    /// When the last connection that is left over is forgotten, for `time-wait`.
    pub until: Option<Millis>,
}

/// A process that holds a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its PID; absent when it cannot be seen.
    pub pid: Option<u32>,
    /// The thread that has the socket, when the main thread has ended or does not have it.
    pub tid: Option<u32>,
    /// Its user; of a process that cannot be seen the one who made the socket.
    pub user: Option<String>,
    /// What it calls itself.
    pub name: Option<String>,
    /// Program and arguments.
    pub command: Option<Vec<OsText>>,
    /// When it was started.
    pub started_at: Option<Millis>,
    /// The service whose run it belongs to: `demo/api`.
    pub service: Option<String>,
    /// The run that it belongs to.
    pub run: Option<RunId>,
    /// The container whose port it is: name and short id.
    pub container: Option<String>,
    /// The network namespace of its socket, when it is not that of whoever looked.
    pub netns: Option<u64>,
    /// The addresses at which it holds the port.
    pub addresses: Vec<IpAddr>,
}

/// What could not be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hidden {
    /// Processes whose sockets one may not see.
    pub processes: u32,
    /// There may be network namespaces into which one may not look.
    pub namespaces: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::Value;
    use vigie_core::clock::Wall;

    /// R3.6: the names are those of the specification, and what was not observed is null.
    #[test]
    fn the_shape_of_ports() {
        let holder = Holder {
            pid: Some(9),
            tid: None,
            user: Some("ana".to_owned()),
            name: Some("python3".to_owned()),
            command: Some(vec!["python3".into()]),
            started_at: None,
            service: None,
            run: None,
            container: None,
            netns: None,
            addresses: vec![IpAddr::from([127, 0, 0, 1])],
        };
        let port = Port {
            asked: Some("8000".parse().expect("claim")),
            port: 8000,
            proto: Proto::Tcp,
            address: Some(IpAddr::from([127, 0, 0, 1])),
            verdict: Verdict::Used,
            claimed_by: Some("demo/api".to_owned()),
            holders: vec![holder],
            note: None,
            netns: None,
            until: None,
        };
        let report = Report {
            schema: crate::SCHEMA,
            at: Millis(Wall(0)),
            ports: vec![port],
            hidden: Hidden { processes: 2, namespaces: true },
        };
        let json = serde_json::to_value(&report).expect("encodes");
        assert_eq!(json["schema"], 1);
        let port = &json["ports"][0];
        for (field, value) in [
            ("asked", "8000/tcp"),
            ("proto", "tcp"),
            ("address", "127.0.0.1"),
            ("verdict", "used"),
            ("claimed_by", "demo/api"),
        ] {
            assert_eq!(port[field], value);
        }
        assert_eq!((&port["port"], &port["note"]), (&8000.into(), &Value::Null));
        let holder = &port["holders"][0];
        assert_eq!((&holder["pid"], &holder["command"]), (&9.into(), &serde_json::json!(["python3"])));
        for absent in ["tid", "service", "container", "netns"] {
            assert!(holder.get(absent).is_some_and(Value::is_null), "{absent} is named all the same");
        }
        assert_eq!(serde_json::from_value::<Report>(json).expect("reads"), report);
    }
}
