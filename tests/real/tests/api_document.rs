//! The description of the API against the API: requests are made of it by chance, good ones and bad ones, and every answer is
//! held against it (R12.1). A seed that failed is named; the same seed makes the same requests.

use std::io::Write as _;

use serde_json::{Value, json};
use vigie_real_tests::{Answer, Dice, Schemas, Site, World, read, until};

/// So many requests of each operation, at each site.
const ROUNDS: u64 = 40;

fn document(world: &World) -> Value {
    serde_json::from_slice(&world.vigie(&["api", "openapi"]).run().code(0).out).expect("JSON")
}

fn sites(world: &World) -> [Site; 2] {
    let told = world.vigie(&["api", "listen", "127.0.0.1:0", "--json"]).run().code(0);
    let told: Value = serde_json::from_slice(&told.out).expect("JSON");
    let address = told["listen"].as_str().expect("an address");
    let port = address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let token = world.vigie(&["api", "token", "add", "tester", "--act"]).run().code(0).text().trim().to_owned();
    [Site::Socket(world.home().join("run/daemon.sock")), Site::Port(port, Some(token))]
}

/// Every operation of the document: path, method, and what is said of it.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            all.push((path.clone(), method.to_uppercase(), operation.clone()));
        }
    }
    all
}

#[test]
fn every_answer_is_as_the_document_says() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let document = document(&world);
    let operations = operations(&document);
    let sites = sites(&world);
    let daemon = sites[0].get_json("/v1/daemon");
    let mut answered = std::collections::BTreeMap::<(String, u16), u32>::new();
    for (site, seeds) in sites.iter().zip([1_u64, 1_000]) {
        for (number, (path, method, operation)) in operations.iter().enumerate() {
            for round in 0..ROUNDS {
                let seed = seeds + number as u64 * ROUNDS * 100 + round;
                let mut dice = Dice::new(seed);
                let asked = Asked::draw(&document, path, method, operation, &mut dice);
                let answer = asked.send(site);
                let wrong = judge(&document, operation, &answer);
                assert!(wrong.is_empty(), "seed {seed}: {asked:?}\n{} {}\n{wrong:#?}", answer.status, answer.head);
                *answered.entry((format!("{method} {path}"), answer.status)).or_default() += 1;
            }
        }
    }
    assert_eq!(sites[0].get_json("/v1/daemon"), daemon, "the same daemon is there");
    for (path, method, _) in &operations {
        let good = answered.get(&(format!("{method} {path}"), 200)).copied().unwrap_or(0);
        // What changes who may come in is asked for over TCP only to be refused.
        assert!(good > 0, "{method} {path} was never answered with 200: {answered:#?}");
    }
    let refused: u32 = answered.iter().filter(|((_, status), _)| *status == 400).map(|(_, count)| count).sum();
    assert!(refused > 100, "bad requests were among them: {answered:#?}");
}

/// A request.
#[derive(Debug)]
struct Asked {
    method: String,
    target: String,
    headers: String,
    body: Option<String>,
    /// Its answer, if it is a good one, does not end.
    endless: bool,
}

impl Asked {
    fn draw(document: &Value, path: &str, method: &str, operation: &Value, dice: &mut Dice) -> Self {
        let schemas = Schemas(document);
        let broken = dice.below(3) == 0;
        let (mut query, mut headers) = (Vec::new(), String::new());
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            if dice.below(3) > 0 {
                continue;
            }
            let name = parameter["name"].as_str().expect("a name");
            let value = match parameter["schema"]["items"].is_object() {
                true => schemas.draw(&parameter["schema"]["items"], dice, 0),
                false => schemas.draw(&parameter["schema"], dice, 0),
            };
            let value = if broken && dice.below(2) == 0 { schemas.spoil(value, dice) } else { value };
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if parameter["in"] == "header" {
                // A newline would be another request.
                let text: String = text.chars().filter(|character| (' '..='~').contains(character)).collect();
                headers.push_str(&format!("{name}: {text}\r\n"));
            } else {
                query.push(format!("{}={}", encoded(name), encoded(&text)));
            }
        }
        if broken && dice.below(4) == 0 {
            query.push("novel=1".to_owned());
        }
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let body = schema.is_object().then(|| {
            let good = tamed(schemas.draw(schema, dice, 0));
            let body = if broken { schemas.spoil(good, dice) } else { good };
            let text = tamed(body).to_string();
            if broken && dice.below(4) == 0 { text[..text.len() / 2].to_owned() } else { text }
        });
        let endless = path == "/v1/stream" || path == "/v1/sessions" || query.contains(&"follow=1".to_owned());
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) };
        Self { method: method.to_owned(), target, headers, body, endless }
    }

    fn send(&self, site: &Site) -> Answer {
        let mut request = format!("{} {} HTTP/1.1\r\n{}{}", self.method, self.target, site.headers(), self.headers);
        if !self.endless {
            request.push_str("Connection: close\r\n");
        }
        match &self.body {
            Some(body) => request
                .push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())),
            None => request.push_str("\r\n"),
        }
        if !self.endless {
            return site.raw(request.as_bytes());
        }
        let mut connection = site.connect();
        connection.write_all(request.as_bytes()).expect("sent");
        read_head(&mut connection)
    }
}

/// The head of an answer; its body too, when it is a refusal.
fn read_head(connection: &mut vigie_real_tests::Connection) -> Answer {
    use std::io::Read as _;
    let mut all = Vec::new();
    let mut byte = [0];
    while !all.ends_with(b"\r\n\r\n") {
        assert_eq!(connection.read(&mut byte).expect("an answer"), 1, "it ended: {}", String::from_utf8_lossy(&all));
        all.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&all).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let head = head.split_once("\r\n").map(|(_, head)| head.to_owned()).unwrap_or_default();
    let mut answer = Answer { status, head, body: Vec::new() };
    let length: usize = answer.header("content-length").parse().unwrap_or(0);
    answer.body = vec![0; length];
    connection.read_exact(&mut answer.body).expect("the body");
    answer
}

/// Nothing that ends the daemon, moves the port under test, or starts programs: the tests of those verbs do that.
fn tamed(body: Value) -> Value {
    if matches!(body["request"].as_str(), Some("shut_down" | "up" | "adopt" | "restart")) {
        return json!({"request": "reset", "keys": []});
    }
    if body["change"] == "off" || body["change"]["listen"].is_string() {
        return json!({"change": {"remove_token": "nobody"}, "origin": body["origin"]});
    }
    body
}

fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => encoded.push(byte.into()),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

/// What is wrong with an answer.
fn judge(document: &Value, operation: &Value, answer: &Answer) -> Vec<String> {
    let said = &operation["responses"][answer.status.to_string()];
    if said.is_null() || answer.status >= 500 && answer.status != 503 {
        return vec![format!("the status {} is none of the document: {}", answer.status, answer.text())];
    }
    for (header, value) in [("cache-control", "no-store"), ("x-content-type-options", "nosniff")] {
        if answer.header(header) != value {
            return vec![format!("{header} is {:?}", answer.header(header))];
        }
    }
    let kind = answer.header("content-type").split(';').next().unwrap_or_default().trim();
    let schema = &said["content"][kind]["schema"];
    if schema.is_null() {
        return vec![format!("the content type {kind} is none of the document")];
    }
    let schemas = Schemas(document);
    match kind {
        "application/json" => schemas.check(schema, &answer.json(), "body"),
        "application/x-ndjson" => {
            let text = answer.text();
            let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
            lines.flat_map(|line| schemas.check(schema, &line, "line")).collect()
        }
        _ => Vec::new(),
    }
}

/// What is described is there, nothing else is, and what is served is what the command prints.
#[test]
fn the_document_has_all_routes_and_no_others() {
    let world = World::new();
    world.vigie(&["daemon", "start"]).run().code(0);
    let document = document(&world);
    assert_eq!(document["openapi"], "3.1.0");
    let sites = sites(&world);
    for site in &sites {
        assert_eq!(site.get_json("/v1/openapi.json"), document);
        for (path, methods) in document["paths"].as_object().expect("paths") {
            let mut known: Vec<String> =
                methods.as_object().expect("methods").keys().map(|method| method.to_uppercase()).collect();
            if known.iter().any(|method| method == "GET") {
                known.push("HEAD".to_owned());
            }
            known.sort();
            for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"] {
                if known.iter().any(|known| known == method) {
                    continue;
                }
                let request = format!("{method} {path} HTTP/1.1\r\n{}Connection: close\r\n\r\n", site.headers());
                let answer = site.raw(request.as_bytes());
                let mut allowed: Vec<&str> = answer.header("allow").split(", ").collect();
                allowed.sort_unstable();
                assert_eq!(
                    (answer.status, allowed),
                    (405, known.iter().map(String::as_str).collect()),
                    "{method} {path}"
                );
            }
        }
    }
    let request = "GET /v1/daemon HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut connection = sites[0].connect();
    for _ in 0..3 {
        connection.write_all(request.as_bytes()).expect("sent");
        assert_eq!(read(&mut connection).map(|answer| answer.status), Some(200), "one connection, many requests");
    }
}

/// What the stream sends is what the document says of its events.
#[test]
fn events_are_as_the_document_says() {
    let world = World::new();
    world.vigie(&["daemon", "start"]).run().code(0);
    let document = document(&world);
    let sites = sites(&world);
    let described =
        &document["paths"]["/v1/stream"]["get"]["responses"]["200"]["content"]["text/event-stream"]["x-data-by-event"];
    let last = until("something is in it", || world.events().last().and_then(|entry| entry["seq"].as_u64()));
    let mut stream = sites[1].open("/v1/stream?after=0", "");
    stream.wait("all of it", |events| (events.last()?.id? >= last).then_some(()));
    let mut lost = sites[0].open("/v1/stream?after=99999999999", "");
    lost.wait("it is told", |events| (!events.is_empty()).then_some(()));
    let events: Vec<_> = stream.events().iter().chain(lost.events()).cloned().collect();
    for name in ["", "hello", "resync"] {
        assert!(events.iter().any(|event| event.name == name), "{name}");
    }
    for event in events {
        let name = if event.name.is_empty() { "(none)" } else { &event.name };
        assert_eq!(Schemas(&document).check(&described[name], &event.data, name), Vec::<String>::new());
    }
}
