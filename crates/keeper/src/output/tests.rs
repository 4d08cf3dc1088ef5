use std::io::Write as _;

use vigie_core::clock::{Mono, Wall};
use vigie_core::logindex::{Entry, file_names};

use super::*;

const RUN: RunId = RunId(7);

fn now(seconds: u64) -> Now {
    Now { mono: Mono(seconds * 1_000_000_000), wall: Wall(seconds) }
}

fn null() -> OwnedFd {
    std::fs::OpenOptions::new().write(true).open("/dev/null").unwrap().into()
}

fn output(dir: &Path, max_size: u64, keep: u32) -> (Output, [std::fs::File; 2]) {
    let (output, ends) = Output::new(dir, max_size, keep, Overflow::Block, RUN, null()).unwrap();
    (output, ends.map(std::fs::File::from))
}

fn segment(dir: &Path, number: u32) -> (Vec<u8>, Vec<Entry>) {
    let (log, index) = file_names(number);
    let entries = std::fs::read(dir.join(index)).unwrap();
    let (entries, torn) = entries.as_chunks::<{ Entry::SIZE }>();
    assert!(torn.is_empty(), "torn entry");
    (std::fs::read(dir.join(log)).unwrap(), entries.iter().map(|entry| Entry::decode(entry).unwrap()).collect())
}

/// Takes until the pipes are empty.
fn take_all(output: &mut Output) -> Vec<What> {
    let mut told = Vec::new();
    for number in [0, 1] {
        while output.streams[number].pipe.as_ref().and_then(fill).is_some_and(|(held, _)| held > 0) {
            told.extend(output.take(number, now(1)).tell);
        }
    }
    told
}

/// R6.9
#[test]
fn bytes_stream_time_and_run_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("new/folder");
    let (mut output, [mut out, mut err]) = output(&logs, 1 << 20, 2);
    out.write_all(b"one\n\xff\0").unwrap();
    output.take(0, now(3));
    err.write_all(b"two").unwrap();
    output.take(1, now(4));
    let (bytes, entries) = segment(&logs, 1);
    assert_eq!(bytes, b"one\n\xff\0two");
    let entry = |kind, length, offset, at| Entry { kind, length, offset, at: Wall(at), run: RUN };
    assert_eq!(entries, [entry(Kind::Out, 6, 0, 3), entry(Kind::Err, 3, 6, 4)]);
}

#[test]
fn segments_end_with_a_line_where_there_is_one_and_no_byte_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (mut output, [mut out, _err]) = output(dir.path(), 1_000, 1_000);
    let mut all = Vec::new();
    for number in 0..2_000 {
        let line = format!("{number:0width$}\n", width = number % 97 + 1);
        out.write_all(line.as_bytes()).unwrap();
        all.extend_from_slice(line.as_bytes());
        if number % 7 == 0 {
            take_all(&mut output);
        }
    }
    take_all(&mut output);
    let last = std::fs::read_dir(dir.path()).unwrap().count() as u32 / 2;
    assert!(last > 50, "{last} segments");
    let mut joined = Vec::new();
    for number in 1..=last {
        let (bytes, entries) = segment(dir.path(), number);
        assert_eq!(bytes.last(), Some(&b'\n'), "segment {number}");
        assert!(bytes.len() < 1_100);
        let mut end = 0;
        for entry in entries {
            assert_eq!(entry.offset, end, "a hole in the index");
            end += u64::from(entry.length);
        }
        assert_eq!(end, bytes.len() as u64);
        joined.extend(bytes);
    }
    assert!(joined == all, "bytes were lost or changed");
}

#[test]
fn a_line_without_end_does_not_grow_a_segment_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let (mut output, [mut out, _err]) = output(dir.path(), 1_000, 3);
    for _ in 0..64 {
        out.write_all(&[b'x'; 8_192]).unwrap();
        take_all(&mut output);
    }
    let mut sizes = Vec::new();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.path().extension().is_some_and(|extension| extension == "log") {
            sizes.push(entry.metadata().unwrap().len());
        }
    }
    assert!(sizes.len() <= 3, "more segments than are kept: {sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 1_000 + (64 << 10) + (4 << 10)), "{sizes:?}");
}

#[test]
fn the_next_run_goes_on_where_the_last_one_was_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let (log, index) = file_names(4);
    std::fs::write(dir.path().join(log), b"old").unwrap();
    std::fs::write(dir.path().join(&index), [1; 40]).unwrap();
    let (mut output, [mut out, _err]) = output(dir.path(), 1_000, 3);
    out.write_all(b"new").unwrap();
    take_all(&mut output);
    drop(output);
    let entries = std::fs::read(dir.path().join(index)).unwrap();
    assert_eq!(entries.len(), 64, "the torn entry is replaced by the new one");
    let entry = Entry::decode(&entries[32..].try_into().unwrap()).unwrap();
    assert_eq!((entry.offset, entry.length), (3, 3));
    assert_eq!(std::fs::read(dir.path().join(file_names(4).0)).unwrap(), b"oldnew");
}

#[test]
fn a_log_that_cannot_be_written_stops_nobody_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    std::fs::write(&logs, "a file where the folder should be").unwrap();
    let (mut output, [mut out, _err]) = output(&logs, 1_000, 3);
    out.write_all(b"lost").unwrap();
    let told = take_all(&mut output);
    assert!(matches!(&told[..], [What::LogLost { bytes: 4, why }] if why.contains("logs")), "{told:?}");
    out.write_all(b"lost too").unwrap();
    assert_eq!(take_all(&mut output), [], "told at once, then at most every ten seconds");
    std::fs::remove_file(&logs).unwrap();
    out.write_all(b"kept").unwrap();
    let told = take_all(&mut output);
    assert!(matches!(&told[..], [What::LogLost { bytes: 8, .. }]), "{told:?}");
    let (bytes, entries) = segment(&logs, 1);
    assert_eq!(bytes, b"kept");
    assert_eq!((entries[0].kind, entries[0].length), (Kind::Lost, 12));
    assert_eq!((entries[1].kind, entries[1].length), (Kind::Out, 4));
}

#[test]
fn a_log_that_is_deleted_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (mut output, [mut out, _err]) = output(dir.path(), 1_000, 3);
    out.write_all(b"gone").unwrap();
    take_all(&mut output);
    std::fs::remove_file(dir.path().join(file_names(1).0)).unwrap();
    out.write_all(b"kept").unwrap();
    output.take(0, now(9));
    assert_eq!(segment(dir.path(), 1).0, b"kept");
}

#[test]
fn what_does_not_fit_is_dropped_where_that_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let (output, ends) = Output::new(dir.path(), 1_000, 3, Overflow::Drop, RUN, null()).unwrap();
    let (mut output, [mut out, _err]) = (output, ends.map(std::fs::File::from));
    // The room in the segment lets one take bring only 1,000 bytes, so that the pipe stays nearly full.
    splice::grow(&out, LARGE_PIPE);
    let (_, size) = splice::fill(&out).unwrap();
    out.write_all(&vec![b'x'; size]).unwrap();
    let taken = output.take(0, now(1));
    assert_eq!(taken.bytes, size);
    assert!(matches!(taken.tell, Some(What::LogLost { bytes, .. }) if bytes == size as u64 - 1_000));
}

/// A process outside of the tree may have inherited the pipe: it neither hangs the end nor is it waited for.
#[test]
fn a_flush_ends_although_somebody_holds_the_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let (mut output, [mut out, _err]) = output(dir.path(), 100, 1_000);
    out.write_all(&[b'x'; 5_000]).unwrap();
    output.flush(now(1), |what| panic!("{what:?}"));
    assert_eq!(output.pipes().count(), 0);
    let size: u64 = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "log"))
        .map(|entry| entry.metadata().unwrap().len())
        .sum();
    assert_eq!(size, 5_000);
}
