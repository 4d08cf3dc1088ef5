//! What every reader of a value shares: the source with its errors, and the variables that are visible.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::DeValue;

use super::error::{ManifestError, Source};
use super::expand::{Fault, Lookup, What, expand};
use crate::text::OsText;

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// There is none.
    #[error("there is no such file")]
    Missing,
    /// Anything else, in words.
    #[error("{0}")]
    Unreadable(String),
}

/// The world around a manifest, which the reader itself never touches.
pub struct Surroundings<'a> {
    /// The canonical folder of the project. Relative paths in the manifest start here.
    pub dir: &'a Path,
    /// The manifest file, as it was found. Errors name it so.
    pub manifest: &'a Path,
    /// A variable of the process environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a file. The path is absolute.
    pub file: &'a dyn Fn(&Path) -> Result<String, FileError>,
}

/// Variables that some part of the manifest defines for the strings within it.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub(super) vars: BTreeMap<String, String>,
    /// Some could not be read. A variable that is not found may be one of them, so nothing is said about it.
    pub(super) incomplete: bool,
}

/// Collects errors while values are read.
pub(super) struct Reader<'a> {
    pub(super) around: &'a Surroundings<'a>,
    source: Source<'a>,
    layers: Vec<Layer>,
    errors: Vec<ManifestError>,
    /// Keys may be missing because their line was not understood.
    pub(super) has_syntax_errors: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, around: &'a Surroundings<'a>) -> Self {
        let source = Source { file: OsText::from(around.manifest), text };
        Self { around, source, layers: Vec::new(), errors: Vec::new(), has_syntax_errors: false }
    }

    /// All errors, sorted by place; those of other files last.
    pub(super) fn into_errors(self) -> Vec<ManifestError> {
        let mut errors = self.errors;
        errors.sort_by(|a, b| {
            let foreign = |error: &ManifestError| error.file != self.source.file;
            (foreign(a), &a.file, a.place, &a.message).cmp(&(foreign(b), &b.file, b.place, &b.message))
        });
        errors.dedup();
        errors
    }

    pub(super) fn error(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.errors.push(self.source.error(span, message.into(), None));
    }

    pub(super) fn error_hint(&mut self, span: Range<usize>, message: impl Into<String>, hint: impl Into<String>) {
        self.errors.push(self.source.error(span, message.into(), Some(hint.into())));
    }

    /// Takes errors that were made before.
    pub(super) fn report(&mut self, errors: Vec<ManifestError>) {
        self.errors.extend(errors);
    }

    /// `duration must be a string, not an integer`
    pub(super) fn wrong_type(&mut self, value: &Spanned<DeValue<'_>>, wanted: &str, hint: Option<&str>) {
        let is = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        let message = format!("expected {wanted}, found {is}");
        self.errors.push(self.source.error(value.span(), message, hint.map(str::to_owned)));
    }

    /// Runs `read` with what it adds to the visible variables taken away afterwards.
    pub(super) fn scoped<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let depth = self.layers.len();
        let value = read(self);
        self.layers.truncate(depth);
        value
    }

    /// Makes variables visible until the end of the scope; they hide those of the same name.
    pub(super) fn add_layer(&mut self, layer: Layer) {
        self.layers.push(layer);
    }

    /// A string with its variables replaced. `None`: an error was reported, now or where a variable comes from.
    pub(super) fn text(&mut self, value: &Spanned<DeValue<'_>>, wanted: &str) -> Option<String> {
        let DeValue::String(raw) = value.get_ref() else {
            self.wrong_type(value, wanted, None);
            return None;
        };
        match self.attempt(value.span(), raw, expand) {
            Ok(text) => Some(text),
            Err(errors) => {
                self.report(errors);
                None
            }
        }
    }

    /// Runs `parse` over a string with the visible variables, and gives its faults their places.
    pub(super) fn attempt<T>(
        &self,
        span: Range<usize>,
        raw: &str,
        parse: impl FnOnce(&str, &Lookup<'_>, &mut Vec<Fault>) -> T,
    ) -> Result<T, Vec<ManifestError>> {
        let mut faults = Vec::new();
        if let Some(nul) = raw.find('\0') {
            faults.push(Fault::new(nul..nul + 1, "a string for a program cannot hold a NUL", None));
        }
        let parsed = parse(raw, &|name| self.variable(name), &mut faults);
        if faults.is_empty() {
            return Ok(parsed);
        }
        // Without escapes the string stands in the source as it is, after its quotes.
        let inner = self.source.text.get(span.clone()).and_then(|written| written.find(raw));
        let incomplete = self.layers.iter().any(|layer| layer.incomplete);
        let errors = faults.into_iter().filter_map(|fault| {
            let place = inner.map_or(span.clone(), |inner| {
                let start = span.start + inner;
                start + fault.at.start..start + fault.at.end
            });
            let (message, hint) = match fault.what {
                What::Unset(_) if incomplete => return None,
                What::Unset(name) => {
                    let hint = format!("set it, or write ${{{name}:-default}}");
                    (format!("the variable `{name}` is unset and has no default"), Some(hint))
                }
                What::Other(message, hint) => (message, hint),
            };
            Some(self.source.error(place, message, hint))
        });
        Err(errors.collect())
    }

    fn variable(&self, name: &str) -> Option<String> {
        let of_manifest = self.layers.iter().rev().find_map(|layer| layer.vars.get(name));
        of_manifest.cloned().or_else(|| (self.around.env)(name))
    }
}
