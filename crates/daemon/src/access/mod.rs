//! Who may come in over TCP, and whether there is such a door at all (R12.4).
//!
//! Two kinds of documents are kept: the address (`listen`), and each token (`token`) with its right and its SHA-256. This
//! state belongs to the routes of the API, not to the dispatcher, which only stores it: nothing else depends on it. Nothing
//! is allocated while there is neither an address nor a token.

mod token;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;

use vigie_api::SCHEMA;
use vigie_api::access::{self, Digest, MOST_TOKENS, Right};
use vigie_api::time::Millis;
use vigie_core::clock::Wall;
use vigie_core::exit_code::ExitCode;
use vigie_core::name::Name;
use vigie_store::journal::{Journal, Reader};
use vigie_store::state::{Document, DocumentChange};

use crate::input::Refused;
use crate::log::Log;

pub use token::Secret;

/// The kind and the key of the document that keeps the address, a [`SocketAddr`].
const LISTEN: (&str, &str) = ("access", "listen");

/// The kind of the documents that keep tokens, each a [`Token`], by name.
const TOKEN: &str = "token";

/// A token as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Token {
    right: Right,
    since: Wall,
    sha256: Digest,
}

/// What is kept.
#[derive(Debug, Default)]
struct Held {
    listen: Option<SocketAddr>,
    tokens: Vec<(Name, Token)>,
    /// What came of listening; not kept.
    listening: Option<Result<(), String>>,
}

/// Address and tokens.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    held: Arc<Mutex<Held>>,
    /// Counts what became narrower: a token gone, an address closed. Whoever is inside then looks whether it may stay.
    narrowed: watch::Sender<u64>,
}

/// By what somebody came in over TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pass {
    /// The address that was connected to.
    pub(crate) address: SocketAddr,
    /// What was shown.
    shown: Digest,
    /// The name of the token.
    pub(crate) token: Name,
    /// What it allows.
    pub(crate) right: Right,
}

impl Access {
    fn new(held: Held) -> Self {
        Self { held: Arc::new(Mutex::new(held)), narrowed: watch::Sender::new(0) }
    }

    /// Reads what an earlier daemon kept. What is not understood is left out and told of: it lets nobody in.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(crate) fn read(journal: &Journal, log: &Log) -> Result<Self, vigie_store::Error> {
        Ok(Self::new(kept(journal.reader(), |error| log.line(&error.to_string()))?))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it is to be served.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.held().listen
    }

    /// It is to be served there from now on, or nowhere; the document that keeps it.
    pub(crate) fn set_address(&self, address: Option<SocketAddr>) -> Result<DocumentChange, vigie_store::Error> {
        let mut held = self.held();
        if held.listen != address {
            (held.listen, held.listening) = (address, None);
            self.narrowed.send_modify(|count| *count += 1);
        }
        document(address)
    }

    /// What came of listening there.
    pub(crate) fn note(&self, address: SocketAddr, listening: Result<(), String>) {
        let mut held = self.held();
        if held.listen == Some(address) {
            held.listening = Some(listening);
        }
    }

    /// A new token; the document that keeps it.
    ///
    /// # Errors
    /// When there is one of that name, or too many.
    pub(crate) fn add(&self, name: Name, right: Right, sha256: Digest, now: Wall) -> Result<DocumentChange, Refused> {
        let mut held = self.held();
        if held.tokens.iter().any(|(other, _)| *other == name) {
            let why = format!("there is a token {name} already; 'vigie api token rm {name}' removes it");
            return Err(Refused { code: ExitCode::Usage, why });
        }
        if held.tokens.len() >= MOST_TOKENS {
            return Err(Refused::usage(format!(
                "there are {MOST_TOKENS} tokens already; 'vigie api token rm' removes one"
            )));
        }
        let token = Token { right, since: now, sha256 };
        let change = DocumentChange::put(TOKEN, name.as_str(), &token).map_err(Refused::usage)?;
        held.tokens.push((name, token));
        held.tokens.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(change)
    }

    /// A token is worth nothing any more.
    ///
    /// # Errors
    /// When there is none of that name.
    pub(crate) fn remove(&self, name: &Name) -> Result<DocumentChange, Refused> {
        let mut held = self.held();
        let Some(place) = held.tokens.iter().position(|(other, _)| other == name) else {
            return Err(Refused::not_found(format!("there is no token {name}; 'vigie api token ls' shows all")));
        };
        held.tokens.remove(place);
        self.narrowed.send_modify(|count| *count += 1);
        Ok(DocumentChange::delete(TOKEN, name.as_str()))
    }

    /// Lets in whoever shows a token at this address.
    pub(crate) fn admit(&self, address: SocketAddr, shown: &[u8]) -> Option<Pass> {
        let shown = token::sha256(shown);
        let (token, right) = self.held().token_of(&shown)?;
        Some(Pass { address, shown, token, right })
    }

    /// Whether one that came in may still be there.
    fn still(&self, pass: &Pass) -> bool {
        let held = self.held();
        held.listen == Some(pass.address) && held.token_of(&pass.shown).is_some()
    }

    /// Waits until a pass is worth nothing any more.
    pub(crate) async fn revoked(&self, pass: &Pass) {
        let mut narrowed = self.narrowed.subscribe();
        while self.still(pass) {
            if narrowed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until an address is not served any more.
    pub(crate) async fn closed(&self, address: SocketAddr) {
        let mut narrowed = self.narrowed.subscribe();
        while self.address() == Some(address) {
            if narrowed.changed().await.is_err() {
                return;
            }
        }
    }

    /// All documents, written or not.
    pub(crate) fn documents(&self, log: &Log) -> Vec<DocumentChange> {
        let held = self.held();
        let tokens = held.tokens.iter().map(|(name, token)| DocumentChange::put(TOKEN, name.as_str(), token));
        let address = held.listen.map(|address| document(Some(address)));
        let changes = address.into_iter().chain(tokens);
        changes.filter_map(|change| change.map_err(|error| log.line(&error.to_string())).ok()).collect()
    }

    /// As it is shown.
    pub(crate) fn show(&self) -> access::Access {
        self.held().show()
    }
}

impl Held {
    /// The name of a token and what it allows. Every one that is kept is compared, each in the same time, whatever was shown.
    fn token_of(&self, shown: &Digest) -> Option<(Name, Right)> {
        let mut found = None;
        for (name, token) in &self.tokens {
            if bool::from(token.sha256.0.ct_eq(&shown.0)) {
                found = Some((name, token.right));
            }
        }
        found.map(|(name, right)| (name.clone(), right))
    }

    fn show(&self) -> access::Access {
        let tokens = self.tokens.iter().map(|(name, token)| access::Token {
            name: name.clone(),
            right: token.right,
            since: Millis(token.since),
        });
        access::Access {
            schema: SCHEMA,
            listen: self.listen,
            listening: self.listening.as_ref().map(Result::is_ok),
            why: self.listening.as_ref().and_then(|listening| listening.as_ref().err().cloned()),
            tokens: tokens.collect(),
        }
    }
}

fn document(address: Option<SocketAddr>) -> Result<DocumentChange, vigie_store::Error> {
    match address {
        Some(address) => DocumentChange::put(LISTEN.0, LISTEN.1, &address),
        None => Ok(DocumentChange::delete(LISTEN.0, LISTEN.1)),
    }
}

fn kept(reader: &Reader, mut odd: impl FnMut(vigie_store::Error)) -> Result<Held, vigie_store::Error> {
    let mut held = Held::default();
    match reader.document(LISTEN.0, LISTEN.1)?.as_ref().map(Document::parse).transpose() {
        Ok(address) => held.listen = address,
        Err(error) => odd(error),
    }
    for document in reader.documents(TOKEN)? {
        match (Name::new(&document.key), document.parse::<Token>()) {
            (Ok(name), Ok(token)) => held.tokens.push((name, token)),
            (_, Err(error)) => odd(error),
            (Err(_), Ok(_)) => {}
        }
    }
    Ok(held)
}

/// As it is kept: for looking without a daemon.
///
/// # Errors
/// When the journal cannot be read.
pub fn kept_access(reader: &Reader) -> Result<access::Access, vigie_store::Error> {
    Ok(kept(reader, drop)?.show())
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::test::run;

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn what_is_kept_is_read_back_and_holds_no_token() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut journal, _) = Journal::open(folder.path(), Wall(1)).expect("opened");
        let log = Log::open(folder.path());
        let access = Access::read(&journal, &log).expect("read");
        assert_eq!(access.show(), kept_access(journal.reader()).expect("read"));
        let secret = Secret::new().expect("random");
        let changes = [
            access.set_address(Some(at(7))).expect("a document"),
            access.add(name("b"), Right::Act, secret.sha256(), Wall(5)).expect("new"),
            access.add(name("a"), Right::Read, Secret::new().expect("random").sha256(), Wall(5)).expect("new"),
        ];
        assert!(changes.iter().all(|change| !format!("{change:?}").contains(secret.reveal())));
        journal.commit(&[], &changes).expect("written");
        let again = Access::read(&journal, &log).expect("read");
        assert_eq!(again.show(), access.show());
        assert_eq!(again.documents(&log).len(), 3);
        assert!(again.add(name("a"), Right::Act, secret.sha256(), Wall(6)).is_err(), "names are unique");
        let gone = again.remove(&name("b")).expect("there");
        journal.commit(&[], &[gone, again.set_address(None).expect("a document")]).expect("written");
        let last = kept_access(journal.reader()).expect("read");
        assert_eq!((last.listen, last.tokens.len()), (None, 1));
        assert_eq!(again.remove(&name("b")).map_err(|refused| refused.code), Err(ExitCode::NotFound));
    }

    #[test]
    fn only_the_very_token_lets_in_and_no_longer_than_it_is_kept() {
        run(async {
            let access = Access::new(Held { listen: Some(at(7)), ..Held::default() });
            let (reader, actor) = (Secret::new().expect("random"), Secret::new().expect("random"));
            access.add(name("r"), Right::Read, reader.sha256(), Wall(1)).expect("new");
            access.add(name("a"), Right::Act, actor.sha256(), Wall(1)).expect("new");
            let right = |shown: &str| access.admit(at(7), shown.as_bytes()).map(|pass| pass.right);
            assert_eq!((right(reader.reveal()), right(actor.reveal())), (Some(Right::Read), Some(Right::Act)));
            let text = reader.reveal();
            for wrong in ["", "vigie_", &text[1..], &text[..text.len() - 1], &text.to_uppercase(), &format!("{text}0")]
            {
                assert_eq!(right(wrong), None, "{wrong}");
            }
            assert_eq!(right(&reader.sha256().to_string()), None, "what is kept is no token");
            let pass = access.admit(at(7), actor.reveal().as_bytes()).expect("a token");
            let waiting = access.revoked(&pass);
            access.remove(&name("r")).expect("there");
            let early = tokio::time::timeout(std::time::Duration::from_millis(5), access.revoked(&pass)).await;
            assert!(early.is_err(), "another one is gone");
            access.remove(&name("a")).expect("there");
            waiting.await;
            access.set_address(Some(at(8))).expect("a document");
            access.closed(at(7)).await;
        });
    }
}
