//! Makes the description, and compares it with the one that is served.

use std::collections::BTreeSet;

use hyper::StatusCode;
use schemars::generate::{Contract, SchemaSettings};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use vigie_api as api;
use vigie_core::journal::KINDS;
use vigie_core::samples::Metric;
use vigie_core::supervisor;

use crate::http::routes::{Kind, Method, Operation, Parameter, ROUTES, Route};

/// `VIGIE_BLESS=1` writes the file.
#[test]
fn the_document_is_that_of_the_routes_and_types() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let made = serde_json::to_string_pretty(&document()).expect("JSON") + "\n";
    if std::env::var_os("VIGIE_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(path, &made).expect("written");
        return;
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    assert!(there == made, "docs/openapi.json is not up to date: VIGIE_BLESS=1 cargo test -p vigie-daemon openapi");
    assert_eq!(super::DOCUMENT, there, "the program was built with another one");
}

/// Whoever reads it follows references: each leads somewhere, and nothing is there that nobody refers to.
#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let mut named = BTreeSet::new();
    references(&document, &mut named);
    let there: BTreeSet<String> =
        document["components"]["schemas"].as_object().expect("schemas").keys().cloned().collect();
    assert_eq!(named, there);
}

const PREFIX: &str = "#/components/schemas/";

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(name) = fields.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix(PREFIX)) {
                found.insert(name.to_owned());
            }
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// The schemas of one direction: what is sent need not have what is optional when it is read.
struct Schemas(SchemaGenerator);

impl Schemas {
    fn new(contract: Contract) -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.contract = contract;
            settings.meta_schema = None;
        });
        Self(settings.into_generator())
    }

    fn of<T: JsonSchema>(&mut self) -> Value {
        self.0.subschema_for::<T>().to_value()
    }

    fn definitions(&mut self) -> Map<String, Value> {
        self.0.take_definitions(true)
    }
}

/// How a route answers when it does.
enum Answer {
    Json(Value),
    /// One object a line.
    Lines(Value),
    /// Server-sent events, with what stands in their data.
    Events(Value),
    Exposition,
}

fn answer(operation: Operation, out: &mut Schemas) -> Answer {
    match operation {
        Operation::Daemon => Answer::Json(out.of::<api::report::Daemon>()),
        Operation::Status => Answer::Json(out.of::<api::status::Report>()),
        Operation::Projects => Answer::Json(out.of::<api::report::Projects>()),
        Operation::Events => Answer::Lines(out.of::<api::journal::JournalLine>()),
        Operation::Stream => Answer::Events(json!({
            "(none)": out.of::<api::journal::JournalLine>(),
            "hello": out.of::<api::stream::Hello>(),
            "resync": out.of::<api::stream::Resync>(),
        })),
        Operation::Incidents => Answer::Json(out.of::<api::incidents::Report>()),
        Operation::Rules => Answer::Json(out.of::<api::incidents::Rules>()),
        Operation::Channels => Answer::Json(out.of::<api::incidents::Channels>()),
        Operation::Silences => Answer::Json(out.of::<api::incidents::Silences>()),
        Operation::Samples => Answer::Json(out.of::<api::metrics::Report>()),
        Operation::FlushSamples => Answer::Json(out.of::<api::metrics::Flushed>()),
        Operation::WatchSamples => Answer::Json(out.of::<api::source::Watched>()),
        Operation::Settings => Answer::Json(out.of::<api::settings::Report>()),
        Operation::Containers => Answer::Json(out.of::<api::containers::Containers>()),
        Operation::Sources => Answer::Json(out.of::<api::source::Sources>()),
        Operation::ChangeSources => Answer::Lines(out.of::<api::source::Answer>()),
        Operation::ChangeSettings => Answer::Json(out.of::<api::settings::Changed>()),
        Operation::Request | Operation::OpenSession => Answer::Lines(out.of::<api::stream::Line>()),
        Operation::Access | Operation::ChangeAccess => Answer::Json(out.of::<api::access::Access>()),
        Operation::OpenApi => Answer::Json(json!({"type": "object", "required": ["openapi", "paths"]})),
        Operation::Metrics => Answer::Exposition,
    }
}

fn body(operation: Operation, into: &mut Schemas) -> Option<Value> {
    match operation {
        Operation::ChangeSources => Some(into.of::<api::source::Request>()),
        Operation::WatchSamples => Some(into.of::<api::source::Watch>()),
        Operation::ChangeSettings => Some(into.of::<api::settings::Change>()),
        Operation::Request => Some(into.of::<supervisor::Request>()),
        Operation::OpenSession => Some(into.of::<api::report::SessionOpened>()),
        Operation::ChangeAccess => Some(into.of::<api::access::Request>()),
        // Whatever is sent is not looked at.
        Operation::FlushSamples => None,
        Operation::Daemon
        | Operation::Status
        | Operation::Projects
        | Operation::Events
        | Operation::Stream
        | Operation::Incidents
        | Operation::Rules
        | Operation::Channels
        | Operation::Silences
        | Operation::Samples
        | Operation::Settings
        | Operation::Containers
        | Operation::Sources
        | Operation::Access
        | Operation::OpenApi
        | Operation::Metrics => None,
    }
}

fn document() -> Value {
    let (mut out, mut into) = (Schemas::new(Contract::Serialize), Schemas::new(Contract::Deserialize));
    let mut paths = Map::new();
    for route in &ROUTES {
        let operation = operation(route, &mut out, &mut into);
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        methods[route.method.name().to_lowercase()] = operation;
    }
    out.of::<api::report::Failure>();
    let mut paths = Value::Object(paths);
    let mut schemas = out.definitions();
    merge(&mut paths, &mut schemas, into.definitions());
    let schemas = plain(Value::Object(schemas));
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "vigie",
            "version": "1",
            "license": {"name": "MIT OR Apache-2.0"},
            "description": "The API of the vigie daemon: HTTP/1.1 over the Unix socket of its user, and over a loopback port with a \
                token when somebody asked for it (docs/api.md). Fields are added, none is renamed or removed; values that were \
                not observed are null, never 0. Any path that is not here is answered with 404, any other method with 405; HEAD is GET without a body.",
        },
        "servers": [
            {"url": "http://localhost", "description": "The Unix socket: daemon.sock in the runtime folder. No token."},
            {
                "url": "http://127.0.0.1:{port}",
                "description": "A loopback port ('vigie api listen'). With a token.",
                "variables": {"port": {"default": "7777"}},
            },
        ],
        "security": [{"token": []}, {}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "From 'vigie api token add'. At a port only."},
            },
            "schemas": schemas,
        },
    })
}

fn operation(route: &Route, out: &mut Schemas, into: &mut Schemas) -> Value {
    let name = format!("{:?}", route.operation);
    let (first, rest) = name.split_at(1);
    let mut operation = json!({
        "operationId": format!("{}{rest}", first.to_lowercase()),
        "summary": route.about,
        "x-right": route.right(),
        "responses": responses(route, out),
    });
    let mut parameters: Vec<Value> = route.parameters.iter().map(parameter).collect();
    if route.operation == Operation::Stream {
        parameters.push(json!({
            "name": "Last-Event-ID",
            "in": "header",
            "description": "The number of the last entry that was seen; wins over 'after'.",
            "schema": {"type": "integer", "minimum": 0},
        }));
    }
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    if let Some(schema) = body(route.operation, into) {
        let limit = route.body.expect("a route with a body has a limit");
        operation["requestBody"] = json!({
            "required": true,
            "description": format!("At most {limit} bytes, at a port 1 MiB."),
            // Told apart from what is sent by where they are made; [`merge`] brings them together.
            "content": {"application/json": {"schema": marked(schema)}},
        });
    }
    operation
}

fn parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.kind {
        Kind::Number => json!({"type": "integer", "minimum": 0}),
        Kind::Flag => json!({"type": "integer", "enum": [0, 1]}),
        Kind::Time => json!({
            "type": "string",
            "format": "date-time",
            "description": "RFC 3339 in UTC, or nanoseconds since 1970.",
        }),
        Kind::Duration => json!({"type": "string", "examples": ["10s", "5m", "1h30m"]}),
        Kind::Target => json!({"type": "string", "examples": ["api", "demo/api"]}),
        Kind::Event => json!({"type": "string", "enum": KINDS}),
        Kind::Metric => json!({"type": "string", "enum": Metric::ALL.map(Metric::name)}),
    };
    let schema = if parameter.many { json!({"type": "array", "items": schema, "maxItems": 64}) } else { schema };
    json!({"name": parameter.name, "in": "query", "description": parameter.about, "schema": schema, "explode": true})
}

fn responses(route: &Route, out: &mut Schemas) -> Value {
    let good = match answer(route.operation, out) {
        Answer::Json(schema) => json!({"application/json": {"schema": schema}}),
        Answer::Lines(schema) => json!({"application/x-ndjson": {"schema": schema}}),
        Answer::Events(data) => json!({"text/event-stream": {"schema": {"type": "string"}, "x-data-by-event": data}}),
        Answer::Exposition => json!({
            "text/plain": {"schema": {"type": "string"}},
            "application/openmetrics-text": {"schema": {"type": "string"}},
        }),
    };
    let lines = matches!(answer(route.operation, out), Answer::Lines(_));
    let told = if lines { "As described: one JSON object a line." } else { "As described." };
    let mut all = json!({"200": {"description": told, "content": good}});
    let failure = json!({"application/json": {"schema": {"$ref": format!("{PREFIX}Failure")}}});
    for (status, told) in statuses(route) {
        all[status.as_str()] = json!({"description": told, "content": failure});
    }
    all
}

fn statuses(route: &Route) -> Vec<(StatusCode, &'static str)> {
    let mut all = vec![
        (StatusCode::BAD_REQUEST, "The request is not understood."),
        (StatusCode::UNAUTHORIZED, "At a port: no token, or none that is known."),
        (StatusCode::FORBIDDEN, "Not with this token, or not from a page of another origin."),
        (StatusCode::URI_TOO_LONG, "The path with its query is longer than 8 KiB."),
        (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are larger than 32 KiB."),
        (StatusCode::MISDIRECTED_REQUEST, "At a port: the header Host names something else."),
        (StatusCode::INTERNAL_SERVER_ERROR, "Something failed."),
        (StatusCode::SERVICE_UNAVAILABLE, "The daemon is about to end, or there are too many of these."),
    ];
    if route.method == Method::Post {
        all.push((StatusCode::REQUEST_TIMEOUT, "The body did not come in time."));
        all.push((StatusCode::PAYLOAD_TOO_LARGE, "The body is too large."));
        all.push((StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is no JSON by its Content-Type."));
    }
    for status in route.refusals {
        match *status {
            StatusCode::NOT_FOUND => all.push((*status, "What is to be changed is not there.")),
            StatusCode::CONFLICT => all.push((*status, "Somebody else has the port.")),
            StatusCode::SERVICE_UNAVAILABLE => {}
            other => panic!("{other} has no description"),
        }
    }
    all
}

/// With descriptions for readers of JSON.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let one = |(key, value): (String, Value)| match value {
                Value::String(text) if key == "description" => (key, described(&text).into()),
                value => (key, plain(value)),
            };
            Value::Object(fields.into_iter().map(one).collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(plain).collect()),
        other => other,
    }
}

/// What stands for something else where no code is.
const WORDS: [(&str, &str); 7] = [
    ("`crate::SCHEMA`", "The version of this shape: fields may be added to it."),
    ("`Launch::managed`", "The daemon manages it."),
    ("`vigie_core::journal::KINDS`", "those of the parameter `kind` of `/v1/events`"),
    ("`vigie_core::samples::Metric::name`", "those of the parameter `metric` of `/v1/samples`"),
    ("`MAX_LEN`", "63"),
    ("The facts, as `What` names them.", "The facts: which they are depends on `kind`."),
    ("; never `Log`", ""),
];

/// Links of Rust's documentation lead nowhere there, its paths name nothing, and the numbers of what is required are those
/// of a document that is not here.
fn described(text: &str) -> String {
    let mut text = text.replace("[`", "`").replace("`]", "`").replace('\n', " ");
    for (from, to) in WORDS {
        text = text.replace(from, to);
    }
    while let Some(at) = text.find(" (R").filter(|at| text[at + 3..].starts_with(|c: char| c.is_ascii_digit())) {
        let end = text[at..].find(')').expect("it is closed");
        text.replace_range(at..=at + end, "");
    }
    // `Holder::since` is `since` of that object.
    while let Some(at) = text.find("::") {
        let begin = text[..at].rfind('`').expect("a path is code");
        text.replace_range(begin + 1..at + 2, "");
    }
    text
}

/// Nothing is left that only who reads the code understands.
#[test]
fn descriptions_are_for_readers_of_json() {
    assert_eq!(vigie_core::name::MAX_LEN, 63, "WORDS says so");
    assert_eq!(described("How far (R4.3), since [`Holder::since`]\nor `a::B::c`."), "How far, since `since` or `c`.");
    fn look(value: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(text) = fields.get("description").and_then(Value::as_str) {
                    let number = text.split(|c: char| !c.is_alphanumeric() && c != '.').find(|word| {
                        word.strip_prefix('R').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
                    });
                    assert!(!text.is_empty() && !text.contains("::") && number.is_none(), "{text}");
                }
                fields.values().for_each(look);
            }
            Value::Array(values) => values.iter().for_each(look),
            _ => {}
        }
    }
    look(&document());
}

/// With references that say that they are of what is read.
fn marked(schema: Value) -> Value {
    renamed(schema, &|name| format!("{name}{READ}"))
}

const READ: &str = "!";

fn renamed(value: Value, name: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::Object(fields) => {
            let one = |(key, value): (String, Value)| {
                let target = value.as_str().and_then(|text| text.strip_prefix(PREFIX)).filter(|_| key == "$ref");
                match target {
                    Some(target) => (key, json!(format!("{PREFIX}{}", name(target)))),
                    None => (key, renamed(value, name)),
                }
            };
            Value::Object(fields.into_iter().map(one).collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(|value| renamed(value, name)).collect()),
        other => other,
    }
}

/// Adds the schemas of what is read to those of what is sent: under the same name where they are the same, else with
/// `Input` behind it.
fn merge(paths: &mut Value, schemas: &mut Map<String, Value>, read: Map<String, Value>) {
    let mut different: BTreeSet<String> = read
        .iter()
        .filter(|(name, schema)| schemas.get(*name).is_some_and(|sent| sent != *schema))
        .map(|(name, _)| name.clone())
        .collect();
    loop {
        let refers = |(name, schema): (&String, &Value)| {
            let mut named = BTreeSet::new();
            references(schema, &mut named);
            // One that is only read may keep its name.
            (schemas.contains_key(name) && !named.is_disjoint(&different)).then(|| name.clone())
        };
        let more: BTreeSet<String> = read.iter().filter_map(refers).filter(|name| !different.contains(name)).collect();
        if more.is_empty() {
            break;
        }
        different.extend(more);
    }
    let name = |name: &str| {
        let name = name.strip_suffix(READ).unwrap_or(name);
        if different.contains(name) { format!("{name}Input") } else { name.to_owned() }
    };
    for (of, schema) in read {
        schemas.insert(name(&of), renamed(schema, &name));
    }
    // Only references of what is read bear the mark.
    let unmarked = |of: &str| if of.ends_with(READ) { name(of) } else { of.to_owned() };
    *paths = renamed(std::mem::take(paths), &unmarked);
}
