//! Values about programs: commands, environments, paths, addresses, expressions.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::DeValue;

use super::envfile;
use super::error::ManifestError;
use super::expand::expand;
use super::reader::{FileError, Layer, Reader};
use super::shown::Shown;
use super::split::split;
use super::table::Value;
use super::values::{List, Text};

/// A command as it is written.
#[derive(Debug, Clone)]
pub(super) enum Command {
    /// Program and arguments.
    Words(Vec<String>),
    /// One string. Whether it is split or given to a shell, another key decides; so both are at hand, with what would
    /// be wrong with them.
    Line { words: Result<Vec<String>, Vec<ManifestError>>, text: Result<String, Vec<ManifestError>> },
}

impl Value for Command {
    fn read(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Array(_) => {
                let words: Vec<String> =
                    List::<Text>::read(reader, value)?.values().into_iter().map(|word| word.0).collect();
                if words.first().is_none_or(String::is_empty) {
                    reader.error(value.span(), "the command is empty");
                    return None;
                }
                Some(Self::Words(words))
            }
            DeValue::String(raw) => {
                if raw.trim().is_empty() {
                    reader.error(value.span(), "the command is empty");
                    return None;
                }
                let words = reader.attempt(value.span(), raw, split);
                Some(Self::Line { words, text: reader.attempt(value.span(), raw, expand) })
            }
            _ => {
                reader.wrong_type(value, "an array of strings, or a string", None);
                None
            }
        }
    }

    fn schema() -> Json {
        json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]})
    }

    fn show(&self) -> Shown {
        match self {
            Self::Words(words) | Self::Line { words: Ok(words), .. } => {
                Shown::List(words.iter().cloned().map(Shown::Text).collect())
            }
            Self::Line { words: Err(_), .. } => Shown::List(Vec::new()),
        }
    }
}

impl Command {
    /// The words of a command that no shell runs.
    pub(super) fn words(self, reader: &mut Reader<'_>, span: &std::ops::Range<usize>) -> Option<Vec<String>> {
        match self {
            Self::Words(words) => Some(words),
            Self::Line { words: Ok(words), .. } if words.first().is_none_or(String::is_empty) => {
                reader.error(span.clone(), "the command is empty");
                None
            }
            Self::Line { words: Ok(words), .. } => Some(words),
            Self::Line { words: Err(errors), .. } => {
                reader.report(errors);
                None
            }
        }
    }
}

/// Variables with their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Env(pub(super) BTreeMap<String, String>);

/// The strings that are read after it see its variables.
impl Value for Env {
    fn read(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        let DeValue::Table(table) = value.get_ref() else {
            reader.wrong_type(value, "a table", None);
            reader.add_layer(Layer { incomplete: true, ..Layer::default() });
            return None;
        };
        let mut layer = Layer::default();
        for (key, value) in table.iter() {
            let name: &str = key.get_ref();
            if name.is_empty() || name.contains(['=', '\0']) {
                reader.error(key.span(), format!("{name:?} cannot be the name of a variable"));
                layer.incomplete = true;
                continue;
            }
            match reader.text(value, "a string in quotes") {
                Some(text) => drop(layer.vars.insert(name.to_owned(), text)),
                None => layer.incomplete = true,
            }
        }
        let read = if layer.incomplete { None } else { Some(Self(layer.vars.clone())) };
        reader.add_layer(layer);
        read
    }

    fn schema() -> Json {
        json!({"type": "object", "additionalProperties": {"type": "string"}})
    }

    fn show(&self) -> Shown {
        Shown::Table(self.0.iter().map(|(key, value)| (key.clone(), Shown::Text(value.clone()))).collect())
    }
}

/// The variables of all env files of a service, later files first.
#[derive(Debug, Clone, Default)]
pub(super) struct EnvFiles(pub(super) BTreeMap<String, String>);

/// The strings that are read after it see its variables.
impl Value for EnvFiles {
    fn read(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        let mut layer = Layer::default();
        match value.get_ref() {
            DeValue::Array(files) => files.iter().for_each(|file| env_file(reader, file, &mut layer)),
            DeValue::String(_) => env_file(reader, value, &mut layer),
            _ => {
                reader.wrong_type(value, "a path, or an array of paths", None);
                layer.incomplete = true;
            }
        }
        let read = if layer.incomplete { None } else { Some(Self(layer.vars.clone())) };
        reader.add_layer(layer);
        read
    }

    fn schema() -> Json {
        json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
    }

    /// The variables are shown where they have come to be: in `env`.
    fn show(&self) -> Shown {
        Shown::List(Vec::new())
    }
}

fn env_file(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>, layer: &mut Layer) {
    let Some(written) = reader.text(value, "a path") else {
        layer.incomplete = true;
        return;
    };
    let (written, may_miss) = written.strip_prefix('?').map_or((written.as_str(), false), |path| (path, true));
    if written.is_empty() {
        layer.incomplete = true;
        return reader.error(value.span(), "the path is empty");
    }
    let path = absolute(reader, written);
    match (reader.around.file)(&path) {
        Err(FileError::Missing) if may_miss => {}
        Err(error) => {
            layer.incomplete = true;
            let message = format!("cannot read env file {}: {error}", path.display());
            match error {
                FileError::Missing => {
                    reader.error_hint(value.span(), message, "if it may be missing, write \"?\" before its path");
                }
                FileError::Unreadable(_) => reader.error(value.span(), message),
            }
        }
        Ok(text) => {
            let (pairs, faults) = envfile::parse(&text);
            layer.vars.extend(pairs);
            layer.incomplete |= !faults.is_empty();
            let file = crate::text::OsText::from(path);
            let errors = faults.into_iter().map(|(line, message)| ManifestError::at_line(file.clone(), line, message));
            reader.report(errors.collect());
        }
    }
}

/// A path. Relative ones start at the project's folder, `~/` is the home folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location(pub(super) PathBuf);

impl Value for Location {
    fn read(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        let text = reader.text(value, "a path")?;
        if text.is_empty() {
            reader.error(value.span(), "the path is empty");
            return None;
        }
        Some(Self(absolute(reader, &text)))
    }

    fn schema() -> Json {
        json!({"type": "string"})
    }

    fn show(&self) -> Shown {
        Shown::Text(self.0.to_string_lossy().into_owned())
    }
}

impl Location {
    /// As a manifest in `dir` would name it; `None` when no string can.
    pub(super) fn within(path: &Path, dir: &Path) -> Option<Self> {
        let shown = match path.strip_prefix(dir) {
            Ok(rest) if rest.as_os_str().is_empty() => PathBuf::from("."),
            Ok(rest) => Path::new(".").join(rest),
            Err(_) => path.to_owned(),
        };
        shown.to_str().is_some().then_some(Self(shown))
    }
}

/// Joined to the project's folder, without `.` in it. `..` stays: only the kernel knows what is above a symlink.
fn absolute(reader: &Reader<'_>, written: &str) -> PathBuf {
    let home = written.strip_prefix("~/").and_then(|rest| Some(PathBuf::from((reader.around.env)("HOME")?).join(rest)));
    let path = reader.around.dir.join(home.unwrap_or_else(|| PathBuf::from(written)));
    path.components().filter(|component| *component != Component::CurDir).collect()
}
