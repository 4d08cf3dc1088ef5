//! Where the API is served beside the Unix socket, and to whom (R12.1, R12.4): `vigie api --json`, `GET` and `POST
//! /v1/access`.
//!
//! A token is 256 random bits. Whoever makes one, the command, shows it once; the daemon gets and keeps its SHA-256 alone.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use vigie_core::launch::Origin;
use vigie_core::name::Name;

use crate::time::Millis;

/// So many tokens there may be.
pub const MOST_TOKENS: usize = 64;

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// To look: every `GET`.
    Read,
    /// Also to act: every `POST` but those that change tokens. It can start programs as the user.
    Act,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Act => "act",
        })
    }
}

/// The SHA-256 of a token, as 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^[0-9a-fA-F]{64}$")))]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that is no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 hexadecimal digits")]
pub struct DigestError;

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let mut bytes = [0; 32];
        if text.len() != 64 {
            return Err(DigestError);
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digit = |digit: u8| (digit as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            *byte = digit(pair[0]).ok_or(DigestError)? << 4 | digit(pair[1]).ok_or(DigestError)?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

/// Where the API is served, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Access {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// Where it is to be served beside the Unix socket; absent: nowhere.
    pub listen: Option<SocketAddr>,
    /// Whether it is served there now; absent where there is nothing to serve, or no daemon to ask.
    pub listening: Option<bool>,
    /// Why it is not.
    pub why: Option<String>,
    /// All tokens, by name.
    pub tokens: Vec<Token>,
}

/// A token, without itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "AccessToken"))]
pub struct Token {
    /// What it is called.
    pub name: Name,
    /// What it allows.
    pub right: Right,
    /// When it was made.
    pub since: Millis,
}

/// What somebody wants of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "AccessRequest"))]
pub struct Request {
    /// What.
    pub change: Change,
    /// By whom.
    pub origin: Origin,
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "AccessChange"))]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Serve it there, on a loopback address; port 0: at any port that is free, the same one ever after.
    Listen(SocketAddr),
    /// Serve it over the Unix socket alone.
    Off,
    /// A new token.
    AddToken {
        /// What it is called.
        name: Name,
        /// What it allows.
        right: Right,
        /// Its SHA-256.
        sha256: Digest,
    },
    /// A token is worth nothing from now on.
    RemoveToken(Name),
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::clock::Wall;

    #[test]
    fn digests_are_read_back_and_never_shown() {
        let text = "00ff".repeat(16);
        let digest: Digest = text.parse().expect("a digest");
        assert_eq!((digest.to_string(), format!("{digest:?}")), (text.clone(), "Digest(…)".to_owned()));
        for bad in ["", "00", &text[1..], &format!("{}x", &text[1..]), &"é".repeat(32), &text.replace('f', "+")] {
            assert_eq!(bad.parse::<Digest>(), Err(DigestError), "{bad}");
        }
    }

    #[test]
    fn the_shape_of_access() {
        let access = Access {
            schema: crate::SCHEMA,
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 9))),
            listening: None,
            why: None,
            tokens: vec![Token {
                name: Name::new("grafana").expect("a name"),
                right: Right::Read,
                since: Millis(Wall(0)),
            }],
        };
        let text = serde_json::to_string(&access).expect("encodes");
        assert_eq!(
            text,
            "{\"schema\":1,\"listen\":\"127.0.0.1:9\",\"listening\":null,\"why\":null,\"tokens\":[{\"name\":\"grafana\",\
             \"right\":\"read\",\"since\":\"1970-01-01T00:00:00.000Z\"}]}"
        );
        assert_eq!(serde_json::from_str::<Access>(&text).expect("reads"), access);
        let change: Change = serde_json::from_str("{\"listen\":\"[::1]:0\"}").expect("reads");
        assert_eq!(change, Change::Listen("[::1]:0".parse().expect("an address")));
    }
}
