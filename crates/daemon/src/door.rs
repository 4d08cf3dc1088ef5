//! The socket that clients come to. It is put back when somebody deletes it: nobody could reach the daemon any more, and no
//! other one could be started beside it.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use vigie_core::clock::Mono;
use vigie_os::lock::Lock;
use vigie_os::place::Place;
use vigie_os::socket::bind_over;
use vigie_os::watch::Watch;

use crate::http::{self, Desk};
use crate::log::Log;
use crate::readable::Readable;
use crate::start::StartError;

/// The socket, and the task that serves who comes.
pub(crate) struct Door<'a> {
    path: PathBuf,
    lock: &'a Lock,
    desk: Arc<Desk>,
    places: Arc<Semaphore>,
    log: Log,
    /// Absent where the user has too many of these: then nobody sees that it was deleted.
    watch: Option<Readable<Watch>>,
    inode: Option<u64>,
    server: JoinHandle<()>,
}

impl<'a> Door<'a> {
    /// Listens, and serves who comes; `places`: so many at once.
    ///
    /// # Errors
    /// When it cannot listen.
    pub(crate) fn open(
        place: &Place,
        lock: &'a Lock,
        desk: Arc<Desk>,
        places: Arc<Semaphore>,
        log: Log,
    ) -> Result<Self, StartError> {
        let path = place.daemon_socket();
        let watch = watch(place).inspect_err(|error| log.line(&format!("{}: {error}", path.display()))).ok();
        let server = listen(&path, lock, &desk, &places)?;
        let inode = inode(&path);
        Ok(Self { path, lock, desk, places, log, watch, inode, server })
    }

    /// Waits until something changes in its folder.
    pub(crate) async fn stirred(&self) {
        match &self.watch {
            Some(watch) => {
                watch.wait().await;
                // Read away; what it was is looked at anyway.
                let _ = watch.get().wait(Mono(0));
            }
            None => std::future::pending().await,
        }
    }

    /// Puts the socket back when it is not there any more.
    pub(crate) fn mend(&mut self) {
        if inode(&self.path) == self.inode || !matches!(self.lock.keeps_others_out(), Ok(true)) {
            return;
        }
        match listen(&self.path, self.lock, &self.desk, &self.places) {
            Ok(server) => {
                // Who is inside already is served to the end.
                std::mem::replace(&mut self.server, server).abort();
                self.inode = inode(&self.path);
                self.log.line("its socket was deleted, and is there again");
            }
            Err(error) => self.log.line(&format!("its socket was deleted: {error}")),
        }
    }

    /// Lets nobody in any more.
    pub(crate) fn close(&self) {
        self.server.abort();
    }
}

fn watch(place: &Place) -> Result<Readable<Watch>, StartError> {
    let watch = Watch::new()?;
    watch.folder(&place.runtime)?;
    Readable::new(watch).map_err(StartError::io("watch its folder"))
}

fn listen(
    path: &std::path::Path,
    lock: &Lock,
    desk: &Arc<Desk>,
    places: &Arc<Semaphore>,
) -> Result<JoinHandle<()>, StartError> {
    let listener = bind_over(path, lock)?;
    listener.set_nonblocking(true).map_err(StartError::io("listen"))?;
    let listener = UnixListener::from_std(listener).map_err(StartError::io("listen"))?;
    Ok(tokio::spawn(http::serve(listener, Arc::clone(desk), Arc::clone(places))))
}

fn inode(path: &std::path::Path) -> Option<u64> {
    std::fs::symlink_metadata(path).ok().map(|metadata| metadata.ino())
}
