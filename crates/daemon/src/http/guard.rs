//! Who may ask for what over TCP (R12.4).
//!
//! On loopback everybody of this machine can connect, every program and every page in a browser. So each request shows a
//! token, in a header that a page of another origin cannot set unasked. Two more checks hold even where a page would have
//! one: the `Host` must be a name of this very address (a page whose name was made to point here, DNS rebinding, bears
//! another), and an `Origin` that is not ours is refused. Nothing of a token is ever written anywhere.

use std::net::SocketAddr;

use hyper::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};
use hyper::{Request, StatusCode};

use vigie_api::path;
use vigie_core::exit_code::ExitCode;

use super::answer::Refusal;
use crate::access::{Access, Pass};

/// Through which door somebody came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// The Unix socket: the kernel has said who it is.
    Socket,
    /// This address.
    Port(SocketAddr),
}

/// What every request must be like, whoever asks.
pub(super) fn check_form<B>(request: &Request<B>) -> Result<(), Refusal> {
    let uri = request.uri();
    let length = uri.path_and_query().map_or(0, |target| target.as_str().len());
    if length > path::TARGET_LIMIT {
        let message = format!("a path with its query has at most {} bytes, not {length}", path::TARGET_LIMIT);
        return Err(Refusal::new(StatusCode::URI_TOO_LONG, ExitCode::Usage, message).closing());
    }
    let head: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if head > path::HEAD_LIMIT {
        let message = format!("the headers have {head} bytes together, and at most {} are taken", path::HEAD_LIMIT);
        return Err(Refusal::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, ExitCode::Usage, message).closing());
    }
    if uri.authority().is_some() || uri.scheme().is_some() {
        return Err(Refusal::not_understood("this is no proxy: a request names a path, not a URL").closing());
    }
    Ok(())
}

/// Lets somebody in over TCP.
pub(super) fn admit<B>(request: &Request<B>, address: SocketAddr, access: &Access) -> Result<Pass, Refusal> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).map(str::to_ascii_lowercase);
    let host = host.filter(|host| hosts.next().is_none() && is_ours(host, address));
    let Some(host) = host else {
        let message = format!("the header Host names nothing that is served here: it is {address}");
        return Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, ExitCode::NotPermitted, message).closing());
    };
    let mut origins = request.headers().get_all(ORIGIN).iter();
    if origins.any(|origin| !origin.as_bytes().eq_ignore_ascii_case(format!("http://{host}").as_bytes())) {
        return Err(foreign("a page of another origin may not ask for anything here"));
    }
    let site = request.headers().get(HeaderName::from_static("sec-fetch-site")).map(|site| site.as_bytes());
    if site.is_some_and(|site| !matches!(site, b"same-origin" | b"none")) {
        return Err(foreign("a page of another site may not ask for anything here"));
    }
    bearer(request).and_then(|token| access.admit(address, token)).ok_or_else(Refusal::unauthorized)
}

fn foreign(why: &str) -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, ExitCode::NotPermitted, why).closing()
}

/// Whether a `Host` names an address that is connected to: by one of its names, with its port.
fn is_ours(host: &str, address: SocketAddr) -> bool {
    let port = address.port();
    let with_port = |name: &str| host == format!("{name}:{port}") || (port == 80 && host == name);
    let ip = match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    };
    with_port(&ip) || with_port("localhost")
}

/// The token that a request shows, when it shows exactly one.
fn bearer<B>(request: &Request<B>) -> Option<&[u8]> {
    let mut shown = request.headers().get_all(AUTHORIZATION).iter();
    let value = shown.next()?.as_bytes();
    if shown.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_at_checked(b"bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_api::access::Right;
    use vigie_core::clock::Wall;
    use vigie_core::name::Name;
    use vigie_store::journal::Journal;

    use crate::access::Secret;
    use crate::log::Log;

    #[test]
    fn names_of_an_address() {
        let v4: SocketAddr = "127.0.0.1:8080".parse().expect("an address");
        let v6: SocketAddr = "[::1]:8080".parse().expect("an address");
        for (host, on_v4, on_v6) in [
            ("127.0.0.1:8080", true, false),
            ("localhost:8080", true, true),
            ("[::1]:8080", false, true),
            ("127.0.0.1", false, false),
            ("127.0.0.1:80", false, false),
            ("localhost", false, false),
            ("evil.example:8080", false, false),
            ("localhost.evil.example:8080", false, false),
            ("127.0.0.1:8080@evil.example", false, false),
            ("127.1:8080", false, false),
            ("", false, false),
        ] {
            assert_eq!((is_ours(host, v4), is_ours(host, v6)), (on_v4, on_v6), "{host}");
        }
    }

    #[test]
    fn who_comes_in() {
        let folder = tempfile::tempdir().expect("a folder");
        let (journal, _) = Journal::open(folder.path(), Wall(1)).expect("opened");
        let access = Access::read(&journal, &Log::open(folder.path())).expect("read");
        let secret = Secret::new().expect("random");
        access.add(Name::new("a").expect("a name"), Right::Read, secret.sha256(), Wall(1)).expect("new");
        let address: SocketAddr = "127.0.0.1:8080".parse().expect("an address");
        let good = format!("Bearer {}", secret.reveal());
        let status = |headers: &[(&str, &str)]| {
            let mut request = Request::builder().uri("/v1/daemon");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            match admit(&request.body(()).expect("a request"), address, &access) {
                Ok(_) => 200,
                Err(refusal) => refusal.into_response().status().as_u16(),
            }
        };
        let host = ("Host", "localhost:8080");
        let token = ("Authorization", good.as_str());
        assert_eq!(status(&[host, token]), 200);
        assert_eq!(status(&[host, ("Authorization", &good.replacen("Bearer", "bEARER", 1))]), 200);
        assert_eq!(status(&[host, token, ("Origin", "http://localhost:8080"), ("Sec-Fetch-Site", "same-origin")]), 200);
        assert_eq!(status(&[token]), 421);
        assert_eq!(status(&[host, host, token]), 421, "which of them?");
        assert_eq!(status(&[("Host", "evil.example:8080"), token]), 421);
        for origin in ["http://evil.example", "null", "https://localhost:8080", "http://127.0.0.1:8080", ""] {
            assert_eq!(status(&[host, token, ("Origin", origin)]), 403, "{origin}");
        }
        assert_eq!(status(&[host, token, ("Sec-Fetch-Site", "cross-site")]), 403);
        assert_eq!(status(&[host, token, ("Sec-Fetch-Site", "same-site")]), 403, "another port is the same site");
        for wrong in ["", "Bearer", "Bearer ", "Basic x", &good[..good.len() - 1], &good.replace("Bearer ", "Bearer")] {
            assert_eq!(status(&[host, ("Authorization", wrong)]), 401, "{wrong}");
        }
        assert_eq!(status(&[host]), 401);
        assert_eq!(status(&[host, token, token]), 401, "which of them?");
    }
}
