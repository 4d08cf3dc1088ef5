//! `GET /v1/events`: what is in the journal, and what is added to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::Response;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use vigie_api::journal::JournalLine;
use vigie_core::clock::Wall;
use vigie_store::journal::{Query as JournalQuery, Reader, Stored};

use super::Desk;
use super::answer::{Body, Gone, Refusal, Writer, lines};
use super::query::Query;
use crate::aside::off_thread;
use crate::input::Input;

/// So many are read at once: no read lasts long, whoever waits for the lines.
const PAGE: u32 = 500;

/// While somebody follows, runs that no daemon manages are looked at this often.
const IMPORT: Duration = Duration::from_secs(2);

/// Entries by number and time; with `follow` also those to come.
pub(super) async fn stream(desk: &Desk, query: &Query) -> Result<Response<Body>, Refusal> {
    let follow = query.flag("follow")?;
    let limit = query.number("limit")?.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX));
    let asked = JournalQuery {
        after: query.number("after")?.unwrap_or(0),
        since: query.number("since")?.map(Wall),
        until: query.number("until")?.map(Wall),
        limit,
        newest: limit.is_some(),
        ..JournalQuery::default()
    };
    desk.ask(Input::Import).await?;
    let listener = desk.lines.subscribe();
    let (writer, response) = lines();
    let reader = Pages { folder: desk.state.clone(), query: asked };
    let inputs = desk.inputs.clone();
    tokio::spawn(async move {
        let _ = show(&writer, reader, follow.then_some((listener, inputs))).await;
    });
    Ok(response)
}

async fn show(
    writer: &Writer,
    mut pages: Pages,
    follow: Option<(Receiver<Arc<JournalLine>>, mpsc::Sender<Input>)>,
) -> Result<(), Gone> {
    if !pages.write_all(writer).await? {
        return Ok(());
    }
    let Some((mut listener, inputs)) = follow else { return Ok(()) };
    let mut import = tokio::time::interval_at(tokio::time::Instant::now() + IMPORT, IMPORT);
    loop {
        tokio::select! {
            line = listener.recv() => match line {
                // What was read already comes a second time.
                Ok(line) if line.seq > Some(pages.query.after) && pages.query.until.is_none_or(|until| line.at.0 <= until) => {
                    pages.query.after = line.seq.unwrap_or(pages.query.after);
                    writer.write(&*line).await?;
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => {
                    (pages.query.limit, pages.query.newest) = (None, false);
                    if !pages.write_all(writer).await? {
                        return Ok(());
                    }
                }
                Err(RecvError::Closed) => return Ok(()),
            },
            _ = import.tick() => {
                let (done, _) = tokio::sync::oneshot::channel();
                let _ = inputs.send(Input::Import(done)).await;
            }
            () = writer.gone() => return Err(Gone),
        }
    }
}

/// Reads the journal page by page.
struct Pages {
    folder: PathBuf,
    query: JournalQuery,
}

impl Pages {
    /// Writes everything that is there; afterwards `after` is the number of the last. `false` when the journal cannot be
    /// read, which the client was told.
    async fn write_all(&mut self, writer: &Writer) -> Result<bool, Gone> {
        loop {
            let query = JournalQuery { limit: Some(self.query.limit.unwrap_or(PAGE)), ..self.query.clone() };
            let last_page = self.query.limit.is_some();
            let folder = self.folder.clone();
            let page = match off_thread(move || read(&folder, &query)).await.map_err(|error| error.to_string()) {
                Ok(Ok(page)) => page,
                Ok(Err(why)) | Err(why) => {
                    let detail = Refusal::internal(why).into_detail();
                    writer.write(&vigie_api::stream::Line::Error(detail)).await?;
                    return Ok(false);
                }
            };
            for stored in &page {
                writer.write(&JournalLine::new(stored.seq, &stored.entry)).await?;
            }
            let Some(last) = page.last() else { return Ok(true) };
            self.query.after = last.seq;
            if last_page || page.len() < PAGE as usize {
                return Ok(true);
            }
        }
    }
}

fn read(folder: &Path, query: &JournalQuery) -> Result<Vec<Stored>, String> {
    Reader::open(folder).and_then(|reader| reader.read(query)).map_err(|error| error.to_string())
}
