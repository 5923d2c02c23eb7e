//! Random programs of several threads that take turns; see `model/shared`.

#[path = "model/shared.rs"]
mod model;
#[path = "model/strategy.rs"]
mod strategy;
mod support;

use model::{Limits, Op, source};
use proptest::prelude::*;
use strategy::{MANY, align, program, refusals, size};
use support::config;

fn op() -> impl Strategy<Value = Op> {
    let thread = || any::<u8>();
    prop_oneof![
        5 => (thread(), size(), align(), any::<bool>()).prop_map(
            |(thread, size, align, zeroed)| Op::Allocate { thread, size, align, zeroed }
        ),
        3 => (thread(), 1u32..200, 0..MANY)
            .prop_map(|(thread, size, count)| Op::AllocateMany { thread, size, count }),
        2 => (thread(), any::<u16>())
            .prop_map(|(thread, pick)| Op::Free { thread, pick, count: 1 }),
        4 => (thread(), any::<u16>(), 0..MANY)
            .prop_map(|(thread, pick, count)| Op::Free { thread, pick, count }),
        3 => (thread(), any::<u16>(), size(), align())
            .prop_map(|(thread, pick, size, align)| Op::Relayout { thread, pick, size, align }),
        1 => thread().prop_map(|thread| Op::Flush { thread }),
        1 => thread().prop_map(|thread| Op::Trim { thread }),
        2 => thread().prop_map(|thread| Op::End { thread }),
    ]
}

proptest! {
    #![proptest_config(config(60, 2))]
    #[test]
    fn programs_agree_with_the_model(
        program in program(op()),
        limits in any::<u8>(),
        one_by_one in any::<bool>(),
    ) {
        model::run(&source(None), Limits::choose(limits), &program, one_by_one);
    }
}

proptest! {
    #![proptest_config(config(4, 2))]
    #[test]
    fn programs_survive_a_refusal_at_every_step(program in program(op()), limits in any::<u8>()) {
        let counting = source(None);
        model::run(&counting, Limits::choose(limits), &program, false);
        for call in refusals(counting.calls()) {
            model::run(&source(Some(call)), Limits::choose(limits), &program, true);
        }
    }
}
