//! The output of several services on one screen: `api | text`, in the order in which lines end.

use std::io::Write as _;

use tokio::sync::mpsc;

use vigie_core::clock::{Mono, Wall};
use vigie_core::exit_code::ExitCode;
use vigie_core::launch::ServiceKey;
use vigie_os::place::Place;
use vigie_os::watch::Watch;
use vigie_store::logs::{Filter, Item, LogDir, Merged};

use crate::failure::Failure;
use crate::out::{Screen, line, style};
use crate::verbs::logs::hole;

/// Lines that are written before anything else gets a turn: a service that floods must not keep Ctrl-C waiting.
const TURN: usize = 2_000;

/// The output of all services from one moment on.
pub(super) struct Output {
    merged: Merged,
    names: Vec<String>,
    width: usize,
    screen: Screen,
    changes: mpsc::Receiver<()>,
    /// There may be more than was written in the last turn.
    pub(super) more: bool,
}

impl Output {
    /// What `services` write from `since` on.
    pub(super) fn new(services: &[ServiceKey], since: Wall, place: &Place) -> Result<Self, Failure> {
        let watch = Watch::new()?;
        let filter = Filter { since: Some(since), ..Filter::default() };
        let mut cursors = Vec::with_capacity(services.len());
        for key in services {
            let dir = place.logs_dir(key);
            // Keepers make it when they need it; an empty folder can be watched already.
            for dir in [dir.parent(), Some(dir.as_path())].into_iter().flatten() {
                vigie_os::place::private_dir(dir)?;
            }
            watch.folder(&dir)?;
            cursors.push(LogDir::new(&dir).lines(filter)?);
        }
        let names: Vec<String> = services.iter().map(|key| key.service.to_string()).collect();
        let changes = report(watch)?;
        Ok(Self {
            merged: Merged::new(cursors),
            width: names.iter().map(String::len).max().unwrap_or(0),
            names,
            screen: Screen::stdout(),
            changes,
            more: true,
        })
    }

    /// Waits until something was written.
    pub(super) async fn changed(&mut self) -> Result<(), Failure> {
        match self.changes.recv().await {
            Some(()) => Ok(()),
            None => Err(Failure::new(ExitCode::Internal, "the output cannot be watched any more")),
        }
    }

    /// Writes what there is, at most a turn of it.
    pub(super) fn write(&mut self) -> Result<(), Failure> {
        let mut out = std::io::BufWriter::with_capacity(64 << 10, std::io::stdout().lock());
        self.more = false;
        for turn in 0.. {
            if turn == TURN {
                self.more = true;
                break;
            }
            let Some(number) = self.merged.advance().map_err(|failed| Failure::from(failed.error))? else { break };
            let Some(item) = self.merged.item() else { continue };
            let mut text = self.prefix(number).into_bytes();
            match item {
                Item::Line(item) => line::shown(item.bytes, self.screen, &mut text),
                Item::Lost(lost) => text.extend(self.screen.paint(style::WARN, hole(&lost)).to_string().into_bytes()),
            }
            text.push(b'\n');
            out.write_all(&text)?;
        }
        out.flush()?;
        Ok(())
    }

    /// Writes what is left, unfinished lines included.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        self.merged.finish();
        self.more = true;
        while self.more {
            self.write()?;
        }
        Ok(())
    }

    fn prefix(&self, number: usize) -> String {
        let name = format!("{:width$}", self.names[number], width = self.width);
        let colour = style::SERVICES[number % style::SERVICES.len()];
        format!("{} ", self.screen.paint(colour, format_args!("{name} |")))
    }
}

/// Tells of changes from a thread of its own, which ends with the process: the runtime has no safe way to wait for a
/// descriptor that is not one of its own kinds.
fn report(watch: Watch) -> Result<mpsc::Receiver<()>, Failure> {
    let (sender, changes) = mpsc::channel(1);
    let work = move || {
        while watch.wait(Mono(u64::MAX)).is_ok() {
            // A place that is taken is a change that was not yet looked at: that look will see this one too.
            if let Err(mpsc::error::TrySendError::Closed(())) = sender.try_send(()) {
                break;
            }
        }
    };
    std::thread::Builder::new()
        .name("output".to_owned())
        .stack_size(64 << 10)
        .spawn(work)
        .map_err(|error| Failure::io("cannot watch the output", &error))?;
    Ok(changes)
}
