//! The socket at which workers come, and a connection with one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};

use vigie_os::lock::Lock;
use vigie_os::socket::{bind_over, peer};
use vigie_wire::frame::{Lines, encode};
use vigie_wire::worker::{Asked, Role, Said, VERSION};

use super::{Heard, WAITING};
use crate::input::Input;
use crate::log::Log;
use crate::start::StartError;

/// So much of what workers tell may wait for the disk. When it stands still they wait, and nobody else does.
const STORING: u32 = 16_384;

/// How long a worker may take for its first line, and to read what it is told.
const PATIENCE: Duration = Duration::from_secs(10);

/// Listens, and serves who comes, until the runtime ends.
///
/// # Errors
/// When it cannot listen.
pub(crate) fn open(path: &Path, lock: &Lock, inputs: mpsc::Sender<Input>, log: Log) -> Result<(), StartError> {
    let listener = bind_over(path, lock)?;
    listener.set_nonblocking(true).map_err(StartError::io("listen to workers"))?;
    let listener = UnixListener::from_std(listener).map_err(StartError::io("listen to workers"))?;
    let room = Arc::new(Semaphore::new(STORING as usize));
    tokio::spawn(async move {
        for connection in 1.. {
            match listener.accept().await {
                Ok((stream, _)) if is_ours(&stream) => {
                    tokio::spawn(serve(stream, connection, inputs.clone(), Arc::clone(&room), log.clone()));
                }
                Ok(_) => {}
                Err(error) => {
                    log.line(&format!("a worker could not be let in: {error}"));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok(())
}

fn is_ours(stream: &UnixStream) -> bool {
    peer(stream).is_ok_and(|peer| peer.uid == vigie_os::user::uid())
}

async fn serve(stream: UnixStream, connection: u64, inputs: mpsc::Sender<Input>, room: Arc<Semaphore>, log: Log) {
    let mut role = None;
    let ended = converse(stream, connection, &inputs, &room, &mut role).await;
    if let Err(why) = ended {
        log.line(&format!("worker {}: {why}", role.map_or("of an unknown kind", Role::name)));
    }
    let _ = inputs.send(Input::Worker(Heard::Gone { connection })).await;
}

/// Until it is gone, or says what is not understood.
async fn converse(
    stream: UnixStream,
    connection: u64,
    inputs: &mpsc::Sender<Input>,
    room: &Arc<Semaphore>,
    who: &mut Option<Role>,
) -> Result<(), String> {
    let (mut reader, mut writer) = stream.into_split();
    let mut lines = Lines::default();
    let mut buffer = vec![0; 64 << 10];
    let first = async {
        loop {
            if let Some(said) = lines.message_by(Said::read).map_err(|error| error.to_string())? {
                return Ok(said);
            }
            match reader.read(&mut buffer).await {
                Ok(0) => return Err("it went before it said who it is".to_owned()),
                Ok(count) => lines.push(&buffer[..count]).map_err(|error| error.to_string())?,
                Err(error) => return Err(error.to_string()),
            }
        }
    };
    let (role, pid) = match tokio::time::timeout(PATIENCE, first).await {
        Ok(Ok(Said::Ready { version: VERSION, role, pid, .. })) => (role, pid),
        Ok(Ok(Said::Ready { version, .. })) => return Err(format!("it speaks version {version} of the protocol")),
        Ok(Ok(_)) => return Err("it does not say first who it is".to_owned()),
        Ok(Err(why)) => return Err(why),
        Err(_) => return Err("it does not say who it is".to_owned()),
    };
    *who = Some(role);
    let (asked, mut to_ask) = mpsc::channel::<Asked>(WAITING);
    let came = Heard::Came { connection, role, asked, pid };
    if inputs.send(Input::Worker(came)).await.is_err() {
        return Ok(());
    }
    loop {
        while let Some(said) = lines.message_by(Said::read).map_err(|error| error.to_string())? {
            // No room makes the worker wait, and then drop, and ask the engine again.
            let count = match &said {
                Said::ContainerEvent { told, .. } => u32::try_from(told.len()).unwrap_or(STORING).min(STORING),
                // What was measured goes elsewhere.
                Said::Metric { .. } | Said::DiskUsage { .. } => 0,
                Said::Ready { .. } | Said::SourceStatus { .. } | Said::Memory { .. } | Said::Error { .. } => 0,
            };
            let Ok(room) = Arc::clone(room).acquire_many_owned(count).await else { return Ok(()) };
            let said = Heard::Said { connection, said: Box::new(said), room: Some(room) };
            if inputs.send(Input::Worker(said)).await.is_err() {
                return Ok(());
            }
        }
        tokio::select! {
            read = reader.read(&mut buffer) => match read {
                Ok(0) => return Ok(()),
                Ok(count) => lines.push(&buffer[..count]).map_err(|error| error.to_string())?,
                Err(error) => return Err(error.to_string()),
            },
            asked = to_ask.recv() => {
                let Some(asked) = asked else { return Ok(()) };
                let line = encode(&asked).map_err(|error| error.to_string())?;
                match tokio::time::timeout(PATIENCE, writer.write_all(&line)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Err(error.to_string()),
                    Err(_) => return Err("it does not read what it is told".to_owned()),
                }
            }
        }
    }
}
