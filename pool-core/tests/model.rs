//! Random programs against the naive model, on stacks; a failure shrinks to a short program.

mod property;

use pool_core::testing::{Contract, Op, Tally};
use pool_core::{Budget, Failing, Heap, Limit, PageSource, Stats};
use proptest::collection::vec;
use proptest::prelude::*;

fn decode(mut bytes: &[u8]) -> Vec<Op> {
    std::iter::from_fn(|| Op::decode(&mut bytes)).collect()
}

fn programs() -> impl Strategy<Value = Vec<Op>> {
    let most = if cfg!(miri) { 60 } else { 600 };
    vec(any::<u8>(), 0..most).prop_map(|bytes| decode(&bytes))
}

/// What the counters must say of a program that did `tally`, all runs being back.
fn agrees<S: PageSource>(source: &Stats<S>, tally: Tally) {
    let traffic = source.traffic();
    assert_eq!((traffic.acquired, traffic.released), (tally.acquired, tally.acquired));
    assert_eq!(traffic.refused, tally.refused + tally.malformed);
    assert_eq!((traffic.live_bytes, traffic.live_runs()), (0, 0));
}

proptest! {
    #![proptest_config(property::config(200, 5))]

    #[test]
    fn plain(ops in programs()) {
        let source = Heap::new().counted();
        agrees(&source, Contract::new().run_program(&source, &ops));
    }

    #[test]
    fn tight_budgets(ops in programs(), tenant in 0_usize..4 << 20, process in 0_usize..4 << 20) {
        let process = Budget::named("process", process);
        let tenant = process.child("tenant", tenant);
        let source = Limit::with_budget(Heap::new(), tenant.clone()).counted();
        agrees(&source, Contract::new().run_program(&source, &ops));
        prop_assert_eq!((tenant.used(), process.used()), (0, 0));
        // Above it where a charge went through and the run was then not to be had.
        prop_assert!(tenant.peak() >= source.traffic().peak_bytes);
        prop_assert!(tenant.peak() <= tenant.limit() && process.peak() <= process.limit());
    }

    #[test]
    fn failing_below(ops in programs(), seed: u64, one_in in 1_u32..5) {
        let failing = Failing::seeded(Heap::new(), seed, one_in);
        let source = failing.limited(1 << 30).counted();
        let tally = Contract::new().run_program(&source, &ops);
        agrees(&source, tally);
        let limit = source.inner();
        prop_assert_eq!(limit.budget().used(), 0);
        // Malformed requests end at the limit; all other refusals are injected.
        prop_assert_eq!(limit.inner().injected(), tally.refused);
        prop_assert_eq!(limit.inner().calls(), tally.refused + tally.acquired);
    }
}
