//! Refusals come where they are told to, and layers leave nothing behind then.

use pool_core::{Budget, Failing, Heap, Limit, PageError, PageSource, Request, Stats};

/// Which of `calls` requests are refused.
fn refused(source: &Failing<Heap>, calls: u64) -> Vec<u64> {
    let ask = |call: u64| match source.pages(1) {
        Ok(_) => None,
        Err(PageError::Injected { call: number }) => {
            assert_eq!(number, call);
            Some(call)
        }
        Err(other) => panic!("{other}"),
    };
    (0..calls).filter_map(ask).collect()
}

#[test]
fn each_plan_refuses_its_calls() {
    assert_eq!(refused(&Failing::never(Heap::new()), 5), []);
    assert_eq!(refused(&Failing::nth(Heap::new(), 0), 5), [0]);
    assert_eq!(refused(&Failing::nth(Heap::new(), 3), 5), [3]);
    assert_eq!(refused(&Failing::nth(Heap::new(), u64::MAX), 5), []);
    assert_eq!(refused(&Failing::after(Heap::new(), 3), 5), [3, 4]);
    assert_eq!(refused(&Failing::after(Heap::new(), 0), 3), [0, 1, 2]);
    assert_eq!(refused(&Failing::seeded(Heap::new(), 7, 0), 50), []);
    assert_eq!(refused(&Failing::seeded(Heap::new(), 7, 1), 5), [0, 1, 2, 3, 4]);
}

#[test]
fn the_seeded_plan_is_a_function_of_seed_and_call() {
    let calls = 400;
    let source = Failing::seeded(Heap::new(), 42, 4);
    let first = refused(&source, calls);
    assert!((60..140).contains(&first.len()), "one in four of 400: {}", first.len());
    assert_eq!(refused(&Failing::seeded(Heap::new(), 42, 4), calls), first);
    assert_ne!(refused(&Failing::seeded(Heap::new(), 43, 4), calls), first);

    assert_eq!((source.calls(), source.injected()), (calls, first.len() as u64));
    source.reset();
    assert_eq!((source.calls(), source.injected()), (0, 0));
    assert_eq!(refused(&source, calls), first);
}

#[test]
fn what_the_inner_source_refuses_is_not_injected() {
    let source = Failing::never(Heap::new().limited(1));
    assert!(matches!((&source).pages(1), Err(PageError::OverBudget(_))));
    assert!(matches!((&source).pages(0), Err(PageError::ZeroLength)));
    assert_eq!((source.calls(), source.injected()), (2, 0));
}

/// Takes and returns some runs; gives up at the first refusal.
fn operation(source: &impl PageSource) -> Result<(), PageError> {
    let first = source.pages(100_000)?;
    let second = source.pages(Request::new(1).align(1 << 16).zeroed())?;
    drop(first);
    let _third = source.pages(1)?;
    drop(second);
    Ok(())
}

#[test]
fn layers_leave_nothing_behind_at_any_refusal() {
    let counting = Failing::never(Heap::new());
    operation(&counting).unwrap();
    assert_eq!(counting.calls(), 3);
    for call in 0..counting.calls() {
        let root = Budget::named("process", 1 << 30);
        let failing = Failing::nth(Heap::new(), call);
        let source = Stats::new(Limit::with_budget(failing, root.child("tenant", 1 << 30)));
        assert_eq!(operation(&source), Err(PageError::Injected { call }));
        let traffic = source.traffic();
        assert_eq!((traffic.live_bytes, traffic.live_runs(), traffic.refused), (0, 0, 1));
        assert_eq!((source.inner().budget().used(), root.used()), (0, 0));
        assert_eq!((source.inner().budget().refused(), root.refused()), (0, 0));
        operation(&source).unwrap();
    }
}
