//! One definition per TOML table: what is parsed, which keys are known, the schema and what `config show` prints all
//! come from it, so that they cannot drift apart.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map as JsonMap, Value as Json, json};
use toml::Spanned;
use toml::de::DeValue;

use super::reader::Reader;
use super::shown::Shown;
use crate::text::nearest;

/// Something that can stand behind a key.
pub(super) trait Value: Sized {
    /// Reads it. `None`: an error was reported.
    fn read(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self>;
    /// What an editor may know about it (JSON schema, draft 2020-12).
    fn schema() -> Json;
    /// As `config show` prints it.
    fn show(&self) -> Shown;
}

/// A value with the bytes of the manifest that it stands in.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

impl<T> At<T> {
    /// For values that do not come from a text.
    pub(super) fn nowhere(value: T) -> Self {
        Self { value, span: 0..0 }
    }
}

impl<T: Value> Value for At<T> {
    fn read(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        Some(Self { value: T::read(reader, value)?, span: value.span() })
    }

    fn schema() -> Json {
        T::schema()
    }

    fn show(&self) -> Shown {
        self.value.show()
    }
}

/// What becomes of a key that is not written.
pub(super) enum Need<T> {
    /// It stays absent.
    Optional,
    /// That is an error.
    Required,
    /// It has this value.
    Default(T),
}

/// The value of a key.
#[derive(Debug, Clone)]
pub(super) struct Field<T> {
    /// Absent: not written and without default, or written and wrong (then an error was reported).
    pub(super) value: Option<T>,
    /// Where it is written, else its table.
    pub(super) span: Range<usize>,
    /// Whether it is in the manifest.
    pub(super) written: bool,
}

impl<T> Field<T> {
    /// Not in the manifest; `span` is the table that it is missing from.
    pub(super) fn unwritten(need: Need<T>, span: Range<usize>) -> Self {
        let value = match need {
            Need::Optional | Need::Required => None,
            Need::Default(value) => Some(value),
        };
        Self { value, span, written: false }
    }

    /// For values that do not come from a text.
    pub(super) fn of(value: T) -> Self {
        Self { value: Some(value), span: 0..0, written: false }
    }

    /// Written, but wrong: nothing more can be said about it.
    pub(super) fn is_broken(&self) -> bool {
        self.written && self.value.is_none()
    }

    /// `Some(None)` when there is none, `None` when it is broken.
    pub(super) fn optional(self) -> Option<Option<T>> {
        if self.is_broken() { None } else { Some(self.value) }
    }
}

/// The entries of a TOML table, taken out one by one.
pub(super) struct Entries<'d, 'i> {
    span: Range<usize>,
    values: BTreeMap<&'d str, &'d Spanned<DeValue<'i>>>,
}

impl<'d, 'i> Entries<'d, 'i> {
    /// Checks that it is a table and that all its keys are known. `refused` are keys that someone may well try, each
    /// with the reason why it is none.
    pub(super) fn open(
        reader: &mut Reader<'_>,
        value: &'d Spanned<DeValue<'i>>,
        known: &[&str],
        refused: &[(&str, &str)],
    ) -> Option<Self> {
        let DeValue::Table(table) = value.get_ref() else {
            reader.wrong_type(value, "a table", None);
            return None;
        };
        let mut values = BTreeMap::new();
        for (key, value) in table.iter() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                values.insert(name, value);
            } else if let Some((_, why)) = refused.iter().find(|(refused, _)| *refused == name) {
                reader.error_hint(key.span(), format!("`{name}` is no key here"), *why);
            } else if let Some(near) = nearest(name, known.iter().copied()) {
                reader.error(key.span(), format!("unknown key `{name}`; did you mean `{near}`?"));
            } else {
                let hint = format!("this version knows {}", known.join(", "));
                reader.error_hint(key.span(), format!("unknown key `{name}`"), hint);
            }
        }
        Some(Self { span: value.span(), values })
    }

    /// Reads one key.
    pub(super) fn field<T: Value>(&mut self, reader: &mut Reader<'_>, key: &str, need: Need<T>) -> Field<T> {
        if let Some(value) = self.values.remove(key) {
            return Field { value: T::read(reader, value), span: value.span(), written: true };
        }
        if matches!(need, Need::Required) && !reader.has_syntax_errors {
            reader.error(self.span.clone(), format!("the key `{key}` is missing"));
        }
        Field::unwritten(need, self.span.clone())
    }
}

/// The schema of one key.
pub(super) fn key_schema<T: Value>(doc: &str, need: &Need<T>) -> Json {
    let mut schema = T::schema();
    schema["description"] = json!(doc);
    if let Need::Default(default) = need {
        schema["default"] = default.show().json();
    }
    schema
}

/// The schema of a table with these keys; each with its schema and whether it must be there.
pub(super) fn table_schema(doc: &str, keys: Vec<(&str, Json, bool)>) -> Json {
    let required: Vec<&str> = keys.iter().filter(|(.., required)| *required).map(|(key, ..)| *key).collect();
    let properties: JsonMap<String, Json> = keys.into_iter().map(|(key, schema, _)| (key.to_owned(), schema)).collect();
    let mut schema =
        json!({"type": "object", "description": doc, "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// The text of a doc comment.
pub(super) fn doc(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// The key that an identifier of Rust stands for: `match` is a word of the language.
pub(super) const fn key(identifier: &'static str) -> &'static str {
    match identifier.as_bytes() {
        [b'r', b'#', ..] => identifier.split_at(2).1,
        _ => identifier,
    }
}

/// Defines a table. Keys are read in the order in which they stand here: what defines variables comes first.
macro_rules! table {
    (
        $(#[doc = $doc:literal])*
        $name:ident {
            $( $(#[doc = $key_doc:literal])* $key:ident: $type:ty, $need:ident $(($default:expr))?; )*
        }
        $(refuses { $($refused:literal: $why:literal,)* })?
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone)]
        pub(super) struct $name {
            $( $(#[doc = $key_doc])* pub(super) $key: $crate::manifest::table::Field<$type>, )*
        }

        /// As if no key was written.
        impl Default for $name {
            fn default() -> Self {
                use $crate::manifest::table::{Field, Need};
                Self { $( $key: Field::unwritten(Need::$need $(($default))?, 0..0), )* }
            }
        }

        impl $crate::manifest::table::Value for $name {
            fn read(
                reader: &mut $crate::manifest::reader::Reader<'_>,
                value: &::toml::Spanned<::toml::de::DeValue<'_>>,
            ) -> Option<Self> {
                use $crate::manifest::table::{Entries, Need, key};
                let known = &[$(key(stringify!($key))),*];
                let refused = &[$($(($refused, $why)),*)?];
                let mut entries = Entries::open(reader, value, known, refused)?;
                Some(Self { $( $key: entries.field(reader, key(stringify!($key)), Need::$need $(($default))?), )* })
            }

            fn schema() -> ::serde_json::Value {
                use $crate::manifest::table::{Need, doc, key, key_schema, table_schema};
                table_schema(&doc(&[$($doc),*]), vec![$({
                    let need: Need<$type> = Need::$need $(($default))?;
                    let schema = key_schema(&doc(&[$($key_doc),*]), &need);
                    (key(stringify!($key)), schema, matches!(need, Need::Required))
                }),*])
            }

            fn show(&self) -> $crate::manifest::shown::Shown {
                use $crate::manifest::table::key;
                let mut entries = Vec::new();
                $(
                    if let Some(value) = &self.$key.value {
                        entries.push((key(stringify!($key)).to_owned(), $crate::manifest::table::Value::show(value)));
                    }
                )*
                $crate::manifest::shown::Shown::Table(entries)
            }
        }
    };
}

pub(super) use table;
