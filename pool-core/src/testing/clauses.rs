//! What one thread can see of the contract.
#![forbid(unsafe_code)]

use super::held::Model;
use super::{Contract, Op, clause, program};
use crate::bytes::MAX_LEN;
use crate::error::PageError;
use crate::mix::splitmix64;
use crate::run::Request;
use crate::snapshot::{BudgetUse, HeldUse, Snapshot, Traffic};
use crate::source::PageSource;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;

pub(super) fn check<S: PageSource>(contract: &Contract, make: &impl Fn() -> S) {
    granule(&make());
    lengths(contract, &make());
    alignments(contract, &make());
    zeroed(contract, &make());
    decommit(contract, &make());
    refusals(contract, &make());
    orders(contract, &make());
    exhaustion(contract, &make());
    moves(contract, make);
    handles(contract, make);
    trim(contract, &make());
    observe(&make());
    if contract.outstanding {
        outstanding(contract, make());
    }
    random_program(contract, &make());
}

/// Lengths at the edges of everything, of which one is at most a quarter of what may be taken.
fn some_lengths(contract: &Contract, granule: usize) -> Vec<usize> {
    let mut lengths = Vec::from([1, granule - 1, granule, granule + 1, 3 * granule, 16 * granule]);
    lengths.extend([100 << 10, 300 << 10, (1 << 20) + 1, 2 << 20]);
    lengths.retain(|&len| len == 1 || len <= contract.most_bytes / 4);
    lengths
}

/// Takes runs of mixed lengths until an eighth of what may be taken is out; at least two runs.
/// (Each is at most an eighth, and a source that rounds to powers of two doubles both.)
fn take_mixed(contract: &Contract, source: &dyn PageSource, model: &mut Model) {
    let granule = source.granule();
    let most_runs = if cfg!(miri) { 8 } else { 40 };
    let mut lengths = some_lengths(contract, granule);
    lengths.retain(|&len| len == 1 || len <= contract.most_bytes / 16);
    for (index, &len) in lengths.iter().cycle().take(most_runs).enumerate() {
        if index >= 2 && model.bytes() + len > contract.most_bytes / 8 {
            break;
        }
        model.must(source, Request::new(len));
    }
}

/// A picker of random indices.
pub(super) fn shuffled(seed: u64) -> impl FnMut(usize) -> usize {
    let mut index = 0;
    move |n| {
        index += 1;
        (splitmix64(seed, index) % n as u64) as usize
    }
}

fn granule(source: &dyn PageSource) {
    let granule = source.granule();
    clause!(11, granule.is_power_of_two(), "the granule {granule} is not a power of two");
    let page = crate::sys::page_size();
    clause!(11, granule >= page, "the granule {granule} is below the page size {page}");
    let mut model = Model::new();
    model.must(&source, Request::new(1));
    model.release_all(&source, |_| 0);
    let moved = Box::new(source);
    clause!(11, moved.granule() == granule, "the granule changed to {}", moved.granule());
}

fn lengths(contract: &Contract, source: &dyn PageSource) {
    let mut model = Model::new();
    for len in some_lengths(contract, source.granule()) {
        model.must(source, Request::new(len));
        model.release_all(source, |_| 0);
    }
    take_mixed(contract, source, &mut model);
    model.release_all(source, |_| 0);
}

fn alignments(contract: &Contract, source: &dyn PageSource) {
    let granule = source.granule();
    let most = contract.max_align.min(contract.most_bytes / 2);
    let mut model = Model::new();
    // A run in front, so that no alignment comes from standing at the start of something.
    for in_front in [false, true] {
        for shift in 0..usize::BITS - 1 {
            let align = 1 << shift;
            if align > most {
                break;
            }
            if in_front && align < most {
                model.must(source, Request::new(1));
            }
            model.must(source, Request::new(3 * granule.min(align)).align(align));
            model.release_all(source, |n| n - 1);
        }
    }
}

fn zeroed(contract: &Contract, source: &dyn PageSource) {
    let mut model = Model::new();
    // Fresh, then recycled: `release_all` gives back dirty runs whose flag says that they are zero.
    for round in 0..3 {
        for len in some_lengths(contract, source.granule()) {
            model.must(source, Request::new(len).zeroed());
            if round == 1 {
                model.must(source, Request::new(1));
            }
            model.release_all(source, |n| n - 1);
        }
    }
    // Cut from a dirty longer one, merged from dirty shorter ones.
    let granule = source.granule();
    for lens in [[4, 0, 0, 0], [1, 1, 1, 1], [2, 2, 0, 0], [4, 0, 0, 0]] {
        for granules in lens.into_iter().filter(|&granules| granules > 0) {
            model.must(source, Request::new(granules * granule).zeroed());
        }
        model.release_all(source, |_| 0);
    }
}

fn decommit(contract: &Contract, source: &dyn PageSource) {
    let mut model = Model::new();
    for _round in 0..2 {
        take_mixed(contract, source, &mut model);
        for index in 0..model.runs() {
            model.decommit(source, index);
        }
        // Twice at once is no error, and the neighbours are untouched.
        model.decommit(source, 0);
        model.verify();
        model.release_all(source, |_| 0);
        for len in some_lengths(contract, source.granule()) {
            model.must(source, Request::new(len).zeroed());
            model.decommit(source, 0);
            model.release_all(source, |_| 0);
            model.must(source, Request::new(len).zeroed());
            model.release_all(source, |_| 0);
        }
    }
}

/// Requests that every source refuses, and what it must not do then.
pub(super) fn malformed(index: usize) -> Request {
    let half = MAX_LEN / 2 + 1;
    let all = [
        (0, 1),
        (0, 1 << 20),
        (1, 0),
        (1, 3),
        (1, usize::MAX),
        (usize::MAX, 1),
        (usize::MAX - 1, 1 << 12),
        (MAX_LEN, 1),
        (MAX_LEN - 1, 1),
        (MAX_LEN + 1, 1),
        (1, MAX_LEN + 1),
        (half, half),
    ];
    let (len, align) = all[index % all.len()];
    Request::new(len).align(align)
}

/// Asks for `request`, which must be refused for the right reason.
pub(super) fn refuse<S: PageSource + ?Sized>(source: &S, request: Request) {
    for request in [request, request.zeroed()] {
        match source.acquire(request) {
            Ok(run) => panic!("clause 11 of PageSource: {request:?} gave {run:?}"),
            Err(PageError::ZeroLength) if request.len == 0 => {}
            Err(PageError::BadAlign { .. }) if !request.align.is_power_of_two() => {}
            Err(error) => {
                let overflows = request.len > 0 && request.align.is_power_of_two();
                clause!(11, overflows, "{request:?} was refused for another reason: {error}");
            }
        }
    }
}

/// What a refusal must leave as it was, as far as the stack tells.
fn charges(source: &dyn PageSource) -> (Option<usize>, Option<usize>) {
    let Snapshot { traffic, budget, .. } = source.snapshot();
    (traffic.map(|traffic| traffic.live_bytes), budget.map(|budget| budget.used))
}

fn refusals(contract: &Contract, source: &dyn PageSource) {
    let mut model = Model::new();
    for out in [false, true] {
        if out {
            take_mixed(contract, source, &mut model);
        }
        let before = charges(source);
        for index in 0..12 {
            refuse(source, malformed(index));
        }
        let after = charges(source);
        clause!(
            8,
            before == after,
            "refusals changed bytes live and charged: {before:?}, {after:?}"
        );
        model.verify();
    }
    model.release_all(source, |_| 0);
    model.must(source, Request::new(1));
    model.release_all(source, |_| 0);
}

fn orders(contract: &Contract, source: &dyn PageSource) {
    let mut model = Model::new();
    for seed in 0..2 {
        take_mixed(contract, source, &mut model);
        model.release_all(source, |_| 0);
        take_mixed(contract, source, &mut model);
        model.release_all(source, |n| n - 1);
        take_mixed(contract, source, &mut model);
        model.release_all(source, shuffled(contract.seed ^ seed));
    }
}

/// Takes runs of `unit` bytes until refusal, or until all that the suite may take is out.
fn fill(contract: &Contract, source: &dyn PageSource, model: &mut Model, unit: usize) -> usize {
    while model.bytes() + unit <= contract.most_bytes || contract.finite {
        if model.acquire(source, Request::new(unit)).is_err() {
            break;
        }
        let within = model.bytes() <= contract.most_bytes || !contract.finite;
        assert!(within, "the source is said to be finite, and gave {} bytes", model.bytes());
    }
    model.runs()
}

/// A run's bytes, such that not too many runs exhaust what the suite may take.
fn unit(contract: &Contract, granule: usize) -> usize {
    let most_runs = if cfg!(miri) { 32 } else { 1024 };
    granule * (contract.most_bytes / most_runs / granule).max(1)
}

/// How many runs a source with nothing out can give, as far as the suite may take them.
#[cfg(feature = "std")]
pub(super) fn capacity(contract: &Contract, source: &dyn PageSource) -> usize {
    let mut model = Model::new();
    let runs = fill(contract, source, &mut model, unit(contract, source.granule()));
    model.release_all(source, |n| n - 1);
    runs
}

fn exhaustion(contract: &Contract, source: &dyn PageSource) {
    let unit = unit(contract, source.granule());
    let mut model = Model::new();
    let first = fill(contract, source, &mut model, unit);
    assert!(first > 0, "a fresh source refused {unit} bytes");
    let before = charges(source);
    if model.acquire(source, Request::new(unit)).is_err() {
        let after = charges(source);
        clause!(
            8,
            before == after,
            "a refusal changed bytes live and charged: {before:?}, {after:?}"
        );
    }
    model.verify();
    for seed in 0..2 {
        model.release_all(source, shuffled(contract.seed ^ seed));
        let again = fill(contract, source, &mut model, unit);
        clause!(
            1,
            again >= if contract.may_fragment { 1 } else { first },
            "{first} runs of {unit} bytes could be had when fresh, {again} when all were back"
        );
    }
    model.release_all(source, |n| n - 1);
}

fn moves<S: PageSource>(contract: &Contract, make: &impl Fn() -> S) {
    let (mut one, mut two) = (make(), make());
    let (mut ones, mut twos) = (Model::new(), Model::new());
    take_mixed(contract, &one, &mut ones);
    take_mixed(contract, &two, &mut twos);
    core::mem::swap(&mut one, &mut two);
    ones.verify();
    twos.verify();
    let mut moved = Vec::from([one]);
    moved.reserve(100);
    moved.push(two);
    let one = Box::new(moved.remove(1));
    ones.must(&*one, Request::new(1));
    ones.verify();
    ones.release_all(&*one, |_| 0);
    twos.must(&moved[0], Request::new(1));
    twos.release_all(&moved[0], |_| 0);
}

#[allow(clippy::arc_with_non_send_sync, reason = "the handles of every source are the same source")]
fn handles<S: PageSource>(contract: &Contract, make: &impl Fn() -> S) {
    let mut model = Model::new();
    let source = make();
    take_mixed(contract, &&source, &mut model);
    model.release_all(&source as &dyn PageSource, |_| 0);

    let rc = Rc::new(source);
    let unsized_rc: Rc<dyn PageSource + '_> = Rc::<S>::clone(&rc);
    take_mixed(contract, &rc, &mut model);
    model.release_all(&unsized_rc, |n| n - 1);
    take_mixed(contract, &unsized_rc, &mut model);
    model.release_all(&*rc, |_| 0);
    drop((rc, unsized_rc));

    let arc = Arc::new(make());
    let other = Arc::clone(&arc);
    take_mixed(contract, &arc, &mut model);
    drop(arc);
    model.release_all(&other, |_| 0);

    let boxed: Box<dyn PageSource + '_> = Box::new(make());
    take_mixed(contract, &boxed, &mut model);
    let boxed = Box::new(boxed);
    model.release_all(&**boxed, |_| 0);
}

fn trim(contract: &Contract, source: &dyn PageSource) {
    let mut model = Model::new();
    source.trim();
    for _round in 0..2 {
        take_mixed(contract, source, &mut model);
        source.trim();
        model.verify();
        for index in (0..model.runs()).rev().step_by(2) {
            model.release(source, index);
        }
        source.trim();
        source.trim();
        model.verify();
        model.release_all(source, |_| 0);
        source.trim();
    }
}

fn observe(source: &dyn PageSource) {
    let outer = Snapshot {
        traffic: Some(Traffic { acquired: 1, ..Traffic::default() }),
        budget: Some(BudgetUse { used: 2, peak: 3, limit: 4 }),
        held: Some(HeldUse { bytes: 5, mappings: 6 }),
        ..Snapshot::default()
    };
    let mut snapshot = outer;
    source.observe(&mut snapshot);
    let kept = snapshot.traffic == outer.traffic && snapshot.budget == outer.budget;
    assert!(kept, "observe: the figures of the outermost layer were replaced: {snapshot:?}");
    let added = snapshot.held.is_some_and(|held| held.bytes >= 5 && held.mappings >= 6);
    assert!(added, "observe: what is held is added to, not replaced: {snapshot:?}");
}

fn outstanding<S: PageSource>(contract: &Contract, source: S) {
    let mut model = Model::new();
    take_mixed(contract, &source, &mut model);
    drop(source);
}

fn random_program(contract: &Contract, source: &dyn PageSource) {
    let words = (0..contract.ops as u64 * 8).map(|index| splitmix64(contract.seed, index) as u8);
    let bytes: Vec<u8> = words.collect();
    let mut rest = &bytes[..];
    let ops: Vec<Op> = core::iter::from_fn(|| Op::decode(&mut rest)).take(contract.ops).collect();
    let tally = program::run(contract, source, &ops);
    assert!(tally.acquired > 0, "a random program got no run at all: {tally:?}");
}
