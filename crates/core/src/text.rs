//! Bytes that are usually text: arguments, environment values and paths of Unix, which may hold anything but NUL.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Bytes that travel in JSON as a string when they are UTF-8 and as an array of numbers when not, so that nothing is
/// lost and people can still read it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(from = "Repr", into = "Repr")]
pub struct OsText(pub Vec<u8>);

#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
enum Repr {
    Text(String),
    Bytes(Vec<u8>),
}

impl From<Repr> for OsText {
    fn from(repr: Repr) -> Self {
        match repr {
            Repr::Text(text) => Self(text.into_bytes()),
            Repr::Bytes(bytes) => Self(bytes),
        }
    }
}

impl From<OsText> for Repr {
    fn from(text: OsText) -> Self {
        String::from_utf8(text.0).map_or_else(|error| Repr::Bytes(error.into_bytes()), Repr::Text)
    }
}

impl OsText {
    /// For calls to the system.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }

    /// For calls to the system.
    pub fn as_path(&self) -> &Path {
        Path::new(self.as_os_str())
    }
}

impl From<&str> for OsText {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<String> for OsText {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<OsString> for OsText {
    fn from(text: OsString) -> Self {
        Self(text.into_vec())
    }
}

impl From<PathBuf> for OsText {
    fn from(path: PathBuf) -> Self {
        Self(path.into_os_string().into_vec())
    }
}

impl From<&Path> for OsText {
    fn from(path: &Path) -> Self {
        Self(path.as_os_str().as_bytes().to_vec())
    }
}

/// For people: control characters and what is not UTF-8 are escaped, so that a hostile name cannot move the cursor.
impl fmt::Display for OsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(&self.0, f)
    }
}

impl fmt::Debug for OsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Writes bytes for people: `\n` and other control characters escaped, invalid UTF-8 as `\xNN`.
///
/// # Errors
/// Those of the writer.
pub fn escape(bytes: &[u8], out: &mut impl fmt::Write) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            // U+2028.. and the bidirectional controls would let a name rewrite the line that it stands in.
            let unsafe_to_show = c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
            if unsafe_to_show { write!(out, "{}", c.escape_default())? } else { out.write_char(c)? }
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

/// [`escape`] into a new string.
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    // Writing into a `String` cannot fail.
    let _ = escape(bytes, &mut text);
    text
}

/// A word of a command that somebody may paste into a shell: quoted unless it is plain, so that the name of a folder is
/// never more than a name. What cannot be shown is [`escaped`], and then names nothing.
pub fn quoted(bytes: &[u8]) -> String {
    let text = escaped(bytes);
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@,+%".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// So alike two words are (Jaro and Winkler, 1 for the same) that one may be meant by the other: `lopy` and `loopy` are 0.95,
/// `apo` and `api` 0.82, `pi` and `nas` 0.
const LIKE: f64 = 0.8;

/// The known word that someone who wrote `word` may have meant.
pub fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    // Similarity is quadratic in the length, and no known word is that long.
    if word.len() > 64 {
        return None;
    }
    known
        .map(|known| (strsim::jaro_winkler(word, known), known))
        .filter(|(similarity, _)| *similarity > LIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_every_byte() {
        for bytes in [b"plain".as_slice(), b"new\nline", b"\xff\xfe", b""] {
            let text = OsText(bytes.to_vec());
            let json = serde_json::to_string(&text).expect("serializable");
            assert_eq!(serde_json::from_str::<OsText>(&json).expect("readable"), text, "{json}");
        }
    }

    #[test]
    fn hostile_names_cannot_draw() {
        assert_eq!(escaped(b"a\x1b[2J\nb\xff\xe2\x80\xae"), "a\\u{1b}[2J\\nb\\xff\\u{202e}");
    }

    #[test]
    fn what_may_be_meant() {
        let known = ["api", "loopy", "nas"];
        for (word, meant) in [("apo", Some("api")), ("lopy", Some("loopy")), ("pi", None), ("api", Some("api"))] {
            assert_eq!(nearest(word, known.into_iter()), meant, "{word}");
        }
        assert_eq!(nearest(&"a".repeat(65), known.into_iter()), None);
    }

    #[test]
    fn a_pasted_name_is_one_word() {
        assert_eq!(quoted(b"/mnt/nas-1"), "/mnt/nas-1");
        assert_eq!(quoted(b"/mnt/a; rm -rf ~"), "'/mnt/a; rm -rf ~'");
        assert_eq!(quoted(b"/mnt/$(id)'`id`"), r"'/mnt/$(id)'\''`id`'");
        assert_eq!(quoted(b"a\nb"), r"'a\nb'");
        assert_eq!(quoted(b""), "''");
    }
}
