//! Waiting on the runtime until a descriptor can be read.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor that the runtime watches.
#[derive(Debug)]
pub(crate) struct Readable<T: AsFd>(AsyncFd<Raw<T>>);

#[derive(Debug)]
struct Raw<T>(T);

impl<T: AsFd> AsRawFd for Raw<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl<T: AsFd> Readable<T> {
    /// Begins to watch.
    ///
    /// # Errors
    /// What epoll_ctl(2) says.
    #[expect(
        deprecated,
        reason = "the replacement is unsafe, because any AsRawFd may name a closed descriptor; `Raw` only takes owners"
    )]
    pub(crate) fn new(inner: T) -> io::Result<Self> {
        AsyncFd::with_interest(Raw(inner), Interest::READABLE).map(Self)
    }

    /// Waits until it can be read since the last call. What is there must then be read away.
    pub(crate) async fn wait(&self) {
        if let Ok(mut ready) = self.0.readable().await {
            ready.clear_ready();
        }
    }

    /// The descriptor's owner.
    pub(crate) fn get(&self) -> &T {
        &self.0.get_ref().0
    }
}
