//! One connection to a keeper.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

use vigie_core::identity::{ProcKey, RunId};
use vigie_core::launch::Launch;
use vigie_os::pidfd::Target;
use vigie_os::proc::Proc;
use vigie_wire::frame::{Lines, encode};
use vigie_wire::keeper::{Answer, Request, State};

use crate::children::Child;
use crate::readable::Readable;

/// How long a keeper may take to read what it is sent: it is never busy with anything else.
const PATIENCE: Duration = Duration::from_secs(10);

/// The keeper at the other end.
#[derive(Debug)]
pub(crate) enum Keeper {
    /// Executed by this daemon.
    Child(Child),
    /// Found by it, or forked for it: not its child.
    Found(ProcKey),
}

impl Keeper {
    /// Waits for its death; `false` when it is still alive then.
    pub(crate) async fn is_dead_within(&mut self, patience: Duration) -> bool {
        match self {
            Keeper::Child(child) => tokio::time::timeout(patience, child.ended()).await.is_ok(),
            Keeper::Found(key) => {
                let target = Proc::system().and_then(|proc| Target::open(&proc, key));
                match target {
                    Ok(None) => true,
                    Ok(Some(target)) => match Readable::new(target) {
                        Ok(target) => tokio::time::timeout(patience, target.wait()).await.is_ok(),
                        Err(_) => false,
                    },
                    Err(_) => false,
                }
            }
        }
    }
}

/// The stream and what of it was not yet understood.
#[derive(Debug)]
pub(crate) struct Talk {
    stream: UnixStream,
    lines: Lines,
}

/// What came over the stream.
pub(crate) enum Heard {
    /// An answer.
    Answer(Box<Answer>),
    /// Nothing more for now.
    Silence,
    /// The other end is closed, or sends what is not understood.
    End,
}

impl Talk {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, lines: Lines::default() }
    }

    /// Connects to the control socket in the folder of a service.
    ///
    /// # Errors
    /// What connect(2) says.
    pub(crate) fn connect(folder: &Path) -> io::Result<Self> {
        // A keeper's queue is only full when the keeper is stopped.
        let stream = vigie_os::socket::connect(&folder.join("control.sock"), Duration::from_millis(100))
            .map_err(|error| error.source)?;
        stream.set_nonblocking(true)?;
        Ok(Self::new(UnixStream::from_std(stream)?))
    }

    /// Sends one request.
    ///
    /// # Errors
    /// When the other end is gone, or does not read.
    pub(crate) async fn say(&mut self, request: &Request) -> io::Result<()> {
        let line = encode(request).map_err(io::Error::other)?;
        tokio::time::timeout(PATIENCE, self.stream.write_all(&line)).await.map_err(io::Error::from)?
    }

    /// Waits until there is something to hear. May be dropped while it waits.
    pub(crate) async fn readable(&self) {
        // An error is heard by the read that follows.
        let _ = self.stream.readable().await;
    }

    /// What is there, one at a time, without waiting.
    pub(crate) fn hear(&mut self) -> Heard {
        loop {
            match self.lines.message::<Answer>() {
                Ok(Some(answer)) => return Heard::Answer(Box::new(answer)),
                Ok(None) => {}
                Err(_) => return Heard::End,
            }
            let mut buffer = [0; 4096];
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return Heard::End,
                Ok(length) => {
                    if self.lines.push(&buffer[..length]).is_err() {
                        return Heard::End;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Heard::Silence,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Heard::End,
            }
        }
    }

    /// Asks a keeper that was found where it stands, takes control, and hears every event above `after` from then on.
    ///
    /// # Errors
    /// When it does not answer in time, or not with its state.
    pub(crate) async fn introduce(&mut self, after: u64, patience: Duration) -> io::Result<State> {
        let asked = async {
            self.say(&Request::Control).await?;
            self.say(&Request::Watch { after }).await?;
            loop {
                match self.hear() {
                    Heard::Answer(answer) => match *answer {
                        Answer::State(state) => return Ok(*state),
                        // Not asked for yet: those of the run are sent again behind the state.
                        Answer::Event(_) | Answer::Refused { .. } | Answer::Failed { .. } => {}
                    },
                    Heard::Silence => self.readable().await,
                    Heard::End => return Err(io::ErrorKind::UnexpectedEof.into()),
                }
            }
        };
        tokio::time::timeout(patience, asked).await.map_err(io::Error::from)?
    }
}

/// A keeper that is connected, and what is known of its run.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) talk: Talk,
    pub(crate) keeper: Keeper,
    /// Its present run.
    pub(crate) run: RunId,
    /// The number of the last event that was heard of it.
    pub(crate) seq: u64,
    /// Its tree is empty.
    pub(crate) over: bool,
    /// A launch that it did not answer yet.
    pub(crate) launching: Option<Launching>,
    /// It was told that no other run follows.
    pub(crate) released: bool,
}

/// A launch that was not answered yet.
#[derive(Debug)]
pub(crate) struct Launching {
    pub(crate) launch: Box<Launch>,
    /// The keeper held the lock already: it spawns without being told to go.
    pub(crate) again: bool,
}

impl Connection {
    /// With a keeper that was found and told where it stands.
    pub(crate) fn found(talk: Talk, state: &State) -> Self {
        Self {
            talk,
            keeper: Keeper::Found(state.holder.keeper.clone()),
            run: state.holder.run,
            seq: state.seq,
            over: state.phase.is_over(),
            launching: None,
            released: false,
        }
    }
}
