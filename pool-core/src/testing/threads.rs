//! What several threads can see of the contract.
#![forbid(unsafe_code)]

use super::held::{self, Held, Model};
use super::{Contract, clause, clauses};
use crate::mix::splitmix64;
use crate::run::Request;
use crate::source::PageSource;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

/// More threads than most machines under test have cores.
const THREADS: usize = if cfg!(miri) { 2 } else { 4 };

/// Addresses of all runs that are out, of all threads.
type Ranges = Mutex<BTreeMap<usize, usize>>;

/// A panic in one thread says all; the others need not add theirs.
fn lock(ranges: &Ranges) -> MutexGuard<'_, BTreeMap<usize, usize>> {
    ranges.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Clause 3: a source that is `Send` goes to another thread with its runs, and back.
pub(super) fn moves_between_threads<S: PageSource + Send>(
    contract: &Contract,
    make: &impl Fn() -> S,
) {
    let source = make();
    let mut model = Model::new();
    let len = contract.most_bytes / 16;
    model.must(&source, Request::new(len));
    model.must(&source, Request::new(1));
    let away = move || {
        model.release(&source, 0);
        model.must(&source, Request::new(1).zeroed());
        source.trim();
        (source, model)
    };
    let (source, mut model) = thread::scope(|scope| rethrow(scope.spawn(away).join()));
    model.verify();
    model.release_all(&source, |_| 0);
    model.must(&source, Request::new(len).zeroed());
    model.release_all(&source, |_| 0);
}

fn rethrow<T>(result: thread::Result<T>) -> T {
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Runs `work` in [`THREADS`] threads that start at once; a panic in one is a panic here.
fn at_once(work: impl Fn(usize) + Sync) {
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        let spawn = |thread| {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                barrier.wait();
                work(thread);
            })
        };
        let threads: Vec<_> = (0..THREADS).map(spawn).collect();
        threads.into_iter().for_each(|thread| rethrow(thread.join()));
    });
}

/// A short request, mostly of the same few lengths, so that threads meet on them.
fn request(contract: &Contract, granule: usize, random: u64) -> Request {
    let granules = [1, 1, 1, 2, 4, 16][(random % 6) as usize];
    let len = (granules * granule).min(contract.most_bytes / 8 / THREADS);
    let request = Request::new(len.max(1));
    if random & 0x100 == 0 { request } else { request.zeroed() }
}

/// Clauses 1 and 3: threads acquire, write, verify and release at once.
pub(super) fn hammer<S: PageSource + Sync>(contract: &Contract, make: &impl Fn() -> S) {
    let source = make();
    leaves_whole(contract, &source, || hammer_one(contract, &source));
}

fn hammer_one(contract: &Contract, source: &(dyn PageSource + Sync)) {
    let granule = source.granule();
    let ranges = Ranges::default();
    let acquired = AtomicUsize::new(0);
    let take = |source: &dyn PageSource, random, thread| {
        let note = |held: &Held| held::insert(&mut lock(&ranges), held);
        Held::acquire(source, request(contract, granule, random), thread as u8 + 1, note)
    };
    at_once(|thread| {
        let mut out: Vec<Held> = Vec::new();
        let mut bytes = 0;
        for op in 0..contract.ops as u64 {
            let random = splitmix64(contract.seed ^ thread as u64, op);
            let full = bytes > contract.most_bytes / 4 / THREADS || out.len() >= 16;
            if full || (random & 0x200 == 0 && !out.is_empty()) {
                let held = out.swap_remove(random as usize % out.len());
                bytes -= held.len();
                held::remove(&mut lock(&ranges), &held);
                held.release(source);
            } else if let Ok(held) = take(source, random >> 16, thread) {
                bytes += held.len();
                acquired.fetch_add(1, Relaxed);
                out.push(held);
            }
            if (random >> 40) % 64 == 0 {
                source.trim();
            }
        }
        for held in out {
            held::remove(&mut lock(&ranges), &held);
            held.release(source);
        }
    });
    assert!(acquired.into_inner() > 0, "no thread got a run");
}

/// Runs `work` on a fresh source, which must be as good as new afterwards.
fn leaves_whole(contract: &Contract, source: &dyn PageSource, work: impl FnOnce()) {
    let before = contract.finite.then(|| clauses::capacity(contract, source));
    work();
    // What a cache keeps, it keeps in other lengths than `capacity` asks for.
    source.trim();
    let after = contract.finite.then(|| clauses::capacity(contract, source));
    clause!(
        3,
        after >= before,
        "{before:?} runs could be had when fresh, {after:?} when all were back from other threads"
    );
}

/// Clause 3: each run is released by the next thread, not by the one that acquired it.
pub(super) fn release_elsewhere<S: PageSource + Sync>(contract: &Contract, make: &impl Fn() -> S) {
    let source = make();
    leaves_whole(contract, &source, || pass_on(contract, &source));
}

fn pass_on(contract: &Contract, source: &(dyn PageSource + Sync)) {
    let granule = source.granule();
    let ranges = Ranges::default();
    let (mut senders, mut receivers) = (Vec::new(), Vec::new());
    for _ in 0..THREADS {
        let (sender, receiver) = mpsc::sync_channel::<Held>(8);
        senders.push(sender);
        receivers.push(Mutex::new(Some(receiver)));
    }
    senders.rotate_left(1);
    let senders: Vec<_> = senders.into_iter().map(|sender| Mutex::new(Some(sender))).collect();
    at_once(|thread| {
        let take = "each thread takes its own ends";
        let to = senders[thread].lock().ok().and_then(|mut end| end.take()).expect(take);
        let from = receivers[thread].lock().ok().and_then(|mut end| end.take()).expect(take);
        let release = |held: Held| {
            held::remove(&mut lock(&ranges), &held);
            held.release(source);
        };
        for op in 0..(contract.ops / 4) as u64 {
            let random = splitmix64(!contract.seed ^ thread as u64, op);
            let request = request(contract, granule, random);
            let note = |held: &Held| held::insert(&mut lock(&ranges), held);
            if let Ok(held) = Held::acquire(source, request, thread as u8 + 1, note) {
                // A full channel is the next thread's to empty; meanwhile work stays here.
                if let Err(error) = to.try_send(held) {
                    let (mpsc::TrySendError::Full(held) | mpsc::TrySendError::Disconnected(held)) =
                        error;
                    release(held);
                }
            }
            from.try_iter().for_each(release);
        }
        drop(to);
        from.iter().for_each(release);
    });
    assert!(lock(&ranges).is_empty());
}
