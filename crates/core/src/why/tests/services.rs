use super::*;
use crate::exit::Exit;
use crate::journal::What;
use crate::launch::{Containment, Holder, Origin, Scope, ServiceKey};
use crate::manifest::{Condition, Probe, Ready, Service};
use crate::name::Name;
use crate::plan::tests::service as described;
use crate::ports::Verdict as Port;
use crate::service::State;
use crate::stuck::facts::{Fuse, Mount, Object};
use crate::units::Span;

fn name(text: &str) -> Name {
    Name::new(text).expect("name")
}

fn facts(state: Option<State>) -> ServiceFacts {
    ServiceFacts {
        label: "demo/api".to_owned(),
        target: "api".to_owned(),
        state,
        wanted: None,
        since: Some(ago(60)),
        why: None,
        restarts: 0,
        last_exit: None,
        run: None,
        main: None,
        adopted: None,
        holder: None,
        record: "record.json".to_owned(),
        manifest: None,
        history: Vec::new(),
        output: Vec::new(),
        log: "logs/api".to_owned(),
        copies: Vec::new(),
        claims: Vec::new(),
        dependencies: Vec::new(),
        stuck: Vec::new(),
        ghosts: Vec::new(),
        probed: None,
        unseen: Vec::new(),
    }
}

fn running(state: State) -> ServiceFacts {
    ServiceFacts {
        run: Some(RunId(7)),
        main: Some(story(process(9, "./api"), vec![process(8, "vigie-keeper")])),
        ..facts(Some(state))
    }
}

fn manifest(change: impl FnOnce(&mut Service)) -> Option<(Service, String)> {
    let mut service = described("api", &[]);
    change(&mut service);
    Some((service, "vigie.toml".to_owned()))
}

/// Entries a second apart, the last one a second ago, numbered from 1.
fn history(entries: Vec<What>) -> Vec<Noted> {
    let count = entries.len() as u64;
    let noted =
        |(seq, what): (u64, What)| Noted { seq: Some(seq), at: ago(count + 1 - seq), run: Some(RunId(7)), what };
    (1..).zip(entries).map(noted).collect()
}

fn asked() -> What {
    What::WantedUp { by: "ana".to_owned() }
}

fn started(attempt: u32) -> What {
    What::Started { main_pid: 9, containment: Containment::Cgroup2, by: "ana".to_owned(), attempt }
}

fn exited(code: i32) -> What {
    What::Exited { exit: Exit::Code(code), ran: Some(Span::secs(3)) }
}

fn told(facts: &ServiceFacts) -> (String, String) {
    let all = explain_service(facts, times());
    (all[0].verdict.name(), all[0].answer.clone())
}

fn verdicts(facts: &ServiceFacts) -> Vec<String> {
    explain_service(facts, times()).iter().map(|told| told.verdict.name()).collect()
}

/// Every fact can be read again somewhere.
fn sourced(facts: &ServiceFacts) {
    for told in explain_service(facts, times()) {
        for one in told.evidence {
            assert!(!one.source.is_empty(), "{one:?}");
        }
    }
}

fn copy(pid: u32) -> Copy {
    Copy {
        story: story(process(pid, "./api"), vec![process(5, "bash"), init()]),
        matched: vec!["executable".to_owned(), "directory".to_owned()],
        ports: vec!["127.0.0.1:8000/tcp".to_owned()],
    }
}

#[test]
fn runs_twice() {
    let twice = ServiceFacts { copies: vec![copy(20)], ..running(State::Ready) };
    assert_eq!(
        told(&twice),
        (
            "runs-twice".to_owned(),
            "demo/api runs twice: PID 9 is its run, PID 20 (api), since T240 (4m ago) is another copy".to_owned()
        )
    );
    let explained = &explain_service(&twice, times())[0];
    assert!(explained.because.contains(&"PID 20 was started T240 (4m ago) by bash (PID 5)".to_owned()));
    assert!(explained.because.contains(&"PID 20 is the same thing: its executable and directory match".to_owned()));
    assert_eq!(explained.remedies[0].command.as_deref(), Some("vigie sweep api"));
    assert!(!explained.remedies.iter().any(|remedy| remedy.name == "adopt"), "there is a run already");
    assert_eq!(verdicts(&twice), ["runs-twice", "well"], "who started the run is told as well");
    sourced(&twice);
    let stray = ServiceFacts { copies: vec![copy(20)], ..facts(Some(State::Stopped)) };
    assert_eq!(told(&stray).0, "stray");
    assert!(explain_service(&stray, times())[0].remedies.iter().any(|remedy| remedy.name == "adopt"));
    let several = ServiceFacts { copies: vec![copy(20), copy(21)], ..facts(Some(State::Stopped)) };
    assert_eq!(told(&several).0, "runs-twice");
}

#[test]
fn cannot_start() {
    let spawn = What::SpawnFailed { step: "exec".to_owned(), on: "./api".into(), error: "not found".to_owned() };
    let gave_up = What::GaveUp { reason: "no use".to_owned() };
    let failed = |state, entries: Vec<What>| ServiceFacts {
        history: history(entries),
        output: vec!["panic at the disco".to_owned()],
        ..facts(Some(state))
    };
    let depends = What::DependencyFailed { on: name("db"), why: "is failed".to_owned() };
    let late = What::NotReady { within: Span::secs(30), why: "no answer".to_owned() };
    for (state, entries, expected) in [
        (
            State::Failed,
            vec![asked(), What::Locked, spawn, gave_up.clone()],
            "demo/api was given up: could not be started: exec ./api: not found",
        ),
        (
            State::Failed,
            vec![asked(), What::Locked, started(0), exited(7), gave_up.clone()],
            "demo/api was given up: it exited with code 7 after 3s",
        ),
        (
            State::Backoff,
            vec![asked(), What::Locked, started(0), late, exited(7)],
            "demo/api will be started again: it was not ready within 30s: no answer",
        ),
        (State::Failed, vec![asked(), depends], "demo/api was given up: not started: it depends on db, and is failed"),
        (State::Failed, vec![exited(7), asked()], "demo/api was given up: nobody wrote down why"),
    ] {
        let facts = failed(state, entries);
        assert_eq!(told(&facts), ("cannot-start".to_owned(), expected.to_owned()));
        let explained = &explain_service(&facts, times())[0];
        assert!(explained.evidence.iter().any(|one| one.value == "panic at the disco" && one.source == "logs/api"));
        sourced(&facts);
    }
    let explained = &explain_service(&failed(State::Failed, vec![asked(), exited(7), gave_up]), times())[0];
    assert!(explained.evidence.iter().any(|one| one.fact == "gave up" && one.source == "journal entry 3"));
}

#[test]
fn its_lock_is_held() {
    let key = |pid| ProcKey { boot_id: BootId("b".into()), pid, start_ticks: 1 };
    let holder = Holder {
        run: RunId(3),
        key: ServiceKey::new(Scope::Project, std::path::Path::new("/srv/demo"), name("api")),
        project: name("demo"),
        mode: None,
        keeper: key(76),
        main: Some(key(77)),
        since: ago(240),
        origin: Origin {
            uid: 1000,
            user: Some("ana".to_owned()),
            terminal: Some("pts/3".to_owned()),
            pid: 70,
            cwd: "/srv".into(),
        },
        adopted: false,
        managed: false,
        attempt: 0,
    };
    let held = ServiceFacts { holder: Some(holder), ..facts(Some(State::Conflict)) };
    let (_, answer) = told(&held);
    assert_eq!(
        answer,
        "demo/api cannot start: it runs already, as PID 77, since T240 (4m ago), started by ana on pts/3 in /srv (PID 70)"
    );
    sourced(&held);
    let unknown = ServiceFacts { why: Some("port 8000/tcp is held".to_owned()), ..facts(Some(State::Conflict)) };
    assert_eq!(told(&unknown).1, "demo/api cannot start: port 8000/tcp is held");
}

fn claim(verdict: Port, ours: bool) -> Claim {
    let holder = PortHolder {
        story: story(process(30, "nc -l 8000"), vec![process(5, "bash"), init()]),
        belonging: None,
        socket: "0.0.0.0:8000/tcp, listening".to_owned(),
        inode: 1,
        thread: None,
        container: None,
    };
    let facts = PortFacts {
        port: "8000".parse().expect("a port"),
        verdict,
        holders: vec![holder],
        hidden: Vec::new(),
        left: 0,
        ends_in: None,
        claimed_by: vec!["demo/api".to_owned()],
        elsewhere: Vec::new(),
    };
    Claim { facts, ours }
}

#[test]
fn a_claim_is_held() {
    let busy = ServiceFacts { claims: vec![claim(Port::Used, false)], ..facts(Some(State::Stopped)) };
    let (verdict, answer) = told(&busy);
    assert_eq!(verdict, "port-busy");
    assert!(answer.ends_with("port 8000/tcp is used by PID 30 (nc), started T240 (4m ago)"), "{answer}");
    sourced(&busy);
    for (verdict, ours) in [(Port::Used, true), (Port::Free, false), (Port::TimeWait, false), (Port::Reserved, false)] {
        let facts = ServiceFacts { claims: vec![claim(verdict, ours)], ..running(State::Ready) };
        assert_eq!(told(&facts).0, "well", "{verdict}");
    }
    // What keeps it from starting is told once.
    let both = ServiceFacts { claims: vec![claim(Port::Used, false)], ..facts(Some(State::Conflict)) };
    assert_eq!(verdicts(&both), ["cannot-start"]);
    let explained = &explain_service(&both, times())[0];
    assert!(explained.because.iter().any(|reason| reason.contains("PID 30")), "{:?}", explained.because);
}

#[test]
fn was_restarted() {
    let late = What::NotReady { within: Span::secs(30), why: "no answer".to_owned() };
    let again = What::RestartScheduled { delay: Span::secs(1), attempt: 1, of: Some(10) };
    let mut restarted = ServiceFacts {
        restarts: 2,
        history: history(vec![
            exited(1),
            asked(),
            started(0),
            late,
            exited(9),
            again.clone(),
            started(1),
            exited(7),
            again.clone(),
            started(2),
        ]),
        manifest: manifest(|_| {}),
        ..running(State::Ready)
    };
    assert_eq!(
        told(&restarted),
        (
            "restarted".to_owned(),
            "demo/api was restarted 2 times, the last time T1 (1s ago): it exited with code 7 after 3s".to_owned()
        )
    );
    let explained = &explain_service(&restarted, times())[0];
    let first = "restart T4 (4s ago): it was not ready within 30s: no answer";
    assert!(explained.because.iter().any(|reason| reason == first), "{:?}", explained.because);
    assert!(explained.because.iter().any(|reason| reason.starts_with("its policy: started again after a failure")));
    sourced(&restarted);
    // What was before it was asked for again is another story, and one that is to come none yet.
    restarted.history = history(vec![asked(), started(0), exited(7), again, asked(), started(0)]);
    restarted.restarts = 0;
    assert_eq!(told(&restarted).0, "well");
    restarted.history.clear();
    restarted.restarts = 2;
    assert!(told(&restarted).1.ends_with("the journal does not reach back to that"));
}

#[test]
fn is_not_ready() {
    let tcp = |address: &str| Ready {
        probe: Probe::Tcp { address: address.to_owned() },
        every: Span::secs(1),
        timeout: Span::secs(1),
        within: Span::secs(300),
    };
    let port = || "127.0.0.1:8000".parse().expect("a port");
    let probing = |probed| ServiceFacts {
        manifest: manifest(|service| service.ready = Some(tcp("127.0.0.1:8000"))),
        probed,
        ..running(State::Running)
    };
    let seen = |ours, others: &[&str]| {
        let others = others.iter().map(|other| (*other).to_owned()).collect();
        probing(Some(Probed { port: port(), ours, others }))
    };
    for (facts, expected) in [
        (seen(Some(false), &[]), "nobody listens on port 127.0.0.1:8000/tcp yet"),
        (seen(Some(false), &["PID 30 (nc)"]), "port 127.0.0.1:8000/tcp is another's: PID 30 (nc)"),
        (seen(Some(true), &[]), "it listens, and nobody has connected yet"),
        (seen(None, &[]), "who listens on port 127.0.0.1:8000/tcp cannot be seen from here"),
        (probing(None), "127.0.0.1:8000 accepts no connection yet"),
    ] {
        assert_eq!(told(&facts), ("not-ready".to_owned(), format!("demo/api is not ready: {expected}")));
        let explained = &explain_service(&facts, times())[0];
        let left = "it has 5m for that, of which 1m are left".to_owned();
        assert!(explained.because.contains(&left), "{:?}", explained.because);
        sourced(&facts);
    }
    assert!(explain_service(&seen(None, &[]), times())[0].blind);
    let without = ServiceFacts { manifest: manifest(|_| {}), ..running(State::Running) };
    assert_eq!(told(&without).0, "well", "nobody asked for readiness");
    let ill = ServiceFacts { why: Some("status 500".to_owned()), ..running(State::Degraded) };
    assert_eq!(told(&ill).1, "demo/api was ready, and its health probe fails: status 500");
}

#[test]
fn waits_for_others() {
    let dependency = |state, condition| Dependency { name: name("db"), condition, state, why: None };
    for (state, condition, expected) in [
        (Some(State::Running), Condition::Ready, "it waits for db to be ready"),
        (None, Condition::Started, "it waits for db to be started"),
        (Some(State::Ready), Condition::Done, "it waits for db to be done"),
        (Some(State::Ready), Condition::Ready, "it waits to be started"),
    ] {
        let facts = ServiceFacts { dependencies: vec![dependency(state, condition)], ..facts(Some(State::Waiting)) };
        assert_eq!(told(&facts), ("not-ready".to_owned(), format!("demo/api is not ready: {expected}")));
    }
}

#[test]
fn where_it_stands() {
    assert_eq!(told(&facts(None)).1, "demo/api is not running: it was never started");
    let well = running(State::Ready);
    assert_eq!(told(&well), ("well".to_owned(), "demo/api is ready as PID 9, started T240 (4m ago)".to_owned()));
    assert!(explain_service(&well, times())[0].verdict.is_well());
    let adopted = ServiceFacts { adopted: Some(ago(60)), ..well };
    assert!(told(&adopted).1.ends_with("as PID 9, started T240 (4m ago), adopted T60 (1m ago)"));
    let ended = ServiceFacts {
        last_exit: Some((Exit::Code(0), Some(ago(60)))),
        history: history(vec![started(0), What::WantedDown { by: "ana".to_owned() }, exited(0)]),
        ..facts(Some(State::Stopped))
    };
    assert_eq!(told(&ended).1, "demo/api is stopped: its last run ended T60 (1m ago) with exit code 0");
    let explained = &explain_service(&ended, times())[0];
    assert_eq!(explained.because[0], "wanted down by ana, T2 (2s ago)");
    sourced(&ended);
    let ghost = ServiceFacts {
        history: history(vec![asked(), What::Stuck { count: 1, left: vec!["x (9, D)".to_owned()] }]),
        ..running(State::Ghost)
    };
    assert_eq!(told(&ghost).0, "stuck");
    // R8.1: what holds it is told, and what frees it; its end was tried.
    let left = Process { state: 'D', ..process(9, "api") };
    let mut waiting = unexamined(&story(left.clone(), Vec::new()));
    waiting.tasks[0].wchan = Told::Known("folio_wait_bit_common".into());
    waiting.tasks[0].waits = vec![Object::File {
        fd: None,
        path: Told::Known("/mnt/x/hang".into()),
        mount: Some(Mount {
            id: 7,
            device: (0, 62),
            kind: "fuse.stuck".into(),
            source: "stuck".into(),
            point: "/mnt/x".into(),
            fuse: Some(Fuse { connection: 62, waiting: Told::Known(1), servers: Told::Known(Vec::new()) }),
            backing: None,
        }),
    }];
    let judgement = judge(&waiting, &Asker { pid: 2000, ancestors: &[], uid: 0 });
    assert!(judgement.remedies.iter().any(|remedy| remedy.name == "end"), "{judgement:#?}");
    let stuck = vec![Stuck { process: left, judgement }];
    let explained = &explain_service(&ServiceFacts { stuck, ..ghost }, times())[0];
    let said = "PID 9 (api) waits for the server of a FUSE file system at /mnt/x (connection 62)";
    assert!(explained.because.iter().any(|line| line == said), "{explained:#?}");
    assert!(explained.evidence.iter().any(|fact| fact.source == "/proc/9/task/9/wchan"), "{explained:#?}");
    let names: Vec<&str> = explained.remedies.iter().map(|remedy| remedy.name).collect();
    assert!(names.contains(&"abort") && !names.contains(&"end"), "{names:?}");
    assert_eq!(names.last(), Some(&"quarantine"), "what frees it comes first, then how to go on without it");
}

/// R1: what could not be read is said.
#[test]
fn what_cannot_be_read() {
    let mut blind = running(State::Ready);
    blind.unseen.push(("journal".to_owned(), "permission denied".to_owned()));
    let explained = &explain_service(&blind, times())[0];
    assert!(explained.blind && explained.evidence.iter().any(|one| one.value == "cannot be seen: permission denied"));
}

/// What was set aside is told whether a successor runs or not, and is never what is the matter.
#[test]
fn ghosts_that_were_set_aside() {
    let ghosts = vec![Ghost { pid: 20, name: "api".to_owned(), at: ago(30) }];
    for facts in [facts(Some(State::Stopped)), running(State::Ready)] {
        let facts = ServiceFacts { ghosts: ghosts.clone(), ..facts };
        let all = explain_service(&facts, times());
        let told = all.last().expect("never nothing");
        assert!(told.because.iter().any(|why| why.contains("PID 20") && why.contains("set aside")), "{told:?}");
        assert!(told.remedies.iter().any(|remedy| remedy.command.as_deref() == Some("vigie why pid:20")), "{told:?}");
        sourced(&facts);
    }
    assert_eq!(verdicts(&ServiceFacts { ghosts: ghosts.clone(), ..facts(Some(State::Stopped)) }), ["stopped"]);
    assert_eq!(verdicts(&ServiceFacts { ghosts, ..running(State::Ready) }), ["well"]);
}
