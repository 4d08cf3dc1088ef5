//! What the programs of the demo share. They use nothing but the standard library and know nothing of vigie: they
//! stand for any programs.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// The argument after `name`, as in `--port 8000`.
pub fn option(name: &str) -> Option<String> {
    let mut args = std::env::args().skip(1);
    args.by_ref().find(|arg| arg == name)?;
    args.next()
}

/// Whether `name` is among the arguments.
pub fn flag(name: &str) -> bool {
    std::env::args().skip(1).any(|arg| arg == name)
}

/// The local address with the port that follows `name`.
///
/// # Errors
/// When there is none, or it is not a port.
pub fn address(name: &str) -> io::Result<SocketAddr> {
    let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{name} PORT: {why}"));
    let port = option(name).ok_or_else(|| wrong("missing"))?;
    let port: u16 = port.parse().map_err(|_| wrong("not a port"))?;
    Ok((Ipv4Addr::LOCALHOST, port).into())
}

/// Listens at `address` and says so.
///
/// # Errors
/// When the port is taken; the error names it.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener =
        TcpListener::bind(address).map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
    println!("listening on {address}");
    Ok(listener)
}

/// What `main` returns; an error is printed for people.
pub fn finish(result: io::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

/// A connection to the database.
pub struct Db {
    lines: BufReader<TcpStream>,
}

impl Db {
    /// Connects; every answer must come within a second.
    ///
    /// # Errors
    /// When nobody answers at this address.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let limit = Duration::from_secs(1);
        let stream = TcpStream::connect_timeout(&address, limit)
            .map_err(|error| io::Error::new(error.kind(), format!("database at {address}: {error}")))?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(Self { lines: BufReader::new(stream) })
    }

    /// Stores a value.
    ///
    /// # Errors
    /// When the connection breaks or the database refuses.
    pub fn set(&mut self, key: &str, value: &str) -> io::Result<()> {
        match self.ask(&format!("SET {key} {value}"))?.as_str() {
            "OK" => Ok(()),
            other => Err(io::Error::other(format!("the database answers {other:?}"))),
        }
    }

    /// All keys with their values.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn all(&mut self) -> io::Result<Vec<(String, String)>> {
        let count = self.ask("ALL")?;
        let count: usize = count.parse().map_err(|_| io::Error::other(format!("{count:?} is not a number")))?;
        let mut pairs = Vec::new();
        for _ in 0..count {
            let line = self.line()?;
            let (key, value) = line.split_once(' ').unwrap_or((&line, ""));
            pairs.push((key.to_owned(), value.to_owned()));
        }
        Ok(pairs)
    }

    fn ask(&mut self, request: &str) -> io::Result<String> {
        self.lines.get_mut().write_all(format!("{request}\n").as_bytes())?;
        self.line()
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.lines.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches('\n').to_owned())
    }
}
