//! The logs of the machine: syslog (RFC 3164 here, RFC 5424 to another machine) and the journal of systemd.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use vigie_core::incidents::Message;
use vigie_core::name::Name;

use crate::dial::{Failed, Place, datagram};
use crate::text::{cut, details, time, urgency};
use crate::until::Until;

/// `daemon`
const FACILITY: u8 = 3;

/// Longer lines are cut by many who receive them.
const LINE: usize = 900;

fn severity(message: &Message) -> u8 {
    urgency(message, [2, 4, 5, 6])
}

/// One line for everything: a log has a line for each message.
fn line(message: &Message, host: &str) -> String {
    let text = format!("{} ({})", message.title(), details(message, host).replace('\n', " |"));
    cut(&text, LINE)
}

/// To the system log.
pub(crate) fn syslog(
    place: Option<&Place>,
    socket: &Path,
    message: &Message,
    host: &str,
    until: Until,
) -> Result<String, Failed> {
    let priority = FACILITY * 8 + severity(message);
    let (pid, line) = (std::process::id(), line(message, host));
    match place {
        None => {
            let text = format!("<{priority}>vigie[{pid}]: {line}");
            send(socket, text.as_bytes(), until)?;
            Ok(format!("written to {}", socket.display()))
        }
        Some(place) => {
            let plain: String = host.chars().map(|c| if c.is_ascii_graphic() { c } else { '-' }).collect();
            let text = format!("<{priority}>1 {} {plain} vigie {pid} - - \u{feff}{line}", time(message.at));
            datagram(place, text.as_bytes(), until)?;
            // UDP: nobody says whether it came.
            Ok(format!("sent to {place}; whether it arrived, UDP does not tell"))
        }
    }
}

/// To the journal of systemd (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>).
pub(crate) fn journald(socket: &Path, message: &Message, host: &str, until: Until) -> Result<String, Failed> {
    let mut bytes = Vec::new();
    let mut field = |name: &str, value: &str| {
        bytes.extend(name.as_bytes());
        if value.contains('\n') {
            bytes.push(b'\n');
            bytes.extend((value.len() as u64).to_le_bytes());
        } else {
            bytes.push(b'=');
        }
        bytes.extend(value.as_bytes());
        bytes.push(b'\n');
    };
    field("MESSAGE", &cut(&message.title(), LINE));
    field("PRIORITY", &severity(message).to_string());
    field("SYSLOG_IDENTIFIER", "vigie");
    field("VIGIE_KEY", &message.key);
    field("VIGIE_OCCASION", message.occasion.name());
    field("VIGIE_DETAILS", &cut(&details(message, host), 8000));
    if let Some(incident) = message.incident {
        field("VIGIE_INCIDENT", &incident.to_string());
    }
    if let Some(rule) = &message.rule {
        field("VIGIE_RULE", rule.name());
    }
    if let Some(subject) = &message.subject {
        let about = [
            ("VIGIE_PROJECT", subject.project().map(Name::as_str)),
            ("VIGIE_SERVICE", subject.service().map(Name::as_str)),
            ("VIGIE_SOURCE", subject.source().map(Name::as_str)),
            ("VIGIE_CONTAINER", subject.container()),
        ];
        for (name, value) in about {
            if let Some(value) = value {
                field(name, value);
            }
        }
    }
    send(socket, &bytes, until)?;
    Ok(format!("written to {}", socket.display()))
}

fn send(socket: &Path, bytes: &[u8], until: Until) -> Result<(), Failed> {
    let from = UnixDatagram::unbound().map_err(Failed::io("cannot open a socket"))?;
    let left = until.left().map_err(Failed::io(socket.display()))?;
    from.set_write_timeout(Some(left)).map_err(Failed::io(socket.display()))?;
    from.send_to(bytes, socket).map_err(Failed::io(format!("cannot write to {}", socket.display())))?;
    Ok(())
}
