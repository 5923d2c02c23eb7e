//! Budgets are exact: alone, in a hierarchy, under contention, and beneath a source that refuses
//! or rounds.

use pool_core::{Budget, Charge, Failing, Heap, Limit, OverBudget, PageError, PageSource};
use pool_core::{Request, Run, Stats};
use std::mem::ManuallyDrop;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

fn hierarchy() -> [Budget; 3] {
    let process = Budget::named("process", 100);
    let tenant = process.child("tenant", 60);
    let connection = tenant.child("connection", 50);
    [process, tenant, connection]
}

#[test]
fn the_first_level_with_too_little_refuses_and_is_named() {
    let [process, tenant, connection] = hierarchy();
    let refusal = |bytes| connection.try_charge(bytes).unwrap_err();
    assert_eq!(
        refusal(51),
        OverBudget { level: "connection", depth: 0, asked: 51, used: 0, limit: 50 }
    );
    tenant.try_charge(20).unwrap();
    assert_eq!(
        refusal(41),
        OverBudget { level: "tenant", depth: 1, asked: 41, used: 20, limit: 60 }
    );
    process.try_charge(50).unwrap();
    assert_eq!(
        refusal(31),
        OverBudget { level: "process", depth: 2, asked: 31, used: 70, limit: 100 }
    );
    let used = [&process, &tenant, &connection].map(Budget::used);
    assert_eq!(used, [70, 20, 0], "a refusal leaves no charge at any level");
    assert_eq!([&process, &tenant, &connection].map(Budget::refused), [1, 1, 1]);
    assert_eq!(connection.peak(), 0, "a refused charge is no peak");
    assert_eq!([&process, &tenant, &connection].map(Budget::available), [30, 30, 30]);
    connection.try_charge(30).unwrap();
    assert_eq!([&process, &tenant, &connection].map(Budget::peak), [100, 50, 30]);
    assert_eq!(tenant.available(), 0);
}

#[test]
fn handles_know_their_place() {
    let [process, tenant, connection] = hierarchy();
    assert_eq!(connection.parent().map(Budget::name), Some("tenant"));
    assert!(process.parent().is_none());
    assert_eq!(Budget::new(7).name(), "budget");
    assert_eq!((tenant.clone().limit(), tenant.usage().limit), (60, 60));
    let debug = format!("{connection:?}");
    assert!(debug.contains("\"connection\"") && debug.contains("Some(\"tenant\")"), "{debug}");
    // A child keeps its parents alive.
    drop((process, tenant));
    connection.try_charge(50).unwrap();
    assert_eq!(connection.parent().unwrap().parent().unwrap().used(), 50);
}

#[test]
fn a_lowered_limit_evicts_nothing() {
    let [process, tenant, connection] = hierarchy();
    connection.try_charge(40).unwrap();
    tenant.set_limit(10);
    assert_eq!((tenant.used(), tenant.limit(), connection.available()), (40, 10, 0));
    assert_eq!(connection.try_charge(1).unwrap_err().level, "tenant");
    assert!(process.try_charge(1).is_ok());
    connection.refund(31);
    assert_eq!(connection.available(), 1);
    connection.try_charge(1).unwrap();
    tenant.set_limit(60);
    connection.try_charge(40).unwrap();
}

#[test]
fn the_edges_of_the_numbers() {
    let none = Budget::new(0);
    none.try_charge(0).unwrap();
    assert!(none.try_charge(1).is_err());
    let all = Budget::new(usize::MAX);
    all.try_charge(usize::MAX).unwrap();
    assert_eq!(all.try_charge(1).unwrap_err().asked, 1);
    assert_eq!(all.available(), 0);
    all.refund(usize::MAX);
    all.try_charge(5).unwrap();
    assert!(all.try_charge(usize::MAX).is_err(), "asked + used overflows");
    assert_eq!(all.used(), 5);
}

#[test]
#[cfg_attr(debug_assertions, should_panic(expected = "bytes refunded to"))]
fn a_refund_of_too_much_panics_or_empties() {
    let [process, _, connection] = hierarchy();
    process.try_charge(5).unwrap();
    connection.refund(10);
    assert_eq!([process.used(), connection.used()], [0, 0]);
}

#[test]
fn a_charge_grows_shrinks_and_goes() {
    let [process, _, connection] = hierarchy();
    let mut charge: Charge = connection.charge(10).unwrap();
    charge.try_grow(40).unwrap();
    assert_eq!(charge.try_grow(1).unwrap_err().level, "connection");
    assert_eq!((charge.bytes(), process.used()), (50, 50));
    charge.shrink(20);
    assert_eq!((charge.bytes(), charge.budget().used()), (30, 30));
    charge.shrink(1000);
    assert_eq!((charge.bytes(), process.used()), (0, 0));
    charge.try_grow(3).unwrap();
    assert_eq!(connection.charge(48).unwrap_err().asked, 48);
    drop(charge);
    assert_eq!(process.used(), 0);
    // A charge that nobody drops stays. (`mem::forget` would leak its handle, which sanitizers tell.)
    let forgotten = ManuallyDrop::new(connection.charge(4).unwrap());
    assert_eq!(process.used(), 4);
    drop(ManuallyDrop::into_inner(forgotten));
    assert_eq!(process.used(), 0);
}

/// Runs `work` in four threads at once.
fn at_once(work: impl Fn(usize) + Sync) {
    let barrier = Barrier::new(4);
    thread::scope(|scope| {
        for thread in 0..4 {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                barrier.wait();
                work(thread);
            });
        }
    });
}

const ROUNDS: usize = if cfg!(miri) { 50 } else { 20_000 };

#[test]
fn contention_never_passes_a_limit_and_never_refuses_what_fits() {
    let root = Budget::named("root", 10);
    let children = [root.child("even", 7), root.child("odd", 7)];
    // What the threads know to be charged: raised after a charge, lowered before a refund, so it
    // is never above the truth.
    let known = AtomicUsize::new(0);
    at_once(|thread| {
        let child = &children[thread % 2];
        for round in 0..ROUNDS {
            let bytes = 1 + (thread + round) % 4;
            if let Err(refusal) = child.try_charge(bytes) {
                // (How often that happens is the system's choice: whoever holds a charge may be stopped.)
                let OverBudget { level, asked, used, limit, .. } = refusal;
                assert_eq!((asked, limit), (bytes, if level == "root" { 10 } else { 7 }));
                assert!(used <= limit && used + asked > limit, "it fits: {refusal}");
                continue;
            }
            let now = known.fetch_add(bytes, Relaxed) + bytes;
            assert!(now <= 10, "{now} bytes are charged");
            assert!(root.used() <= 10 && child.used() <= 7);
            if round % 8 == 0 {
                // Others meet this charge, also where there is one processor.
                thread::yield_now();
            }
            known.fetch_sub(bytes, Relaxed);
            child.refund(bytes);
        }
    });
    assert_eq!([root.used(), children[0].used(), children[1].used()], [0, 0, 0]);
    assert!(root.peak() <= 10 && children[0].peak() <= 7);
}

#[test]
fn charges_that_fit_beside_refused_ones_are_granted() {
    // One thread asks for more than there is all the time; the three others always fit.
    let budget = Budget::new(100);
    at_once(|thread| {
        for _ in 0..ROUNDS {
            if thread == 0 {
                assert!(budget.try_charge(101).is_err());
            } else {
                budget.try_charge(33).expect("three times 33 fit, whatever is refused beside");
                budget.refund(33);
            }
        }
    });
    assert_eq!((budget.used(), budget.refused()), (0, ROUNDS as u64));
    assert!(budget.peak() <= 99);
}

#[test]
fn runs_are_charged_by_their_length_and_refunded() {
    let granule = Heap::new().granule();
    let source = Heap::new().limited(10 * granule);
    let budget = source.budget().clone();
    let one = (&source).pages(1).unwrap();
    let five = (&source).pages(5 * granule - 1).unwrap();
    assert_eq!(budget.used(), 6 * granule);
    let refusal = (&source).pages(5 * granule).unwrap_err();
    let PageError::OverBudget(over) = refusal else { panic!("{refusal}") };
    assert_eq!((over.asked, over.used, over.limit), (5 * granule, 6 * granule, 10 * granule));
    let four = (&source).pages(4 * granule).unwrap();
    drop((one, five, four));
    assert_eq!((budget.used(), budget.peak()), (0, 10 * granule));
    assert_eq!(source.snapshot().budget, Some(budget.usage()));
}

/// Gives runs of eight granules, whatever is asked.
#[derive(Debug)]
struct Generous(Heap);

// SAFETY: every call goes to `Heap`, with a longer request that is well-formed where it was.
unsafe impl PageSource for Generous {
    fn granule(&self) -> usize {
        self.0.granule()
    }
    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        let request = request.round_to(self.granule())?;
        self.0.acquire(Request { len: request.len.max(8 * self.granule()), ..request })
    }
    unsafe fn release(&self, run: Run) {
        // SAFETY: the caller's promise.
        unsafe { self.0.release(run) }
    }
}

#[test]
fn a_longer_run_is_charged_in_full_or_goes_back() {
    let granule = Heap::new().granule();
    let tenant = Budget::named("tenant", 20 * granule);
    let inner = Stats::new(Generous(Heap::new()));
    let source = Limit::with_budget(&inner, tenant.clone());
    let first = (&source).pages(1).unwrap();
    let second = (&source).pages(1).unwrap();
    assert_eq!(tenant.used(), 16 * granule);

    let refusal = (&source).pages(1).unwrap_err();
    let PageError::OverBudget(over) = refusal else { panic!("{refusal}") };
    // The figures are those of the run that was had and given back.
    let expected = OverBudget {
        level: "tenant",
        depth: 0,
        asked: 8 * granule,
        used: 16 * granule,
        limit: 20 * granule,
    };
    assert_eq!(over, expected);
    assert_eq!(tenant.used(), 16 * granule);
    let traffic = inner.traffic();
    assert_eq!((traffic.acquired, traffic.live_bytes), (3, 16 * granule));
    drop((first, second));
    assert_eq!((tenant.used(), inner.traffic().live_bytes), (0, 0));
}

#[test]
fn a_refusal_over_the_limit_does_not_reach_the_inner_source() {
    let source = Limit::new(Failing::never(Heap::new()), 1);
    (&source).pages(1).unwrap_err();
    (&source).pages(0).unwrap_err();
    assert_eq!(source.inner().calls(), 0);
    assert_eq!(source.budget().refused(), 1, "a malformed request is not the budget's refusal");
}

#[test]
fn runs_out_when_a_limit_goes_stay_charged() {
    let granule = Heap::new().granule();
    let budget = Budget::new(4 * granule);
    let heap = Heap::new();
    let source = Limit::with_budget(&heap, budget.clone());
    let run = source.acquire(Request::new(1)).unwrap();
    let inner = source.into_inner();
    assert_eq!(budget.used(), granule);
    // SAFETY: the run came from `heap`, by way of the limit, which hands runs on unchanged.
    unsafe { inner.release(run) };
    assert_eq!(budget.used(), granule);
}

#[test]
fn clones_of_a_limit_are_one_source() {
    let source = Heap::new().limited(1 << 20);
    let clone = source.clone();
    let run = source.acquire(Request::new(1)).unwrap();
    assert_eq!(clone.budget().used(), run.len());
    // SAFETY: the run came from a clone of this source.
    unsafe { clone.release(run) };
    assert_eq!(source.budget().used(), 0);
}

#[test]
fn a_budget_that_safe_code_emptied_makes_no_source_panic() {
    let source = Heap::new().limited(1 << 20);
    let pages = (&source).pages(1).unwrap();
    source.budget().refund(pages.len());
    drop(pages);
    assert_eq!(source.budget().used(), 0);
}

#[test]
fn the_outermost_budget_and_counters_are_shown() {
    let inner = Heap::new().limited(1 << 20).counted();
    let source = inner.limited(1 << 16).counted();
    drop((&source).pages(1).unwrap());
    (&source).pages(1 << 17).unwrap_err();
    let snapshot = source.snapshot();
    assert_eq!(snapshot.budget.unwrap().limit, 1 << 16);
    assert_eq!(snapshot.traffic.unwrap().refused, 1);
    assert_eq!(source.inner().inner().traffic().refused, 0);
}

/// Others can refund what a charge holds; its own count must not wrap for that.
#[test]
fn a_charge_does_not_overflow_when_others_refund_it() {
    let budget = Budget::new(usize::MAX);
    let mut charge = budget.charge(usize::MAX - 10).unwrap();
    budget.refund(usize::MAX - 10);
    charge.try_grow(100).unwrap();
    assert_eq!(charge.bytes(), usize::MAX);
    charge.shrink(usize::MAX);
    assert_eq!((charge.bytes(), budget.used()), (0, 0));
}
