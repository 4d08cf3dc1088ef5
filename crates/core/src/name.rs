//! Names of projects, services and modes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes: file names and socket folders are made of them.
pub const MAX_LEN: usize = 63;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a name: {why}")]
pub struct NameError {
    /// The text as it was given.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// A name: letters, digits, `.`, `_`, `-`; starts with a letter or digit; at most [`MAX_LEN`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")))]
#[serde(try_from = "String", into = "String")]
pub struct Name(Box<str>);

impl Name {
    /// Checks `text`.
    ///
    /// # Errors
    /// When it is empty, too long, starts with a sign or holds a character that is not allowed.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let error = |why| Err(NameError { text: text.to_owned(), why });
        if text.is_empty() {
            return error("it is empty");
        }
        if text.len() > MAX_LEN {
            return error("it is longer than 63 bytes");
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return error("it must start with a letter or a digit");
        }
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')) {
            return error("only letters, digits, '.', '_' and '-' are allowed");
        }
        Ok(Self(text.into()))
    }

    /// The nearest name to any text: characters that are not allowed become `-`. For folder names.
    pub fn lossy(text: &str) -> Self {
        let cleaned: String = text
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
            .skip_while(|c| !c.is_ascii_alphanumeric())
            .take(MAX_LEN)
            .collect();
        Self(if cleaned.is_empty() { "project".into() } else { cleaned.into() })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0.into()
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "api", "Api-2.x_y", "0"] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "a b", "a/b", "ä", "a\n", &"x".repeat(64)] {
            assert!(Name::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn any_folder_gives_a_name() {
        assert_eq!(Name::lossy("My Project (2)").as_str(), "My-Project--2-");
        assert_eq!(Name::lossy("…").as_str(), "project");
        assert!(Name::new(Name::lossy(&"ä".repeat(90)).as_str()).is_ok());
    }
}
