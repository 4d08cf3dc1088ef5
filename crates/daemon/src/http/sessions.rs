//! `POST /v1/sessions`: a foreground command, for as long as its connection lasts.

use std::sync::Arc;

use hyper::{Response, StatusCode};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use vigie_api::journal::JournalLine;
use vigie_api::report::SessionOpened;
use vigie_api::stream::Line;
use vigie_core::exit_code::ExitCode;
use vigie_core::supervisor::SessionId;

use super::Desk;
use super::answer::{Body, Gone, Refusal, Writer, lines};
use super::follow::Stay;
use super::query::Query;
use super::requests::Post;
use crate::input::Input;
use crate::ledger::News;
use crate::sessions::Session;

/// Tells the end of a session however its stream ends.
struct Open {
    id: SessionId,
    inputs: mpsc::Sender<Input>,
}

impl Drop for Open {
    fn drop(&mut self) {
        let (id, inputs) = (self.id, self.inputs.clone());
        // On the way out of the runtime there is nobody left to be told.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { inputs.send(Input::CloseSession(id)).await });
        }
    }
}

/// Opens a session, or takes one up again.
pub(super) async fn stream(desk: &Desk, query: &Query, post: Post, stay: Stay) -> Result<Response<Body>, Refusal> {
    let resume = query.number("resume")?.map(SessionId);
    let SessionOpened { pid: command } = post.read().await?;
    let listener = desk.lines.subscribe();
    let session = desk.ask(|reply| Input::OpenSession { command, resume, reply }).await?;
    let session = session.ok_or_else(|| match resume {
        Some(SessionId(id)) => {
            Refusal::new(StatusCode::NOT_FOUND, ExitCode::NotFound, format!("there is no session {id} any more"))
        }
        None => Refusal::internal("no session could be opened; see daemon.log"),
    })?;
    let open = Open { id: session.id, inputs: desk.inputs.clone() };
    let (writer, response) = lines();
    tokio::spawn(async move {
        tokio::select! {
            _ = show(&writer, listener, &session) => {}
            () = stay.over() => {}
        }
        drop(open);
    });
    Ok(response)
}

async fn show(writer: &Writer, mut listener: Receiver<Arc<News>>, session: &Session) -> Result<(), Gone> {
    writer.write(&Line::Session(session.id)).await?;
    loop {
        tokio::select! {
            line = listener.recv() => match line {
                Ok(line) => {
                    if let (Some(project), Some(service)) = (&line.project, &line.service)
                        && session.tied.contains(project, service)
                    {
                        writer.write(&Line::Entry(JournalLine::clone(&line))).await?;
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
            () = writer.gone() => return Err(Gone),
        }
    }
}
