//! The API (R12.1, R12.4): the stream, the port with its tokens, what is sent by whoever means no good, and the end.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::process::{Signal, Uid};
use rustix::thread::set_thread_res_uid;
use serde_json::{Value, json};
use vigie_real_tests::{Event, LONG, Site, World, elapsed, is_root, now, read, skip, until};

fn socket(world: &World) -> Site {
    Site::Socket(world.home().join("run/daemon.sock"))
}

/// A port, and a token of each right.
struct Port {
    number: u16,
    reader: String,
    actor: String,
}

impl Port {
    fn open(world: &World) -> Self {
        let told = world.vigie(&["api", "listen", "127.0.0.1:0", "--json"]).run().code(0).text();
        let told: Value = serde_json::from_str(&told).expect("JSON");
        let address = told["listen"].as_str().expect("an address");
        let number = address.strip_prefix("127.0.0.1:").expect("of loopback").parse().expect("a port");
        let token = |name: &str, right: &str| {
            world.vigie(&["api", "token", "add", name, right]).run().code(0).text().trim().to_owned()
        };
        Self { number, reader: token("reader", "--read"), actor: token("actor", "--act") }
    }

    fn reader(&self) -> Site {
        Site::Port(self.number, Some(self.reader.clone()))
    }

    fn actor(&self) -> Site {
        Site::Port(self.number, Some(self.actor.clone()))
    }

    fn stranger(&self) -> Site {
        Site::Port(self.number, None)
    }
}

fn entries(events: &[Event]) -> Vec<&Event> {
    events.iter().filter(|event| event.name.is_empty()).collect()
}

fn ids(events: &[Event]) -> Vec<u64> {
    events.iter().filter_map(|event| event.id).collect()
}

/// Puts entries into the journal: tokens that come and go, told by somebody in a folder with a long name, so that little of it
/// fits into a buffer. Many at once, so that they share a wait for the disk.
fn fill(site: &Site, pairs: usize) {
    const AT_ONCE: usize = 8;
    std::thread::scope(|scope| {
        for number in 0..AT_ONCE {
            scope.spawn(move || {
                let origin = json!({"uid": 0, "user": "x", "terminal": null, "pid": 1, "cwd": "/y".repeat(1_000)});
                let name = format!("t{number}");
                for _ in 0..pairs / AT_ONCE {
                    let add = json!({"add_token": {"name": name, "right": "read", "sha256": "00".repeat(32)}});
                    for change in [add, json!({"remove_token": name})] {
                        let answer = site.post("/v1/access", &json!({"change": change, "origin": origin}).to_string());
                        assert_eq!(answer.status, 200, "{}", answer.text());
                    }
                }
            });
        }
    });
}

/// Every entry with its number; who comes back gets what it missed; what is not wanted is left out.
#[test]
fn a_stream_tells_all_and_goes_on_where_it_was() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\n[service.b]\ncommand = \"@hostile wait\"\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let site = socket(&world);
    let mut all = site.open("/v1/stream?after=0", "");
    let mut of_b = site.open("/v1/stream?after=0&target=demo%2Fb&kind=started&kind=exited", "");
    let mut fresh = site.open("/v1/stream", "");
    let head = all.head().to_lowercase();
    for header in ["text/event-stream", "cache-control: no-store", "x-accel-buffering: no"] {
        assert!(head.contains(header), "{head}");
    }
    let before = fresh.wait("the first event", |events| events.first().cloned());
    assert_eq!((before.name.as_str(), &before.data["schema"]), ("hello", &json!(1)));
    world.vigie(&["restart", "a", "b", "--yes"]).run().code(0);
    let journal = world.events();
    let last = journal.last().and_then(|entry| entry["seq"].as_u64()).expect("a number");
    all.wait("the first event", |events| events.first().cloned());
    assert!(all.text().starts_with("retry: "), "{}", all.text());
    let told = all.wait("everything", |events| (ids(events).last() >= Some(&last)).then(|| events.to_vec()));
    let told: Vec<Value> = entries(&told).iter().map(|event| event.data.clone()).collect();
    assert_eq!(told[..journal.len()], journal[..], "what the command shows");
    let events = fresh.wait("the end", |events| (ids(events).last() >= Some(&last)).then(|| events.to_vec()));
    assert_eq!(ids(&entries(&events).into_iter().cloned().collect::<Vec<_>>())[0], before.id.expect("a number") + 1);
    let kinds = of_b.wait("both starts of b", |events| {
        let entries = entries(events);
        (entries.len() >= 3).then(|| entries.iter().map(|event| event.data["kind"].clone()).collect::<Vec<_>>())
    });
    assert_eq!(kinds[..3], ["started", "exited", "started"]);
    assert!(entries(of_b.events()).iter().all(|event| event.data["service"] == "b"));
    // The header wins: a browser that comes back asks for the same path.
    let mut back = site.open("/v1/stream?after=0", &format!("Last-Event-ID: {}\r\n", last - 2));
    let events = back.wait("the rest", |events| (ids(events).last() >= Some(&last)).then(|| events.to_vec()));
    assert_eq!(ids(&events)[..3], [last - 2, last - 1, last]);
    // Somebody lives there, also when nothing happens.
    let since = now();
    let mut quiet = site.open("/v1/stream", "");
    until("a comment comes", || {
        quiet.idle(Duration::from_millis(500));
        quiet.text().contains("\n: ").then_some(())
    });
    assert!(elapsed(since) > Duration::from_secs(4), "every five seconds");
}

/// What the journal does not know is said, and from where it goes on.
#[test]
fn a_number_that_the_journal_does_not_know_is_told() {
    let world = World::new();
    world.vigie(&["daemon", "start"]).run().code(0);
    let site = socket(&world);
    let last = until("it begins", || world.events().last().and_then(|entry| entry["seq"].as_u64()));
    let mut stream = site.open("/v1/stream", "Last-Event-ID: 999999999\r\n");
    let first = stream.wait("the first event", |events| events.first().cloned());
    assert_eq!((first.name.as_str(), first.id), ("resync", Some(last)));
    assert_eq!(first.data, json!({"schema": 1, "why": "unknown", "after": last}));
    fill(&site, 8);
    let events = stream.wait("it goes on", |events| (entries(events).len() >= 2).then(|| events.to_vec()));
    assert_eq!(ids(&events)[1], last + 1);
    for bad in ["x", "-1", "1.5", "1, 2"] {
        let request = format!("GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {bad}\r\n\r\n");
        assert_eq!(site.raw(request.as_bytes()).status, 400, "{bad}");
    }
    for bad in ["after=x", "kind=nothing", "target=pid:7", "target=%ff", "other=1"] {
        assert_eq!(site.get(&format!("/v1/stream?{bad}")).status, 400, "{bad}");
        assert_eq!(site.get(&format!("/v1/events?{bad}")).status, 400, "{bad}");
    }
}

/// Whoever does not read slows nobody, holds little, and is told what it missed.
#[test]
fn one_that_does_not_read_is_told_what_it_missed() {
    let world = World::new();
    world.vigie(&["daemon", "start"]).run().code(0);
    let site = socket(&world);
    let mut deaf = site.open("/v1/stream?after=0", "");
    deaf.wait("it has begun", |events| (!events.is_empty()).then_some(()));
    let mut awake = site.open("/v1/stream?after=0", "");
    let reader = std::thread::spawn(move || {
        awake.wait("all of it", |events| {
            let of_access = |event: &&Event| event.data["kind"] == "access_changed";
            (entries(events).iter().filter(|event| of_access(event)).count() >= 2_400).then(|| ids(events))
        })
    });
    fill(&site, 1_200);
    let heard = reader.join().expect("it reads to the end");
    assert!(heard.windows(2).all(|two| two[0] < two[1] || two == [0, 0]), "in order, each once");
    let last = world.events().last().and_then(|entry| entry["seq"].as_u64()).expect("a number");
    let events = deaf.wait("the end, at last", |events| (ids(events).last() == Some(&last)).then(|| events.to_vec()));
    let all: Vec<u64> = world.events().iter().filter_map(|entry| entry["seq"].as_u64()).collect();
    let heard: Vec<u64> = heard.into_iter().filter(|id| *id > 0).collect();
    assert_eq!(heard, all[..heard.len()], "who reads got every entry");
    let resyncs: Vec<&Event> = events.iter().filter(|event| event.name == "resync").collect();
    assert_eq!(resyncs.len(), 1, "{}", deaf.text().len());
    assert_eq!(resyncs[0].data["why"], "slow");
    assert!(ids(&events).windows(2).all(|two| two[0] <= two[1]), "never back");
    let place = events.iter().position(|event| event.name == "resync").expect("there");
    let (before, after) = (events[place - 1].id.expect("a number"), events[place + 1].id.expect("a number"));
    assert_eq!(resyncs[0].data["after"], after - 1, "it says from where it goes on");
    assert!(after > before + 1, "something is missing: {before}, {after}");
    let missed = world.events().iter().filter_map(|entry| entry["seq"].as_u64()).filter(|seq| *seq > before).count();
    assert!(missed > 1_000, "the gap can be read: {missed}");
    let metrics = site.get("/metrics").text();
    assert!(metrics.contains("\nvigie_api_stream_resyncs_total 1\n"), "{metrics}");
}

/// The example of docs/api.md.
#[test]
fn a_silence_by_hand() {
    let world = World::new();
    world.vigie(&["daemon", "start"]).run().code(0);
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md")).expect("the page");
    let body = page.lines().find_map(|line| line.trim().strip_prefix("-d '")?.strip_suffix('\'')).expect("an example");
    let site = socket(&world);
    let answer = site.post("/v1/settings", body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let scope = json!({"project": null, "service": null, "source": "nas", "container": "web"});
    assert_eq!(answer.json()["silence"]["scope"], scope);
    let both = r#"{"change":"silence","scope":{"service":"api","source":"nas"},"length":"1h","by":"x","reason":null}"#;
    assert_eq!(site.post("/v1/settings", both).status, 400, "nothing is both");
    assert_eq!(site.get_json("/v1/silences")["silences"].as_array().map(Vec::len), Some(1));
}

/// What is set is the same for whoever asks, and a change that is refused changes nothing.
#[test]
fn settings_are_the_same_for_the_command_and_the_api() {
    let world = World::new();
    world.vigie(&["daemon", "start"]).run().code(0);
    let site = socket(&world);
    let both = |value: &str, changed: bool| {
        let told = site.get_json("/v1/settings");
        let shown = world.vigie(&["settings", "--json"]).run().code(0).text();
        assert_eq!(told, serde_json::from_str::<Value>(&shown).expect("JSON"));
        let settings = told["settings"].as_array().expect("a list");
        let one = settings.iter().find(|one| one["key"] == "metrics.interval").expect("it is there");
        assert_eq!((&one["value"], &one["changed"]), (&json!(value), &json!(changed)), "{one:#}");
        one["default"].as_str().expect("a text").to_owned()
    };
    let set = |pairs: Value| site.post("/v1/settings", &json!({"change": "set", "settings": pairs}).to_string()).status;
    assert_eq!(set(json!([["metrics.interval", "2m"]])), 200);
    let default = both("2m", true);
    for wrong in [
        json!([["metrics.interval", "soon"]]),
        json!([["no.such", "1s"]]),
        json!([["metrics.interval", "3m"], ["disk.interval", "never ever"]]),
        json!([["metrics.interval"]]),
    ] {
        assert_eq!(set(wrong.clone()), 400, "{wrong}");
        both("2m", true);
    }
    world.vigie(&["settings", "set", "metrics.interval=3m"]).run().code(0);
    both("3m", true);
    world.vigie(&["settings", "set", "metrics.interval=soon"]).run().code(2);
    both("3m", true);
    let reset = json!({"change": "reset", "keys": ["metrics.interval"]}).to_string();
    assert_eq!(site.post("/v1/settings", &reset).status, 200);
    both(&default, false);
}

/// R12.4: who may ask what at a port.
#[test]
fn a_port_asks_for_a_token_and_for_the_right_names() {
    let world = World::new();
    let port = Port::open(&world);
    let (reader, actor, stranger) = (port.reader(), port.actor(), port.stranger());
    assert_eq!(reader.get_json("/v1/daemon")["schema"], 1);
    let refused = stranger.get("/v1/daemon");
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Bearer realm=\"vigie\""));
    assert_eq!(stranger.get("/nowhere").status, 401, "a stranger learns nothing");
    assert_eq!(stranger.get(&format!("/v1/daemon?token={}", port.reader)).status, 401, "never in a URL");
    let with = |line: &str, path: &str, more: &str| {
        let number = port.number;
        let token = format!("Authorization: Bearer {}\r\n", port.reader);
        let host = if line.contains("Host:") { line.to_owned() } else { format!("Host: 127.0.0.1:{number}\r\n{line}") };
        reader.raw(format!("GET {path} HTTP/1.1\r\n{host}{token}{more}Connection: close\r\n\r\n").as_bytes()).status
    };
    assert_eq!(with("", "/v1/daemon", ""), 200);
    assert_eq!(with(&format!("Host: localhost:{}\r\n", port.number), "/v1/daemon", ""), 200);
    for host in ["evil.example", "127.0.0.1", "localhost:1", "localhost.evil.example", "[::1]"] {
        assert_eq!(with(&format!("Host: {host}\r\n"), "/v1/daemon", ""), 421, "{host}");
    }
    assert_eq!(with("Origin: http://evil.example\r\n", "/v1/daemon", ""), 403);
    assert_eq!(with("Origin: null\r\n", "/v1/daemon", ""), 403);
    assert_eq!(with("Sec-Fetch-Site: cross-site\r\n", "/v1/daemon", ""), 403);
    assert_eq!(with(&format!("Origin: http://127.0.0.1:{}\r\n", port.number), "/v1/daemon", ""), 200);
    // To look is not to act.
    let reset = json!({"request": "reset", "keys": []}).to_string();
    assert_eq!(reader.post("/v1/requests", &reset).status, 403);
    assert_eq!(reader.post("/v1/samples/flush", "null").status, 403);
    assert_eq!(actor.post("/v1/requests", &reset).status, 200);
    // Who asks is who has the token, whatever he says.
    let socket = format!("unix://{}", world.path("none.sock").display());
    world.vigie(&["source", "add", "q", &socket]).run().code(0);
    let pause =
        json!({"change": {"pause": "q"}, "origin": {"uid": 0, "user": "boss", "terminal": null, "pid": 1, "cwd": "/"}});
    assert_eq!(actor.post("/v1/sources", &pause.to_string()).status, 200);
    let events = world.vigie(&["events", "source:q"]).run().code(0).text();
    assert!(events.contains("by token actor") && !events.contains("boss"), "{events}");
    // Nobody makes himself a token by a token.
    let change = json!({"change": {"remove_token": "reader"}, "origin": {"uid": 0, "user": null, "terminal": null, "pid": 1, "cwd": "/"}});
    assert_eq!(actor.post("/v1/access", &change.to_string()).status, 403);
    assert_eq!(reader.get_json("/v1/access")["tokens"].as_array().map(Vec::len), Some(2));
    assert!(!reader.get("/v1/access").text().contains("sha256"));
    // What was opened by a token goes with it, at once.
    let mut stream = reader.open("/v1/stream", "");
    let mut lines = reader.open("/v1/events?follow=1", "");
    assert!(stream.head().starts_with("HTTP/1.1 200") && lines.head().starts_with("HTTP/1.1 200"));
    world.vigie(&["api", "token", "rm", "reader"]).run().code(0);
    assert!(stream.end() && lines.end(), "they end in order");
    assert_eq!(reader.get("/v1/daemon").status, 401);
    world.vigie(&["api", "token", "rm", "reader"]).run().code(8);
    world.vigie(&["api", "token", "add", "actor"]).run().code(2);
    // No token is anywhere but where it was shown.
    for token in [&port.reader, &port.actor] {
        let secret = &token["vigie_".len()..];
        assert_eq!(found(&world.home(), secret), Vec::<String>::new());
        assert!(!world.story().contains(secret));
    }
    // Also after the death of the daemon, at the same port; and no longer than wanted.
    world.daemon().kill();
    world.vigie(&["daemon", "start"]).run().code(0);
    until("it listens again", || {
        let api = world.vigie(&["api", "--json"]).run().code(0).text();
        api.contains("\"listening\":true").then_some(())
    });
    assert_eq!(actor.get_json("/v1/daemon")["schema"], 1);
    let mut stream = actor.open("/v1/stream", "");
    stream.head();
    world.vigie(&["api", "listen", "off"]).run().code(0);
    assert!(stream.end());
    until("nobody listens", || std::net::TcpStream::connect(("127.0.0.1", port.number)).is_err().then_some(()));
    world.vigie(&["api", "listen", "0.0.0.0:0"]).run().code(2).says("TLS");
    world.vigie(&["api", "listen", "[::]:0"]).run().code(2).says("TLS");
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("an address").to_string();
    world.vigie(&["api", "listen", &taken]).run().code(1).says("cannot listen");
}

/// The files below a folder in which a text stands.
fn found(folder: &std::path::Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(found_in(&path, text));
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes.windows(text.len()).any(|part| part == text.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    found
}

fn found_in(folder: &std::path::Path, text: &str) -> Vec<String> {
    // What ends meanwhile takes its folder along.
    if folder.is_dir() { found(folder, text) } else { Vec::new() }
}

/// The daemon tries again where somebody else had its port when it began.
#[test]
fn a_port_that_is_taken_is_tried_again() {
    let world = World::new();
    let port = Port::open(&world);
    world.vigie(&["daemon", "stop"]).run().code(0);
    let other = until("the port is free for a moment", || std::net::TcpListener::bind(("127.0.0.1", port.number)).ok());
    world.vigie(&["daemon", "start"]).run().code(0);
    let shown = until("it says so", || {
        let api = world.vigie(&["api"]).run().code(0).text();
        api.contains("cannot listen").then_some(api)
    });
    assert!(shown.contains("tried again"), "{shown}");
    drop(other);
    until("it has it", || {
        let api = world.vigie(&["api", "--json"]).run().code(0).text();
        api.contains("\"listening\":true").then_some(())
    });
    assert_eq!(port.reader().get_json("/v1/daemon")["schema"], 1);
    // Whoever came by the port hears the last words, too, where nobody is at the socket.
    let mut stream = port.reader().open("/v1/stream", "");
    stream.wait("it has begun", |events| (!events.is_empty()).then_some(()));
    world.vigie(&["daemon", "stop"]).run().code(0);
    assert!(stream.end(), "its end is a regular one");
}

/// What no good client sends: each is refused with the right status, and the daemon goes on.
#[test]
fn what_means_no_good_is_refused() {
    let world = World::new();
    let port = Port::open(&world);
    for site in [socket(&world), port.actor()] {
        let headers = site.headers();
        let status = |request: &str| site.raw(request.as_bytes()).status;
        let get = |path: &str| status(&format!("GET {path} HTTP/1.1\r\n{headers}\r\n"));
        for path in [
            "/",
            "/v1",
            "/v1/",
            "//v1/daemon",
            "/v1//daemon",
            "/v1/daemon/",
            "/v1/../v1/daemon",
            "/v1/%64aemon",
            "/v1/daemon%00",
            "/v1/daemon%2f",
            "/%2e%2e/etc/passwd",
            "/V1/daemon",
            "/v1/daemon;x",
        ] {
            assert_eq!(get(path), 404, "{path}");
        }
        assert_eq!(get("http://evil.example/v1/daemon"), 400, "this is no proxy");
        assert_eq!(get(&format!("/v1/daemon?{}", "x".repeat(9 << 10))), 414);
        assert_eq!(status(&format!("GET /v1/daemon HTTP/1.1\r\n{headers}X: {}\r\n\r\n", "x".repeat(40 << 10))), 431);
        assert_eq!(status(&format!("GET /v1/daemon HTTP/1.1\r\n{headers}X: {}\r\n\r\n", "x".repeat(1 << 20))), 431);
        assert_eq!(status(&format!("GET /v1/da\0emon HTTP/1.1\r\n{headers}\r\n")), 400);
        assert_eq!(status(&format!("GET /v1/daemon HTTP/1.1\r\n{headers}X : y\r\n\r\n")), 400);
        for method in ["DELETE", "PUT", "OPTIONS", "TRACE", "PATCH", "NONSENSE"] {
            let answer =
                site.raw(format!("{method} /v1/sources HTTP/1.1\r\n{headers}Connection: close\r\n\r\n").as_bytes());
            assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD, POST"), "{method}");
        }
        let unknown = site.raw(format!("GET /v1/statuss HTTP/1.1\r\n{headers}Connection: close\r\n\r\n").as_bytes());
        let error = unknown.json()["error"].clone();
        assert_eq!((unknown.status, &error["code"]), (404, &8.into()), "as of all that is not there");
        assert!(error["message"].as_str().is_some_and(|text| text.contains("/v1/openapi.json")), "{error}");
        // As GET, and nothing behind its head.
        for (path, wanted) in [("/v1/daemon", 200), ("/v1/status", 200), ("/v1/requests", 405), ("/v1/nothing", 404)] {
            let head = site.raw(format!("HEAD {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n").as_bytes());
            assert_eq!((head.status, head.body.len()), (wanted, 0), "{path}");
            assert!(head.header("content-length").parse::<u64>().is_ok_and(|length| length > 0), "{path}");
        }
        let post = |more: &str, body: &str| status(&format!("POST /v1/settings HTTP/1.1\r\n{headers}{more}\r\n{body}"));
        let change = "{\"change\":\"end_silence\",\"id\":7}";
        let length = format!("Content-Length: {}\r\n", change.len());
        assert_eq!(
            post(&format!("Content-Type: application/json; charset=utf-8\r\n{length}"), change),
            404,
            "no silence 7"
        );
        assert_eq!(post(&format!("Content-Type: text/plain\r\n{length}"), change), 415);
        assert_eq!(post(&length, change), 415);
        assert_eq!(post("Content-Type: application/json\r\nContent-Length: 2\r\n", "{}"), 400);
        assert_eq!(post("Content-Type: application/json\r\nContent-Length: 1000000000\r\n", ""), 413);
        assert_eq!(post("Content-Type: application/json\r\nContent-Length: x\r\n", ""), 400);
        assert_eq!(flood(&site), 413);
        assert_eq!(site.get_json("/v1/daemon")["schema"], 1, "it goes on");
    }
    // More fits through the socket: a manifest bears the environment of each service.
    let large = format!("{{\"request\":\"reset\",\"keys\":[],\"x\":\"{}\"}}", "x".repeat(2 << 20));
    assert_eq!(socket(&world).post("/v1/requests", &large).status, 200);
    assert_eq!(port.actor().post("/v1/requests", &large).status, 413);
}

/// A gigabyte in chunks: it is refused long before that.
fn flood(site: &Site) -> u16 {
    let mut connection = site.connect();
    let head = format!(
        "POST /v1/settings HTTP/1.1\r\n{}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        site.headers()
    );
    connection.write_all(head.as_bytes()).expect("sent");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
    let mut sent = 0_usize;
    while sent < 1 << 30 && connection.write_all(chunk.as_bytes()).is_ok() {
        sent += chunk.len();
        // Whoever has answered does not read any more.
        connection.patience(Duration::from_millis(200));
    }
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    connection.patience(LONG);
    read(&mut connection).map_or(0, |answer| answer.status)
}

/// Slow heads hold no place for ever, and who has none of them is served meanwhile.
#[test]
fn slow_heads_are_cut_off() {
    let world = World::new();
    let port = Port::open(&world);
    let mut slow: Vec<_> = (0..40).map(|_| port.stranger().connect()).collect();
    for (number, connection) in slow.iter_mut().enumerate() {
        // Some say nothing at all.
        if number % 2 == 0 {
            connection.write_all(b"GET /v1/daemon HTTP/1.1\r\nHost: ").expect("sent");
        }
    }
    assert_eq!(port.reader().get_json("/v1/daemon")["schema"], 1);
    for connection in &mut slow {
        let mut rest = Vec::new();
        // Ended, with or without a word.
        let _ = connection.read_to_end(&mut rest);
        assert!(!rest.starts_with(b"HTTP/1.1 200"));
    }
}

/// The folder lets nobody else through; and where it did, the kernel says who it is.
#[test]
fn another_user_is_not_served() {
    if !is_root() {
        skip("another_user_is_not_served", "only root can be somebody else");
        return;
    }
    let world = World::new();
    world.vigie(&["daemon", "start"]).run().code(0);
    let path = world.home().join("run/daemon.sock");
    let as_nobody = move |path: std::path::PathBuf| {
        let thread = std::thread::spawn(move || {
            let nobody = Uid::from_raw(65534);
            set_thread_res_uid(nobody, nobody, nobody).expect("root may");
            let mut stream = UnixStream::connect(path).ok()?;
            stream.set_read_timeout(Some(LONG)).expect("a timeout");
            let _ = stream.write_all(b"GET /v1/daemon HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            Some(answer)
        });
        thread.join().expect("no panic")
    };
    assert_eq!(as_nobody(path.clone()), None, "the folder is closed");
    for (path, mode) in
        [(world.path("."), 0o755), (world.home(), 0o755), (world.home().join("run"), 0o755), (path.clone(), 0o666)]
    {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("ours");
    }
    assert_eq!(as_nobody(path), Some(Vec::new()), "not a word");
    assert_eq!(socket(&world).get_json("/v1/daemon")["schema"], 1);
}

/// Open streams do not keep the daemon from ending, one that reads nothing neither.
#[test]
fn a_daemon_with_open_streams_ends_in_time() {
    let world = World::new();
    let port = Port::open(&world);
    let deaf = socket(&world).open("/v1/stream?after=0", "");
    fill(&socket(&world), 400);
    let mut streams: Vec<_> =
        (0..25).flat_map(|_| [socket(&world).open("/v1/stream", ""), port.reader().open("/v1/stream", "")]).collect();
    for stream in &mut streams {
        stream.wait("it has begun", |events| (!events.is_empty()).then_some(()));
    }
    let daemon = world.daemon();
    let since = now();
    daemon.signal(Signal::TERM);
    for stream in &mut streams {
        assert!(stream.end(), "its end is a regular one");
    }
    assert!(daemon.ended_within(LONG), "it is gone");
    // The bound is a second; the rest is for a machine under load.
    assert!(elapsed(since) < Duration::from_secs(20), "{:?}", elapsed(since));
    drop(deaf);
}

/// What the commands show, clients of the API get.
#[test]
fn looking_is_the_same_through_both() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\n");
    world.vigie(&["up", "-d"]).run().code(0);
    world.vigie(&["notify", "add", "ops", "ntfy://127.0.0.1:1/hunter2-topic", "--private"]).run().code(0);
    world.vigie(&["notify", "silence", "a", "--for", "1h", "--reason", "deploy"]).run().code(0);
    world.vigie(&["rules", "set", "crash-loop", "exits=9"]).run().code(0);
    let site = socket(&world);
    let command = |args: &[&str]| serde_json::from_slice::<Value>(&world.vigie(args).run().code(0).out).expect("JSON");
    for (path, args) in [
        ("/v1/incidents", &["incidents", "--json"][..]),
        ("/v1/incidents?all=1", &["incidents", "--all", "--json"]),
        ("/v1/rules", &["rules", "--json"]),
        ("/v1/channels", &["notify", "ls", "--json"]),
        ("/v1/silences", &["notify", "silence", "--json"]),
        ("/v1/sources", &["source", "ls", "--json"]),
        ("/v1/access", &["api", "--json"]),
    ] {
        assert_eq!(site.get_json(path), command(args), "{path}");
    }
    assert!(!site.get("/v1/channels").text().contains("hunter2"));
    assert_eq!(site.get_json("/v1/containers"), json!({"schema": 1, "containers": []}));
    let samples = until("something is measured", || {
        let samples = site.get_json("/v1/samples?target=demo/a&metric=memory_bytes&step=10s");
        samples["subjects"][0]["metrics"][0]["last"].is_number().then_some(samples)
    });
    let subject = &samples["subjects"][0];
    assert_eq!((&subject["service"], subject["metrics"].as_array().map(Vec::len)), (&json!("a"), Some(1)));
    let shown = command(&["metrics", "demo/a", "--metric", "memory", "--step", "10s", "--json"]);
    let names = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&shown), names(&samples), "one shape");
    assert_eq!(names(&shown["subjects"][0]["metrics"][0]), names(&subject["metrics"][0]));
    for (bad, why) in [
        ("since=2026-01-01T00:00:00Z&step=1ms", "columns"),
        ("since=9999999999999999999", "since"),
        ("step=x", "duration"),
        ("metric=heat", "metric"),
        ("target=port:80", "nothing is measured"),
    ] {
        let answer = site.get(&format!("/v1/samples?{bad}"));
        assert!(answer.status == 400 && answer.text().contains(why), "{bad}: {}", answer.text());
    }
    let all = world.vigie(&["events", "--json", "-n", "100000"]).run().code(0).text();
    assert_eq!(site.get("/v1/events").text(), all);
    let of_a = site.get("/v1/events?target=a&kind=started").text();
    assert_eq!(of_a.lines().count(), 1, "{of_a}");
    for (accept, kind, end) in [
        ("", "text/plain; version=0.0.4", ""),
        ("Accept: application/openmetrics-text\r\n", "application/openmetrics-text", "# EOF\n"),
    ] {
        let answer = site
            .raw(format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{accept}Connection: close\r\n\r\n").as_bytes());
        assert!(answer.header("content-type").starts_with(kind), "{answer:?}");
        let text = answer.text();
        assert!(
            text.ends_with(end) && text.contains("vigie_service_memory_bytes{project=\"demo\",service=\"a\""),
            "{text}"
        );
        assert!(text.contains("state=\"running\"} 1\n"), "{text}");
    }
}
