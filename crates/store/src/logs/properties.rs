//! Whatever is written, wherever it is cut, rotated or damaged: the bytes come back, each once, in order.

use proptest::prelude::*;

use vigie_core::clock::Wall;
use vigie_core::logindex::Kind;

use super::fixture::{Log, Owned, all, drain};
use super::*;

#[derive(Debug, Clone)]
enum Deed {
    Write {
        err: bool,
        bytes: Vec<u8>,
    },
    WithoutEntry(Vec<u8>),
    /// With an entry that is zeroed afterwards.
    Damaged(Vec<u8>),
    Lose(u32),
    Rotate,
    NewRun,
    /// The follower reads what is there.
    Read,
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(b'\n'), 10 => b'a'..=b'e', 1 => any::<u8>()];
    prop_oneof![
        20 => prop::collection::vec(byte, 1..30),
        // Around the longest piece.
        1 => (0..3_usize, 0..3_usize).prop_map(|(less, more)| {
            let mut bytes = vec![b'x'; MAX_PIECE - less];
            bytes.extend(std::iter::repeat_n(b'\n', more));
            bytes
        }),
    ]
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        20 => (any::<bool>(), bytes()).prop_map(|(err, bytes)| Deed::Write { err, bytes }),
        2 => bytes().prop_map(Deed::WithoutEntry),
        2 => bytes().prop_map(Deed::Damaged),
        1 => (1..9_u32).prop_map(Deed::Lose),
        3 => Just(Deed::Rotate),
        2 => Just(Deed::NewRun),
        6 => Just(Deed::Read),
    ];
    prop::collection::vec(deed, 0..60)
}

/// What was written, as it must be read: the plainest program that can say it.
#[derive(Default)]
struct Model {
    items: Vec<Owned>,
    open: [Option<Unfinished>; 3],
}

/// Time, run, bytes.
type Unfinished = (Option<u64>, Option<u64>, Vec<u8>);

impl Model {
    fn write(&mut self, stream: Option<Stream>, at: Option<u64>, run: Option<u64>, bytes: &[u8]) {
        if run.is_some() {
            for slot in 0..3 {
                if self.open[slot].as_ref().is_some_and(|(_, open, _)| *open != run) {
                    self.end(slot, End::Open);
                }
            }
        }
        let slot = slot(stream);
        for byte in bytes {
            let open = self.open[slot].get_or_insert((at, run, Vec::new()));
            if *byte == b'\n' {
                self.end(slot, End::Newline);
            } else {
                open.2.push(*byte);
            }
        }
    }

    fn end_all(&mut self) {
        (0..3).for_each(|slot| self.end(slot, End::Open));
    }

    fn end(&mut self, slot: usize, end: End) {
        let stream = [Some(Stream::Out), Some(Stream::Err), None][slot];
        if let Some((at, run, bytes)) = self.open[slot].take() {
            self.items.push(Owned::Line { at, stream, run, bytes, first: true, end });
        }
    }
}

fn slot(stream: Option<Stream>) -> usize {
    match stream {
        Some(Stream::Out) => 0,
        Some(Stream::Err) => 1,
        None => 2,
    }
}

/// Pieces put together.
fn joined(items: Vec<Owned>) -> Vec<Owned> {
    let mut open: [Vec<u8>; 3] = Default::default();
    let mut whole = Vec::new();
    for item in items {
        let Owned::Line { at, stream, run, bytes, first, end } = item else {
            whole.push(item);
            continue;
        };
        let held = &mut open[slot(stream)];
        assert_eq!(first, held.is_empty(), "a piece out of order");
        assert!(bytes.len() <= MAX_PIECE);
        held.extend(bytes);
        if end != End::Continues {
            whole.push(Owned::Line { at, stream, run, bytes: std::mem::take(held), first: true, end });
        }
    }
    whole
}

/// Writes it all; gives back what a follower saw meanwhile, and what must be seen.
fn perform(deeds: &[Deed]) -> (Log, Vec<Owned>, Vec<Owned>) {
    let mut log = Log::new();
    let mut model = Model::default();
    let mut follower = log.reader().lines(Filter::default()).expect("reads");
    let mut seen = Vec::new();
    let mut run = 1;
    for (at, deed) in (1..).zip(deeds) {
        match deed {
            Deed::Write { err, bytes } => {
                log.write(if *err { Kind::Err } else { Kind::Out }, at, run, bytes);
                let stream = if *err { Stream::Err } else { Stream::Out };
                model.write(Some(stream), Some(at), Some(run), bytes);
            }
            Deed::WithoutEntry(bytes) => {
                log.write_without_entry(bytes);
                model.write(None, None, None, bytes);
            }
            Deed::Damaged(bytes) => {
                log.write_without_entry(bytes);
                log.append_index(&[0; 32]);
                model.write(None, None, None, bytes);
            }
            Deed::Lose(bytes) => {
                log.lose(at, run, *bytes);
                model.end_all();
                let amount = Amount::Bytes((*bytes).into());
                model.items.push(Owned::Lost(Lost { at: Some(Wall(at)), run: Some(RunId(run)), amount }));
            }
            Deed::Rotate => log.rotate(),
            Deed::NewRun => run += 1,
            Deed::Read => seen.extend(drain(&mut follower)),
        }
    }
    model.end_all();
    seen.extend(all(follower));
    (log, seen, model.items)
}

fn is_line(item: &Owned) -> bool {
    matches!(item, Owned::Line { .. })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn readers_and_followers_see_what_was_written(deeds in deeds()) {
        let (log, seen, expected) = perform(&deeds);
        prop_assert_eq!(joined(seen), expected.clone());
        let read = all(log.reader().lines(Filter::default()).expect("reads"));
        prop_assert_eq!(joined(read), expected);
    }

    #[test]
    fn the_last_lines_are_the_last_of_all(deeds in deeds(), count in 0..30_usize, window in 1..200_u64, only in 0..3) {
        let (log, ..) = perform(&deeds);
        let stream = [None, Some(Stream::Out), Some(Stream::Err)][only as usize];
        let filter = Filter { stream, ..Filter::default() };
        let lines = |lines| all(lines).into_iter().filter(is_line).collect::<Vec<_>>();
        let everything = lines(log.reader().lines(filter).expect("reads"));
        let tail = place::tail(log.path(), count, filter, &mut |_| true, window).expect("reads");
        let mut found = lines(tail);
        prop_assert!(found.len() >= count.min(everything.len()));
        // Lines that are unfinished at the end are not left out when they are near, and not looked for when far.
        let unfinished = |lines: &mut Vec<Owned>| {
            let before = lines.len();
            while let Some(Owned::Line { end: End::Open, .. }) = lines.last() {
                lines.pop();
            }
            before - lines.len()
        };
        let mut everything = everything;
        let open = unfinished(&mut everything);
        unfinished(&mut found);
        prop_assert!(everything.ends_with(&found), "{:?} of {:?}", found, everything);
        prop_assert!(found.len() <= count && found.len() + open >= count.min(everything.len()));
    }

    #[test]
    fn since_leaves_out_the_earlier_ones_only(deeds in deeds(), since in 0..60_u64) {
        let (log, ..) = perform(&deeds);
        let known = |items: Vec<Owned>| {
            items.into_iter().filter(|item| matches!(item, Owned::Line { at: Some(_), .. })).collect::<Vec<_>>()
        };
        let later = |item: &Owned| matches!(item, Owned::Line { at: Some(at), .. } if *at >= since);
        let everything = known(all(log.reader().lines(Filter::default()).expect("reads")));
        let expected: Vec<_> = everything.into_iter().filter(later).collect();
        let filter = Filter { since: Some(Wall(since)), ..Filter::default() };
        prop_assert_eq!(known(all(log.reader().lines(filter).expect("reads"))), expected);
    }

    #[test]
    fn garbage_in_the_index_loses_and_doubles_nothing(
        deeds in deeds(),
        garbage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in 0..100_usize,
    ) {
        let (log, ..) = perform(&deeds);
        let mut written = Vec::new();
        for number in 1..=log.number {
            written.extend(std::fs::read(log.path().join(vigie_core::logindex::file_names(number).0)).expect("bytes"));
            log.harm_index(number, |index| {
                for (place, byte) in &garbage {
                    if !index.is_empty() {
                        let place = place.index(index.len());
                        index[place] = *byte;
                    }
                }
                index.truncate(index.len().saturating_sub(cut));
            });
        }
        let mut raw = Vec::new();
        log.reader().copy_raw(Filter::default(), &mut raw).expect("copies");
        prop_assert_eq!(raw, written.clone());
        let mut bytes = 0;
        for item in all(log.reader().lines(Filter::default()).expect("reads")) {
            if let Owned::Line { bytes: line, end, .. } = item {
                bytes += line.len() + usize::from(end == End::Newline);
            }
        }
        prop_assert_eq!(bytes, written.len());
        // Wherever the damage leads them, these come to an end.
        place::tail(log.path(), 5, Filter::default(), &mut |_| true, 50).expect("reads");
        all(log.reader().lines(Filter { since: Some(Wall(9)), ..Filter::default() }).expect("reads"));
    }
}
