use vigie_core::clock::Wall;
use vigie_core::identity::RunId;
use vigie_core::logindex::{Entry, Kind, file_names};

use super::fixture::{Log, Owned, all, drain, shown};
use super::*;

fn lines(log: &Log) -> Vec<String> {
    shown(&all(log.reader().lines(Filter::default()).expect("reads")))
}

fn follow(log: &Log) -> Lines {
    log.reader().lines(Filter::default()).expect("reads")
}

fn more(lines: &mut Lines) -> Vec<String> {
    shown(&drain(lines))
}

#[test]
fn a_log_that_is_not_there_yet_is_empty() {
    let log = Log::new();
    let missing = LogDir::new(&log.path().join("missing"));
    assert_eq!(all(missing.lines(Filter::default()).expect("reads")), []);
    assert_eq!(all(missing.tail(5, Filter::default(), &mut |_| true).expect("reads")), []);
    assert_eq!(lines(&log), [""; 0]);
}

/// R6.9: streams and times of interleaved writes; the time of a line is that of its first byte.
#[test]
fn lines_of_both_streams_are_put_together_again() {
    let mut log = Log::new();
    log.out(1, "one\ntw");
    log.err(2, "bad\nwor");
    log.out(3, "o\n");
    log.rotate();
    log.err(4, "se\n\n");
    log.out(5, "\nlast");
    assert_eq!(
        lines(&log),
        [
            "1 out 1 |one|",
            "2 err 1 |bad|",
            "1 out 1 |two|",
            "2 err 1 |worse|",
            "4 err 1 ||",
            "5 out 1 ||",
            "5 out 1 |last"
        ]
    );
}

#[test]
fn a_new_run_and_a_hole_end_every_line() {
    let mut log = Log::new();
    log.out(1, "a");
    log.err(2, "b");
    log.write(Kind::Out, 3, 2, b"c\nd");
    log.lose(4, 2, 500);
    log.write(Kind::Out, 5, 2, b"e\n");
    assert_eq!(
        lines(&log),
        ["1 out 1 |a", "2 err 1 |b", "3 out 2 |c|", "3 out 2 |d", "lost Bytes(500)", "5 out 2 |e|"]
    );
}

#[test]
fn binary_output_survives() {
    let mut log = Log::new();
    let bytes: Vec<u8> = (0..=255).collect();
    log.write(Kind::Out, 1, 1, &bytes);
    let Owned::Line { bytes: first, .. } = &all(follow(&log))[0] else { panic!("a line") };
    assert_eq!(first, &bytes[..10]);
    let mut raw = Vec::new();
    assert_eq!(log.reader().copy_raw(Filter::default(), &mut raw).expect("copies"), 256);
    assert_eq!(raw, bytes);
}

#[test]
fn bytes_without_an_entry_have_no_time() {
    let mut log = Log::new();
    log.out(1, "a\n");
    log.write_without_entry(b"x\ny");
    log.out(2, "b\n");
    log.write_without_entry(b"at the end\nof a segment");
    log.rotate();
    log.out(3, "c\n");
    log.write_without_entry(b"killed");
    assert_eq!(
        lines(&log),
        [
            "1 out 1 |a|",
            "- - - |x|",
            "- - - |y",
            "2 out 1 |b|",
            "- - - |at the end|",
            "- - - |of a segment",
            "3 out 1 |c|",
            "- - - |killed"
        ]
    );
    let filtered = |filter| shown(&all(log.reader().lines(filter).expect("reads")));
    assert_eq!(filtered(Filter { stream: Some(Stream::Out), ..Filter::default() }).len(), 3, "of no known stream");
    assert_eq!(filtered(Filter { run: Some(RunId(1)), ..Filter::default() }).len(), 8, "of the run before");
    assert_eq!(filtered(Filter { run: Some(RunId(2)), ..Filter::default() }).len(), 0);
}

#[test]
fn damage_costs_no_byte() {
    type Harm = fn(&mut Vec<u8>);
    let known = ["1 out 1 |a|", "2 err 1 |b|", "3 out 1 |c|"];
    let cases: &[(&str, Harm, &[&str])] = &[
        ("torn", |index| index.truncate(70), &["1 out 1 |a|", "2 err 1 |b|", "- - - |c|"]),
        ("empty", |index| index.clear(), &["- - - |a|", "- - - |b|", "- - - |c|"]),
        ("zeroed in the middle", |index| index[32..64].fill(0), &["1 out 1 |a|", "- - - |b|", "3 out 1 |c|"]),
        ("too long", |index| index[68] = 200, &known),
        ("behind the end", |index| index[73] = 1, &["1 out 1 |a|", "2 err 1 |b|", "- - - |c|"]),
        ("garbage behind", |index| index.extend([0xa5; 100]), &known),
        ("twice", |index| index.extend_from_within(..32), &known),
        ("overlapping", |index| index[36] = 4, &["1 out 1 |a|", "2 err 1 |b|", "2 err 1 |c|"]),
    ];
    for (case, harm, expected) in cases {
        let mut log = Log::new();
        log.out(1, "a\n");
        log.err(2, "b\n");
        log.out(3, "c\n");
        log.harm_index(1, harm);
        assert_eq!(lines(&log), *expected, "{case}");
        assert_eq!(
            shown(&all(log.reader().tail(2, Filter::default(), &mut |_| true).expect("reads"))),
            expected[1..],
            "{case}"
        );
    }
}

#[test]
fn a_segment_without_index_and_an_index_without_bytes() {
    let mut log = Log::new();
    log.out(1, "a\n");
    log.rotate();
    log.out(2, "b\n");
    log.rotate();
    log.out(3, "c\n");
    std::fs::remove_file(log.path().join(file_names(1).1)).expect("removed");
    std::fs::remove_file(log.path().join(file_names(2).0)).expect("removed");
    std::fs::write(log.path().join("notes.txt"), "not ours").expect("written");
    assert_eq!(lines(&log), ["- - - |a|", "lost Segments(1)", "3 out 1 |c|"]);
}

#[test]
fn long_lines_come_in_pieces() {
    let mut log = Log::new();
    let long = "x".repeat(MAX_PIECE);
    log.out(1, &long);
    log.err(2, "between\n");
    log.out(3, "yz\n");
    log.out(4, &long);
    log.out(5, "\n");
    log.out(6, &format!("{long}{long}end\nnext\n"));
    let items = all(follow(&log));
    let short: Vec<_> = shown(&items).iter().map(|line| line.replace(&long, "X")).collect();
    assert_eq!(
        short,
        [
            "2 err 1 |between|",
            "1 out 1 |X+",
            "1 out 1 +yz|",
            "4 out 1 |X|",
            "6 out 1 |X+",
            "6 out 1 +X+",
            "6 out 1 +end|",
            "6 out 1 |next|"
        ]
    );
}

/// 20 MiB without a newline, and nobody holds more than a block and a piece.
#[test]
fn a_line_without_end_needs_little_memory() {
    let mut log = Log::new();
    for at in 0..20 {
        log.write(Kind::Out, at, 1, &vec![b'x'; 1 << 20]);
    }
    let mut lines = follow(&log);
    lines.finish();
    let mut bytes = 0;
    while lines.advance().expect("reads") {
        let Some(Item::Line(line)) = lines.item() else { panic!("a line") };
        assert!(line.bytes.len() <= MAX_PIECE);
        assert_eq!(line.at, Some(Wall(0)));
        bytes += line.bytes.len();
        assert!(lines.memory() <= 512 << 10, "{}", lines.memory());
    }
    assert_eq!(bytes, 20 << 20);
    // The end of it, not all of it, when one asks for the last line.
    let tail = all(log.reader().tail(1, Filter::default(), &mut |_| true).expect("reads"));
    let Some(Owned::Line { first: false, end: End::Open, .. }) = tail.last() else { panic!("{tail:?}") };
    assert_eq!(tail.len(), 1);
}

#[test]
fn following_goes_on_where_it_ended() {
    let mut log = Log::new();
    let mut lines = follow(&log);
    assert_eq!(more(&mut lines), [""; 0]);
    log.out(1, "a\nb");
    assert_eq!(more(&mut lines), ["1 out 1 |a|"]);
    assert_eq!(more(&mut lines), [""; 0]);
    log.err(2, "c\n");
    log.out(3, "b\n");
    assert_eq!(more(&mut lines), ["2 err 1 |c|", "1 out 1 |bb|"]);
    // The writer is between bytes and entry.
    log.append_log(b"d\n");
    assert_eq!(more(&mut lines), [""; 0]);
    log.enter(Kind::Err, 4, 1, 2);
    assert_eq!(more(&mut lines), ["4 err 1 |d|"]);
    log.append_index(&[1, 0, 0]);
    assert_eq!(more(&mut lines), [""; 0], "half an entry is none");
    log.harm_index(1, |index| index.truncate(index.len() - 3));
    log.out(5, "e");
    assert_eq!(more(&mut lines), [""; 0]);
    lines.finish();
    assert_eq!(more(&mut lines), ["5 out 1 |e"]);
    log.out(6, "f\n");
    assert_eq!(more(&mut lines), ["6 out 1 |f|"], "nothing twice, even after its end");
}

#[test]
fn following_survives_rotation() {
    let mut log = Log::new();
    log.out(1, "a\n");
    let mut lines = follow(&log);
    assert_eq!(more(&mut lines), ["1 out 1 |a|"]);
    log.out(2, "b\n");
    log.rotate();
    log.out(3, "c\n");
    log.remove(1);
    assert_eq!(more(&mut lines), ["2 out 1 |b|", "3 out 1 |c|"], "what is open can be read to its end");
    for at in 4..7 {
        log.rotate();
        log.out(at, "d\n");
    }
    log.remove(3);
    log.remove(4);
    assert_eq!(more(&mut lines), ["lost Segments(2)", "6 out 1 |d|"]);
}

#[test]
fn following_survives_an_emptied_folder() {
    let mut log = Log::new();
    log.out(1, "a\n");
    log.rotate();
    let mut lines = follow(&log);
    assert_eq!(more(&mut lines), ["1 out 1 |a|"]);
    log.remove(1);
    log.remove(2);
    assert_eq!(more(&mut lines), [""; 0]);
    log.number = 0;
    log.rotate();
    log.out(2, "b\n");
    assert_eq!(more(&mut lines), ["2 out 1 |b|"]);
    log.remove(1);
    log.number = 0;
    log.rotate();
    log.out(3, "c\n");
    assert_eq!(more(&mut lines), ["3 out 1 |c|"], "the same number, another file");
}

#[test]
fn filters() {
    let mut log = Log::new();
    log.out(1, "a\nb");
    log.err(2, "c\n");
    log.out(3, "b\n");
    log.write(Kind::Out, 4, 2, b"d\ne");
    log.lose(5, 2, 9);
    log.write(Kind::Err, 6, 3, b"f\n");
    let none = Filter::default();
    for (filter, expected) in [
        (Filter { stream: Some(Stream::Out), ..none }, vec!["a|", "bb|", "d|", "e", "lost", "…"]),
        (Filter { stream: Some(Stream::Err), ..none }, vec!["c|", "lost", "f|"]),
        (Filter { run: Some(RunId(1)), ..none }, vec!["a|", "c|", "bb|"]),
        (Filter { run: Some(RunId(2)), ..none }, vec!["d|", "e", "lost"]),
        (Filter { since: Some(Wall(2)), ..none }, vec!["c|", "d|", "e", "lost", "f|"]),
        (Filter { since: Some(Wall(3)), until: Some(Wall(4)), ..none }, vec!["d|", "e"]),
        (Filter { until: Some(Wall(1)), ..none }, vec!["a|", "bb|"]),
        (Filter { since: Some(Wall(7)), ..none }, vec![]),
    ] {
        let found = shown(&all(log.reader().lines(filter).expect("reads")));
        let expected: Vec<_> = expected.into_iter().filter(|text| *text != "…").collect();
        assert_eq!(found.len(), expected.len(), "{filter:?}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.ends_with(expected) || found.starts_with(expected), "{filter:?}: {found} for {expected}");
        }
    }
}

#[test]
fn since_begins_in_the_right_segment_and_within_no_line() {
    let mut log = Log::new();
    for at in 1..=9 {
        log.out(at * 10, &format!("begun {at}\nunfin"));
        log.err(at * 10 + 1, "whole\n");
        log.out(at * 10 + 2, "ished\n");
        if at % 2 == 0 {
            log.rotate();
        }
    }
    let everything = all(follow(&log));
    for since in 0..100 {
        let filter = Filter { since: Some(Wall(since)), ..Filter::default() };
        let expected: Vec<_> = everything
            .iter()
            .filter(|item| matches!(item, Owned::Line { at: Some(at), .. } if *at >= since))
            .cloned()
            .collect();
        assert_eq!(all(log.reader().lines(filter).expect("reads")), expected, "{since}");
    }
}

#[test]
fn the_last_lines_and_what_comes_after() {
    let mut log = Log::new();
    for at in 1..=100 {
        log.out(at, &format!("line {at}\n"));
    }
    log.err(101, "partial");
    let tail = |count| log.reader().tail(count, Filter::default(), &mut |_| true).expect("reads");
    assert_eq!(shown(&all(tail(3))), ["99 out 1 |line 99|", "100 out 1 |line 100|", "101 err 1 |partial"]);
    assert_eq!(all(tail(1_000)).len(), 101);
    let mut tens = |line: &Line<'_>| line.bytes.ends_with(b"0");
    let found = shown(&all(log.reader().tail(2, Filter::default(), &mut tens).expect("reads")));
    let found: Vec<_> = found.iter().filter(|line| line.ends_with("0|")).collect();
    assert_eq!(found, ["90 out 1 |line 90|", "100 out 1 |line 100|"]);
    let mut none = tail(0);
    assert_eq!(more(&mut none), [""; 0]);
    log.err(102, " no more\n");
    assert_eq!(more(&mut none), ["101 err 1 |partial no more|"]);
}

#[test]
fn tail_reads_only_the_end() {
    let mut log = Log::new();
    for at in 1..=2_000 {
        log.out(at, &format!("{at:099}\n{at:099}\n"));
    }
    // A read of the beginning would meet this.
    log.harm_index(1, |index| index[..32].fill(0));
    let found = all(log.reader().tail(10, Filter::default(), &mut |_| true).expect("reads"));
    assert_eq!(found.len(), 10);
    let mut seen = 0;
    log.reader()
        .tail(10, Filter::default(), &mut |_| {
            seen += 1;
            true
        })
        .expect("reads");
    assert!(seen < 2_000, "{seen} lines were looked at");
}

/// Bytes without an entry at the start of the window: nothing tells whether their line begins there.
#[test]
fn the_last_lines_where_the_index_has_no_entry() {
    let mut log = Log::new();
    log.out(1, "a\n");
    log.write_without_entry(b"xx");
    log.rotate();
    log.write_without_entry(b"yy\n");
    log.out(2, "b\n");
    let everything = all(log.reader().lines(Filter::default()).expect("reads"));
    for window in 1..20 {
        let tail = place::tail(log.path(), 2, Filter::default(), &mut |_| true, window).expect("reads");
        assert_eq!(all(tail), everything[1..], "{window}");
    }
}

#[test]
fn several_logs_by_time() {
    let mut logs = [Log::new(), Log::new(), Log::new()];
    logs[0].out(1, "a1\n");
    logs[0].out(5, "a5\n");
    logs[1].out(2, "b2\n");
    logs[1].out(4, "b4\n");
    logs[1].out(6, "b6\n");
    let mut merged = Merged::new(logs.iter().map(follow).collect());
    let mut more = || {
        let mut found = Vec::new();
        while let Some(source) = merged.advance().expect("reads") {
            let Some(Item::Line(line)) = merged.item() else { panic!("a line") };
            found.push(format!("{source}{}", String::from_utf8_lossy(line.bytes)));
        }
        found
    };
    assert_eq!(more(), ["0a1", "1b2", "1b4", "0a5", "1b6"]);
    assert_eq!(more(), [""; 0]);
    logs[2].out(7, "c7\n");
    logs[0].out(8, "a8\n");
    assert_eq!(more(), ["2c7", "0a8"]);
}

#[test]
fn one_log_that_cannot_be_read_does_not_hide_the_others() {
    let mut good = Log::new();
    good.out(1, "a\n");
    let bad = Log::new();
    let (log, _) = file_names(1);
    std::fs::remove_file(bad.path().join(&log)).expect("removed");
    std::fs::create_dir(bad.path().join(&log)).expect("a folder in its place");
    bad.append_index(&Entry { kind: Kind::Out, length: 1, offset: 0, at: Wall(1), run: RunId(1) }.encode());
    let mut merged = Merged::new(vec![follow(&bad), follow(&good)]);
    let mut sources = Vec::new();
    let mut failures = Vec::new();
    for _ in 0..4 {
        match merged.advance() {
            Ok(source) => sources.extend(source),
            Err(failed) => failures.push(failed.source_number),
        }
    }
    assert_eq!((sources, failures), (vec![1], vec![0]));
}

#[test]
fn raw_bytes_of_one_run_or_stream() {
    let mut log = Log::new();
    log.out(1, "a");
    log.err(2, "b\n");
    log.rotate();
    log.write(Kind::Out, 3, 2, b"c");
    log.write_without_entry(b"?");
    let raw = |filter| {
        let mut bytes = Vec::new();
        log.reader().copy_raw(filter, &mut bytes).expect("copies");
        String::from_utf8(bytes).expect("text")
    };
    assert_eq!(raw(Filter::default()), "ab\nc?");
    assert_eq!(raw(Filter { run: Some(RunId(1)), ..Filter::default() }), "ab\n");
    assert_eq!(raw(Filter { run: Some(RunId(2)), ..Filter::default() }), "c?");
    assert_eq!(raw(Filter { stream: Some(Stream::Out), ..Filter::default() }), "ac");
}
