//! `POST /v1/requests`.

use std::collections::HashSet;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde::de::DeserializeOwned;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::oneshot;

use vigie_api::journal::JournalLine;
use vigie_api::path;
use vigie_api::stream::Line;
use vigie_core::name::Name;
use vigie_core::supervisor::{self, Outcome};

use super::Desk;
use super::answer::{Body, Gone, Refusal, Writer, lines};
use crate::input::Input;

/// Reads a body as JSON.
pub(super) async fn read<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Refusal> {
    let body = Limited::new(request.into_body(), path::BODY_LIMIT).collect().await;
    let body = body.map_err(Refusal::not_understood)?.to_bytes();
    serde_json::from_slice(&body).map_err(Refusal::not_understood)
}

/// Passes a request on; shows what happens to the services that it is about, and at last what came of it. It goes on
/// when the client goes.
pub(super) async fn stream(desk: &Desk, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let request: supervisor::Request = read(request).await?;
    let about = About::of(desk, &request).await?;
    // Listened to before anything can happen.
    let listener = desk.lines.subscribe();
    let (reply, outcome) = oneshot::channel();
    desk.put(Input::Request { request, reply }).await?;
    let (writer, response) = lines();
    tokio::spawn(async move {
        // A client that is gone has seen enough.
        let _ = show(&writer, listener, outcome, &about).await;
    });
    Ok(response)
}

async fn show(
    writer: &Writer,
    mut listener: Receiver<Arc<JournalLine>>,
    mut outcome: oneshot::Receiver<Outcome>,
    about: &About,
) -> Result<(), Gone> {
    loop {
        tokio::select! {
            biased;
            line = listener.recv() => match line {
                Ok(line) if about.concerns(&line) => writer.write(&Line::Entry((*line).clone())).await?,
                // This is for people to watch; who wants every entry asks for events.
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
            outcome = &mut outcome => {
                loop {
                    match listener.try_recv() {
                        Ok(line) if about.concerns(&line) => writer.write(&Line::Entry((*line).clone())).await?,
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
