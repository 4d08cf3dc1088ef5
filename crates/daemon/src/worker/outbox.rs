//! What waits for the daemon: messages, and how many events are in them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use vigie_wire::worker::Said;

/// Things told that may wait, in all of them: some thirty mebibytes, and a second of an engine that never rests. What comes in one
/// piece from an engine is one message.
const TOLD: usize = 65_536;

/// There is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// A message with the place that it takes until it is written.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) said: Said,
    _room: Option<OwnedSemaphorePermit>,
}

/// A place for one message.
pub(super) struct Place<'a> {
    permit: mpsc::Permit<'a, Waiting>,
    room: Option<OwnedSemaphorePermit>,
}

impl Place<'_> {
    pub(super) fn put(self, said: Said) {
        self.permit.send(Waiting { said, _room: self.room });
    }
}

/// The queue, for those who fill it.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    messages: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
}

impl Outbox {
    /// For so many messages; with the end that is emptied.
    pub(super) fn new(messages: usize) -> (Self, mpsc::Receiver<Waiting>) {
        let (messages, waiting) = mpsc::channel(messages);
        (Self { messages, room: Arc::new(Semaphore::new(TOLD)) }, waiting)
    }

    /// Takes a place for a message in which so much is told.
    ///
    /// # Errors
    /// [`Full`]
    pub(super) fn reserve(&self, told: usize) -> Result<Place<'_>, Full> {
        let room = match u32::try_from(told) {
            Ok(0) => None,
            Ok(told) => Some(Arc::clone(&self.room).try_acquire_many_owned(told).map_err(|_| Full)?),
            Err(_) => return Err(Full),
        };
        Ok(Place { permit: self.messages.try_reserve().map_err(|_| Full)?, room })
    }

    /// Puts in a message in which nothing is told.
    ///
    /// # Errors
    /// [`Full`]; then it is not in.
    pub(super) fn put(&self, said: Said) -> Result<(), Full> {
        self.reserve(0).map(|place| place.put(said))
    }

    /// Waits until there is room again, for a good part of what it takes: otherwise the next would find none. `false`: nobody
    /// empties it any more.
    pub(super) async fn has_room(&self) -> bool {
        let half = u32::try_from(TOLD / 2).unwrap_or(u32::MAX);
        self.room.acquire_many(half).await.is_ok()
            && self.messages.reserve_many(self.messages.max_capacity() / 2).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::name::Name;

    use crate::test::run;

    fn said() -> Said {
        Said::ContainerEvent { source: Name::new("nas").expect("name"), told: Vec::new() }
    }

    #[test]
    fn it_is_full_by_messages_or_by_what_they_tell() {
        run(async {
            const MESSAGES: usize = 100;
            let (outbox, mut waiting) = Outbox::new(MESSAGES);
            for _ in 0..MESSAGES {
                outbox.reserve(1).expect("room").put(said());
            }
            assert!(outbox.reserve(1).is_err());
            while waiting.try_recv().is_ok() {}
            outbox.reserve(TOLD).expect("room").put(said());
            assert!(outbox.reserve(1).is_err());
            outbox.put(said()).expect("a status takes no room");
            assert!(tokio::time::timeout(std::time::Duration::from_millis(20), outbox.has_room()).await.is_err());
            drop(waiting.recv().await);
            assert!(outbox.has_room().await);
            outbox.reserve(TOLD).expect("all of it is free again").put(said());
            drop(waiting);
            assert!(!outbox.has_room().await, "nobody is there any more");
        });
    }
}
