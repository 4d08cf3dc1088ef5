use serde_json::Value;

use super::*;
use crate::exit::Exit;
use crate::launch::{Containment, Origin};
use crate::name::Name;
use crate::units::Span;

fn entry(what: What) -> Entry {
    Entry::new(Wall(1), Subject::Daemon, None, what)
}

fn text(text: &str) -> String {
    text.to_owned()
}

/// One of each kind, with its line.
fn all() -> Vec<(What, &'static str)> {
    let name = |text| Name::new(text).expect("name");
    let span = Span::millis(63_123);
    vec![
        (What::DaemonStarted { version: text("0.1.0"), pid: 7 }, "daemon started: version 0.1.0, PID 7"),
        (What::DaemonStopped { cause: text("asked") }, "daemon stopped: asked"),
        (What::ProjectLoaded { dir: "/srv/d".into(), services: 1 }, "project loaded from /srv/d: 1 service"),
        (What::WantedUp { by: text("anna") }, "wanted up by anna"),
        (What::WantedDown { by: text("anna") }, "wanted down by anna"),
        (What::Locked, "locked"),
        (What::SurvivorsEnded { of: RunId(1), count: 2 }, "2 processes of the earlier run 0000000000000001 ended"),
        (
            What::Started { main_pid: 9, containment: Containment::Cgroup2, by: text("anna"), attempt: 2 },
            "started as PID 9 (cgroup v2) by anna, restart 2",
        ),
        (
            What::AdoptedStray { main_pid: 9, since: None, containment: Containment::Descent, by: text("anna") },
            "adopted PID 9 (by descent) for anna",
        ),
        (What::AdoptFailed { pid: 9, why: text("it ended") }, "PID 9 could not be adopted: it ended"),
        (
            What::SpawnFailed { step: text("exec"), on: "/bin/x".into(), error: text("no such file") },
            "could not be started: exec /bin/x: no such file",
        ),
        (What::Ready { after: Span::millis(1_234) }, "ready after 1.2s"),
        (What::NotReady { within: Span::secs(5), why: text("refused") }, "not ready within 5s: refused"),
        (What::Degraded { failures: 3, why: text("status 500") }, "degraded: 3 failed probes in a row, status 500"),
        (What::Healthy { after: span }, "healthy again after 1m3s"),
        (What::AnsweredByOther { who: text("PID 4") }, "the readiness probe was answered by another: PID 4"),
        (What::Stopping { cause: text("asked") }, "stopping: asked"),
        (What::Rung { index: 0, rung: "TERM 10s".parse().expect("rung") }, "stop step 1: TERM 10s"),
        (What::Exited { exit: Exit::Code(7), ran: Some(span) }, "exited with code 7 after 1m3s"),
        (
            What::Orphans { count: 3, names: vec![text("a\nb"), text("c")] },
            "left 3 processes behind: a\\nb, c and 1 more",
        ),
        (
            What::Stuck { count: 1, left: vec![text("dd (12, D)")] },
            "stuck: 1 process left that no signal ends: dd (12, D)",
        ),
        (What::GhostGone { after: Some(span), reboot: false }, "the stuck processes are gone, 1m3s late"),
        (
            What::Quarantined { count: 1, left: vec![text("dd (12, D)")] },
            "quarantined: 1 process that no signal ends: dd (12, D)",
        ),
        (What::QuarantineRefused { why: text("it runs") }, "not quarantined: it runs"),
        (What::Empty { after: None }, "every process is gone"),
        (
            What::StillHeld { what: text("port 8000/tcp is held by PID 9 (x)") },
            "nothing of it is left, and port 8000/tcp is held by PID 9 (x)",
        ),
        (
            What::ClaimHeld { what: text("port 8000/tcp is held by PID 9 (x)") },
            "meanwhile port 8000/tcp is held by PID 9 (x)",
        ),
        (What::LogLost { bytes: 4096, why: text("no space left") }, "4096 bytes of output lost: no space left"),
        (What::RestartScheduled { delay: Span::secs(2), attempt: 3, of: Some(10) }, "restart 3 of 10 in 2s"),
        (What::GaveUp { reason: text("10 restarts") }, "gave up: 10 restarts"),
        (What::Reset { cause: text("ran for 1m") }, "restart counter reset: ran for 1m"),
        (What::Conflict { holder: text("bob"), holder_pid: Some(5) }, "already running as PID 5: held by bob"),
        (
            What::DependencyFailed { on: name("db"), why: text("it gave up") },
            "not started: it depends on db, and it gave up",
        ),
        (What::KeeperLost, "its keeper is gone; nobody saw how the run ended"),
        (What::Adopted { main_pid: Some(4), since: Some(Wall(1)) }, "found running by the new daemon as PID 4"),
        (
            What::JournalDamaged { why: text("torn"), kept_as: "/s/journal.damaged-1".into() },
            "the journal was damaged (torn) and is kept as /s/journal.damaged-1; this is a new one",
        ),
        (
            What::SamplesDamaged { why: text("torn"), kept_as: "/s/samples.damaged-1".into() },
            "the stored samples were damaged (torn) and are kept as /s/samples.damaged-1; these are new ones",
        ),
        (What::SamplesStopped { why: text("the disk is full") }, "samples are not stored any more: the disk is full"),
        (What::SamplesResumed, "samples are stored again"),
        (
            What::IncidentOpened {
                incident: 4,
                rule: text("crash-loop"),
                severity: text("critical"),
                text: text("crash loop: 5 ends in 3s"),
            },
            "incident 4 opened (critical): crash loop: 5 ends in 3s",
        ),
        (
            What::IncidentResolved { incident: 4, rule: text("crash-loop"), count: 9, text: text("it stays up again") },
            "incident 4 resolved: it stays up again",
        ),
        (
            What::NotifyFailed { channel: text("ops"), messages: 1, why: text("status 401") },
            "1 message to ops not delivered: status 401",
        ),
        (
            What::Gap { from: Wall(0), to: Wall(60_000_000_000), why: text("no daemon") },
            "nothing is known about the 1m before: no daemon",
        ),
        (happened("die"), "exited with code 137, out of memory: the engine did not tell, its list shows it"),
        (What::SourceOnline { after: Some(span) }, "answers again after 1m3s"),
        (What::SourceOffline { why: text("refused") }, "does not answer: refused"),
        (
            What::SourceBadLines { count: 2, sample: text("{"), why: text("EOF") },
            "told 2 lines that are not understood: EOF: {",
        ),
        (What::SourceChanged { how: text("paused"), by: text("anna") }, "paused by anna"),
        (
            What::AccessChanged { how: text("token ci (read) added"), by: text("anna") },
            "API: token ci (read) added by anna",
        ),
        (What::InternalFault { fault: text("a stop without a run") }, "internal fault: a stop without a run"),
    ]
}

fn happened(action: &str) -> What {
    What::ContainerEvent {
        action: text(action),
        id: text("ab"),
        image: text("busybox"),
        time_nano: Some(7),
        exit_code: (action == "die").then_some(137),
        signal: (action == "kill").then_some(15),
        oom: (action == "die").then_some(true),
        health: (action == "health_status").then(|| text("unhealthy")),
        old_name: (action == "rename").then(|| text("web")),
        inferred: action == "die",
    }
}

#[test]
fn what_happens_to_containers() {
    for (action, line) in [
        ("create", "created from busybox"),
        ("start", "started"),
        ("kill", "sent signal TERM"),
        ("rename", "renamed from web"),
        ("health_status", "health: unhealthy"),
        ("unpause", "goes on"),
        ("teleport", "teleport"),
    ] {
        assert_eq!(describe(&entry(happened(action))), line);
    }
    let subject = Subject::Container { source: Name::new("nas").expect("name"), name: text("we\nb"), id: text("ab") };
    assert_eq!(subject.to_string(), "container:nas/we\\nb");
    let once = |what| Entry::new(Wall(1), subject.clone(), None, what).once();
    assert_eq!(once(happened("kill")).as_deref(), Some("nas 7 container kill ab 15"));
    assert_ne!(once(happened("start")), once(happened("stop")));
    assert_eq!(once(What::Locked), None);
}

/// R6.11: one line each, with the facts in it; the name that is stored is the name that is filtered by.
#[test]
fn every_kind_has_a_name_a_line_and_json() {
    let mut kinds = Vec::new();
    for (what, line) in all() {
        let json = serde_json::to_value(&what).expect("serializable");
        assert_eq!(json["kind"], what.kind());
        assert_eq!(serde_json::from_value::<What>(json).expect("readable"), what);
        assert_eq!(describe(&entry(what.clone())), line);
        kinds.push(what.kind().to_owned());
    }
    assert_eq!(kinds, KINDS);
}

#[test]
fn ends() {
    for (exit, ran, line) in [
        (Exit::Code(0), None, "exited with code 0"),
        (Exit::Signal { signal: 9, core_dumped: false }, Some(Span::millis(20)), "ended by signal KILL after 20ms"),
        (Exit::Signal { signal: 11, core_dumped: true }, None, "ended by signal 11 (core dumped)"),
        (Exit::Unknown, None, "ended; nobody saw how"),
        (Exit::Unknown, Some(Span::secs(9)), "ended after 9s; nobody saw how"),
    ] {
        assert_eq!(describe(&entry(What::Exited { exit, ran })), line);
    }
}

#[test]
fn a_new_boot_is_the_end_of_a_ghost() {
    let what = What::GhostGone { after: None, reboot: true };
    assert_eq!(describe(&entry(what)), "the stuck processes are gone: the machine was restarted");
    let earlier: What = serde_json::from_str(r#"{"kind":"ghost_gone","after":null}"#).expect("readable");
    assert_eq!(earlier, What::GhostGone { after: None, reboot: false }, "as earlier versions wrote it");
}

#[test]
fn what_a_newer_version_wrote_is_kept_and_shown() {
    for (json, line) in [
        (r#"{"kind":"teleported","to":"mars","times":3}"#, r#"teleported (unknown to this version) times=3 to="mars""#),
        (r#"{"kind":"exited","exit":{"vanished":true}}"#, r#"exited (unknown to this version) exit={"vanished":true}"#),
        (r#"{"x":"a\u001b[2J"}"#, r#"unknown (unknown to this version) x="a\u001b[2J""#),
    ] {
        let what: What = serde_json::from_str(json).expect("readable");
        assert_eq!(describe(&entry(what.clone())), line);
        assert_eq!(
            serde_json::to_value(&what).expect("serializable"),
            serde_json::from_str::<Value>(json).expect("JSON"),
            "nothing is lost"
        );
    }
    let more: What = serde_json::from_str(r#"{"kind":"locked","new_field":1}"#).expect("readable");
    assert_eq!(more, What::Locked, "a new field alone does not make it unknown");
}

#[test]
fn subjects_and_origins() {
    let name = |text| Name::new(text).expect("name");
    let service = |mode| Subject::Service { project: name("demo"), service: name("api"), mode };
    assert_eq!(service(None).to_string(), "demo/api");
    assert_eq!(service(Some(name("headless"))).to_string(), "demo/api:headless");
    assert_eq!(Subject::Project(name("demo")).to_string(), "demo");
    let who = Origin {
        uid: 1000,
        user: Some(text("anna")),
        terminal: Some(text("pts/3")),
        pid: 4711,
        cwd: "/srv/demo".into(),
    };
    assert_eq!(origin(&who), "anna on pts/3 in /srv/demo (PID 4711)");
    assert_eq!(origin(&Origin { uid: 5, pid: 1, ..Origin::default() }), "uid 5 (PID 1)");
}
