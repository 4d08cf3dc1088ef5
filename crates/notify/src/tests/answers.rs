//! Answers over HTTP in every form that receivers give them.

use super::receivers::{Http, LONG};
use super::*;
use crate::dial::{Place, Reach};
use crate::http::{Judged, Post, ask};
use crate::until::Until;

#[track_caller]
fn said(answers: &'static [&'static str]) -> Outcome {
    let server = Http::new(answers);
    let outcome = send(&format!("http://127.0.0.1:{}/", server.port), true);
    server.got();
    outcome
}

#[test]
fn wherever_the_body_ends() {
    for (answer, what) in [
        (&["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokmore"], "status 200 OK: ok"),
        (&["HTTP/1.1 204 No Content\r\n\r\n"], "status 204 No Content"),
        (&["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"], "status 201 Created"),
        (
            &["HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"],
            "status 200 OK: abcde",
        ),
        (&["HTTP/1.0 200 OK\r\n\r\nuntil the end"], "status 200 OK: until the end"),
        (&["HTTP/1.1 299\r\nContent-Length: 0\r\n\r\n"], "status 299"),
        // What breaks off: it is known what came of it all the same.
        (&["HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf"], "status 200 OK: half"),
        (&["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab"], "status 200 OK: ab"),
    ] {
        assert_eq!(delivered(said(answer)), what, "{answer:?}");
    }
}

#[test]
fn when_to_come_back() {
    for (answer, after) in [
        (&["HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2.5\r\nContent-Length: 0\r\n\r\n"], Some(3)),
        (&["HTTP/1.1 503 Busy\r\nretry-after: 7\r\nContent-Length: 0\r\n\r\n"], Some(7)),
        (&["HTTP/1.1 503 Busy\r\nRetry-After: Thu, 1 Jan 2026 00:00:01 GMT\r\nContent-Length: 0\r\n\r\n"], None),
    ] {
        assert_eq!(later(&said(answer)).1, after, "{answer:?}");
    }
}

/// No more is read of it than somebody would want to read.
#[test]
fn who_talks_without_end() {
    let body: &'static str = Box::leak(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1 << 20)).into_boxed_str());
    let answer = delivered(said(Box::leak(Box::new([body]))));
    assert!(answer.starts_with("status 200 OK: xxx") && answer.len() < 400, "{answer}");
    let head: &'static str = Box::leak(format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(1 << 20)).into_boxed_str());
    let why = later(&said(Box::leak(Box::new([head])))).0;
    assert!(why.contains("its answer has no end"), "{why}");
}

/// What a request says about us and about itself, and nothing else.
#[test]
fn what_a_request_says() {
    let server = Http::new(&["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]);
    delivered(send(&format!("http://127.0.0.1:{}/", server.port), true));
    let got = server.got();
    let mut names: Vec<&str> = got.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["Connection", "Content-Length", "Content-Type", "Host", "Idempotency-Key", "User-Agent"]);
    assert_eq!(got.header("Host"), Some(format!("127.0.0.1:{}", server.port).as_str()));
    assert_eq!(got.header("Connection"), Some("close"));
    assert!(got.header("User-Agent").is_some_and(|agent| agent.starts_with("vigie/")));
}

/// A name that nobody can resolve: what is dialled is what was judged, and nobody is asked for the name once more.
#[test]
fn only_judged_addresses_are_dialled() {
    let server = Http::new(&["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]);
    let place = Place { host: "rebinding.invalid".to_owned(), port: 80, reach: Reach::default() };
    let post = Post { tls: false, place, path: "/".to_owned(), headers: Vec::new(), body: Vec::new() };
    let address = ([127, 0, 0, 1], server.port).into();
    let answer = ask(&post, Judged(vec![address]), Until::within(clock, LONG)).expect("an answer");
    assert_eq!(answer.status, 200);
    assert_eq!(server.got().header("Host"), Some("rebinding.invalid"));
}

/// What the environment says of proxies is for others: the address that is dialled is the one that was judged.
#[test]
fn no_proxy_is_asked() {
    let mut child = std::process::Command::new(std::env::current_exe().expect("this program"));
    child.args(["--exact", "tests::answers::only_judged_addresses_are_dialled"]);
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        child.env(name, "http://127.0.0.1:9");
    }
    let done = child.output().expect("it runs");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}
