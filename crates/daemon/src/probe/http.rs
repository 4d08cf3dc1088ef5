//! Whether a GET is answered as it should be. Redirects are answers, not followed.

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::http::uri::Authority;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use vigie_core::supervisor::ProbeOutcome;

use super::{bad, listen};
use crate::runs::LiveRun;

/// Asks `url` for `status`. Whose socket it is that the connection ended at is asked first: a stranger gets no request,
/// and one that accepts and says nothing is told from a service that is not ready.
pub(super) async fn ask(url: &str, status: u16, live: &LiveRun) -> ProbeOutcome {
    let target = match Target::of(url) {
        Ok(target) => target,
        Err(why) => return bad(why),
    };
    let (stream, at) = match listen::connect(&target.place).await {
        Ok(connected) => connected,
        Err(why) => return bad(why),
    };
    match listen::whose(at, live).await {
        ProbeOutcome::Good => {}
        other => return other,
    }
    match answer(url, &target, stream).await {
        Ok(answered) if answered == status => ProbeOutcome::Good,
        Ok(answered) => bad(format!("{url} answered with status {answered}")),
        Err(why) => bad(why),
    }
}

/// Where a URL leads.
struct Target {
    uri: Uri,
    authority: Authority,
    /// `host:port`
    place: String,
}

impl Target {
    fn of(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url} is no URL: {error}"))?;
        let authority = uri.authority().ok_or_else(|| format!("{url} names no host"))?.clone();
        if uri.scheme_str() != Some("http") {
            return Err(format!("{url}: only http:// can be asked"));
        }
        let place = match authority.port_u16() {
            Some(_) => authority.as_str().to_owned(),
            None => format!("{}:80", authority.host()),
        };
        Ok(Self { uri, authority, place })
    }
}

async fn answer(url: &str, target: &Target, stream: TcpStream) -> Result<u16, String> {
    let failed = |error: hyper::Error| format!("{url}: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let path = target.uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(hyper::header::HOST, target.authority.as_str())
        .header(hyper::header::USER_AGENT, concat!("vigie/", env!("CARGO_PKG_VERSION")))
        .header(hyper::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("{url} cannot be asked: {error}"))?;
    // The body is not read: dropping the connection ends it.
    let mut answered = std::pin::pin!(sender.send_request(request));
    let response = tokio::select! {
        response = &mut answered => response,
        // A short answer can be there in whole when the connection has ended; if none is, this says so.
        ended = connection => match ended {
            Ok(()) => answered.await,
            Err(error) => Err(error),
        },
    };
    match response {
        Ok(response) => Ok(response.status().as_u16()),
        Err(error) if error.is_canceled() || error.is_incomplete_message() => {
            Err(format!("{url}: the connection was closed without an answer"))
        }
        Err(error) => Err(failed(error)),
    }
}
