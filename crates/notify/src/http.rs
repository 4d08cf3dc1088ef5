//! One HTTP request, and what came back.
//!
//! `ureq` speaks. What it must not do on its own is decided here: it is given the addresses that were judged and asks nobody
//! for others, follows no redirect, asks no proxy (not one of the environment either), keeps no connection, and everything
//! ends at the deadline.

use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::sync::Arc;

use ureq::config::Config;
use ureq::http::uri::{Authority, PathAndQuery, Scheme, Uri};
use ureq::http::{Response, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::WithBody;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Connector as _, NextTimeout, RustlsConnector, TcpConnector};
use ureq::{Agent, Body, Error, RequestBuilder, Timeout};

use crate::dial::{Failed, Place, addresses};
use crate::tls;
use crate::until::Until;

/// So much of an answer is read, in bytes: of its head, and of its body. What a receiver says is for people.
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
    /// What the status is called, not what the receiver calls it; empty when it has no name.
    pub(crate) reason: &'static str,
    pub(crate) retry_after_seconds: Option<u64>,
    pub(crate) body: String,
}

/// The addresses that were judged. Whatever name is asked for: there are no others.
#[derive(Debug)]
pub(crate) struct Judged(pub(crate) Vec<SocketAddr>);

impl Resolver for Judged {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut addresses = self.empty();
        // More than so many do not fit, and nobody waits for a seventeenth.
        self.0.iter().take(16).for_each(|address| addresses.push(*address));
        Ok(addresses)
    }
}

/// Sends a request, and reads what comes back.
pub(crate) fn post(post: &Post, until: Until) -> Result<Answer, Failed> {
    ask(post, Judged(addresses(&post.place, until)?), until)
}

/// The same at these addresses.
pub(crate) fn ask(post: &Post, judged: Judged, until: Until) -> Result<Answer, Failed> {
    let place = &post.place;
    let connector = ().chain(TcpConnector::default()).chain(RustlsConnector::default());
    let agent = Agent::with_parts(config(post, until)?, connector, judged);
    let request = request(&agent, post)?;
    let mut response = request.send(&post.body).map_err(|error| failed(place, error))?;
    let body = read_body(response.body_mut()).map_err(|error| failed(place, error))?;
    Ok(answer(&response, &body))
}

fn config(post: &Post, until: Until) -> Result<Config, Failed> {
    let mut config = Agent::config_builder();
    if post.tls {
        let trusted = tls::trusted(post.place.reach.ca.as_deref())?;
        let trusted = trusted.iter().map(|one| Certificate::from_der(one).to_owned());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::from(trusted))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
        config = config.tls_config(tls.build());
    }
    let left = until.left().map_err(Failed::io(&post.place))?;
    let config = config
        .timeout_global(Some(left))
        .timeout_connect(Some(left))
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        .max_idle_connections(0)
        .max_response_header_size(LIMIT)
        .accept("");
    Ok(config.build())
}

/// Names of headers as people write them: a receiver that somebody wrote in a hurry may look for nothing else.
fn request(agent: &Agent, post: &Post) -> Result<RequestBuilder<WithBody>, Failed> {
    let wrong = |error| Failed::Never(format!("{} cannot be asked: {error}", post.place));
    let host = authority(post)?;
    let address = Uri::builder()
        .scheme(if post.tls { Scheme::HTTPS } else { Scheme::HTTP })
        .authority(host.clone())
        .path_and_query(path(&post.path).map_err(|error| wrong(error.into()))?);
    let mut request = agent
        .post(address.build().map_err(wrong)?)
        .header_raw("Host", host.as_str().as_bytes())
        .header_raw("Connection", b"close")
        .header_raw("User-Agent", concat!("vigie/", env!("CARGO_PKG_VERSION")).as_bytes())
        .header_raw("Content-Length", post.body.len().to_string().as_bytes());
    for (name, value) in &post.headers {
        // A line break in a value would begin a header of its own.
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        request = request.header_raw(name, value.as_bytes());
    }
    Ok(request)
}

/// The host as the receiver is told it, with its port unless that is the usual one.
fn authority(post: &Post) -> Result<Authority, Failed> {
    let usual = if post.tls { 443 } else { 80 };
    // By which interface a link-local address is reached is nobody else's business (RFC 6874).
    let host = match post.place.host.split_once('%') {
        Some((host, _)) if host.contains(':') => host,
        _ => &post.place.host,
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let text = if post.place.port == usual { host } else { format!("{host}:{}", post.place.port) };
    text.parse().map_err(|_| {
        let why = "is no name of a host that HTTP knows; write an international one in its ASCII form, xn--…";
        Failed::Never(format!("{} {why}", post.place))
    })
}

/// As it was written, but for what may not stand in a request (RFC 3986).
fn path(text: &str) -> Result<PathAndQuery, ureq::http::uri::InvalidUri> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?@!$&'()*+,;=%".contains(&byte);
    let written = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(written).collect::<String>().parse()
}

/// What is there of the body, when the receiver ends too early: the status has said already what came of it.
fn read_body(body: &mut Body) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    match body.as_reader().take(LIMIT as u64).read_to_end(&mut bytes).map_err(Error::from) {
        Ok(_) | Err(Error::Protocol(_)) => Ok(bytes),
        // Many end a TLS connection without saying so.
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(bytes),
        Err(error) => Err(error),
    }
}

fn answer(response: &Response<Body>, body: &[u8]) -> Answer {
    let after = response.headers().get(header::RETRY_AFTER).and_then(|after| after.to_str().ok());
    Answer {
        status: response.status().as_u16(),
        reason: response.status().canonical_reason().unwrap_or_default(),
        // A date is possible, too, and nobody of those who are asked here sends one.
        retry_after_seconds: after.and_then(|after| after.trim().parse::<f64>().ok()).map(|after| after.ceil() as u64),
        body: String::from_utf8_lossy(body).into_owned(),
    }
}

/// What went wrong, about whom.
fn failed(place: &Place, error: Error) -> Failed {
    use io::ErrorKind::{
        AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable, UnexpectedEof,
    };
    Failed::Later(match error {
        Error::Timeout(Timeout::Connect) => format!("cannot connect to {place}: no answer in time"),
        Error::Timeout(_) => format!("{place}: no answer in time"),
        Error::Protocol(error) => format!("{place}: its answer is no HTTP: {error}"),
        Error::LargeResponseHeader(..) => format!("{place}: its answer has no end"),
        Error::Rustls(error) => format!("TLS with {}: {error}", place.host),
        Error::Http(error) => return Failed::Never(format!("{place} cannot be asked: {error}")),
        Error::Tls(_) => return Failed::Never(tls::no_name(&place.host)),
        Error::Io(error) => match error.kind() {
            UnexpectedEof => format!("{place} closed the connection without an answer"),
            ConnectionRefused | AddrNotAvailable | HostUnreachable | NetworkDown | NetworkUnreachable => {
                format!("cannot connect to {place}: {error}")
            }
            _ if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
                format!("TLS with {}: {error}", place.host)
            }
            _ => return Failed::io(place)(error),
        },
        other => format!("{place}: {other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_kept_as_far_as_they_can_be() {
        for (written, sent) in [
            ("/hook/x?y=%20z&a=b", "/hook/x?y=%20z&a=b"),
            ("/bot1:KEY/send", "/bot1:KEY/send"),
            ("//x", "//x"),
            ("/ü|{x}", "/%C3%BC%7C%7Bx%7D"),
        ] {
            assert_eq!(path(written).expect(written).as_str(), sent);
        }
    }

    #[test]
    fn hosts_of_every_form() {
        for (host, port, tls, told) in [
            ("h", 80, false, Some("h")),
            ("h", 443, true, Some("h")),
            ("h", 80, true, Some("h:80")),
            ("::1", 443, true, Some("[::1]")),
            ("::1", 81, true, Some("[::1]:81")),
            ("fe80::1%eth0", 80, false, Some("[fe80::1]")),
            ("bücher.example", 80, false, None),
        ] {
            let place = Place { host: host.to_owned(), port, reach: crate::dial::Reach::default() };
            let post = Post { tls, place, path: "/".to_owned(), headers: Vec::new(), body: Vec::new() };
            assert_eq!(authority(&post).ok().as_ref().map(Authority::as_str), told, "{host}:{port}");
        }
    }
}
