//! Values on their way out: as TOML for `config show`, as JSON for the defaults in the schema.

use serde_json::{Value as Json, json};

/// A value to be shown.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shown {
    /// A string; a dollar in it is a dollar.
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Shown>),
    /// Keys in the order in which they are shown.
    Table(Vec<(String, Shown)>),
}

impl Shown {
    pub(super) fn json(&self) -> Json {
        match self {
            Self::Text(text) => json!(text),
            Self::Integer(number) => json!(number),
            // 2.0 and 2 are the same in a schema; the shorter one is what people write.
            Self::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => json!(*number as i64),
            Self::Float(number) => json!(number),
            Self::Boolean(is) => json!(is),
            Self::List(items) => Json::Array(items.iter().map(Shown::json).collect()),
            Self::Table(entries) => {
                Json::Object(entries.iter().map(|(key, value)| (key.clone(), value.json())).collect())
            }
        }
    }

    /// As a TOML value on one line.
    fn inline(&self) -> String {
        match self {
            Self::Text(text) => quote(&text.replace('$', "$$")),
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => format!("{number:?}"),
            Self::Boolean(is) => is.to_string(),
            Self::List(items) => format!("[{}]", items.iter().map(Shown::inline).collect::<Vec<_>>().join(", ")),
            Self::Table(entries) if entries.is_empty() => "{}".to_owned(),
            Self::Table(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| format!("{} = {}", bare_or_quoted(key), value.inline()))
                    .collect();
                format!("{{ {} }}", entries.join(", "))
            }
        }
    }

    /// Whether it is shown under headers of its own (`[service.api]`): a table of nothing but tables.
    fn is_group(&self) -> bool {
        match self {
            Self::Table(entries) => {
                !entries.is_empty() && entries.iter().all(|(_, value)| matches!(value, Self::Table(_)))
            }
            _ => false,
        }
    }
}

/// A whole document: every table of `entries` under a header or, when it holds only tables, each of those.
pub(super) fn document(entries: &[(String, Shown)]) -> String {
    let mut out = String::new();
    for (key, value) in entries {
        let path = bare_or_quoted(key);
        match value {
            value if value.is_group() => group(&path, value, &mut out),
            Shown::Table(entries) => section(&path, entries, &mut out),
            value => out.push_str(&format!("{path} = {}\n", value.inline())),
        }
    }
    out
}

fn group(path: &str, group: &Shown, out: &mut String) {
    let Shown::Table(members) = group else { return };
    for (key, member) in members {
        if let Shown::Table(entries) = member {
            section(&format!("{path}.{}", bare_or_quoted(key)), entries, out);
        }
    }
}

fn section(path: &str, entries: &[(String, Shown)], out: &mut String) {
    if !out.is_empty() {
        out.push('\n');
    }
    out.push_str(&format!("[{path}]\n"));
    for (key, value) in entries.iter().filter(|(_, value)| !value.is_group()) {
        out.push_str(&format!("{} = {}\n", bare_or_quoted(key), value.inline()));
    }
    // Headers come last: everything after one belongs to it.
    for (key, value) in entries.iter().filter(|(_, value)| value.is_group()) {
        group(&format!("{path}.{}", bare_or_quoted(key)), value, out);
    }
}

fn bare_or_quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if bare { key.to_owned() } else { quote(key) }
}

/// A basic TOML string.
fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_laid_out_by_headers() {
        let text = |text: &str| Shown::Text(text.to_owned());
        let table = |entries: Vec<(&str, Shown)>| {
            Shown::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
        };
        let service = table(vec![
            ("env", table(vec![("A B", text("a \"$\u{1}\n"))])),
            ("mode", table(vec![("x.y", table(vec![("args", Shown::List(vec![text("a"), Shown::Float(2.0)]))]))])),
            ("after", table(vec![])),
        ]);
        let entries = [
            ("project".to_owned(), table(vec![("name", text("p"))])),
            ("service".to_owned(), table(vec![("api", service)])),
        ];
        assert_eq!(
            document(&entries),
            "[project]\nname = \"p\"\n\n[service.api]\nenv = { \"A B\" = \"a \\\"$$\\u0001\\n\" }\nafter = {}\n\n\
             [service.api.mode.\"x.y\"]\nargs = [\"a\", 2.0]\n"
        );
    }
}
