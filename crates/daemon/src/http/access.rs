//! `POST /v1/access`: where the API is served, and to whom.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::{Response, StatusCode};

use vigie_api::access::{Change, Request};
use vigie_core::exit_code::ExitCode;
use vigie_core::journal::{Entry, Subject, What, origin};
use vigie_os::clock;
use vigie_store::state::DocumentChange;

use super::answer::{Body, Refusal, json};
use super::guard::Door;
use super::requests::Post;
use super::{Desk, port};
use crate::input::{Input, Refused};

/// Makes a change, and answers when it is stored. Whoever came in by a token changes no tokens: one that leaked could make
/// itself another.
pub(super) async fn change(desk: &Arc<Desk>, post: Post) -> Result<Response<Body>, Refusal> {
    if post.door != Door::Socket {
        let message = "this can be changed over the Unix socket only: 'vigie api'";
        return Err(Refusal::new(StatusCode::FORBIDDEN, ExitCode::NotPermitted, message).closing());
    }
    let Request { change, origin: asked_by } = post.read().await?;
    let now = clock::now().wall;
    let (how, document) = match change {
        Change::Listen(address) => listen(desk, address).await?,
        Change::Off => ("told to listen at no port".to_owned(), set_address(desk, None)?),
        Change::AddToken { name, right, sha256 } => {
            let document = desk.access.add(name.clone(), right, sha256, now)?;
            (format!("token {name} ({right}) added"), document)
        }
        Change::RemoveToken(name) => (format!("token {name} removed"), desk.access.remove(&name)?),
    };
    let what = What::AccessChanged { how, by: origin(&asked_by) };
    let entry = Entry::new(now, Subject::Daemon, None, what);
    desk.ask(|done| Input::Keep { entry: Box::new(entry), document, done }).await?;
    json(&desk.access.show())
}

async fn listen(desk: &Arc<Desk>, address: SocketAddr) -> Result<(String, DocumentChange), Refusal> {
    if !address.ip().is_loopback() {
        let message = format!(
            "{address} can be reached from other machines, and the API has no TLS: it is served on loopback only, as \
             127.0.0.1:PORT"
        );
        return Err(Refusal::new(StatusCode::BAD_REQUEST, ExitCode::Usage, message));
    }
    if desk.access.address() == Some(address) && desk.access.show().listening == Some(true) {
        return Ok((format!("told to listen at {address}"), set_address(desk, Some(address))?));
    }
    let listener = port::listen(address).await.map_err(|error| {
        let message = format!("cannot listen at {address}: {error}");
        let code = match error.kind() {
            std::io::ErrorKind::PermissionDenied => ExitCode::NotPermitted,
            _ => ExitCode::No,
        };
        Refusal::new(StatusCode::CONFLICT, code, message)
    })?;
    let address = listener.local_addr().map_err(Refusal::internal)?;
    let document = set_address(desk, Some(address))?;
    port::serve(desk, listener, address);
    Ok((format!("told to listen at {address}"), document))
}

fn set_address(desk: &Desk, address: Option<SocketAddr>) -> Result<DocumentChange, Refusal> {
    desk.access.set_address(address).map_err(Refusal::internal)
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let status = if refused.code == ExitCode::NotFound { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
        Self::new(status, refused.code, refused.why)
    }
}
