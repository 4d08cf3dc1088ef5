//! What is wrong with a manifest, and where.

use std::fmt;
use std::ops::Range;

use crate::text::{OsText, escaped};

/// A place in a file, as editors count: both from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// One thing that is wrong with a manifest or with an env file that it names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ManifestError {
    /// The file, as it was named.
    pub file: OsText,
    /// Where in it.
    pub place: Place,
    /// What is wrong, on what.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// The line, for [`ManifestError::render`]. Absent for env files: they hold secrets.
    excerpt: Option<Excerpt>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Excerpt {
    line: String,
    /// In characters, at least 1.
    marked: usize,
}

/// `vigie.toml:12:7: unknown key …`, on one line, without the hint.
impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { line, column } = self.place;
        write!(f, "{}:{line}:{column}: {}", self.file, escaped(self.message.as_bytes()))
    }
}

impl ManifestError {
    /// An error at a line of a file that is not shown, such as an env file.
    pub(super) fn at_line(file: OsText, line: u32, message: String) -> Self {
        Self { file, place: Place { line, column: 1 }, message, hint: None, excerpt: None }
    }

    /// Several lines for people: the message, the line of the file with the place marked, and what to do.
    pub fn render(&self) -> String {
        let mut text = format!("{self}\n");
        let number = self.place.line.to_string();
        let margin = " ".repeat(number.len());
        if let Some(Excerpt { line, marked }) = &self.excerpt {
            // The line may hold control characters, which are shown longer than they are.
            let shown = |part: String| escaped(part.replace('\t', " ").as_bytes());
            let before = self.place.column as usize - 1;
            let indent = " ".repeat(shown(line.chars().take(before).collect()).chars().count());
            let carets = "^".repeat(shown(line.chars().skip(before).take(*marked).collect()).chars().count().max(1));
            text.push_str(&format!("{margin} |\n{number} | {}\n{margin} | {indent}{carets}\n", shown(line.clone())));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("{margin} = {}\n", escaped(hint.as_bytes())));
        }
        text
    }
}

/// A file with its text, to make errors from byte ranges.
pub(super) struct Source<'a> {
    pub(super) file: OsText,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// An error about a range of bytes, which may lie outside of the text or within a character.
    pub(super) fn error(&self, span: Range<usize>, message: String, hint: Option<String>) -> ManifestError {
        let start = floor_char(self.text, span.start);
        let end = floor_char(self.text, span.end).max(start);
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[line_start..].split('\n').next().unwrap_or_default();
        let line = line.strip_suffix('\r').unwrap_or(line).to_owned();
        let column = self.text[line_start..start].chars().count();
        let marked = self.text[start..end].split(['\n', '\r']).next().unwrap_or_default().chars().count();
        let count = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
        ManifestError {
            file: self.file.clone(),
            place: Place { line: count(before.matches('\n').count()), column: count(column) },
            message,
            hint,
            excerpt: Some(Excerpt { line, marked: marked.max(1) }),
        }
    }
}

fn floor_char(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_and_show_the_line() {
        let text = "a = 1\r\n\tä = \"ü\" # x\r\n";
        let source = Source { file: "vigie.toml".into(), text };
        let at = text.find("\"ü").expect("present");
        let error = source.error(at..at + 4, "wrong".to_owned(), Some("do better".to_owned()));
        assert_eq!(error.to_string(), "vigie.toml:2:6: wrong");
        assert_eq!(error.render(), "vigie.toml:2:6: wrong\n  |\n2 |  ä = \"ü\" # x\n  |      ^^^\n  = do better\n");
        assert_eq!(source.error(999..1000, String::new(), None).place, Place { line: 3, column: 1 });
        assert_eq!(source.error(9..9, String::new(), None).place, Place { line: 2, column: 2 });
    }

    #[test]
    fn a_hostile_line_cannot_move_the_cursor() {
        let text = "x = \"\u{1b}[2J\" y";
        let source = Source { file: "vigie.toml".into(), text };
        let rendered = source.error(text.len() - 1..text.len(), "m\u{1b}".to_owned(), None).render();
        assert!(!rendered.contains('\u{1b}'), "{rendered:?}");
        assert!(rendered.ends_with("             ^\n") || rendered.contains('^'));
    }
}
