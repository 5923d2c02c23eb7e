//! What a `Reassembler` and a `DatagramReassembler` promise.

mod model;

use model::segments::{Op, Setup, run, run_fragments};
use pool_core::{Buddy, Failing, Heap, PageSource};
use pool_ring::{
    DatagramError, DatagramLimits, DatagramReassembler, Fragment, OverlapPolicy, ReassembleError,
    Reassembler, ReassemblerBuilder,
};
use proptest::prelude::*;
use std::time::Duration;

const T0: Duration = Duration::ZERO;

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (-20i16..310, 0u8..60, prop::bool::weighted(0.7))
            .prop_map(|(from, len, honest)| Op::Insert { from, len, honest }),
        2 => (0i16..8, 0u8..60, any::<bool>())
            .prop_map(|(from, len, honest)| Op::Insert { from, len, honest }),
        2 => (0i16..60, 60u8.., prop::bool::weighted(0.9))
            .prop_map(|(from, len, honest)| Op::Insert { from, len, honest }),
        2 => any::<u8>().prop_map(Op::Consume),
        1 => Just(Op::Shrink),
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 0..if cfg!(miri) { 12 } else { 60 })
}

fn policy() -> impl Strategy<Value = OverlapPolicy> {
    prop::sample::select(OverlapPolicy::ALL.to_vec())
}

/// No memory at all, one page, two (notes and bytes), three, and some that are no pages.
fn max_bytes() -> impl Strategy<Value = usize> {
    prop_oneof![Just(1000usize), (1usize..6).prop_map(|pages| pages * 4096), 1000usize..30_000]
}

proptest! {
    #![proptest_config(model::config(600))]
    #[test]
    fn streams_are_the_byte_map(
        policy in policy(),
        start in prop::sample::select(vec![0, 1000, u64::MAX - 400]),
        ops in ops()
    ) {
        run(model::source(None), Setup { policy, start, max_bytes: None }, &ops);
    }
    #[test]
    fn datagrams_are_the_byte_map(policy in policy(), ops in ops()) {
        run_fragments(&model::source(None), policy, &ops);
    }
}

proptest! {
    #![proptest_config(model::config(50))]
    #[test]
    #[cfg_attr(miri, ignore = "thousands of bytes, each by itself")]
    fn limited_streams_are_the_byte_map(
        policy in policy(),
        most in max_bytes(),
        refused in prop::option::of(0u64..6),
        ops in ops()
    ) {
        let setup = Setup { policy, start: 0, max_bytes: Some(most) };
        run(model::source(refused), setup, &ops);
    }
}

proptest! {
    #![proptest_config(model::config(20))]
    #[test]
    fn refusals_of_the_source_change_nothing(policy in policy(), ops in ops()) {
        for call in 0..if cfg!(miri) { 2 } else { 6 } {
            run(model::source(Some(call)), Setup { policy, start: 0, max_bytes: None }, &ops);
            run_fragments(&model::source(Some(call)), policy, &ops);
        }
    }
}

/// What segments make, put together as a stream and as a datagram, under each policy. A byte before them is missing until the end,
/// so that the stream delivers nothing.
fn check_vector<B: AsRef<[u8]>>(segments: &[(usize, &[u8])], streams: [B; 7], fragments: [B; 7]) {
    let heap = Heap::new();
    let both = streams.into_iter().zip(fragments);
    for (policy, (as_stream, as_datagram)) in OverlapPolicy::ALL.into_iter().zip(both) {
        let (as_stream, as_datagram) = (as_stream.as_ref(), as_datagram.as_ref());
        let mut stream = ReassemblerBuilder::new().policy(policy).build_in(&heap);
        let limits = DatagramLimits { datagrams: 1, ..DatagramLimits::default() };
        let mut table = DatagramReassembler::try_new(limits, policy).unwrap();
        for &(offset, bytes) in segments {
            stream.insert(offset as u64 + 1, bytes, T0).unwrap();
            assert!(table.insert(7, fragment(offset, false, bytes), T0).unwrap().is_none());
        }
        stream.insert(0, b"_", T0).unwrap();
        assert_eq!(&stream.as_slice()[1..], as_stream, "{policy:?}, a stream of {segments:?}");
        let whole = table.insert(7, fragment(as_datagram.len(), true, b""), T0).unwrap();
        let whole = whole.expect("all of it has come");
        assert_eq!(&*whole, as_datagram, "{policy:?}, a datagram of {segments:?}");
    }
}

/// The classic vector: six segments, of which the fourth overlaps the first two and the fifth is the
/// third again.
#[test]
fn the_classic_vector() {
    let segments: [(usize, &[u8]); 6] =
        [(0, b"111"), (4, b"22"), (6, b"333"), (1, b"4444"), (6, b"555"), (9, b"666")];
    check_vector(
        &segments,
        [
            b"111422333666", // First
            b"144442555666", // Last
            b"111442333666", // Bsd
            b"144422555666", // BsdRight
            b"111442333666", // Linux
            b"111442333666", // Windows
            b"144422555666", // Solaris
        ],
        [
            b"111422333666",
            b"144442555666",
            b"111442333666",
            b"144422555666",
            b"111442555666",
            b"111422333666",
            b"111422333666",
        ],
    );
}

/// The series of the papers, as detectors are tested with: nine segments that do not overlap, and eight that
/// overlap them in every way; letters stand for eight bytes. `BsdRight` is worked out by its rule.
#[test]
fn the_series_of_sturges_and_novak() {
    let bytes = |text: &str| text.bytes().flat_map(|byte| [byte; 8]).collect::<Vec<u8>>();
    #[rustfmt::skip]
    let segments = [
        (0, "AAA"), (4, "BB"), (6, "CCC"), (10, "D"), (13, "EE"), (15, "FFF"), (18, "GG"), (20, "HH"), (22, "I"),
        (1, "JJJJ"), (6, "KKK"), (9, "LLL"), (12, "MMM"), (16, "N"), (19, "O"), (20, "P"), (22, "QQ"),
    ]
    .map(|(at, text)| (at * 8, bytes(text)));
    let segments: Vec<_> = segments.iter().map(|(at, bytes)| (*at, &bytes[..])).collect();
    let streams = [
        "AAAJBBCCCLDLMEEFFFGGHHIQ", // First
        "AJJJJBKKKLLLMMMFNFGOPHQQ", // Last
        "AAAJJBCCCLLLMMMFFFGGHHIQ", // Bsd
        "AJJJBBKKKLDLMEEFNFGOPHQQ", // BsdRight
        "AAAJJBCCCLLLMMMFFFGGHHQQ", // Linux
        "AAAJJBCCCLLLMMMFFFGGHHIQ", // Windows
        "AJJJBBKKKLLLMMMFFFGGHHQQ", // Solaris
    ];
    let fragments = [
        "AAAJBBCCCLDLMEEFFFGGHHIQ",
        "AJJJJBKKKLLLMMMFNFGOPHQQ",
        "AAAJJBCCCLLLMMMFFFGGHHIQ",
        "AJJJBBKKKLDLMEEFNFGOPHQQ",
        "AAAJJBKKKLLLMMMFFFGGPHQQ",
        "AAAJBBCCCLLLMEEFFFGGHHIQ",
        "AAAJBBCCCLLLMMMFFFGGHHIQ",
    ];
    let (streams, fragments) = (streams.map(bytes), fragments.map(bytes));
    check_vector(&segments, streams, fragments);
}

/// A new segment and an old one in each of the ways that two can overlap.
#[test]
fn each_way_to_overlap() {
    type Vector<'v> = ([(usize, &'v [u8]); 2], [&'v [u8]; 7], [&'v [u8]; 7]);
    #[rustfmt::skip]
    let vectors: [Vector<'_>; 9] = [
        // First, Last, Bsd, BsdRight, Linux, Windows, Solaris
        // It starts before, and ends before, with, and after the old one.
        ([(1, b"ooo"), (0, b"nn")],
            [b"nooo", b"nnoo", b"nnoo", b"nooo", b"nnoo", b"nnoo", b"nooo"],
            [b"nooo", b"nnoo", b"nnoo", b"nooo", b"nnoo", b"nooo", b"nooo"]),
        ([(1, b"oo"), (0, b"nnn")],
            [b"noo", b"nnn", b"nnn", b"noo", b"nnn", b"nnn", b"nnn"],
            [b"noo", b"nnn", b"nnn", b"noo", b"nnn", b"noo", b"nnn"]),
        ([(1, b"oo"), (0, b"nnnn")],
            [b"noon", b"nnnn", b"nnnn", b"noon", b"nnnn", b"nnnn", b"nnnn"],
            [b"noon", b"nnnn", b"nnnn", b"noon", b"nnnn", b"nnnn", b"nnnn"]),
        // It starts with it.
        ([(0, b"oooo"), (0, b"nn")],
            [b"oooo", b"nnoo", b"oooo", b"nnoo", b"oooo", b"oooo", b"oooo"],
            [b"oooo", b"nnoo", b"oooo", b"nnoo", b"nnoo", b"oooo", b"oooo"]),
        ([(0, b"oo"), (0, b"nn")],
            [b"oo", b"nn", b"oo", b"nn", b"oo", b"oo", b"nn"],
            [b"oo", b"nn", b"oo", b"nn", b"nn", b"oo", b"oo"]),
        ([(0, b"oo"), (0, b"nnn")],
            [b"oon", b"nnn", b"oon", b"nnn", b"nnn", b"oon", b"nnn"],
            [b"oon", b"nnn", b"oon", b"nnn", b"nnn", b"oon", b"oon"]),
        // It starts after it.
        ([(0, b"oooo"), (1, b"nn")],
            [b"oooo", b"onno", b"oooo", b"onno", b"oooo", b"oooo", b"oooo"],
            [b"oooo", b"onno", b"oooo", b"onno", b"oooo", b"oooo", b"oooo"]),
        ([(0, b"ooo"), (1, b"nn")],
            [b"ooo", b"onn", b"ooo", b"onn", b"ooo", b"ooo", b"ooo"],
            [b"ooo", b"onn", b"ooo", b"onn", b"ooo", b"ooo", b"ooo"]),
        ([(0, b"oo"), (1, b"nn")],
            [b"oon", b"onn", b"oon", b"onn", b"oon", b"oon", b"onn"],
            [b"oon", b"onn", b"oon", b"onn", b"oon", b"oon", b"oon"]),
    ];
    for (segments, streams, fragments) in vectors {
        check_vector(&segments, streams, fragments);
    }
}

#[test]
fn differing_bytes_are_refused_if_so_wished() {
    let heap = Heap::new();
    let mut stream = ReassemblerBuilder::new().policy(OverlapPolicy::Reject).build_in(&heap);
    stream.insert(4, b"true", T0).unwrap();
    assert_eq!(stream.insert(2, b"__trUe", T0), Err(ReassembleError::Conflicting { offset: 6 }));
    assert!(stream.pieces().eq(std::iter::once(4..8)));
    let same = stream.insert(2, b"__true", T0).unwrap();
    assert_eq!((same.accepted, same.duplicate, same.conflicting), (2, 4, 0));
    stream.insert(0, b"__", T0).unwrap();
    assert!(stream.insert(1, b"x", T0).is_err());
    assert_eq!(stream.as_slice(), b"____true");
}

/// The segment at the front is accepted whatever the limits, also when everything else is refused.
#[test]
fn the_front_is_always_accepted() {
    let heap = Heap::new();
    let builder =
        ReassemblerBuilder::new().window(1000).max_gaps(10).max_age(Duration::from_secs(1));
    for policy in OverlapPolicy::ALL {
        let mut stream = builder.policy(policy).build_in(&heap);
        for n in 1..=10 {
            stream.insert(n * 4, b"xx", T0).unwrap();
        }
        let refused = stream.insert(50, b"xx", T0).unwrap_err();
        assert_eq!(refused, ReassembleError::TooManyGaps { asked: 11, limit: 10 });
        let late = Duration::from_secs(2);
        let refused = stream.insert(50, b"xx", late).unwrap_err();
        assert!(matches!(refused, ReassembleError::Expired { front: 0, .. }), "{refused}");
        assert_eq!(stream.insert(0, b"xx", late).unwrap().accepted, 2);
        assert_eq!(stream.insert(2, b"xx", late).unwrap().accepted, 2);
        assert_eq!(stream.as_slice(), b"xxxxxx");
        // What does not fit in the window is cut off.
        let cut = stream.insert(6, &[b'x'; 2000], late).unwrap();
        assert_eq!((cut.accepted, cut.duplicate, cut.beyond), (994 - 18, 18, 1006));
        assert_eq!(stream.as_slice().len(), 1000);
        assert_eq!(stream.insert(1000, b"x", late).unwrap().beyond, 1);
    }
}

/// Nor does the limit on memory refuse it: it is cut to what may be held, and notes that it makes needless go.
#[test]
fn the_front_goes_in_as_far_as_memory_allows() {
    let heap = Heap::new().counted();
    let page = heap.granule();
    for policy in OverlapPolicy::ALL.into_iter().step_by(if cfg!(miri) { 3 } else { 1 }) {
        let limited = |pages| ReassemblerBuilder::new().max_bytes(pages * page).policy(policy);
        // Notes and bytes would be two pages: neither is taken, and the front has its one.
        let mut stream = limited(1).build_in(&heap);
        let refused = stream.insert(10, b"x", T0).unwrap_err();
        assert_eq!(refused, ReassembleError::OverLimit { asked: 2 * page, limit: page });
        assert_eq!((stream.memory(), heap.traffic().live_bytes), (0, 0));
        assert_eq!(stream.insert(0, b"xxx", T0).unwrap().accepted, 3);
        let cut = stream.insert(1, &vec![b'x'; 2 * page], T0).unwrap();
        assert_eq!((cut.accepted, cut.duplicate, cut.beyond), (page - 3, 2, page + 1));
        // It is full as a window is.
        assert_eq!(stream.insert(page as u64, b"x", T0).unwrap().beyond, 1);
        assert_eq!((stream.as_slice().len(), stream.memory()), (page, page));
        stream.consume(page - 1);
        assert_eq!(stream.insert(page as u64, b"yz", T0).unwrap().accepted, 2);
        assert_eq!(stream.as_slice(), b"xyz");

        // What is noted goes for what comes, which covers it.
        let mut stream = limited(2).build_in(&heap);
        stream.insert(100, b"x", T0).unwrap();
        assert_eq!(stream.memory(), 2 * page);
        let all = stream.insert(0, &vec![b'x'; page + 900], T0).unwrap();
        assert_eq!((all.accepted, all.duplicate, all.beyond), (page + 899, 1, 0));
        assert_eq!((stream.as_slice().len(), stream.memory()), (page + 900, 2 * page));
        let cut = stream.insert(page as u64, &vec![b'x'; page + 7], T0).unwrap();
        assert_eq!((cut.accepted, cut.duplicate, cut.beyond), (page - 900, 900, 7));
        // Pieces behind gaps need notes, for which there is no room now.
        stream.consume(page);
        let refused = stream.insert(2 * page as u64 + 1, b"x", T0).unwrap_err();
        assert!(matches!(refused, ReassembleError::OverLimit { .. }), "{refused}");
        assert_eq!((stream.as_slice().len(), stream.memory()), (page, 2 * page));
        assert_eq!(stream.insert(2 * page as u64, b"x", T0).unwrap().accepted, 1);
    }
    let mut none = ReassemblerBuilder::new().max_bytes(page - 1).build_in(&heap);
    let refused = none.insert(0, b"x", T0).unwrap_err();
    assert_eq!(refused, ReassembleError::OverLimit { asked: page, limit: page - 1 });
}

/// A source that has no more leaves the front what there is; where that is nothing it is refused, and nothing has changed.
#[test]
fn the_front_goes_in_as_far_as_the_source_allows() {
    let page = Heap::new().granule();
    for policy in OverlapPolicy::ALL.into_iter().step_by(if cfg!(miri) { 3 } else { 1 }) {
        let refusing = Failing::after(Heap::new().counted(), 2);
        let mut stream = ReassemblerBuilder::new().policy(policy).build_in(&refusing);
        stream.insert(20, b"pieces", T0).unwrap();
        for offset in [page as u64, 40_000] {
            let refused = stream.insert(offset, b"x", T0).unwrap_err();
            assert!(matches!(refused, ReassembleError::Source(_)), "{refused}");
            assert_eq!((stream.memory(), stream.pieces().count()), (2 * page, 1));
        }
        let mut bytes = vec![b'x'; 2 * page];
        bytes[20..26].copy_from_slice(b"pieces");
        let cut = stream.insert(0, &bytes, T0).unwrap();
        assert_eq!((cut.accepted, cut.duplicate, cut.beyond), (page - 6, 6, page));
        assert_eq!(stream.as_slice(), &bytes[..page]);
        let refused = stream.insert(page as u64, b"x", T0).unwrap_err();
        assert!(matches!(refused, ReassembleError::Source(_)), "{refused}");
        assert_eq!((stream.as_slice(), stream.memory()), (&bytes[..page], 2 * page));
        // What is consumed makes room without more pages, if need be.
        stream.consume(10);
        let cut = stream.insert(page as u64, &bytes, T0).unwrap();
        assert_eq!((cut.accepted, stream.as_slice().len()), (10, page));
    }
    let nothing = Failing::after(Heap::new(), 0);
    let mut stream = ReassemblerBuilder::new().build_in(&nothing);
    for offset in [0, 1] {
        let refused = stream.insert(offset, b"x", T0).unwrap_err();
        assert!(matches!(refused, ReassembleError::Source(_)), "{refused}");
        assert_eq!((stream.memory(), stream.next()), (0, 0));
    }
}

/// Notes and bytes are had together or not at all, whichever of the two is refused.
#[test]
fn a_piece_takes_both_or_nothing() {
    for calls in 0..6 {
        let source = Failing::after(Heap::new().counted(), calls);
        let mut stream = ReassemblerBuilder::new().max_gaps(1000).build_in(&source);
        let mut refused = false;
        for n in 0..if cfg!(miri) { 20 } else { 600 } {
            let before = (stream.memory(), stream.pieces().count());
            if stream.insert(1 + n * 40, &[b'x'; 20], T0).is_err() {
                refused = true;
                assert_eq!((stream.memory(), stream.pieces().count()), before);
            }
            assert_eq!(source.inner().traffic().live_bytes, stream.memory());
        }
        assert!(refused || cfg!(miri));
    }
}

/// Segments that touch are one piece under every policy, though those that ask for borders note each.
#[test]
fn touching_segments_are_one_piece() {
    let heap = Heap::new();
    let builder = ReassemblerBuilder::new().window(6400).max_gaps(3);
    for policy in OverlapPolicy::ALL.into_iter().step_by(if cfg!(miri) { 3 } else { 1 }) {
        let merges =
            matches!(policy, OverlapPolicy::First | OverlapPolicy::Last | OverlapPolicy::Reject);
        let mut stream = builder.policy(policy).build_in(&heap);
        // Forwards, backwards, and between.
        for n in (20..40).chain((0..10).rev()).chain(10..20) {
            stream.insert(100 + n * 64, &[b'x'; 64], T0).unwrap();
        }
        assert_eq!(stream.pieces().count(), if merges { 1 } else { 40 }, "{policy:?}");
        for separate in [4000, 4100] {
            stream.insert(separate, b"x", T0).unwrap();
        }
        let refused = stream.insert(4200, b"x", T0).unwrap_err();
        assert_eq!(refused, ReassembleError::TooManyGaps { asked: 4, limit: 3 }, "{policy:?}");
        // One that makes two pieces one is welcome, and makes room for another.
        stream.insert(4001, &[b'x'; 99], T0).unwrap();
        stream.insert(4200, b"x", T0).unwrap();
        // Where each segment is noted their number has a limit of its own: 3, and 100 for the window.
        let touching = |at| stream.insert(at, b"x", T0);
        let refused = (4201..4300).map(touching).find_map(Result::err);
        let limit = ReassembleError::TooManyNotes { asked: 104, limit: 103 };
        assert_eq!(refused, (!merges).then_some(limit), "{policy:?}");
        let before = stream.pieces().collect::<Vec<_>>();
        assert!(merges || stream.insert(5000, b"x", T0).is_err());
        assert_eq!(stream.pieces().collect::<Vec<_>>(), before);
        // The front passes, and pieces that are read count no longer.
        stream.insert(0, &[b'x'; 100], T0).unwrap();
        assert_eq!(stream.as_slice().len(), 2660);
        assert_eq!(stream.insert(2660, &[b'x'; 1345], T0).unwrap().duplicate, 5);
        assert_eq!(stream.pieces().next().map(|piece| piece.start), Some(4200));
        stream.insert(5000, b"x", T0).unwrap();
        stream.insert(5002, b"x", T0).unwrap();
        assert!(matches!(
            stream.insert(5004, b"x", T0),
            Err(ReassembleError::TooManyGaps { asked: 4, .. })
        ));
    }
}

/// A source of powers of two: what it gives counts, and not what was asked for.
#[test]
fn memory_is_what_the_source_gives() {
    let buddy = Buddy::new(Heap::new(), 1 << 20).unwrap();
    let builder = ReassemblerBuilder::new().max_bytes(48 << 10);
    let mut stream = builder.build_in(&buddy);
    // Twice the extent would be 64 KiB: just the extent, 32.
    stream.insert(19 << 10, &[b'x'; 1024], T0).unwrap();
    assert_eq!(stream.memory(), (32 << 10) + buddy.granule());
    let error = stream.insert(33 << 10, b"x", T0).unwrap_err();
    assert!(matches!(error, ReassembleError::OverLimit { limit: 49152, .. }), "{error}");
    assert_eq!(stream.memory(), (32 << 10) + buddy.granule());

    let limits = DatagramLimits { datagrams: 4, bytes: 60 << 10, ..DatagramLimits::default() };
    let policy = OverlapPolicy::First;
    let hasher = std::hash::RandomState::new();
    let mut table = DatagramReassembler::try_new_in(limits, policy, &buddy, hasher).unwrap();
    let mut put = |key: u32, offset| {
        let result = table.insert(key, fragment(offset, false, b"x"), T0).map(drop);
        (result.is_ok(), table.stats())
    };
    for key in 0..4 {
        assert!(put(key, 8).0);
    }
    // 36 KiB and notes would fit, but the source has 64 KiB only: nobody goes, whether there is room in the table or not.
    for (key, datagrams) in [(9, 4), (0, 4)] {
        let (is_in, stats) = put(key, 36 << 10);
        assert!(!is_in);
        assert_eq!((stats.datagrams, stats.evicted), (datagrams, 0));
    }
    // 20 KiB are 32, with 4 for notes: of four times 8 KiB one goes for the number, none for the bytes.
    let (is_in, stats) = put(10, 20 << 10);
    assert!(is_in && stats.bytes <= limits.bytes);
    assert_eq!((stats.datagrams, stats.evicted), (4, 1));
    let (is_in, stats) = put(1, 17 << 10);
    assert!(is_in && stats.bytes <= limits.bytes);
    assert!(stats.evicted > 1);
}

/// A source with a budget that is the table's limit: the oldest go before it is asked again.
#[test]
fn the_oldest_go_when_the_source_has_no_more() {
    let heap = Heap::new();
    let limits = DatagramLimits { datagrams: 50, bytes: 64 << 10, ..DatagramLimits::default() };
    let policy = OverlapPolicy::First;
    let tables = (&heap).counted();
    let hasher = std::hash::RandomState::new();
    drop(DatagramReassembler::<u32, _, _>::try_new_in(limits, policy, &tables, hasher).unwrap());
    let peak = tables.traffic().peak_bytes;
    let tight = (&heap).limited(peak + limits.bytes);
    let hasher = std::hash::RandomState::new();
    let mut table = DatagramReassembler::try_new_in(limits, policy, &tight, hasher).unwrap();
    for key in 0..40u32 {
        assert!(table.insert(key, fragment(8, false, b"x"), T0).unwrap().is_none(), "{key}");
        assert!(table.stats().bytes <= limits.bytes);
    }
    assert!(table.stats().evicted >= 32);
}

#[test]
fn streams_end_where_offsets_do() {
    let heap = Heap::new();
    let mut stream = ReassemblerBuilder::new().start(u64::MAX - 10).build_in(&heap);
    assert_eq!(stream.insert(u64::MAX - 10, b"12345", T0).unwrap().accepted, 5);
    let beyond = stream.insert(u64::MAX - 5, b"123456", T0);
    assert_eq!(beyond, Err(ReassembleError::Overflow { offset: u64::MAX - 5, len: 6 }));
    assert_eq!(stream.insert(u64::MAX - 5, b"67890", T0).unwrap().accepted, 5);
    assert_eq!((stream.next(), stream.as_slice()), (u64::MAX, &b"1234567890"[..]));
}

#[test]
fn hostile_segments_cost_little() {
    let heap = Heap::new().counted();
    let mut stream = ReassemblerBuilder::new().max_bytes(32 << 10).build_in(&heap);
    for offset in [u64::MAX, u64::MAX - 1, u64::MAX - 5] {
        assert!(matches!(
            stream.insert(offset, b"123456", T0),
            Err(ReassembleError::Overflow { .. } | ReassembleError::BeyondWindow { .. })
        ));
    }
    assert_eq!(stream.memory(), 0);
    // Bytes with gaps of one between them: as many as may be noted, and no more memory than allowed.
    let mut refused = 0;
    for n in 0..2000u64 {
        if cfg!(miri) && n == 40 {
            return;
        }
        match stream.insert(2 * n + 1, b"x", T0) {
            Ok(_) => {}
            Err(ReassembleError::TooManyGaps { asked: 257, limit: 256 }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(refused, 2000 - 256);
    assert!(stream.memory() <= 32 << 10);
    assert_eq!(heap.traffic().live_bytes, stream.memory());
    // Far behind, within the window: its bytes do not fit in what may be held.
    let error = stream.insert(60_000, b"x", T0).unwrap_err();
    assert!(matches!(error, ReassembleError::TooManyGaps { .. }));
    let mut fresh = ReassemblerBuilder::new().max_bytes(32 << 10).build_in(&heap);
    let error = fresh.insert(60_000, b"x", T0).unwrap_err();
    assert!(matches!(error, ReassembleError::OverLimit { limit: 32768, .. }), "{error}");
    assert_eq!(fresh.insert(0, b"x", T0).unwrap().accepted, 1);
}

#[test]
fn long_streams_in_small_windows_move_little_and_shrink_to_nothing() {
    let heap = Heap::new().counted();
    let mut stream: Reassembler<_> = ReassemblerBuilder::new().window(5000).build_in(&heap);
    let mut at = 0;
    for n in 0..if cfg!(miri) { 40 } else { 3000u64 } {
        let bytes = [n as u8; 500];
        // Pairs swapped.
        let offset = if n % 2 == 0 { (n + 1) * 500 } else { (n - 1) * 500 };
        stream.insert(offset, &bytes, T0).unwrap();
        if n % 7 == 6 {
            let len = stream.as_slice().len();
            at += len as u64;
            stream.consume(len);
            assert_eq!(stream.front(), at);
        }
    }
    assert!(stream.memory() <= 16384 + 16384, "{}", stream.memory());
    stream.consume(stream.as_slice().len());
    stream.shrink();
    assert_eq!((stream.memory(), heap.traffic().live_bytes), (0, 0));
}

fn fragment(offset: usize, last: bool, bytes: &[u8]) -> Fragment<'_> {
    Fragment { offset, last, bytes }
}

#[test]
fn datagram_tables_are_bounded_by_count_bytes_and_time() {
    let heap = Heap::new().counted();
    let limits = DatagramLimits {
        datagrams: 100,
        bytes: 400 << 10,
        age: Duration::from_secs(30),
        ..DatagramLimits::default()
    };
    let policy = OverlapPolicy::First;
    let hasher = std::hash::RandomState::new();
    let mut table = DatagramReassembler::try_new_in(limits, policy, &heap, hasher).unwrap();
    let base = heap.traffic().live_bytes;
    let keys: u32 = if cfg!(miri) { 55 } else { 1000 };
    for key in 0..keys {
        let whole =
            table.insert(key, fragment(8, false, b"a piece"), Duration::from_millis(key.into()));
        assert!(whole.unwrap().is_none());
        let stats = table.stats();
        assert!(stats.datagrams <= 100 && stats.bytes <= limits.bytes);
        assert_eq!(heap.traffic().live_bytes - base, stats.bytes);
    }
    let stats = table.stats();
    assert_eq!(stats.evicted as usize + stats.datagrams, keys as usize);
    assert!(stats.datagrams < 100, "bytes were the limit");
    // The youngest are there.
    let second = Duration::from_secs(1);
    assert!(table.insert(keys - 1, fragment(0, false, b"12345678"), second).unwrap().is_none());
    let whole = table.insert(keys - 1, fragment(15, true, b"."), second).unwrap().unwrap();
    assert_eq!(&*whole, b"12345678a piece.");
    drop(whole);
    // All others expire.
    assert!(
        table.insert(5000, fragment(0, false, b"x"), Duration::from_secs(40)).unwrap().is_none()
    );
    let stats = table.stats();
    assert_eq!((stats.datagrams, stats.whole), (1, 1));
    assert_eq!(stats.expired as usize, keys as usize - 1 - stats.evicted as usize);
}

#[test]
fn datagrams_end_once() {
    let policy = OverlapPolicy::Last;
    let mut table = DatagramReassembler::try_new(DatagramLimits::default(), policy).unwrap();
    assert!(table.insert('a', fragment(8, true, b"end"), T0).unwrap().is_none());
    for (offset, last) in [(11, false), (7, true), (20, true), (9, false)] {
        let error = table.insert('a', fragment(offset, last, b"abc"), T0).unwrap_err();
        assert!(matches!(error, DatagramError::Length { known: 11, .. }));
    }
    let huge = fragment(usize::MAX, true, b"x");
    assert!(matches!(table.insert('b', huge, T0), Err(DatagramError::Refused(_))));
    let far = fragment(65_530, true, b"1234567");
    let error = table.insert('b', far, T0).unwrap_err();
    assert!(matches!(error, DatagramError::Refused(ReassembleError::BeyondWindow { .. })));
    assert_eq!(table.stats().datagrams, 1);
    // A forgotten datagram is lent again.
    std::mem::forget(table.insert('a', fragment(0, false, b"12345678"), T0).unwrap().unwrap());
    let again = table.insert('a', fragment(0, false, b"1234"), T0).unwrap().unwrap();
    assert_eq!(&*again, b"12345678end");
    drop(again);
    assert_eq!((table.stats().datagrams, table.stats().bytes), (0, 0));
    // A datagram of nothing.
    assert_eq!(table.insert('c', fragment(0, true, b""), T0).unwrap().as_deref(), Some(&b""[..]));
}
