//! One HTTP/1.1 request, and what came back.
//!
//! A connection for each, closed by the receiver; no redirects, no proxy, no cookies. So little of HTTP is needed that a
//! client library would mostly be something to be turned off.

use std::io::{Read as _, Write as _};

use crate::dial::{Failed, Place, Stream};
use crate::until::Until;

/// So much of an answer is read, in bytes. What a receiver says is for people.
const LIMIT: usize = 64 << 10;

/// A request.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Post {
    pub(crate) tls: bool,
    pub(crate) place: Place,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) retry_after_seconds: Option<u64>,
    pub(crate) body: String,
}

/// Sends a request, and reads what comes back.
pub(crate) fn post(post: &Post, until: Until) -> Result<Answer, Failed> {
    let mut stream = Stream::connect(&post.place, until)?;
    if post.tls {
        stream = stream.secure(&post.place)?;
    }
    let usual = if post.tls { 443 } else { 80 };
    let host = match &post.place {
        Place { host, port, .. } if *port == usual && host.contains(':') => format!("[{host}]"),
        Place { host, port, .. } if *port == usual => host.clone(),
        place => place.to_string(),
    };
    let mut request = format!("POST {} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n", post.path);
    request.push_str(&format!("User-Agent: vigie/{}\r\n", env!("CARGO_PKG_VERSION")));
    for (name, value) in &post.headers {
        // A line break in a value would begin a header of its own.
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n", post.body.len()));
    let mut bytes = request.into_bytes();
    bytes.extend_from_slice(&post.body);
    let failed = || Failed::io(post.place.to_string());
    stream.write_all(&bytes).and_then(|()| stream.flush()).map_err(failed())?;
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(answer) =
            read_answer(&received, false).map_err(|why| Failed::Later(format!("{}: {why}", post.place)))?
        {
            return Ok(answer);
        }
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => received.extend_from_slice(&buffer[..count]),
            // Many end a TLS connection without saying so; what was read is whole or it is not.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(failed()(error)),
        }
    }
    let answer = read_answer(&received, true).map_err(|why| Failed::Later(format!("{}: {why}", post.place)))?;
    answer.ok_or_else(|| Failed::Later(format!("{} closed the connection without an answer", post.place)))
}

/// The answer in what was received; absent when more has to come. `over`: nothing more will.
fn read_answer(received: &[u8], over: bool) -> Result<Option<Answer>, String> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let length = match head.parse(received) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if received.len() < LIMIT => return Ok(None),
        Ok(httparse::Status::Partial) => return Err("its answer has no end".to_owned()),
        Err(error) => return Err(format!("its answer is no HTTP: {error}")),
    };
    let header = |wanted: &str| {
        let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(wanted))?;
        std::str::from_utf8(found.value).ok().map(str::trim)
    };
    let (status, body) = (head.code.unwrap_or(0), &received[length..]);
    if (100..200).contains(&status) {
        return read_answer(body, over);
    }
    let chunked = header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    let wanted = header("content-length").and_then(|length| length.parse::<usize>().ok());
    let body = match wanted {
        _ if chunked => match dechunk(body) {
            (_, false) if !over && received.len() < LIMIT => return Ok(None),
            (body, _) => body,
        },
        Some(wanted) if body.len() < wanted && !over && received.len() < LIMIT => return Ok(None),
        Some(wanted) => body[..wanted.min(body.len())].to_vec(),
        None if status == 204 || status == 304 => Vec::new(),
        None if !over && received.len() < LIMIT => return Ok(None),
        None => body.to_vec(),
    };
    Ok(Some(Answer {
        status,
        reason: head.reason.unwrap_or_default().to_owned(),
        // A date is possible, too, and nobody of those who are asked here sends one.
        retry_after_seconds: header("retry-after")
            .and_then(|after| after.parse::<f64>().ok())
            .map(|after| after.ceil() as u64),
        body: String::from_utf8_lossy(&body).into_owned(),
    }))
}

/// The chunks that are there, and whether they are all.
fn dechunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Ok(httparse::Status::Complete((start, size))) = httparse::parse_chunk_size(rest) else {
            return (body, false);
        };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let chunk = &rest[start..];
        if size == 0 {
            return (body, true);
        }
        if chunk.len() < size.saturating_add(2) {
            body.extend_from_slice(&chunk[..size.min(chunk.len())]);
            return (body, false);
        }
        body.extend_from_slice(&chunk[..size]);
        rest = &chunk[size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_every_form() {
        for (text, status, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokmore", 200, "ok"),
            ("HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", 201, ""),
            ("HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", 500, "abcde"),
        ] {
            let answer = read_answer(text.as_bytes(), false).expect("understood").expect("whole");
            assert_eq!((answer.status, answer.body.as_str()), (status, body), "{text}");
        }
        let open = b"HTTP/1.0 200 OK\r\n\r\nuntil the end";
        assert_eq!(read_answer(open, false), Ok(None));
        assert_eq!(read_answer(open, true).expect("understood").expect("whole").body, "until the end");
        let busy = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2.5\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(read_answer(busy, false).expect("understood").expect("whole").retry_after_seconds, Some(3));
        assert!(read_answer(b"SSH-2.0-OpenSSH\r\n", false).is_err());
        assert_eq!(read_answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", false), Ok(None));
    }
}
