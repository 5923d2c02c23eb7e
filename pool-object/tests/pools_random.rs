//! `SharedPool` and `BoundedPool`: random programs with refusals and panics at any moment, threads and
//! handles that end, and waiters that give up.

#[path = "model/pools.rs"]
mod model;
mod support;

use model::{Hooks, Object, Op, Source, run, source};
use pool_object::{BoundedPool, SharedPool};
use proptest::prelude::*;
use support::{config, quietly};

type Shared<const GET: bool> = SharedPool<Object, Hooks<GET>, Source>;
type Bounded<const GET: bool> = BoundedPool<Object, Hooks<GET>, Source>;

fn op() -> impl Strategy<Value = Op> {
    let pick = any::<u8>();
    let many = 0u8..if cfg!(miri) { 10 } else { 200 };
    prop_oneof![
        12 => Just(Op::Get),
        2 => any::<bool>().prop_map(Op::GetWith),
        2 => many.clone().prop_map(Op::Many),
        8 => (pick, prop::bool::weighted(0.2)).prop_map(|(pick, spoiled)| Op::Put(pick, spoiled)),
        1 => pick.prop_map(Op::Detach),
        1 => Just(Op::Attach),
        1 => pick.prop_map(Op::Forget),
        1 => (0u8..100).prop_map(Op::Prefill),
        1 => (0u8..100).prop_map(Op::MaxIdle),
        1 => Just(Op::Clear),
        1 => Just(Op::Trim),
        2 => Just(Op::WorkingSet),
        1 => Just(Op::Flush),
        1 => many.clone().prop_map(Op::Handle),
        1 => many.prop_map(Op::Thread),
        6 => Just(Op::Wait),
        6 => pick.prop_map(Op::Poll),
        3 => pick.prop_map(Op::Abandon),
        4 => (pick, 0u8..4).prop_map(|(hook, after)| Op::Panic(hook, after)),
    ]
}

fn program() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 0..if cfg!(miri) { 6 } else { 100 })
}

proptest! {
    #![proptest_config(config(60, 1))]
    #[test]
    fn shared_pools_lose_nothing(program in program()) {
        quietly(|| {
            run::<Shared<false>>(&source(None), &program);
            run::<Shared<true>>(&source(None), &program);
        });
    }

    #[test]
    fn bounded_pools_lose_nothing(program in program()) {
        quietly(|| {
            run::<Bounded<false>>(&source(None), &program);
            run::<Bounded<true>>(&source(None), &program);
        });
    }
}

proptest! {
    #![proptest_config(config(10, 1))]
    #[test]
    fn programs_survive_a_refusal_at_every_step(program in program()) {
        quietly(|| {
            for call in 0..if cfg!(miri) { 1 } else { 12 } {
                run::<Shared<false>>(&source(Some(call)), &program);
                run::<Bounded<true>>(&source(Some(call)), &program);
            }
        });
    }
}
