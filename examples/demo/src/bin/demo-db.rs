//! A key-value store on a TCP port: `SET key value`, `GET key`, `ALL`, one request a line.
//!
//! With `--file PATH` it appends every `SET` to a file and reads that file at its start.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

struct Store {
    values: BTreeMap<String, String>,
    file: Option<File>,
}

fn main() -> ExitCode {
    vigie_demo::finish(run())
}

fn run() -> io::Result<ExitCode> {
    let address = vigie_demo::address("--port")?;
    let store = Store::open(vigie_demo::option("--file").as_deref().map(Path::new))?;
    println!("{} values", store.values.len());
    let store = Arc::new(Mutex::new(store));
    let listener = vigie_demo::listen(address)?;
    for stream in listener.incoming() {
        let store = Arc::clone(&store);
        let stream = stream?;
        std::thread::spawn(move || {
            // A client that goes away is no fault of the store.
            let _ = serve(&stream, &store);
        });
    }
    Err(io::Error::other("the listener ended"))
}

fn serve(stream: &TcpStream, store: &Mutex<Store>) -> io::Result<()> {
    for line in BufReader::new(stream).lines() {
        let line = line?;
        println!("{}", line.split(' ').take(2).collect::<Vec<_>>().join(" ").escape_debug());
        let answer = store.lock().unwrap_or_else(PoisonError::into_inner).answer(&line)?;
        (&*stream).write_all(answer.as_bytes())?;
    }
    Ok(())
}

impl Store {
    fn open(path: Option<&Path>) -> io::Result<Self> {
        let mut store = Self { values: BTreeMap::new(), file: None };
        let Some(path) = path else { return Ok(store) };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        for line in BufReader::new(&file).lines() {
            store.answer(&line?)?;
        }
        store.file = Some(file);
        Ok(store)
    }

    fn answer(&mut self, line: &str) -> io::Result<String> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (verb, rest.split_once(' ')) {
            ("SET", Some((key, value))) => {
                if let Some(file) = &mut self.file {
                    file.write_all(format!("{line}\n").as_bytes())?;
                }
                self.values.insert(key.to_owned(), value.to_owned());
                Ok("OK\n".to_owned())
            }
            ("GET", None) => Ok(format!("{}\n", self.values.get(rest).map_or("", String::as_str))),
            ("ALL", None) => {
                let pairs = self.values.iter().map(|(key, value)| format!("{key} {value}\n"));
                Ok(format!("{}\n{}", self.values.len(), pairs.collect::<String>()))
            }
            _ => Ok("ERROR write SET key value, GET key or ALL\n".to_owned()),
        }
    }
}
