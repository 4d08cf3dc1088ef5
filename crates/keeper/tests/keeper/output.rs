//! Every byte that a service wrote is in its log (R6.9).

use vigie_core::launch::{Launch, Output, Overflow};
use vigie_core::logindex::{Entry, Kind};
use vigie_wire::keeper::What;

use crate::harness::{Service, ladder};

fn segments(service: &Service, max_size: u64) -> Output {
    Output::Segments { dir: service.logs().into(), max_size, keep: 10_000, overflow: Overflow::Block }
}

#[test]
fn binary_output_and_a_partial_last_line_survive() {
    let service = Service::new();
    let script = "printf 'a\\0\\377\\n'; printf 'err' >&2; printf 'end'";
    let (mut keeper, _) = service.run(service.launch(script));
    keeper.until_empty();
    let mut log = service.log();
    log.sort_unstable();
    let mut expected = b"a\0\xff\nerrend".to_vec();
    expected.sort_unstable();
    assert_eq!(log, expected);
    let index = std::fs::read(service.logs().join("000001.idx")).expect("index");
    let (entries, rest) = index.as_chunks::<{ Entry::SIZE }>();
    assert!(rest.is_empty());
    let bytes = |kind| -> u32 {
        let entries = entries.iter().map(|entry| Entry::decode(entry).expect("entry"));
        entries.filter(|entry| entry.kind == kind).map(|entry| entry.length).sum()
    };
    assert_eq!((bytes(Kind::Out), bytes(Kind::Err), bytes(Kind::Lost)), (7, 3, 0));
}

#[test]
fn a_burst_through_many_segments_loses_nothing() {
    let service = Service::new();
    let script = "i=0; while [ $i -lt 20 ]; do seq 1 40000; i=$((i+1)); done; printf end";
    let launch = Launch { output: segments(&service, 100_000), ..service.launch(script) };
    let (mut keeper, _) = service.run(launch);
    keeper.until_empty();
    let once: String = (1..=40_000).map(|number| format!("{number}\n")).collect();
    let expected = once.repeat(20) + "end";
    assert!(service.log() == expected.as_bytes(), "bytes were lost, doubled or moved");
    assert!(!keeper.story().contains("log_lost"));
}

#[test]
fn the_next_run_writes_on() {
    let service = Service::new();
    for _ in 0..3 {
        let (mut keeper, _) = service.run(service.launch("echo x"));
        keeper.until_empty();
        assert_eq!(keeper.release(), 0);
    }
    assert_eq!(service.log(), b"x\nx\nx\n");
}

/// The service never notices a disk that does not take its output.
#[test]
fn a_log_that_cannot_be_written_is_counted_and_the_service_goes_on() {
    let service = Service::new();
    std::fs::write(service.logs(), "no folder").expect("file");
    let (mut keeper, _) = service.run(service.launch("seq 1 100000; exit 3"));
    keeper.until_empty();
    let lost: u64 = keeper
        .events
        .iter()
        .map(|event| match &event.what {
            What::LogLost { bytes, why } => {
                assert!(why.contains("logs"), "{why}");
                *bytes
            }
            _ => 0,
        })
        .sum();
    assert_eq!(lost, (1..=100_000).map(|number| format!("{number}\n").len() as u64).sum::<u64>());
    assert_eq!(service.record().exit, Some(vigie_core::exit::Exit::Code(3)));
}

/// A flood of output does not keep a stop waiting.
#[test]
fn a_flooding_service_can_be_stopped() {
    let service = Service::new();
    let launch = Launch {
        output: Output::Segments { dir: service.logs().into(), max_size: 1 << 20, keep: 2, overflow: Overflow::Block },
        ladder: ladder(&["TERM 30s"]),
        ..service.launch("exec yes 'a line of output'")
    };
    let (mut keeper, _) = service.run(launch);
    let deadline = vigie_os::clock::mono() + crate::harness::LONG;
    while service.segments().last().is_none_or(|(number, _)| *number < 4) {
        assert!(vigie_os::clock::mono() < deadline, "no rotation");
        std::thread::yield_now();
    }
    keeper.stop();
    keeper.until_empty();
    assert_eq!(keeper.story(), "locked started stopping rung exited empty");
    let files = std::fs::read_dir(service.logs()).expect("folder").count();
    assert!(files <= 4, "{files} files of two segments");
}

/// A process outside of the tree that holds the pipe does not hang the end of the run.
#[test]
fn somebody_else_may_hold_the_pipe() {
    let service = Service::new();
    let (mut keeper, main) = service.run(service.launch("echo said; echo > $DIR/ready; exec sleep 600"));
    service.line_in("ready");
    // Opening it through /proc makes another descriptor of the same pipe, as a process that was handed it has.
    let held = std::fs::File::options().write(true).open(format!("/proc/{}/fd/1", main.pid)).expect("the pipe");
    keeper.stop();
    keeper.until_empty();
    drop(held);
    assert_eq!(service.log(), b"said\n");
}
