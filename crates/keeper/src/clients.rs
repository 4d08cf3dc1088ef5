//! Those who are connected: reading what they say, telling them what happens.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{SendFlags, SocketFlags};

use vigie_core::identity::RunId;
use vigie_os::rights;
use vigie_wire::frame::{FrameError, Lines};
use vigie_wire::keeper::{Answer, Request};

/// More are told so and sent away.
const MAX: usize = 16;

/// Bytes that are read at once. They lie on the stack, whose pages are never given back.
const CHUNK: usize = 4 << 10;

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    socket: OwnedFd,
    lines: Lines,
    /// Wants to hear of every event.
    pub(crate) watches: bool,
    /// May say `Again`; while it is there an empty tree waits for that.
    pub(crate) controls: bool,
    /// Its end is to be the end of the run.
    pub(crate) ties: bool,
    /// It does not listen any more.
    deaf: bool,
    /// It ended, or is to be ended.
    gone: bool,
}

impl Client {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket, lines: Lines::default(), watches: false, controls: false, ties: false, deaf: false, gone: false }
    }

    /// Sends answers, all at once. A client that does not read what it asked for is let go as soon as the kernel's buffer
    /// is full: it may connect again and ask for what it has missed. The keeper waits for nobody and stores for nobody.
    pub(crate) fn send(&mut self, answers: &[Answer]) {
        let mut bytes = Vec::new();
        for answer in answers {
            match vigie_wire::frame::encode(answer) {
                Ok(line) => bytes.extend(line),
                Err(_) => self.gone = true,
            }
        }
        self.send_bytes(&bytes);
    }

    fn send_bytes(&mut self, bytes: &[u8]) {
        if self.gone || self.deaf {
            return;
        }
        let sent = loop {
            match rustix::net::send(&self.socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                sent => break sent,
            }
        };
        match sent {
            Ok(count) if count == bytes.len() => {}
            // It has gone, but what it said before that is still to be read.
            Err(Errno::PIPE | Errno::CONNRESET) => self.deaf = true,
            _ => self.gone = true,
        }
    }

    /// Says that something could not be done.
    pub(crate) fn refuse(&mut self, message: impl Into<String>) {
        self.send(&[Answer::Failed { run: None, message: message.into() }]);
    }

    /// Says that a run could not be begun.
    pub(crate) fn refuse_run(&mut self, run: RunId, message: impl Into<String>) {
        self.send(&[Answer::Failed { run: Some(run), message: message.into() }]);
    }

    /// Reads once what has arrived. A descriptor that came along is given back.
    pub(crate) fn read(&mut self) -> Option<OwnedFd> {
        let mut buffer = [0; CHUNK];
        match rights::receive(self.socket.as_fd(), &mut buffer) {
            Ok((0, _)) => {
                self.gone = true;
                None
            }
            Ok((count, descriptor)) => {
                if let Err(error) = self.lines.push(&buffer[..count]) {
                    self.refuse(error.to_string());
                    self.gone = true;
                }
                descriptor
            }
            Err(Errno::AGAIN | Errno::INTR) => None,
            Err(_) => {
                self.gone = true;
                None
            }
        }
    }

    /// The next whole request. What is none is answered; the connection stays.
    pub(crate) fn next(&mut self) -> Option<Request> {
        loop {
            match self.lines.message() {
                Ok(request) => return request,
                Err(error @ (FrameError::Malformed(_) | FrameError::TooLong)) => self.refuse(error.to_string()),
            }
        }
    }

    /// Whether it ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    list: Vec<Client>,
}

impl Clients {
    pub(crate) fn push(&mut self, client: Client) {
        self.list.push(client);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Client> {
        self.list.iter()
    }

    pub(crate) fn get(&mut self, place: usize) -> Option<&mut Client> {
        self.list.get_mut(place)
    }

    /// Takes one connection in. Only the same user and root may speak (R12.4): the folder lets nobody else through, and
    /// the kernel says who it is all the same.
    pub(crate) fn accept(&mut self, listener: &OwnedFd) {
        let Ok(socket) = rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) else {
            return;
        };
        let own = rustix::process::geteuid().as_raw();
        match vigie_os::socket::peer(&socket) {
            Ok(peer) if peer.uid == own || peer.uid == 0 => {}
            _ => return,
        }
        let mut client = Client::new(socket);
        if self.list.len() >= MAX {
            client.refuse(format!("this keeper already has {MAX} connections; close one"));
            return;
        }
        self.list.push(client);
    }

    /// Tells all who want to hear of it.
    pub(crate) fn tell(&mut self, answer: &Answer) {
        if !self.list.iter().any(|client| client.watches) {
            return;
        }
        let Ok(line) = vigie_wire::frame::encode(answer) else { return };
        for client in self.list.iter_mut().filter(|client| client.watches) {
            client.send_bytes(&line);
        }
    }

    /// Whether anybody is there who could say `Again`.
    pub(crate) fn anybody_controls(&self) -> bool {
        self.list.iter().any(|client| client.controls && !client.gone)
    }

    /// Closes those that ended; tells whether the run was tied to one of them.
    pub(crate) fn purge(&mut self) -> bool {
        let tied = self.list.iter().any(|client| client.gone && client.ties);
        self.list.retain(|client| !client.gone);
        tied
    }
}
