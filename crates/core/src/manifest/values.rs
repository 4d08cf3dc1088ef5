//! Values that stand behind keys: numbers, durations, sizes, words, lists, maps.

use std::str::FromStr;

use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::DeValue;

use super::reader::Reader;
use super::shown::Shown;
use super::table::{At, Value};
use crate::claim::PortClaim;
use crate::ladder::Rung;
use crate::name::Name;
use crate::text::nearest;
use crate::units::{Span, format_size, parse_duration, parse_size};

/// A string with variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

/// A number of bytes, written `64MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

/// An enum whose values are words.
pub(super) trait Word: Copy + PartialEq + 'static {
    /// Each value with its word and what it means.
    const WORDS: &'static [(Self, &'static str, &'static str)];
}

/// A list of values.
#[derive(Debug, Clone)]
pub(super) struct List<T>(pub(super) Vec<At<T>>);

/// A table whose keys are names, in the order in which they are written.
#[derive(Debug, Clone)]
pub(super) struct Map<V>(pub(super) Vec<(At<Name>, V)>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Default for Map<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> List<T> {
    /// For values that do not come from a text.
    pub(super) fn of(items: impl IntoIterator<Item = T>) -> Self {
        Self(items.into_iter().map(At::nowhere).collect())
    }

    /// Without the places.
    pub(super) fn values(self) -> Vec<T> {
        self.0.into_iter().map(|item| item.value).collect()
    }
}

impl Value for Text {
    fn read(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        reader.text(value, "a string").map(Self)
    }

    fn schema() -> Json {
        json!({"type": "string"})
    }

    fn show(&self) -> Shown {
        Shown::Text(self.0.clone())
    }
}

impl Value for bool {
    fn read(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        let is = value.get_ref().as_bool();
        if is.is_none() {
            reader.wrong_type(value, "true or false", None);
        }
        is
    }

    fn schema() -> Json {
        json!({"type": "boolean"})
    }

    fn show(&self) -> Shown {
        Shown::Boolean(*self)
    }
}

/// Reads an integer of any radix.
fn integer(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<i64> {
    let Some(number) = value.get_ref().as_integer() else {
        reader.wrong_type(value, "an integer", None);
        return None;
    };
    let parsed = i64::from_str_radix(number.as_str(), number.radix()).ok();
    if parsed.is_none() {
        reader.error(value.span(), format!("{number} is too large"));
    }
    parsed
}

/// Numbers from `$least` to `$most`. The type may be wider than what makes sense.
macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn read(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
                let number = integer(reader, value)?;
                let fitting = <$type>::try_from(number).ok();
                if fitting.is_none() {
                    let message = format!("{number} is not between {} and {}", <$type>::MIN, <$type>::MAX);
                    reader.error(value.span(), message);
                }
                fitting
            }

            fn schema() -> Json {
                match <$type>::MIN {
                    0 => json!({"type": "integer", "minimum": 0}),
                    _ => json!({"type": "integer"}),
                }
            }

            fn show(&self) -> Shown {
                i64::try_from(*self).map_or(Shown::Text(self.to_string()), Shown::Integer)
            }
        }
    )*};
}

integers!(u16, u32, u64, i32);

impl Value for f64 {
    fn read(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        let number = match value.get_ref() {
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::Integer(_) => return integer(reader, value).map(|number| number as f64),
            _ => {
                reader.wrong_type(value, "a number", None);
                return None;
            }
        };
        let finite = number.filter(|number: &f64| number.is_finite());
        if finite.is_none() {
            reader.error(value.span(), "this number is not finite");
        }
        finite
    }

    fn schema() -> Json {
        json!({"type": "number"})
    }

    fn show(&self) -> Shown {
        Shown::Float(*self)
    }
}

/// Reads a string with variables and parses what comes out.
fn parsed<T, E: std::fmt::Display>(
    reader: &mut Reader<'_>,
    value: &Spanned<DeValue<'_>>,
    wanted: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let text = reader.text(value, wanted)?;
    match parse(&text) {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            reader.error(value.span(), error.to_string());
            None
        }
    }
}

impl Value for Span {
    fn read(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        parsed(reader, value, "a duration such as \"5s\"", parse_duration).map(Self)
    }

    fn schema() -> Json {
        json!({"type": "string", "examples": ["250ms", "5s", "2m", "1m30s"]})
    }

    fn show(&self) -> Shown {
        Shown::Text(self.to_string())
    }
}

impl Value for Size {
    fn read(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        parsed(reader, value, "a size such as \"64MiB\"", parse_size).map(Self)
    }

    fn schema() -> Json {
        json!({"type": "string", "examples": ["512KiB", "64MiB", "1.5GiB"]})
    }

    fn show(&self) -> Shown {
        Shown::Text(format_size(self.0))
    }
}

impl Value for Rung {
    fn read(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        parsed(reader, value, "a rung such as \"TERM 10s\"", Rung::from_str)
    }

    fn schema() -> Json {
        json!({"type": "string", "examples": ["TERM 10s", "INT group 2s", "close-stdin 1s", "KILL 5s"]})
    }

    fn show(&self) -> Shown {
        Shown::Text(self.to_string())
    }
}

impl Value for PortClaim {
    fn read(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        if value.get_ref().is_integer() {
            let number = integer(reader, value)?;
            let claim = number.to_string().parse();
            if claim.is_err() {
                reader.error(value.span(), format!("{number} is not a port: they go from 1 to 65535"));
            }
            return claim.ok();
        }
        parsed(reader, value, "a port such as 8000 or \"5004/udp\"", PortClaim::from_str)
    }

    fn schema() -> Json {
        json!({"anyOf": [
            {"type": "integer", "minimum": 1, "maximum": 65535},
            {"type": "string", "examples": ["8000", "5004/udp", "127.0.0.1:8000", "[::1]:9000/tcp"]},
        ]})
    }

    fn show(&self) -> Shown {
        Shown::Text(self.to_string())
    }
}

impl Value for Name {
    fn read(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        let Some(text) = value.get_ref().as_str() else {
            reader.wrong_type(value, "a name", None);
            return None;
        };
        match Name::new(text) {
            Ok(name) => Some(name),
            Err(error) => {
                reader.error(value.span(), error.to_string());
                None
            }
        }
    }

    fn schema() -> Json {
        json!({"type": "string", "pattern": NAME_PATTERN})
    }

    fn show(&self) -> Shown {
        Shown::Text(self.as_str().to_owned())
    }
}

const NAME_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";

impl<T: Word> Value for T {
    fn read(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        let words = || T::WORDS.iter().map(|(_, word, _)| *word);
        let list = words().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        let Some(text) = value.get_ref().as_str() else {
            reader.wrong_type(value, &format!("one of {list}"), None);
            return None;
        };
        let found = T::WORDS.iter().find(|(_, word, _)| *word == text).map(|(value, ..)| *value);
        if found.is_none() {
            let message = match nearest(text, words()) {
                Some(near) => format!("unknown value \"{text}\"; did you mean \"{near}\"?"),
                None => format!("unknown value \"{text}\""),
            };
            reader.error_hint(value.span(), message, format!("it is one of {list}"));
        }
        found
    }

    fn schema() -> Json {
        let words = T::WORDS.iter().map(|(_, word, doc)| json!({"const": word, "description": doc}));
        json!({"type": "string", "oneOf": words.collect::<Vec<_>>()})
    }

    fn show(&self) -> Shown {
        let word = T::WORDS.iter().find(|(value, ..)| value == self).map_or("", |(_, word, _)| word);
        Shown::Text(word.to_owned())
    }
}

impl<T: Value> Value for List<T> {
    fn read(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        let DeValue::Array(array) = value.get_ref() else {
            reader.wrong_type(value, "an array", None);
            return None;
        };
        let items: Vec<Option<At<T>>> = array.iter().map(|item| At::read(reader, item)).collect();
        items.into_iter().collect::<Option<Vec<_>>>().map(Self)
    }

    fn schema() -> Json {
        json!({"type": "array", "items": T::schema()})
    }

    fn show(&self) -> Shown {
        Shown::List(self.0.iter().map(Value::show).collect())
    }
}

/// Entries that are wrong are left out: the errors are reported, and the others can still be checked.
impl<V: Value> Value for Map<V> {
    fn read(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        let DeValue::Table(table) = value.get_ref() else {
            reader.wrong_type(value, "a table", None);
            return None;
        };
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut map = Vec::new();
        for (key, value) in entries {
            let name = Name::new(key.get_ref());
            if let Err(error) = &name {
                reader.error(key.span(), error.to_string());
            }
            let value = reader.scoped(|reader| V::read(reader, value));
            if let (Ok(name), Some(value)) = (name, value) {
                map.push((At { value: name, span: key.span() }, value));
            }
        }
        Some(Self(map))
    }

    fn schema() -> Json {
        json!({"type": "object", "propertyNames": {"pattern": NAME_PATTERN}, "additionalProperties": V::schema()})
    }

    fn show(&self) -> Shown {
        Shown::Table(self.0.iter().map(|(name, value)| (name.value.to_string(), value.show())).collect())
    }
}
