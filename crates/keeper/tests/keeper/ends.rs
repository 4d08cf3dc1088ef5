//! How runs begin and end.

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use vigie_core::exit::Exit;
use vigie_core::launch::{Holder, Input, Limits, Output};
use vigie_core::text::OsText;
use vigie_wire::keeper::{Answer, Event, Phase, Request, SpawnFailure, What};

use crate::harness::{Keeper, Service, is_set};

#[test]
fn an_exit_code_is_recorded_and_the_keeper_waits_for_what_comes_next() {
    let service = Service::new();
    let launch = service.launch("echo $VIGIE_RUN; exit 7");
    let run = launch.run;
    let (mut keeper, main) = service.run(launch);
    keeper.until_empty();
    assert_eq!(keeper.story(), "locked started exited empty");
    let numbers: Vec<u64> = keeper.events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert!(keeper.events.iter().all(|event| event.run == run && is_set(event.at, event.mono)));
    let record = service.record();
    assert_eq!((record.phase, record.exit, record.seq), (Phase::Empty, Some(Exit::Code(7)), 4));
    assert_eq!((record.holder.run, record.holder.main), (run, None));
    assert!(record.started.is_some_and(|(wall, mono)| is_set(wall, mono)));
    assert_ne!(main.pid, record.holder.keeper.pid);
    assert_eq!(String::from_utf8_lossy(&service.log()), format!("{run}\n"));
    let events = std::fs::read_to_string(service.folder().join("events.jsonl")).expect("events");
    let written: Vec<Event> = events.lines().map(|line| serde_json::from_str(line).expect("event")).collect();
    assert_eq!(written, keeper.events);
    for (file, mode) in [("record.json", 0o600), ("events.jsonl", 0o600), ("control.sock", 0o600), (".", 0o700)] {
        let metadata = std::fs::metadata(service.folder().join(file)).expect(file);
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{file}");
    }
    assert!(keeper.child.try_wait().expect("own child").is_none(), "somebody controls: it must wait");
    keeper.send(&Request::Acknowledge { run, seq: 4 });
    assert_eq!(keeper.release(), 0);
    assert!(!service.folder().join("control.sock").exists());
    assert_eq!(std::fs::read(service.folder().join("events.jsonl")).expect("events"), b"");
    assert_eq!(std::fs::read(service.folder().join("lock")).expect("lock"), b"");
}

#[test]
fn a_signal_is_recorded() {
    let service = Service::new();
    let (mut keeper, _) = service.run(service.launch("kill -USR1 $$"));
    keeper.until_empty();
    let exit = Exit::Signal { signal: 10, core_dumped: false };
    assert!(keeper.events.iter().any(|event| event.what == What::Exited { exit }), "{}", keeper.story());
}

#[test]
fn the_label_names_the_main_process_while_it_lives() {
    let service = Service::new();
    let (mut keeper, main) = service.run(service.launch("exec sleep 600"));
    let reader = service.connect();
    drop(reader);
    let label = std::fs::read(service.folder().join("lock")).expect("lock");
    // `started` is told before the label is written: the answer to a request comes after both.
    keeper.send(&Request::Skip);
    assert!(matches!(keeper.reply(), Answer::Failed { .. }));
    let label_after = std::fs::read(service.folder().join("lock")).expect("lock");
    let holder: Holder = serde_json::from_slice(&label_after).unwrap_or_else(|_| panic!("{label:?}"));
    assert_eq!(holder.main, Some(main));
    keeper.stop();
    keeper.until_empty();
}

/// Every failure names its step and what it was about.
#[test]
fn what_cannot_be_spawned() {
    let service = Service::new();
    std::fs::write(service.dir().join("data"), "no program").expect("file");
    let base = || service.launch("true");
    let absent = |name: &str| vec![OsText::from(name)];
    let here = OsText::from(service.dir().join("data"));
    let cases = [
        (vigie_core::launch::Launch { argv: absent("no-such-program"), ..base() }, "exec", "no-such-program".into(), 2),
        (vigie_core::launch::Launch { argv: vec![here.clone()], ..base() }, "exec", here, 13),
        (vigie_core::launch::Launch { cwd: "/no/such/folder".into(), ..base() }, "chdir", "/no/such/folder".into(), 2),
        (vigie_core::launch::Launch { input: Input::Inherit, ..base() }, "stdio", "standard input".into(), 9),
        (
            vigie_core::launch::Launch { limits: Limits { files: Some(u64::MAX), ..Limits::default() }, ..base() },
            "setrlimit",
            u64::MAX.to_string().into(),
            1,
        ),
    ];
    for (launch, step, on, errno) in cases {
        let mut keeper = service.start(launch);
        keeper.until_empty();
        assert_eq!(keeper.story(), "locked spawn_failed empty");
        let failure = SpawnFailure { step: step.to_owned(), on, errno };
        assert_eq!(keeper.events[1].what, What::SpawnFailed(failure));
        assert_eq!(service.record().phase, Phase::Empty);
        assert_eq!(keeper.release(), 0);
    }
}

/// R4.1: a restart happens under the same lock.
#[test]
fn again_keeps_the_lock() {
    let service = Service::new();
    let (mut keeper, first) = service.run(service.launch("while ! [ -e $DIR/go ]; do sleep 0.01; done"));
    let early = service.launch("true");
    let of = Some(early.run);
    keeper.send(&Request::Again(Box::new(early)));
    assert!(matches!(keeper.reply(), Answer::Failed { run, message } if run == of && message.contains("not over yet")));
    std::fs::write(service.dir().join("go"), "").expect("writes");
    keeper.until_empty();
    for _ in 0..2 {
        let launch = service.launch("exec sleep 600");
        let run = launch.run;
        keeper.send(&Request::Again(Box::new(launch)));
        let locked = keeper.until(|what| matches!(what, What::Locked { .. }));
        assert_eq!((locked.run, locked.seq), (run, 1));
        let main = keeper.started();
        assert_ne!(main.pid, first.pid);
        keeper.send(&Request::Go);
        assert!(matches!(keeper.reply(), Answer::Failed { run: None, message } if message.contains("started already")));
        let mut rival = Keeper::spawn("best");
        rival.launch(service.launch("true"));
        match rival.answer() {
            Some(Answer::Refused { holder: Some(holder) }) => assert_eq!(holder.main, Some(main)),
            other => panic!("{other:?}"),
        }
        assert_eq!(rival.wait(), 3);
        keeper.stop();
        keeper.until(|what| *what == What::Empty);
        assert_eq!(service.record().holder.run, run);
    }
    let mut other = service.launch("true");
    other.key.service = vigie_core::name::Name::new("other").expect("name");
    keeper.send(&Request::Again(Box::new(other)));
    assert!(matches!(keeper.reply(), Answer::Failed { message, .. } if message.contains("another service")));
    assert_eq!(keeper.release(), 0);
}

#[test]
fn nothing_was_spawned_yet() {
    let service = Service::new();
    let mut keeper = Keeper::spawn("best");
    keeper.launch(service.launch("touch $DIR/started"));
    keeper.until(|what| matches!(what, What::Locked { .. }));
    keeper.stop();
    keeper.until_empty();
    assert_eq!(keeper.story(), "locked stopping empty");
    keeper.send(&Request::Go);
    assert!(matches!(keeper.reply(), Answer::Failed { .. }));
    assert_eq!(keeper.release(), 0);
    // And when whoever launched it goes away.
    let mut keeper = Keeper::spawn("best");
    keeper.launch(service.launch("touch $DIR/started"));
    keeper.until(|what| matches!(what, What::Locked { .. }));
    keeper.socket.shutdown(std::net::Shutdown::Both).expect("closes");
    assert_eq!(keeper.wait(), 0);
    assert_eq!(service.record().phase, Phase::Empty);
    assert!(!service.dir().join("started").exists());
}

/// `run`: what the user typed at is what the service reads, and what it says is what the user sees.
#[test]
fn standard_input_and_output_can_be_those_of_the_user() {
    let service = Service::new();
    let (stdout, stdout_write) = std::io::pipe().expect("pipe");
    let (stdin, mut stdin_write) = std::io::pipe().expect("pipe");
    let mut keeper = Keeper::spawn_with("best", Stdio::from(stdout_write));
    let launch = vigie_core::launch::Launch {
        input: Input::Inherit,
        output: Output::Inherit,
        ..service.launch("read line; echo got $line")
    };
    keeper.launch_with(launch, stdin.as_fd());
    keeper.until(|what| matches!(what, What::Locked { .. }));
    keeper.send(&Request::Go);
    keeper.started();
    stdin_write.write_all(b"this\n").expect("writes");
    keeper.until_empty();
    assert_eq!(keeper.release(), 0);
    drop(stdin);
    let mut said = String::new();
    { stdout }.read_to_string(&mut said).expect("text");
    assert_eq!(said, "got this\n");
    assert!(!service.logs().exists());
}

#[test]
fn started_by_hand_it_says_what_it_is() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_keeper-under-test"))
        .stdin(Stdio::null())
        .output()
        .expect("starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("vigie run"));
}
