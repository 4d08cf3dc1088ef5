//! The text is held against the rules of `promtool check metrics`, and of the two formats.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

use vigie_api::SCHEMA;
use vigie_api::containers::{Container, Containers};
use vigie_api::incidents::Report;
use vigie_api::time::Millis;
use vigie_core::docker::known;
use vigie_core::name::Name;

/// Everything that is wrong with a text.
fn lint(text: &str, open_metrics: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut families: BTreeMap<String, [Option<String>; 3]> = BTreeMap::new();
    let (mut series, mut closed, mut current) = (BTreeSet::new(), BTreeSet::new(), String::new());
    if !text.ends_with('\n') {
        wrong.push("it does not end with a newline".to_owned());
    }
    let lines: Vec<&str> = text.lines().collect();
    if open_metrics != (lines.last() == Some(&"# EOF")) {
        wrong.push("only OpenMetrics ends with # EOF".to_owned());
    }
    for line in lines.iter().filter(|line| **line != "# EOF") {
        let family = if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (Some(what), Some(name), Some(rest)) = (words.next(), words.next(), words.next()) else {
                wrong.push(format!("no comment: {line}"));
                continue;
            };
            let entry = families.entry(name.to_owned()).or_default();
            let slot = match what {
                "HELP" => &mut entry[0],
                "TYPE" => &mut entry[1],
                "UNIT" if open_metrics => &mut entry[2],
                _ => {
                    wrong.push(format!("unknown comment: {line}"));
                    continue;
                }
            };
            if slot.replace(rest.to_owned()).is_some() {
                wrong.push(format!("twice: {line}"));
            }
            name.to_owned()
        } else {
            let Some((name, labels)) = sample(line) else {
                wrong.push(format!("no sample: {line}"));
                continue;
            };
            if !series.insert((name.clone(), labels)) {
                wrong.push(format!("a series twice: {line}"));
            }
            let family =
                if open_metrics { name.strip_suffix("_total").unwrap_or(&name).to_owned() } else { name.clone() };
            let counter = families.get(&family).is_some_and(|[_, kind, _]| kind.as_deref() == Some("counter"));
            if counter != name.ends_with("_total") {
                wrong.push(format!("only counters end with _total: {name}"));
            }
            family
        };
        if family != current {
            if !closed.insert(family.clone()) {
                wrong.push(format!("{family} does not stand together"));
            }
            current = family;
        }
    }
    for (name, [help, kind, unit]) in &families {
        if help.as_ref().is_none_or(|help| help.trim().is_empty()) {
            wrong.push(format!("{name} has no help"));
        }
        if !matches!(kind.as_deref(), Some("counter" | "gauge")) {
            wrong.push(format!("{name} has no type"));
        }
        if unit.as_ref().is_some_and(|unit| !name.ends_with(&format!("_{unit}"))) {
            wrong.push(format!("{name} does not end with its unit"));
        }
        let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !plain || !name.starts_with("vigie_") {
            wrong.push(format!("{name} is no good name"));
        }
        let words: Vec<&str> = name.split('_').collect();
        for bad in
            ["percent", "milliseconds", "ms", "minutes", "kilobytes", "kb", "mb", "gauge", "counter", "count", "sum"]
        {
            if words.contains(&bad) {
                wrong.push(format!("{name}: no base unit, or a reserved word: {bad}"));
            }
        }
    }
    wrong
}

/// Name and labels of a line, when it is one.
fn sample(line: &str) -> Option<(String, Vec<(String, String)>)> {
    let end = line.find(['{', ' '])?;
    let name = line[..end].to_owned();
    let mut rest = &line[end..];
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"")?;
            let (mut value, mut escaped, mut closing) = (String::new(), false, None);
            for (place, character) in after.char_indices() {
                match (escaped, character) {
                    (true, 'n') => value.push('\n'),
                    (true, '\\' | '"') => value.push(character),
                    (true, _) => return None,
                    (false, '\\') => {}
                    (false, '"') => {
                        closing = Some(place);
                        break;
                    }
                    (false, other) => value.push(other),
                }
                escaped = !escaped && character == '\\';
            }
            labels.push((label.to_owned(), value));
            let after = &after[closing? + 1..];
            match after.split_at(1) {
                (",", after) => rest = after,
                ("}", after) => {
                    rest = after;
                    break;
                }
                _ => return None,
            }
        }
    }
    rest.strip_prefix(' ')?.parse::<f64>().ok()?;
    let names: BTreeSet<&str> = labels.iter().map(|(label, _)| label.as_str()).collect();
    (names.len() == labels.len()).then_some((name, labels))
}

#[test]
fn the_linter_finds_what_is_wrong() {
    let good = "# HELP vigie_a_bytes A.\n# TYPE vigie_a_bytes gauge\nvigie_a_bytes{x=\"1\"} 1\n";
    assert_eq!(lint(good, false), Vec::<String>::new());
    for (bad, what) in [
        ("vigie_a_bytes 1\n# HELP vigie_a_bytes A.\n".to_owned(), "no type"),
        ("# TYPE vigie_a gauge\nvigie_a 1\n".to_owned(), "no help"),
        (format!("{good}vigie_a_bytes{{x=\"1\"}} 2\n"), "twice"),
        (good.replace("gauge", "counter"), "_total"),
        (good.replace("vigie_a_bytes", "vigie_a_total"), "_total"),
        (good.replace("x=\"1\"", "x=\"1\"\""), "no sample"),
        (good.replace("x=\"1\"", "x=\"\\d\""), "no sample"),
        (good.replace("x=\"1\"", "x=\"1\",x=\"2\""), "no sample"),
        (good.replace("} 1", "} one"), "no sample"),
        (good.replace("vigie_a_bytes", "vigie_a_percent"), "base unit"),
        (good.replace("vigie_a_bytes", "vigie_aB"), "good name"),
        (format!("{good}# HELP vigie_b B.\n# TYPE vigie_b gauge\nvigie_b 1\nvigie_a_bytes{{x=\"2\"}} 1\n"), "together"),
        (format!("{good}# EOF\n"), "EOF"),
        (good.trim_end().to_owned(), "newline"),
    ] {
        assert!(lint(&bad, false).iter().any(|found| found.contains(what)), "{what}: {:?}\n{bad}", lint(&bad, false));
    }
}

/// A world with everything in it, and with the worst names.
fn text(format: Format) -> String {
    let name = |text: &str| Name::new(text).expect("a name");
    let container = |source: &str, state| {
        let known = known::Container { name: "w".to_owned(), image: "i".to_owned(), state, health: None, oom: false };
        Container::new(name(source), format!("{source}{state:?}"), known)
    };
    let service = |project: &str, dir: &str, running: bool| {
        let run = running.then(|| {
            serde_json::json!({
                "id": "0000000000000005", "pid": 7, "boot_id": null, "start_ticks": null, "adopted": false,
                "started_at": "2026-01-01T00:00:00.500Z", "containment": null, "cgroup": null, "cpu_percent_of_core": 12.5,
                "memory_bytes": 4096, "processes": 2, "threads": 3, "ports": null
            })
        });
        let key = serde_json::json!({"scope": "project", "dir": dir, "service": "api"});
        let service = serde_json::json!({
            "project": project, "service": "api", "mode": null, "wanted": "up", "state": "running", "since": null,
            "restarts": 4, "run": run, "last_exit": null, "findings": [], "why": null, "claims": [], "project_dir": dir,
            "scope": "project", "key": key
        });
        serde_json::from_value::<Service>(service).expect("a service")
    };
    let sources = serde_json::json!({
        "schema": 1,
        "sources": [{"name": "nas", "endpoint": "tcp://nas", "events": true, "mode": "stream", "online": false, "stage": "live",
            "why": null, "engine": null, "same_engine_as": null, "containers": 1, "last_event": null, "bad_lines": 2,
            "dropped": 3}],
        "worker": {"pid": 5, "memory_bytes": 77},
    });
    let channel = serde_json::json!({
        "name": "ops", "kind": null, "url": null, "private": false, "since": "2026-01-01T00:00:00Z", "waiting": 1,
        "delivered": 2, "dropped": 3, "delivered_at": null, "failed_at": null, "why": null
    });
    let about = Daemon {
        schema: SCHEMA,
        pid: 1,
        version: "1 \"two\"\nthree\\".to_owned(),
        started: Millis(Wall(1_500_000_000)),
        home: "/h".into(),
    };
    let facts = Facts {
        about: &about,
        // Two of one name: only the key tells them apart.
        services: &[service("demo", "/a", true), service("demo", "/b", false)],
        sources: &serde_json::from_value(sources).expect("sources"),
        streams: (2, 1),
        incidents: Some(Report { schema: SCHEMA, daemon: true, incidents: Vec::new() }),
        containers: Some(Containers {
            schema: SCHEMA,
            containers: vec![
                container("nas", known::State::Running),
                container("nas", known::State::Exited),
                container("pi", known::State::Running),
            ],
        }),
        channels: vec![serde_json::from_value(channel).expect("a channel")],
        lost_samples: Some(vigie_store::samples::Size { bytes: 1, log_bytes: 2, lost: 0 }),
        usage: Some(Usage { resident_bytes: 10, cpu_seconds: 0.25 }),
        sizes: vec![("journal", "file", 4096), ("journal", "wal", 0)],
    };
    facts.write(format)
}

#[test]
fn both_formats_are_as_they_must_be() {
    let prometheus = text(Format::Prometheus);
    assert_eq!(lint(&prometheus, false), Vec::<String>::new(), "{prometheus}");
    let open_metrics = text(Format::OpenMetrics);
    assert_eq!(lint(&open_metrics, true), Vec::<String>::new(), "{open_metrics}");
    let values = |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(values(&prometheus), values(&open_metrics));
    for line in [
        "vigie_build_info{version=\"1 \\\"two\\\"\\nthree\\\\\"} 1",
        "vigie_daemon_start_time_seconds 1.5",
        "vigie_source_online{source=\"nas\"} 0",
        "vigie_source_dropped_messages_total{source=\"nas\"} 3",
        "vigie_containers{source=\"nas\",state=\"running\"} 1",
        "vigie_incidents_open{severity=\"critical\"} 0",
        "vigie_messages_dropped_total{channel=\"ops\"} 3",
    ] {
        assert!(prometheus.lines().any(|there| there == line), "{line}\n{prometheus}");
    }
    let of = |name: &str| prometheus.lines().filter(|line| line.starts_with(&format!("{name}{{"))).count();
    assert_eq!((of("vigie_service_state"), of("vigie_service_restarts_total")), (2, 2));
    assert_eq!(of("vigie_service_memory_bytes"), 1, "what was not measured is absent");
    assert!(prometheus.contains("} 0.125\n"), "12.5 % of a core");
}

#[test]
fn who_reads_open_metrics_says_so() {
    let prometheus_3 = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
    assert_eq!(Format::of_accept(prometheus_3), Format::OpenMetrics);
    for plain in ["", "*/*", "text/plain", "text/html, application/xml"] {
        assert_eq!(Format::of_accept(plain), Format::Prometheus, "{plain}");
    }
}
