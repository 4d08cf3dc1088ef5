//! Tokens: 256 random bits, of which only the SHA-256 is ever kept.
//!
//! A plain hash is enough: there is nothing to guess about random bits, so there is nothing to slow down.

use ring::digest::{SHA256, digest};

use vigie_api::access::Digest;
use vigie_os::error::OsError;

/// How every token begins, so that people and scanners know what they found.
const PREFIX: &str = "vigie_";

/// A token. Its `Debug` does not show it.
pub struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// Where the kernel has no getrandom(2).
    pub fn new() -> Result<Self, OsError> {
        let mut text = PREFIX.to_owned();
        for _ in 0..4 {
            text.push_str(&format!("{:016x}", vigie_os::random::u64()?));
        }
        Ok(Self(text))
    }

    /// It, to be shown once to whoever asked for it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn sha256(&self) -> Digest {
        sha256(self.0.as_bytes())
    }
}

/// What would be kept of a token that somebody shows.
pub(super) fn sha256(token: &[u8]) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, token).as_ref());
    Digest(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_are_not_shown_by_chance() {
        let (one, other) = (Secret::new().expect("random"), Secret::new().expect("random"));
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(one.reveal().len(), PREFIX.len() + 64);
        assert!(!format!("{one:?}").contains(&one.reveal()[PREFIX.len()..]));
    }

    /// The second example of FIPS 180-2.
    #[test]
    fn the_digest_is_sha_256() {
        assert_eq!(
            sha256(b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq").to_string(),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        );
    }
}
