//! The schema: up to date in the repository, and true of the example manifests.

use std::path::{Path, PathBuf};

use super::super::{FileError, Surroundings, resolve, schema};
use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// `VIGIE_BLESS=1 cargo test -p vigie-core schema` writes it.
#[test]
fn the_schema_in_the_repository_is_up_to_date() {
    let path = repository("docs/vigie.schema.json");
    let text = format!("{:#}\n", schema());
    if std::env::var_os("VIGIE_BLESS").is_some() {
        std::fs::write(&path, &text).expect("docs can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "{} is old: run this test with VIGIE_BLESS=1", path.display());
}

#[test]
fn examples_keep_to_the_schema() {
    let mut seen = 0;
    for folder in std::fs::read_dir(repository("examples")).expect("examples") {
        let path = folder.expect("entry").path().join("vigie.toml");
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        seen += 1;
        assert!(text.starts_with("#:schema ../../docs/vigie.schema.json\n"), "{} names no schema", path.display());
        let table = DeTable::parse(&text).expect("toml");
        let faults = check(&schema(), &DeValue::Table(table.into_inner()), "");
        assert_eq!(faults, Vec::<String>::new(), "{}", path.display());
        let env = |_: &str| None;
        let file = |_: &Path| Err(FileError::Missing);
        let around = Surroundings { dir: Path::new("/srv/demo"), manifest: &path, env: &env, file: &file };
        let project = resolve(&text, &around).map_err(|errors| errors.iter().map(|e| e.render()).collect::<String>());
        assert!(project.as_ref().is_ok_and(|project| !project.services.is_empty()), "{project:?}");
    }
    assert!(seen > 0, "there is an example");
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    for (text, fault) in [
        ("service.a = {}", "service/a: command is missing"),
        ("[service.a]\ncommand = 5", "service/a/command: no alternative"),
        ("[service.a]\ncommand = 'x'\nfoo = 1", "service/a/foo: unknown"),
        ("[service.a]\ncommand = 'x'\nkind = 'foo'", "service/a/kind: no such word"),
        ("[service.a]\ncommand = 'x'\nready.status = 'x'", "service/a/ready/status: not an integer"),
    ] {
        let table = DeTable::parse(text).expect("toml");
        assert_eq!(check(&schema(), &DeValue::Table(table.into_inner()), ""), [fault], "{text}");
    }
}

/// As much of JSON schema as ours uses.
fn check(schema: &Json, value: &DeValue<'_>, path: &str) -> Vec<String> {
    if let Some(any) = schema["anyOf"].as_array() {
        let fits = any.iter().any(|schema| check(schema, value, path).is_empty());
        return if fits { vec![] } else { vec![format!("{path}: no alternative")] };
    }
    let wanted = schema["type"].as_str().expect("every schema has a type");
    let fits = match value {
        DeValue::String(_) => wanted == "string",
        DeValue::Integer(_) => wanted == "integer" || wanted == "number",
        DeValue::Float(_) => wanted == "number",
        DeValue::Boolean(_) => wanted == "boolean",
        DeValue::Datetime(_) => false,
        DeValue::Array(_) => wanted == "array",
        DeValue::Table(_) => wanted == "object",
    };
    if !fits {
        return vec![format!("{path}: not an {wanted}")];
    }
    if let (Some(words), Some(text)) = (schema["oneOf"].as_array(), value.as_str())
        && !words.iter().any(|word| word["const"] == text)
    {
        return vec![format!("{path}: no such word")];
    }
    let items = value.as_array().map(|array| array.iter().map(Spanned::get_ref).collect::<Vec<_>>());
    let mut faults: Vec<String> =
        items.unwrap_or_default().into_iter().flat_map(|item| check(&schema["items"], item, path)).collect();
    let Some(table) = value.as_table() else { return faults };
    for (key, value) in table.iter() {
        let key: &str = key.get_ref();
        let path = if path.is_empty() { key.to_owned() } else { format!("{path}/{key}") };
        match (schema["properties"].get(key), &schema["additionalProperties"]) {
            (Some(schema), _) => faults.extend(check(schema, value.get_ref(), &path)),
            (None, Json::Bool(_)) => faults.push(format!("{path}: unknown")),
            (None, schema) => faults.extend(check(schema, value.get_ref(), &path)),
        }
    }
    for key in schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        if !table.iter().any(|(known, _)| known.get_ref() == key) {
            faults.push(format!("{path}: {key} is missing"));
        }
    }
    faults
}
