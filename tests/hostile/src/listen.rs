//! Programs that answer.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use crate::{Outcome, argument, plain, ready, say};

pub(crate) fn tcp(args: &[OsString]) -> Outcome {
    let port: u16 = argument(args, 0)?;
    let http = args.iter().any(|arg| arg == "http");
    if let Some(place) = args.iter().position(|arg| arg == "when") {
        say("not yet")?;
        plain::wait_for(&argument::<PathBuf>(args, place + 1)?);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    ready(&format!("listen {}", listener.local_addr()?.port()))?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        if http {
            // One request a connection, as short as probes are; whoever breaks it off is no reason to end.
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n");
        }
    }
    Ok(0)
}

pub(crate) fn unix(args: &[OsString]) -> Outcome {
    let listener = UnixListener::bind(argument::<PathBuf>(args, 0)?)?;
    ready("listen-unix")?;
    for stream in listener.incoming() {
        drop(stream?);
    }
    Ok(0)
}
