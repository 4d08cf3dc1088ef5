//! A notification on the desktop: one call on the session's bus (D-Bus specification 0.43; desktop notifications 1.2).
//!
//! The libraries for it bring a runtime or a C library. One call with plain arguments needs neither: greeting, name, call,
//! answer are a few hundred bytes.

use std::io::{Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};

use vigie_core::incidents::Message;

use crate::dial::Failed;
use crate::text::{cut, details, title, urgency};
use crate::until::Until;

/// No answer is larger, in bytes.
const LIMIT: usize = 1 << 20;

/// Message types.
const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;

/// Shows it. `bus`: its address; absent: that of this session.
pub(crate) fn send(bus: Option<&str>, message: &Message, host: &str, until: Until) -> Result<String, Failed> {
    let address = match bus {
        Some(address) => address.to_owned(),
        None => session_bus()?,
    };
    let mut connection = Connection::open(&address, until)?;
    connection.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", "", &[])?;
    let mut body = Body::default();
    body.string("vigie");
    body.number(0);
    body.string(urgency(message, ["dialog-error", "dialog-warning", "dialog-information", "dialog-information"]));
    body.string(&cut(&title(message, host), 200));
    // Some servers read markup; what looks like it is written so that none of them does.
    let plain = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    body.string(&plain(&cut(&details(message, host), 1000)));
    body.empty_array(4);
    body.hints(urgency(message, [2, 1, 1, 0]));
    // The server decides how long it is seen.
    body.number(u32::MAX);
    let (path, name) = ("/org/freedesktop/Notifications", "org.freedesktop.Notifications");
    let answer = connection.call(name, path, name, "Notify", "susssasa{sv}i", &body.0)?;
    let id = answer.get(..4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
    Ok(format!("shown as notification {id}"))
}

fn session_bus() -> Result<String, Failed> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(address) = set("DBUS_SESSION_BUS_ADDRESS") {
        return Ok(address);
    }
    if let Some(folder) = set("XDG_RUNTIME_DIR") {
        let path = format!("{folder}/bus");
        if std::path::Path::new(&path).exists() {
            return Ok(format!("unix:path={path}"));
        }
    }
    Err(Failed::Later(
        "there is no desktop session: neither DBUS_SESSION_BUS_ADDRESS nor $XDG_RUNTIME_DIR/bus".to_owned(),
    ))
}

struct Connection {
    stream: UnixStream,
    until: Until,
    serial: u32,
}

impl Connection {
    fn open(addresses: &str, until: Until) -> Result<Self, Failed> {
        let mut last = Failed::Never(format!(
            "{addresses:?} is no address of a bus on this machine, as unix:path=/run/user/1000/bus"
        ));
        for address in addresses.split(';') {
            let Some(rest) = address.strip_prefix("unix:") else { continue };
            let value = |key: &str| rest.split(',').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
            let socket = match (value("path"), value("abstract")) {
                (Some(path), _) => SocketAddr::from_pathname(path),
                (None, Some(name)) => SocketAddr::from_abstract_name(name),
                (None, None) => continue,
            };
            match socket.and_then(|socket| UnixStream::connect_addr(&socket)) {
                Ok(stream) => {
                    let mut connection = Self { stream, until, serial: 0 };
                    connection.greet()?;
                    return Ok(connection);
                }
                Err(error) => last = Failed::io(format!("cannot connect to the bus at {address}"))(error),
            }
        }
        Err(last)
    }

    /// Says who we are; the kernel tells the bus that it is true.
    fn greet(&mut self) -> Result<(), Failed> {
        let uid: String =
            rustix::process::geteuid().as_raw().to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
        self.write(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes())?;
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            if line.len() > 1024 {
                return Err(Failed::Later("the bus does not answer as one".to_owned()));
            }
            line.extend(self.read(1)?);
        }
        if !line.starts_with(b"OK ") {
            return Err(Failed::Never(format!(
                "the bus does not let us in: {}",
                String::from_utf8_lossy(&line).trim_end()
            )));
        }
        self.write(b"BEGIN\r\n")
    }

    fn arm(&self) -> Result<(), Failed> {
        let left = self.until.left().map_err(Failed::io("the bus"))?;
        let set = self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.set_write_timeout(Some(left)));
        set.map_err(Failed::io("the bus"))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        self.arm()?;
        self.stream.write_all(bytes).map_err(Failed::io("the bus"))
    }

    fn read(&mut self, count: usize) -> Result<Vec<u8>, Failed> {
        let mut bytes = vec![0; count];
        self.arm()?;
        self.stream.read_exact(&mut bytes).map_err(Failed::io("the bus"))?;
        Ok(bytes)
    }

    /// Calls a method and waits for its answer; what else the bus says is left alone.
    fn call(
        &mut self,
        destination: &str,
        path: &str,
        interface: &str,
        member: &str,
        signature: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, Failed> {
        self.serial += 1;
        let mut head = Body::default();
        head.0.extend([b'l', CALL, 0, 1]);
        head.number(u32::try_from(body.len()).unwrap_or(u32::MAX));
        head.number(self.serial);
        let mut fields = Body::default();
        for (code, kind, value) in [(1, "o", path), (2, "s", interface), (3, "s", member), (6, "s", destination)] {
            fields.pad(8);
            fields.0.push(code);
            fields.signature(kind);
            fields.string(value);
        }
        if !signature.is_empty() {
            fields.pad(8);
            fields.0.push(8);
            fields.signature("g");
            fields.signature(signature);
        }
        head.number(u32::try_from(fields.0.len()).unwrap_or(u32::MAX));
        head.0.extend(&fields.0);
        head.pad(8);
        head.0.extend(body);
        self.write(&head.0)?;
        loop {
            let received = self.receive()?;
            if received.reply_to != Some(self.serial) {
                continue;
            }
            return match received.kind {
                RETURN => Ok(received.body),
                ERROR => {
                    let name = received.error.unwrap_or_default();
                    let why = read_string(&received.body, 0).unwrap_or_default();
                    Err(Failed::Later(format!("{member}: {name}: {why}")))
                }
                _ => continue,
            };
        }
    }

    fn receive(&mut self) -> Result<Received, Failed> {
        let odd = || Failed::Later("the bus says something that is not understood".to_owned());
        let fixed = self.read(16)?;
        if fixed[0] != b'l' {
            return Err(odd());
        }
        let number = |place: usize| {
            u32::from_le_bytes([fixed[place], fixed[place + 1], fixed[place + 2], fixed[place + 3]]) as usize
        };
        let (body_length, fields_length) = (number(4), number(12));
        if body_length > LIMIT || fields_length > LIMIT {
            return Err(odd());
        }
        let fields = self.read(fields_length.next_multiple_of(8))?;
        let body = self.read(body_length)?;
        let mut received = Received { kind: fixed[1], reply_to: None, error: None, body };
        received.read_fields(&fields[..fields_length]).ok_or_else(odd)?;
        Ok(received)
    }
}

struct Received {
    kind: u8,
    reply_to: Option<u32>,
    error: Option<String>,
    body: Vec<u8>,
}

impl Received {
    /// Only fields of kinds that the specification names come here: strings, paths, signatures, numbers.
    fn read_fields(&mut self, fields: &[u8]) -> Option<()> {
        let mut place = 0;
        while place < fields.len() {
            place = place.next_multiple_of(8);
            let code = *fields.get(place)?;
            let kind = *fields.get(place + 2)?;
            place += 4;
            match kind {
                b's' | b'o' => {
                    place = place.next_multiple_of(4);
                    let text = read_string(fields, place)?;
                    place += 4 + text.len() + 1;
                    if code == 4 {
                        self.error = Some(text);
                    }
                }
                b'g' => place += usize::from(*fields.get(place)?) + 2,
                b'u' => {
                    place = place.next_multiple_of(4);
                    let value = u32::from_le_bytes(fields.get(place..place + 4)?.try_into().ok()?);
                    place += 4;
                    if code == 5 {
                        self.reply_to = Some(value);
                    }
                }
                _ => return None,
            }
        }
        Some(())
    }
}

fn read_string(bytes: &[u8], place: usize) -> Option<String> {
    let length = u32::from_le_bytes(bytes.get(place..place + 4)?.try_into().ok()?) as usize;
    let text = bytes.get(place + 4..place.checked_add(4)?.checked_add(length)?)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// Values as they travel, little-endian, each at its boundary.
#[derive(Default)]
struct Body(Vec<u8>);

impl Body {
    fn pad(&mut self, boundary: usize) {
        self.0.resize(self.0.len().next_multiple_of(boundary), 0);
    }

    fn number(&mut self, value: u32) {
        self.pad(4);
        self.0.extend(value.to_le_bytes());
    }

    fn string(&mut self, text: &str) {
        // No string holds a NUL.
        let text: String = text.chars().filter(|c| *c != '\0').collect();
        self.number(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.0.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn empty_array(&mut self, boundary: usize) {
        self.number(0);
        self.pad(boundary);
    }

    /// `{ "urgency": byte }`, an `a{sv}`.
    fn hints(&mut self, urgency: u8) {
        self.pad(4);
        let length = self.0.len();
        self.0.extend([0; 4]);
        self.pad(8);
        let begin = self.0.len();
        self.string("urgency");
        self.signature("y");
        self.0.push(urgency);
        let size = u32::try_from(self.0.len() - begin).unwrap_or(u32::MAX);
        self.0[length..length + 4].copy_from_slice(&size.to_le_bytes());
    }
}
