//! What arrives, and what comes of it when it does not.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use super::receivers::{Http, LONG, Mailer, bus, server_config};
use super::*;

const OK: &[&str] = &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"];

/// One request to a receiver of this kind; `HERE` in the URL is the receiver.
#[track_caller]
fn received(url: &str) -> super::receivers::Got {
    let server = Http::new(OK);
    let answer = delivered(send(&url.replace("HERE", &format!("127.0.0.1:{}", server.port)), true));
    assert_eq!(answer, "status 200 OK: ok");
    let got = server.got();
    assert_eq!(got.header("Idempotency-Key"), Some("0abc-3-opened"));
    got
}

#[test]
fn a_webhook_gets_everything() {
    let got = received("http://anna:pw@HERE/hook/x?y=%20z");
    assert_eq!(got.line, "POST /hook/x?y=%20z HTTP/1.1");
    assert_eq!(got.header("Authorization"), Some("Basic YW5uYTpwdw=="));
    let json = got.json();
    assert_eq!(
        (&json["schema"], &json["key"], &json["occasion"]),
        (&1.into(), &"0abc-3-opened".into(), &"opened".into())
    );
    assert_eq!(
        (&json["project"], &json["service"], &json["rule"]),
        (&"demo".into(), &"api".into(), &"crash-loop".into())
    );
    assert_eq!((&json["host"], &json["incident"], &json["count"]), (&"web1".into(), &3.into(), &5.into()));
    assert_eq!(json["opened"], "2026-01-01T00:00:00Z");
    assert_eq!(json["title"], "[web1] demo/api: crash loop: 5 ends in 3s <b>&ü");
    assert_eq!(json["lines"].as_array().map(Vec::len), Some(2));
}

/// Each with the path, the keys and the form that its documentation asks for.
#[test]
fn push_services() {
    let got = received("ntfy://:tk_1@HERE/sub/topic?tls=off");
    assert_eq!((got.line.as_str(), got.header("Authorization")), ("POST /sub HTTP/1.1", Some("Bearer tk_1")));
    let json = got.json();
    assert_eq!(
        (&json["topic"], &json["priority"], &json["tags"][0]),
        (&"topic".into(), &5.into(), &"rotating_light".into())
    );
    assert!(json["message"].as_str().is_some_and(|text| text.contains("last output:\n  panic")), "{json}");

    let got = received("gotify://HERE/TOKEN?tls=off");
    assert_eq!((got.line.as_str(), got.header("X-Gotify-Key")), ("POST /message HTTP/1.1", Some("TOKEN")));
    assert_eq!(got.json()["priority"], 8);

    let got = received("pushover://APP/USER?api=http://HERE");
    assert_eq!(got.line, "POST /1/messages.json HTTP/1.1");
    assert!(got.body.starts_with("token=APP&user=USER&title=%5Bweb1%5D%20demo%2Fapi"), "{}", got.body);
    assert!(got.body.ends_with("&priority=1"));

    let got = received("apprise://HERE/KEY?tag=ops&tls=off");
    assert_eq!(got.line, "POST /notify/KEY HTTP/1.1");
    assert_eq!((&got.json()["type"], &got.json()["tag"]), (&"failure".into(), &"ops".into()));
}

#[test]
fn chats() {
    let got = received("slack://T/B/KEY?api=http://HERE");
    assert_eq!(got.line, "POST /services/T/B/KEY HTTP/1.1");
    let text = got.json()["text"].as_str().expect("a text").to_owned();
    assert!(text.contains("&lt;b&gt;&amp;ü") && text.contains("&lt;!channel&gt;") && !text.contains("<!"), "{text}");

    let got = received("mattermost://HERE/KEY?tls=off");
    assert_eq!(got.line, "POST /hooks/KEY HTTP/1.1");
    let text = got.json()["text"].as_str().expect("a text").to_owned();
    assert!(!text.contains("@here") && text.matches("```").count() == 2, "{text}");

    let got = received("discord://1/KEY?api=http://HERE");
    assert_eq!(got.line, "POST /api/webhooks/1/KEY HTTP/1.1");
    assert_eq!(got.json()["allowed_mentions"]["parse"], serde_json::json!([]));
    assert_eq!(got.json()["content"].as_str().map(|text| text.matches("```").count()), Some(2));

    let got = received("telegram://1:KEY@-100/?thread=5&api=http://HERE");
    assert_eq!(got.line, "POST /bot1:KEY/sendMessage HTTP/1.1");
    assert_eq!((&got.json()["chat_id"], &got.json()["message_thread_id"]), (&"-100".into(), &5.into()));
    assert!(got.json().get("parse_mode").is_none(), "nothing in it is markup");

    let got = received("teams://HERE/workflows/x?sig=KEY&tls=off");
    assert_eq!(got.line, "POST /workflows/x?sig=KEY HTTP/1.1");
    let card = got.json()["attachments"][0]["content"].clone();
    assert_eq!((&card["type"], &card["body"][0]["color"]), (&"AdaptiveCard".into(), &"Attention".into()));
}

#[test]
fn what_an_answer_means() {
    let answer = |answers: &'static [&'static str]| {
        let server = Http::new(answers);
        let outcome = send(&format!("http://127.0.0.1:{}/hunter2path", server.port), true);
        assert_eq!(server.got().line, "POST /hunter2path HTTP/1.1");
        assert!(outcome.reached && server.is_silent(), "one request, whatever the answer");
        outcome
    };
    let outcome = answer(&["HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nwhat"]);
    // A receiver's own word for a status means nothing (RFC 9112, 4): it is called what everybody calls it.
    assert_eq!(later(&outcome), ("status 500 Internal Server Error: what".to_owned(), None));
    let outcome = answer(&["HTTP/1.1 429 Too Many Requests\r\nRetry-After: 17\r\nContent-Length: 0\r\n\r\n"]);
    assert_eq!(later(&outcome), ("status 429 Too Many Requests".to_owned(), Some(17)));
    let why =
        refused(answer(&["HTTP/1.1 404 Not Found\r\nContent-Length: 30\r\n\r\nthere is nothing /hunter2path\x1b"]));
    assert_eq!(why, "status 404 Not Found: there is nothing /***\\u{1b}", "neither secrets nor control characters");
    let why =
        refused(answer(&["HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"]));
    assert!(why.contains("redirects are not followed"), "{why}");
}

#[test]
fn who_does_not_answer() {
    // Nobody listens there any more.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let outcome = send(&format!("http://127.0.0.1:{port}/"), true);
    assert!(!outcome.reached && later(&outcome).0.contains("cannot connect"), "{outcome:?}");
    // Somebody who is no HTTP server, and one who says nothing before the connection ends.
    let server = Http::new(&["SSH-2.0-x\r\n\r\n"]);
    assert!(later(&send(&format!("http://127.0.0.1:{}/", server.port), true)).0.contains("no HTTP"));
    let server = Http::new(&[""]);
    assert!(later(&send(&format!("http://127.0.0.1:{}/", server.port), true)).0.contains("without an answer"));
}

/// A receiver that takes the connection and is silent: the deadline ends it. The clock runs fast, not the test slow.
#[test]
fn who_is_silent() {
    use std::sync::atomic::{AtomicU64, Ordering};
    static TURNS: AtomicU64 = AtomicU64::new(0);
    fn fast() -> Mono {
        Mono(super::clock().0 + TURNS.fetch_add(1, Ordering::Relaxed) * 4_500_000_000)
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let channel = Channel::parse(&url, true).expect("a channel");
    let outcome = crate::deliver(&channel, &message(), &About { host: "web1".to_owned() }, fast);
    assert!(!outcome.reached && later(&outcome).0.contains("no answer in time"), "{outcome:?}");
}

/// The address is judged that is dialled, whatever name led to it.
#[test]
fn addresses_of_this_machine_need_a_word() {
    let server = Http::new(OK);
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1", "2130706433"] {
        for url in [format!("http://{host}:{}/", server.port), format!("ntfy://{host}:{}/t?tls=off", server.port)] {
            let outcome = send(&url, false);
            let why = match &outcome.verdict {
                Verdict::Refused { why } => why.clone(),
                // A machine without IPv6, or a resolver that reads no short forms.
                Verdict::Later { why, .. } if why.contains("resolve") => continue,
                other => panic!("{url}: {other:?}"),
            };
            assert!(why.contains("does not allow"), "{url}: {why}");
        }
    }
    assert!(refused(send("slack://T/B/KEY?api=http://localhost:9", false)).contains("does not allow"));
    assert!(refused(send("syslog://localhost", false)).contains("does not allow"));
    assert!(refused(send("smtp://localhost/?to=a@b", false)).contains("does not allow"));
    assert!(server.is_silent(), "nobody connected");
    delivered(send(&format!("http://localhost:{}/?private=allow", server.port), false));
    assert_eq!(server.got().line, "POST / HTTP/1.1", "what is ours is not the receiver's");
}

const MAIL: &[&str] = &["AUTH LOGIN PLAIN", "SIZE 1000"];

#[test]
fn a_letter() {
    let server = Mailer::new(MAIL, None, None);
    let url =
        format!("smtp://anna:hunter2@127.0.0.1:{}/?to=ops@x.example,b@y&from=vigie@x.example&tls=off", server.port);
    assert_eq!(delivered(send(&url, true)), "250 queued as 4711");
    let told = server.told();
    let login = format!("AUTH PLAIN {}", crate::text::base64(b"\0anna\0hunter2"));
    let begin =
        ["EHLO [127.0.0.1]", &login, "MAIL FROM:<vigie@x.example>", "RCPT TO:<ops@x.example>", "RCPT TO:<b@y>", "DATA"];
    assert_eq!(told[..6], begin);
    let (head, body) = told[6].split_once("\n\n").expect("a letter");
    for line in [
        "Date: Thu, 1 Jan 2026 00:00:01 +0000",
        "From: vigie <vigie@x.example>",
        "To: ops@x.example, b@y",
        "Message-ID: <0abc-3-opened@x.example>",
        "Auto-Submitted: auto-generated",
    ] {
        assert!(head.contains(line), "{line}:\n{head}");
    }
    let encoded: String = body.lines().collect();
    let expected = crate::text::base64("[web1] demo/api: crash loop: 5 ends in 3s <b>&ü\n\n".as_bytes());
    assert!(encoded.starts_with(&expected[..60]), "{encoded}");
}

#[test]
fn a_mail_server_that_only_knows_login() {
    let server = Mailer::new(&["AUTH LOGIN"], None, None);
    let url = format!("smtp://anna:hunter2@127.0.0.1:{}/?to=a@b&tls=off", server.port);
    delivered(send(&url, true));
    assert!(server.told().contains(&crate::text::base64(b"hunter2")));
}

#[test]
fn a_mail_server_that_says_no() {
    let ask = |offers, refuse| {
        let server = Mailer::new(offers, Some(refuse), None);
        send(&format!("smtp://anna:hunter2@127.0.0.1:{}/?to=a@b&tls=off", server.port), true)
    };
    let why = refused(ask(MAIL, ("AUTH", "535 5.7.8 hunter2 is wrong")));
    assert!(why.contains("answered AUTH with 535 5.7.8 *** is wrong"), "{why}");
    assert!(refused(ask(MAIL, ("RCPT", "550 no such user"))).contains("550 no such user"));
    assert!(later(&ask(MAIL, ("MAIL", "451 greylisted"))).0.contains("451 greylisted"));
    assert!(refused(ask(&["SIZE 1"], ("X", ""))).contains("takes no password"));
    // Nothing is sent in the clear where it was not asked for.
    let server = Mailer::new(MAIL, None, None);
    let why = refused(send(&format!("smtp://anna:hunter2@127.0.0.1:{}/?to=a@b", server.port), true));
    assert!(why.contains("does not offer STARTTLS") && server.told().len() == 1, "{why} {:?}", server.told());
}

/// With a certificate of an authority of one's own, made here.
#[test]
fn tls_with_an_authority_of_ones_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let [certificate, key, other] = ["cert.pem", "key.pem", "other.pem"].map(|name| folder.path().join(name));
    let make = |certificate: &std::path::Path, key: &std::path::Path| {
        Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=vigie test", "-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-out")
            .arg(certificate)
            .arg("-keyout")
            .arg(key)
            .output()
            .is_ok_and(|done| done.status.success())
    };
    if !make(&certificate, &key) || !make(&other, &folder.path().join("other.key")) {
        return skip("tls_with_an_authority_of_ones_own", "there is no openssl that makes certificates");
    }
    let server = Http::with_tls(&certificate, &key, OK);
    let url = |ca: &std::path::Path| format!("https://localhost:{}/hook?ca={}", server.port, ca.display());
    assert_eq!(delivered(send(&url(&certificate), true)), "status 200 OK: ok");
    assert_eq!(server.got().line, "POST /hook HTTP/1.1");
    let why = later(&send(&url(&other), true)).0;
    assert!(why.contains("TLS with localhost") && why.contains("certificate"), "{why}");
    let why = later(&send(&format!("https://127.0.0.1:{}/?ca={}", server.port, certificate.display()), true)).0;
    assert!(why.contains("certificate"), "a certificate for another name: {why}");
    assert!(server.is_silent(), "nobody was told anything");

    let tls = std::sync::Arc::new(server_config(&certificate, &key));
    let mailer = Mailer::new(&["STARTTLS", "AUTH PLAIN"], None, Some(tls));
    let url = format!("smtp://anna:hunter2@localhost:{}/?to=a@b&ca={}", mailer.port, certificate.display());
    assert_eq!(delivered(send(&url, true)), "250 queued as 4711");
    assert_eq!(mailer.told()[1], "STARTTLS", "and the password only then: {:?}", mailer.told());

    // Somebody in between, who cannot break TLS, says the answers of the whole conversation before it begins.
    let forged = "220 go on\r\n250-x\r\n250 AUTH PLAIN\r\n235 ok\r\n250 ok\r\n250 ok\r\n354 ok\r\n250 forged";
    let tls = std::sync::Arc::new(server_config(&certificate, &key));
    let mailer = Mailer::new(&["STARTTLS", "AUTH PLAIN"], Some(("STARTTLS", forged)), Some(tls));
    let url = format!("smtp://anna:hunter2@localhost:{}/?to=a@b&ca={}", mailer.port, certificate.display());
    assert_eq!(delivered(send(&url, true)), "250 queued as 4711");
    assert!(mailer.told().iter().any(|told| told == "DATA"), "{:?}", mailer.told());
}

#[test]
fn logs_of_the_machine() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(LONG)).expect("a deadline");
    let mut buffer = [0; 16 << 10];
    delivered(send(&format!("syslog:?socket={}", path.display()), false));
    let length = socket.recv(&mut buffer).expect("a line");
    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let begin = format!("<26>vigie[{}]: demo/api: crash loop", std::process::id());
    assert!(text.starts_with(&begin) && !text.contains('\n'), "{text}");

    delivered(send(&format!("journald:?socket={}", path.display()), false));
    let length = socket.recv(&mut buffer).expect("an entry");
    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
    for field in
        ["PRIORITY=2\n", "SYSLOG_IDENTIFIER=vigie\n", "VIGIE_INCIDENT=3\n", "VIGIE_SERVICE=api\n", "\nVIGIE_DETAILS\n"]
    {
        assert!(text.contains(field), "{field}: {text}");
    }

    let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    udp.set_read_timeout(Some(LONG)).expect("a deadline");
    delivered(send(&format!("syslog://127.0.0.1:{}", udp.local_addr().expect("an address").port()), true));
    let length = udp.recv(&mut buffer).expect("a datagram");
    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
    assert!(
        text.starts_with("<26>1 2026-01-01T00:00:01Z web1 vigie ") && text.contains("demo/api: crash loop"),
        "{text}"
    );

    let gone = send(&format!("syslog:?socket={}/none", folder.path().display()), false);
    assert!(!gone.reached && later(&gone).0.contains("cannot write to"), "{gone:?}");
}

#[test]
fn a_program_of_the_users() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("ours");
        format!("command:{}", path.display())
    };
    let out = folder.path().join("out");
    let good = script("good", &format!("cat > {}; echo \"$VIGIE_SUBJECT $VIGIE_OCCASION $1\"", out.display()));
    let answer = delivered(send(&format!("{good}?arg=loud"), false));
    assert!(answer.ends_with("exited with 0: demo/api opened loud"), "{answer}");
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&out).expect("written")).expect("an object");
    assert_eq!(json["key"], "0abc-3-opened");
    assert!(refused(send(&script("bad", "echo no >&2; exit 3"), false)).contains("exited with 3: no"));
    assert!(later(&send(&script("busy", "exit 75"), false)).0.contains("exited with 75"));
    assert!(refused(send("command:/nonexistent/alert", false)).contains("cannot be started"));
    // What it leaves behind does not hold us up, and is ended.
    let answer = delivered(send(&script("leaves", "sleep 600 & echo done"), false));
    assert!(answer.contains("done"), "{answer}");
}

/// An answer of the bus: a method return, or an error.
fn reply(serial: u32, error: Option<&str>, body: &[u8], signature: &str) -> Vec<u8> {
    let mut fields = vec![5, 1, b'u', 0];
    fields.extend(serial.to_le_bytes());
    if let Some(name) = error {
        fields.extend([4, 1, b's', 0]);
        fields.extend((name.len() as u32).to_le_bytes());
        fields.extend(name.as_bytes());
        fields.push(0);
        fields.resize(fields.len().next_multiple_of(8), 0);
    }
    fields.extend([8, 1, b'g', 0, signature.len() as u8]);
    fields.extend(signature.as_bytes());
    fields.push(0);
    let mut bytes = vec![b'l', if error.is_some() { 3 } else { 2 }, 1, 1];
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(9_u32.to_le_bytes());
    bytes.extend((fields.len() as u32).to_le_bytes());
    bytes.extend(&fields);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend(body);
    bytes
}

#[test]
fn a_notification_on_the_desktop() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bus");
    let got = bus(&path, vec![reply(1, None, b"\x04\0\0\0:1.5\0", "s"), reply(2, None, &7_u32.to_le_bytes(), "u")]);
    let url = format!("desktop:?bus=unix:path={}", path.display());
    assert_eq!(delivered(send(&url, false)), "shown as notification 7");
    let login = got.recv_timeout(LONG).expect("a greeting");
    assert!(login.starts_with(b"\0AUTH EXTERNAL "));
    let hello = got.recv_timeout(LONG).expect("Hello");
    assert!(hello.windows(5).any(|part| part == b"Hello"));
    let notify = got.recv_timeout(LONG).expect("Notify");
    let text = String::from_utf8_lossy(&notify).into_owned();
    assert!(
        text.contains("susssasa{sv}i") && text.contains("[web1] demo/api") && text.contains("&lt;!channel&gt;"),
        "{text}"
    );

    let path = folder.path().join("other");
    let error = reply(2, Some("org.freedesktop.DBus.Error.ServiceUnknown"), b"\x06\0\0\0nobody\0", "s");
    let _got = bus(&path, vec![reply(1, None, b"\x04\0\0\0:1.5\0", "s"), error]);
    let why = later(&send(&format!("desktop:?bus=unix:path={}", path.display()), false)).0;
    assert!(why.contains("ServiceUnknown: nobody"), "{why}");
    let none = send("desktop:?bus=unix:path=/nonexistent/bus", false);
    assert!(!none.reached && later(&none).0.contains("cannot connect to the bus"), "{none:?}");
    assert!(refused(send("desktop:?bus=tcp:host=x", false)).contains("no address of a bus"));
}

/// The bus of the reference implementation takes what we say, and passes it on.
#[test]
fn the_real_bus() {
    use std::io::{BufRead as _, BufReader};
    let folder = tempfile::tempdir().expect("a folder");
    let address = format!("unix:path={}/real", folder.path().display());
    let started = Command::new("dbus-daemon")
        .args(["--session", "--nofork", "--print-address", "--address", &address])
        .stdout(std::process::Stdio::piped())
        .spawn();
    let Ok(mut child) = started else { return skip("the_real_bus", "there is no dbus-daemon") };
    let mut line = String::new();
    let _ = BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line);
    let outcome = send(&format!("desktop:?bus={address}"), false);
    child.kill().expect("our own child");
    child.wait().expect("our own child");
    if !line.starts_with("unix:") {
        return skip("the_real_bus", "dbus-daemon does not start here");
    }
    // Nobody shows notifications on this bus: that it says so means that it understood the call.
    let why = later(&outcome).0;
    assert!(why.contains("org.freedesktop.DBus.Error.ServiceUnknown"), "{why}");
}

fn skip(test: &str, reason: &str) {
    use std::io::Write as _;
    eprintln!("skipped: {test}: {reason}");
    if let Some(path) = std::env::var_os("VIGIE_SKIPS") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        let _ = file.and_then(|mut file| writeln!(file, "{test}: {reason}"));
    }
}
