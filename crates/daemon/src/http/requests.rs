//! `POST /v1/requests`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::oneshot;

use vigie_api::journal::JournalLine;
use vigie_api::path;
use vigie_api::stream::Line;
use vigie_core::exit_code::ExitCode;
use vigie_core::launch::Origin;
use vigie_core::name::Name;
use vigie_core::supervisor::{self, Outcome};

use super::Desk;
use super::answer::{Body, Gone, Refusal, Writer, lines};
use super::follow::Stay;
use super::guard::Door;
use super::routes::Route;
use crate::input::Input;
use crate::ledger::News;

/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request with what is known of it.
pub(super) struct Post {
    pub(super) request: Request<Incoming>,
    pub(super) route: &'static Route,
    pub(super) door: Door,
    /// The name of the token that was shown at a port.
    pub(super) token: Option<Name>,
}

impl Post {
    /// Who asks, where the one who asks does not say so himself: at a port whoever has the token could be anybody.
    pub(super) fn visitor(&self) -> Option<Origin> {
        let token = self.token.as_ref()?;
        Some(Origin { uid: vigie_os::user::uid(), user: Some(format!("token {token}")), ..Origin::default() })
    }

    /// Reads its body as JSON.
    ///
    /// # Errors
    /// When it is too large, which is known as early as it can be; when it is no JSON, or not what is meant here.
    pub(super) async fn read<T: DeserializeOwned>(self) -> Result<T, Refusal> {
        let limit = self.limit()?;
        if !self.is_json() {
            let message = "a body is JSON here: the header 'Content-Type: application/json'";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ExitCode::Usage, message).closing());
        }
        let body = Limited::new(self.request.into_body(), limit).collect();
        let body = tokio::time::timeout(PATIENCE, body).await.map_err(|_| {
            let message = format!("its body did not come within {} s", PATIENCE.as_secs());
            Refusal::new(StatusCode::REQUEST_TIMEOUT, ExitCode::Usage, message).closing()
        })?;
        let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => Refusal::too_large(limit),
            None => Refusal::not_understood(error).closing(),
        })?;
        serde_json::from_slice(&body.to_bytes()).map_err(Refusal::not_understood)
    }

    /// How large its body may be.
    ///
    /// # Errors
    /// When it says itself that it is larger.
    pub(super) fn limit(&self) -> Result<usize, Refusal> {
        let limit = self.route.body.unwrap_or(0);
        let limit = if self.door == Door::Socket { limit } else { limit.min(path::BODY_LIMIT) };
        // Absent for one that comes in chunks; hyper has refused what is no number.
        let length = self.request.body().size_hint().exact();
        if length.is_some_and(|length| length > limit as u64) { Err(Refusal::too_large(limit)) } else { Ok(limit) }
    }

    fn is_json(&self) -> bool {
        let mut kinds = self.request.headers().get_all(CONTENT_TYPE).iter();
        let kind = kinds.next().and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        kinds.next().is_none() && essence.eq_ignore_ascii_case("application/json")
    }
}

/// Passes a request on; shows what happens to the services that it is about, and at last what came of it. It goes on
/// when the client goes.
pub(super) async fn stream(desk: &Desk, post: Post, stay: Stay) -> Result<Response<Body>, Refusal> {
    let visitor = post.visitor();
    let mut request: supervisor::Request = post.read().await?;
    if let Some(visitor) = visitor {
        request.set_origin(visitor);
    }
    let about = About::of(desk, &request).await?;
    // Listened to before anything can happen.
    let listener = desk.lines.subscribe();
    let (reply, outcome) = oneshot::channel();
    desk.put(Input::Request { request, reply }).await?;
    let (writer, response) = lines();
    tokio::spawn(async move {
        // A client that is gone has seen enough. A daemon that ends has answered everybody: what came of a request is told by
        // one that ends because of it, too, however much is to be read before.
        tokio::select! {
            _ = show(&writer, listener, outcome, &about) => {}
            () = stay.revoked() => {}
        }
    });
    Ok(response)
}

async fn show(
    writer: &Writer,
    mut listener: Receiver<Arc<News>>,
    mut outcome: oneshot::Receiver<Outcome>,
    about: &About,
) -> Result<(), Gone> {
    loop {
        tokio::select! {
            biased;
            line = listener.recv() => match line {
                Ok(line) if about.concerns(&line) => writer.write(&Line::Entry(JournalLine::clone(&line))).await?,
                // This is for people to watch; who wants every entry asks for events.
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
            outcome = &mut outcome => {
                loop {
                    match listener.try_recv() {
                        Ok(line) if about.concerns(&line) => writer.write(&Line::Entry(JournalLine::clone(&line))).await?,
                        Ok(_) | Err(TryRecvError::Lagged(_)) => {}
                        Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                    }
                }
                return match outcome {
                    Ok(outcome) => writer.write(&Line::Outcome(outcome)).await,
                    Err(_) => writer.write(&Line::Error(Refusal::ending().into_detail())).await,
                };
            }
            () = writer.gone() => return Err(Gone),
        }
    }
}

/// The services that a request is about, by project and name.
struct About(HashSet<(Name, Name)>);

impl About {
    async fn of(desk: &Desk, request: &supervisor::Request) -> Result<Self, Refusal> {
        use supervisor::Request;
        let keys = match request {
            Request::Up(up) | Request::Adopt(up) => {
                let services = up.project.services.keys();
                return Ok(Self(services.map(|service| (up.project.name.clone(), service.clone())).collect()));
            }
            Request::Down { keys, .. }
            | Request::Restart { keys, .. }
            | Request::Quarantine { keys, .. }
            | Request::Skip { keys }
            | Request::Reset { keys } => Some(keys),
            Request::ShutDown => None,
        };
        let seen = desk.ask(|reply| Input::Look { watch: false, reply }).await?;
        let meant = seen.into_iter().filter(|seen| keys.is_none_or(|keys| keys.contains(&seen.service.key)));
        Ok(Self(meant.map(|seen| (seen.service.project, seen.service.service)).collect()))
    }

    fn concerns(&self, line: &JournalLine) -> bool {
        match (&line.project, &line.service) {
            (Some(project), Some(service)) => self.0.contains(&(project.clone(), service.clone())),
            _ => false,
        }
    }
}
