//! The keys of the manifest as tables, from its schema.

use serde_json::{Map, Value as Json};

/// One table of text for each table of the manifest.
pub(super) fn tables(schema: &Json) -> String {
    let mut text = String::new();
    table(&mut text, "", schema);
    text.trim_end().to_owned() + "\n"
}

fn table(text: &mut String, path: &str, schema: &Json) {
    let Some(properties) = schema["properties"].as_object() else { return };
    // Only `project` and `service` stand at the top: the headings say so.
    if !path.is_empty() {
        text.push_str(&format!("### `[{path}]`\n\n{}\n\n", string(schema, "description")));
        text.push_str("| key | what it takes | default | what it means |\n|---|---|---|---|\n");
        for (name, key) in properties {
            let required =
                schema["required"].as_array().is_some_and(|keys| keys.iter().any(|key| key == name.as_str()));
            text.push_str(&row(name, key, required));
        }
        text.push('\n');
    }
    for (name, key) in properties {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match inner(key) {
            Some((inner, true)) => table(text, &format!("{path}.{}", placeholder(name)), inner),
            Some((inner, false)) => table(text, &path, inner),
            None => {}
        }
    }
}

/// The table that a key holds, and whether it holds many of them by name.
fn inner(key: &Json) -> Option<(&Json, bool)> {
    let many = key.get("additionalProperties").filter(|inner| inner.get("properties").is_some());
    if let Some(inner) = many {
        return Some((inner, true));
    }
    let alternatives = key["anyOf"].as_array().into_iter().flatten();
    let mut plain = std::iter::once(key).chain(alternatives);
    plain.find(|key| key.get("properties").is_some()).map(|key| (key, false))
}

fn placeholder(name: &str) -> String {
    if name == "service" { "NAME".to_owned() } else { name.to_uppercase() }
}

fn row(name: &str, key: &Json, required: bool) -> String {
    let default = match key.get("default") {
        _ if required => "required".to_owned(),
        None => String::new(),
        Some(Json::Array(list)) if list.is_empty() => "none".to_owned(),
        Some(Json::Object(map)) if map.is_empty() => "none".to_owned(),
        Some(value) => format!("`{value}`"),
    };
    let meaning = format!("{}{}", string(key, "description"), words(key));
    format!("| `{name}` | {} | {default} | {} |\n", takes(key), meaning.replace('|', "\\|"))
}

/// What can be written there, in few words.
fn takes(key: &Json) -> String {
    if let Some(any) = key["anyOf"].as_array() {
        return any.iter().map(takes).collect::<Vec<_>>().join(" or ");
    }
    if key.get("oneOf").is_some() {
        return "word".to_owned();
    }
    let example = |key: &Json| key["examples"][0].as_str().map(|example| format!(", as `{example}`"));
    let kind = match key["type"].as_str().unwrap_or("value") {
        "boolean" => "`true` or `false`".to_owned(),
        "array" => format!("list: {}", takes(&key["items"])),
        "object" if key["additionalProperties"]["type"] == "string" => "table of words".to_owned(),
        "object" => "table".to_owned(),
        "string" if key.get("pattern").is_some() => "name".to_owned(),
        other => other.to_owned(),
    };
    kind + &example(key).unwrap_or_default()
}

/// The words that a key knows, each with its meaning.
fn words(key: &Json) -> String {
    let empty = Map::new();
    let map = key.as_object().unwrap_or(&empty);
    let nested =
        map.get("anyOf").and_then(Json::as_array).and_then(|any| any.iter().find(|key| key.get("oneOf").is_some()));
    let place = [Some(key), nested, map.get("additionalProperties")];
    let Some(words) = place.into_iter().flatten().find_map(|key| key["oneOf"].as_array()) else { return String::new() };
    words.iter().map(|word| format!(" `{}`: {}", string(word, "const"), string(word, "description"))).collect()
}

fn string<'a>(value: &'a Json, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
