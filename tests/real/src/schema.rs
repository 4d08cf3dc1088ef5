//! JSON schemas (draft 2020-12), as far as the description of the API needs them: whether a value is valid, and values by
//! chance. A keyword that is not known here is an error, so that nothing goes unchecked.

use serde_json::{Map, Value, json};

use crate::dice::Dice;

/// The schemas of a document.
#[derive(Debug)]
pub struct Schemas<'a>(pub &'a Value);

const PREFIX: &str = "#/components/schemas/";

/// Keywords that say nothing about validity.
const SILENT: [&str; 6] = ["description", "default", "examples", "format", "title", "deprecated"];

impl<'a> Schemas<'a> {
    fn resolve(&self, reference: &str) -> &'a Value {
        let name = reference.strip_prefix(PREFIX).unwrap_or_else(|| panic!("{reference}"));
        self.0["components"]["schemas"].get(name).unwrap_or_else(|| panic!("no schema {name}"))
    }

    /// What is wrong with a value.
    pub fn check(&self, schema: &Value, value: &Value, place: &str) -> Vec<String> {
        let rules = match schema {
            Value::Bool(true) => return Vec::new(),
            Value::Object(rules) => rules,
            _ => return vec![format!("{place}: nothing is valid here")],
        };
        let mut wrong = Vec::new();
        for (rule, meant) in rules {
            match rule.as_str() {
                "$ref" => wrong.extend(self.check(self.resolve(meant.as_str().unwrap_or_default()), value, place)),
                "type" => {
                    let types: Vec<&Value> = meant.as_array().map_or_else(|| vec![meant], |all| all.iter().collect());
                    if !types.iter().any(|kind| is_a(value, kind.as_str().unwrap_or_default())) {
                        wrong.push(format!("{place}: {value} is no {meant}"));
                    }
                }
                "const" if value != meant => wrong.push(format!("{place}: {value} is not {meant}")),
                "enum" if !meant.as_array().is_some_and(|all| all.contains(value)) => {
                    wrong.push(format!("{place}: {value} is none of {meant}"));
                }
                // A limit is about numbers, a pattern about texts: of other values they say nothing.
                "minimum" if value.is_number() && value.as_f64() < meant.as_f64() => {
                    wrong.push(format!("{place}: {value} is below {meant}"));
                }
                "maximum" if value.is_number() && value.as_f64() > meant.as_f64() => {
                    wrong.push(format!("{place}: {value} is above {meant}"));
                }
                "pattern" if value.as_str().is_some_and(|text| !matches(meant.as_str().unwrap_or_default(), text)) => {
                    wrong.push(format!("{place}: {value} does not match {meant}"));
                }
                "minLength" | "maxLength" => {
                    let (length, limit) =
                        (value.as_str().map_or(0, |text| text.chars().count() as u64), meant.as_u64());
                    if if rule == "minLength" { Some(length) < limit } else { Some(length) > limit } {
                        wrong.push(format!("{place}: {value} is not of this length"));
                    }
                }
                "minItems" if (value.as_array().map_or(0, Vec::len) as u64) < meant.as_u64().unwrap_or(0) => {
                    wrong.push(format!("{place}: too few"));
                }
                "maxItems" if value.as_array().map_or(0, Vec::len) as u64 > meant.as_u64().unwrap_or(0) => {
                    wrong.push(format!("{place}: too many"));
                }
                "items" => {
                    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                        wrong.extend(self.check(meant, item, &format!("{place}[{number}]")));
                    }
                }
                "prefixItems" => {
                    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                        let schema = meant.get(number).unwrap_or(&Value::Bool(true));
                        wrong.extend(self.check(schema, item, &format!("{place}[{number}]")));
                    }
                }
                "required" => {
                    for name in meant.as_array().into_iter().flatten().filter_map(Value::as_str) {
                        if value.as_object().is_some_and(|fields| !fields.contains_key(name)) {
                            wrong.push(format!("{place}: {name} is missing"));
                        }
                    }
                }
                "properties" => {
                    for (name, schema) in meant.as_object().into_iter().flatten() {
                        if let Some(field) = value.get(name) {
                            wrong.extend(self.check(schema, field, &format!("{place}.{name}")));
                        }
                    }
                }
                "additionalProperties" => {
                    let known = rules.get("properties").and_then(Value::as_object);
                    for (name, field) in value.as_object().into_iter().flatten() {
                        if !known.is_some_and(|known| known.contains_key(name)) {
                            wrong.extend(self.check(meant, field, &format!("{place}.{name}")));
                        }
                    }
                }
                "propertyNames" => {
                    for name in value.as_object().into_iter().flatten().map(|(name, _)| name) {
                        wrong.extend(self.check(meant, &json!(name), &format!("{place}.{name}")));
                    }
                }
                "anyOf" | "oneOf" => {
                    let all = meant.as_array().expect("a list");
                    let fits = all.iter().filter(|schema| self.check(schema, value, place).is_empty()).count();
                    if fits == 0 || (rule == "oneOf" && fits > 1) {
                        wrong.push(format!("{place}: {value} fits {fits} of {rule}"));
                    }
                }
                "allOf" => {
                    for schema in meant.as_array().expect("a list") {
                        wrong.extend(self.check(schema, value, place));
                    }
                }
                "const" | "enum" | "minimum" | "maximum" | "pattern" | "minItems" | "maxItems" => {}
                other if SILENT.contains(&other) || other.starts_with("x-") => {}
                other => wrong.push(format!("{place}: this checker does not know {other}")),
            }
        }
        wrong
    }

    /// A value that is valid, or nearly: texts whose form only their reader knows are drawn from good and bad ones.
    pub fn draw(&self, schema: &Value, dice: &mut Dice, depth: u32) -> Value {
        let Some(rules) = schema.as_object() else { return json!(dice.below(9)) };
        if let Some(reference) = rules.get("$ref").and_then(Value::as_str) {
            return self.draw(self.resolve(reference), dice, depth);
        }
        if let Some(all) = ["oneOf", "anyOf"].iter().find_map(|rule| rules.get(*rule)).and_then(Value::as_array) {
            let part = self.draw(dice.pick(all), dice, depth + 1);
            // What stands beside the choice belongs to it.
            return match (part, rules.get("properties").is_some()) {
                (Value::Object(mut fields), true) => {
                    fields.extend(self.object(rules, dice, depth));
                    Value::Object(fields)
                }
                (part, _) => part,
            };
        }
        if let Some(all) = rules.get("enum").and_then(Value::as_array) {
            return dice.pick(all).clone();
        }
        if let Some(constant) = rules.get("const") {
            return constant.clone();
        }
        let kind = match rules.get("type") {
            Some(Value::Array(kinds)) => dice.pick(kinds).as_str().unwrap_or_default(),
            Some(kind) => kind.as_str().unwrap_or_default(),
            None => "string",
        };
        match kind {
            "null" => Value::Null,
            "boolean" => json!(dice.below(2) == 1),
            "integer" | "number" => {
                let most = rules.get("maximum").and_then(Value::as_u64).unwrap_or(u64::from(u32::MAX));
                json!(*dice.pick(&[0, 1, dice_number(most, 7), dice_number(most, 1_000), most]))
            }
            "array" => {
                if let Some(fixed) = rules.get("prefixItems").and_then(Value::as_array) {
                    return fixed.iter().map(|schema| self.draw(schema, dice, depth + 1)).collect();
                }
                let least = rules.get("minItems").and_then(Value::as_u64).unwrap_or(0);
                let count = if depth > 6 { least } else { least + dice.below(3) };
                let items = rules.get("items").unwrap_or(&Value::Bool(true));
                (0..count).map(|_| self.draw(items, dice, depth + 1)).collect()
            }
            "object" => Value::Object(self.object(rules, dice, depth)),
            _ => json!(text(rules.get("pattern").and_then(Value::as_str), dice)),
        }
    }

    fn object(&self, rules: &Map<String, Value>, dice: &mut Dice, depth: u32) -> Map<String, Value> {
        let required: Vec<&str> =
            rules.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let mut fields = Map::new();
        for (name, schema) in rules.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if required.contains(&name.as_str()) || (depth < 6 && dice.below(2) == 1) {
                fields.insert(name.clone(), self.draw(schema, dice, depth + 1));
            }
        }
        fields
    }

    /// A value in which one thing is wrong, mostly.
    pub fn spoil(&self, mut value: Value, dice: &mut Dice) -> Value {
        let strange = [
            Value::Null,
            json!(-1),
            json!(1e300),
            json!(true),
            json!("\u{0}"),
            json!("../../etc/passwd"),
            json!("x".repeat(5_000)),
            json!([[[[[[]]]]]]),
            json!({"": {}}),
        ];
        let steps = dice.below(5);
        let wrong = dice.pick(&strange).clone();
        replace(&mut value, steps, wrong, dice);
        value
    }
}

/// Puts something else into a place so many steps deep, or as deep as there is one.
fn replace(at: &mut Value, steps: u64, wrong: Value, dice: &mut Dice) {
    let mut place = |count: usize| usize::try_from(dice.below(count as u64)).expect("small");
    match at {
        Value::Object(fields) if steps > 0 && !fields.is_empty() => {
            let place = place(fields.len());
            replace(fields.values_mut().nth(place).expect("there"), steps - 1, wrong, dice);
        }
        Value::Array(items) if steps > 0 && !items.is_empty() => {
            let place = place(items.len());
            replace(&mut items[place], steps - 1, wrong, dice);
        }
        other => *other = wrong,
    }
}

fn dice_number(most: u64, wanted: u64) -> u64 {
    wanted.min(most)
}

fn text(pattern: Option<&str>, dice: &mut Dice) -> String {
    let all: &[&str] = match pattern {
        Some(pattern) if pattern.contains("[0-9a-f]{1,16}") => &["0", "0000000000000007", "ffffffffffffffff"],
        Some(pattern) if pattern.contains("{64}") => &[
            "00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff",
            "aAbBcCdDeEfF00112233445566778899aAbBcCdDeEfF00112233445566778899",
        ],
        Some(pattern) if pattern.contains('T') => &["2026-01-31T12:00:00.000Z", "1970-01-01T00:00:00Z"],
        Some(_) => &["demo", "api", "a", "a.b-c_d", "ops"],
        None => &[
            "",
            "api",
            "demo/api",
            "5s",
            "10m",
            "TERM 10s",
            "KILL 5s",
            "8000",
            "127.0.0.1:0",
            "unix:///nonexistent.sock",
            "on",
            "no",
            "a b",
            "ü€\u{1f600}",
            "\n\"\\",
            "%00",
            "quiet",
        ],
    };
    (*dice.pick(all)).to_owned()
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other}"),
    }
}

/// The patterns of the description: classes with counts, and one group that may be missing.
fn matches(pattern: &str, text: &str) -> bool {
    let inner =
        pattern.strip_prefix('^').and_then(|inner| inner.strip_suffix('$')).unwrap_or_else(|| panic!("{pattern}"));
    let with = inner.replace('(', "").replace(")?", "");
    let without = match (inner.find('('), inner.find(")?")) {
        (Some(begin), Some(end)) => format!("{}{}", &inner[..begin], &inner[end + 2..]),
        _ => inner.to_owned(),
    };
    fits(&with, text) || fits(&without, text)
}

fn fits(pattern: &str, text: &str) -> bool {
    if pattern.is_empty() {
        return text.is_empty();
    }
    let (class, rest) = if let Some(inner) = pattern.strip_prefix('[') {
        let end = inner.find(']').expect("a class ends");
        (&inner[..end], &inner[end + 1..])
    } else if let Some(rest) = pattern.strip_prefix('\\') {
        (&rest[..1], &rest[1..])
    } else {
        (&pattern[..1], &pattern[1..])
    };
    let (least, most, rest) = match rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
        Some((counts, rest)) => {
            let (least, most) = counts.split_once(',').unwrap_or((counts, counts));
            (least.parse().expect("a count"), most.parse().expect("a count"), rest)
        }
        None => (1, 1, rest),
    };
    let of_class = |character: char| {
        let mut members: Vec<char> = class.chars().collect();
        // The `-` at an end is one of them, that between two is none.
        while let Some(place) = (1..members.len().saturating_sub(1)).find(|place| members[*place] == '-') {
            let (first, last) = (members[place - 1], members[place + 1]);
            if (first..=last).contains(&character) {
                return true;
            }
            members.drain(place - 1..=place + 1);
        }
        members.contains(&character)
    };
    let run = text.chars().take_while(|character| of_class(*character)).take(most).count();
    (least..=run).rev().any(|count| {
        let end = text.char_indices().nth(count).map_or(text.len(), |(place, _)| place);
        fits(rest, &text[end..])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A checker that finds nothing would make every test pass.
    #[test]
    fn it_finds_what_is_wrong() {
        let document = json!({"components": {"schemas": {
            "Name": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"},
            "Time": {"type": "string", "pattern": r"^[0-9]{4}T[0-9]{2}(\.[0-9]{1,9})?Z$"},
            "Thing": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"$ref": "#/components/schemas/Name"}, "count": {"type": ["integer", "null"], "minimum": 0}},
            },
        }}});
        let schemas = Schemas(&document);
        let thing = json!({"$ref": "#/components/schemas/Thing"});
        for good in [json!({"name": "a.b"}), json!({"name": "a", "count": null, "more": 1})] {
            assert_eq!(schemas.check(&thing, &good, ""), Vec::<String>::new());
        }
        for bad in [
            json!(7),
            json!({}),
            json!({"name": ""}),
            json!({"name": "-a"}),
            json!({"name": "a b"}),
            json!({"name": 1}),
            json!({"name": "a", "count": -1}),
            json!({"name": "a", "count": 1.5}),
        ] {
            assert!(!schemas.check(&thing, &bad, "").is_empty(), "{bad}");
        }
        let time = json!({"$ref": "#/components/schemas/Time"});
        for (text, good) in
            [("2026T12Z", true), ("2026T12.5Z", true), ("2026T12.Z", false), ("2026T1Z", false), ("x2026T12Z", false)]
        {
            assert_eq!(schemas.check(&time, &json!(text), "").is_empty(), good, "{text}");
        }
        let one = json!({"oneOf": [{"type": "string"}, {"const": "a"}]});
        assert!(!schemas.check(&one, &json!("a"), "").is_empty(), "it fits both");
        assert!(
            !schemas.check(&json!({"type": "string", "novel": 1}), &json!("a"), "").is_empty(),
            "an unknown keyword"
        );
        let mut dice = Dice::new(7);
        let drawn: Vec<Value> = (0..50).map(|_| schemas.draw(&thing, &mut dice, 0)).collect();
        assert!(drawn.iter().all(|value| schemas.check(&thing, value, "").is_empty()), "{drawn:?}");
        let spoilt = drawn.into_iter().map(|value| schemas.spoil(value, &mut dice));
        assert!(spoilt.filter(|value| !schemas.check(&thing, value, "").is_empty()).count() > 20);
    }
}
