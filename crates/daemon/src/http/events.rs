//! `GET /v1/events`: what is in the journal, and what is added to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::Response;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use vigie_api::journal::JournalLine;
use vigie_store::journal::{Query as JournalQuery, Reader, Stored};

use super::Desk;
use super::answer::{Body, Gone, Refusal, Writer, lines};
use super::filter::Filter;
use super::follow::Stay;
use super::query::Query;
use crate::aside::off_thread;
use crate::input::Input;
use crate::ledger::News;

/// So many are read at once: no read lasts long, whoever waits for the lines.
const PAGE: u32 = 500;

/// Entries by number, time, subject and kind; with `follow` also those to come.
pub(super) async fn stream(desk: &Desk, query: &Query, stay: Stay) -> Result<Response<Body>, Refusal> {
    let follow = query.flag("follow")?;
    let limit = query.number("limit")?.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX));
    let filter = Filter::of(query)?;
    let asked = JournalQuery {
        after: query.number("after")?.unwrap_or(0),
        since: query.time("since")?,
        until: query.time("until")?,
        limit,
        newest: limit.is_some(),
        subjects: filter.subjects.clone(),
        kinds: filter.kinds.clone(),
        run: None,
    };
    desk.ask(Input::Import).await?;
    let listener = desk.lines.subscribe();
    let (writer, response) = lines();
    let mut pages = Pages { folder: desk.state.clone(), query: asked };
    let importer = follow.then(|| desk.imports.join(&desk.inputs));
    tokio::spawn(async move {
        let shown = async {
            if write_all(&mut pages, &writer).await? && follow {
                show(&writer, pages, listener, &filter).await?;
            }
            Ok::<(), Gone>(())
        };
        tokio::select! {
            _ = shown => {}
            () = stay.over() => {}
        }
        drop(importer);
    });
    Ok(response)
}

async fn show(
    writer: &Writer,
    mut pages: Pages,
    mut listener: Receiver<Arc<News>>,
    filter: &Filter,
) -> Result<(), Gone> {
    loop {
        tokio::select! {
            line = listener.recv() => match line {
                // What was read already comes a second time.
                Ok(line) if line.seq > Some(pages.query.after) && pages.query.until.is_none_or(|until| line.at.0 <= until) => {
                    pages.query.after = line.seq.unwrap_or(pages.query.after);
                    if filter.lets(&line) {
                        writer.write(&**line).await?;
                    }
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => {
                    (pages.query.limit, pages.query.newest) = (None, false);
                    if !write_all(&mut pages, writer).await? {
                        return Ok(());
                    }
                }
                Err(RecvError::Closed) => return Ok(()),
            },
            () = writer.gone() => return Err(Gone),
        }
    }
}

/// Writes everything that is there. `false` when the journal cannot be read, which the client was told.
async fn write_all(pages: &mut Pages, writer: &Writer) -> Result<bool, Gone> {
    loop {
        match pages.next().await {
            Ok((page, last)) => {
                for stored in &page {
                    writer.write(&JournalLine::new(stored.seq, &stored.entry)).await?;
                }
                if last {
                    return Ok(true);
                }
            }
            Err(why) => {
                let detail = Refusal::internal(why).into_detail();
                writer.write(&vigie_api::stream::Line::Error(detail)).await?;
                return Ok(false);
            }
        }
    }
}

/// Reads the journal page by page. Between two pages it is not read: no reader keeps the writer from tidying up.
pub(super) struct Pages {
    pub(super) folder: PathBuf,
    pub(super) query: JournalQuery,
}

impl Pages {
    /// The next page, and whether it is the last for now. Afterwards `after` is the number of its last entry.
    ///
    /// # Errors
    /// Why the journal cannot be read.
    pub(super) async fn next(&mut self) -> Result<(Vec<Stored>, bool), String> {
        let query = JournalQuery { limit: Some(self.query.limit.unwrap_or(PAGE)), ..self.query.clone() };
        let folder = self.folder.clone();
        let page = off_thread(move || read(&folder, &query)).await.map_err(|error| error.to_string())??;
        if let Some(last) = page.last() {
            self.query.after = last.seq;
        }
        let last = self.query.limit.is_some() || page.len() < PAGE as usize;
        Ok((page, last))
    }
}

fn read(folder: &Path, query: &JournalQuery) -> Result<Vec<Stored>, String> {
    Reader::open(folder).and_then(|reader| reader.read(query)).map_err(|error| error.to_string())
}
