//! The worker with an engine that answers with whatever it likes: it goes on, counts, and tells what is true.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::task::JoinSet;

use vigie_core::docker::source::Mode;
use vigie_core::docker::told::Resume;
use vigie_fake_engine::{Answer, FakeEngine, Faults};

use super::tests::Bench;
use crate::test::run;

/// Answers that are none.
fn broken() -> Vec<(&'static str, Answer)> {
    vec![
        ("redirects", Answer::status(301).header("Location", "http://elsewhere/")),
        ("wants to know who asks", Answer::status(401)),
        ("is broken", Answer::status(500)),
        ("is overloaded", Answer::status(503)),
        ("floods with headers", Answer::status(200).flood(5000)),
        ("ends in the middle of its body", Answer::bytes("[{\"Id\":\"ab\"").claims(1000)),
        (
            "ends in the middle of a chunk",
            Answer::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{\"a\""),
        ),
        ("speaks something else", Answer::raw("SSH-2.0-OpenSSH_9.2\r\n")),
        ("says nothing", Answer::raw("")),
    ]
}

/// Whatever is wrong with one answer to whatever question, the next attempt is right, and nothing is missed or told twice.
#[test]
fn one_bad_answer() {
    run(async {
        let mut all = JoinSet::new();
        for path in ["/_ping", "/info", "/events", "/containers/json"] {
            for (what, answer) in broken() {
                all.spawn(async move {
                    let engine = FakeEngine::start(Faults::default());
                    engine.happen("create", "old");
                    engine.answer(path, answer.times(1));
                    let mut bench = Bench::begin(&engine, Mode::Stream, Resume::default()).await;
                    bench.live().await;
                    engine.happen("create", "web");
                    assert_eq!(bench.told(1).await.last().expect("one"), "create web", "it {what} at {path}");
                    bench.end().await;
                });
            }
        }
        while let Some(ended) = all.join_next().await {
            ended.expect("each of them");
        }
    });
}

/// What arrives as events, in pieces of any size: nothing panics, every line that is no event is counted, and orders are obeyed.
#[test]
fn whatever_arrives() {
    let line = prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 0..80),
        1 => r#"\{"Type":"container","Action":"[a-z_: ]{0,20}","Actor":\{"ID":"[a-f0-9]{0,70}","Attributes":\{"name":"[^"\\]{0,9}"\}\},"timeNano":[0-9]{1,25}\}"#
            .prop_map(String::into_bytes),
        1 => Just(br#"{"Type":"container","Action":"die","timeNano":18446744073709551615}"#.to_vec()),
        1 => Just(br#"{"Type":"container","Action":"die","Actor":{"Attributes":{"exitCode":"99999999999"}},"timeNano":1}"#.to_vec()),
    ];
    let stream = (proptest::collection::vec(line, 0..40), 1_usize..300);
    TestRunner::new(Config::with_cases(48))
        .run(&stream, |(lines, chunk)| {
            let bytes = [&lines.join(&b"\n"[..])[..], b"\n{\"this is\":\"no event\"}\n"].concat();
            run(async {
                let engine = FakeEngine::start(Faults::default());
                engine.answer("/events", Answer::bytes(bytes).chunked(chunk).then_hangs());
                let mut bench = Bench::begin(&engine, Mode::Stream, Resume::default()).await;
                bench.until(|bench| bench.status.as_ref().is_some_and(|status| status.bad_lines > 0)).await;
                bench.end().await;
            });
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Any bytes instead of any answer: it is asked again later, or what is said of it is understood; orders are obeyed.
#[test]
fn whatever_is_answered() {
    let path = prop_oneof![Just("/_ping"), Just("/info"), Just("/events"), Just("/containers/json")];
    let body = proptest::collection::vec(any::<u8>(), 0..300);
    let answer = (path, body, any::<bool>());
    TestRunner::new(Config::with_cases(48))
        .run(&answer, |(path, body, is_whole)| {
            run(async {
                let engine = FakeEngine::start(Faults::default());
                let answer = if is_whole { Answer::bytes(body) } else { Answer::raw(body) };
                engine.answer(path, answer);
                let mut bench = Bench::begin(&engine, Mode::Stream, Resume::default()).await;
                bench
                    .until(|bench| {
                        bench.status.as_ref().is_some_and(|status| status.failures > 0 || status.online.is_some())
                    })
                    .await;
                assert!(bench.told.iter().all(|told| told == "bad lines"), "{:?}", bench.told);
                bench.end().await;
            });
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

/// As engines speak TLS, from end to end: events, lists, and a poll over connections that are made anew.
#[test]
fn over_tls() {
    use vigie_core::docker::source::{ClientCertificate, Tls};
    run(async {
        let file =
            |name: &str| std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docker/testdata").join(name);
        let server = vigie_fake_engine::tls::Server::new(&file("engine.pem"), &file("engine-key.pem"), &file("ca.pem"));
        let engine =
            FakeEngine::tcp(Faults { split: 3, ..Faults::of("1.53") }, Some(server.expect("files"))).expect("a port");
        let client = ClientCertificate { cert: file("client.pem").into(), key: file("client-key.pem").into() };
        let tls = Tls { ca: file("ca.pem").into(), client: Some(client) };
        engine.happen("create", "old");
        let mut bench = Bench::begin_over(&engine, Some(tls), Mode::Stream, Resume::default()).await;
        bench.live().await;
        engine.happen("create", "web");
        engine.happen("start", "web");
        assert_eq!(bench.told(2).await, ["create web", "start web"]);
        bench.end().await;
    });
}
