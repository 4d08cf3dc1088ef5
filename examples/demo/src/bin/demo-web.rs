//! A web server: `/` shows what is in the database, `/health` says that the server is well, and a POST to `/crash`
//! ends it with exit code 7.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

fn main() -> ExitCode {
    vigie_demo::finish(run())
}

fn run() -> io::Result<ExitCode> {
    let address = vigie_demo::address("--port")?;
    let db = vigie_demo::address("--db")?;
    let listener = vigie_demo::listen(address)?;
    let (crash, crashed) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let crash = crash.clone();
            std::thread::spawn(move || {
                // A client that goes away is no fault of the server.
                if let Ok(true) = serve(&stream, db) {
                    let _ = crash.send(());
                }
            });
        }
    });
    match crashed.recv() {
        Ok(()) => {
            eprintln!("asked to crash");
            Ok(ExitCode::from(7))
        }
        Err(_) => Err(io::Error::other("the listener ended")),
    }
}

/// Answers one request. True: it was the one to crash.
fn serve(stream: &TcpStream, db: SocketAddr) -> io::Result<bool> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
    for header in lines {
        if header?.is_empty() {
            break;
        }
    }
    let mut words = request.split(' ');
    let asked = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, kind, body) = match asked {
        ("GET", "/health") => ("200 OK", "text/plain", "ok\n".to_owned()),
        ("POST", "/crash") => ("200 OK", "text/plain", "crashing\n".to_owned()),
        ("GET", "/") => match vigie_demo::Db::connect(db).and_then(|mut db| db.all()) {
            Ok(pairs) => ("200 OK", "text/html; charset=utf-8", page(&pairs)),
            Err(error) => ("503 Service Unavailable", "text/plain", format!("{error}\n")),
        },
        _ => ("404 Not Found", "text/plain", "there is nothing here\n".to_owned()),
    };
    if asked.1 != "/health" {
        println!("{} {} -> {status}", asked.0, asked.1.escape_debug());
    }
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    (&*stream).write_all((head + &body).as_bytes())?;
    Ok(asked == ("POST", "/crash"))
}

fn page(pairs: &[(String, String)]) -> String {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    let rows: String = pairs
        .iter()
        .map(|(key, value)| format!("<tr><th>{}</th><td>{}</td></tr>\n", escape(key), escape(value)))
        .collect();
    format!("<!doctype html>\n<meta charset=\"utf-8\">\n<title>demo</title>\n<h1>demo</h1>\n<table>\n{rows}</table>\n")
}
