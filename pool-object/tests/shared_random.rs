//! Random programs of several threads that take turns; see `model/shared`.

#[path = "model/shared.rs"]
mod model;

use model::{Limits, Op, source};
use proptest::prelude::*;

/// Blocks at once, and bytes of middle and of large ones.
const MANY: u16 = if cfg!(miri) { 12 } else { 2500 };
const MIDDLE: u32 = if cfg!(miri) { 600 } else { 5000 };
const LARGE: u32 = if cfg!(miri) { 601 } else { 300_000 };

fn op() -> impl Strategy<Value = Op> {
    let size = || prop_oneof![8 => 0u32..200, 4 => 200u32..MIDDLE, 1 => MIDDLE..LARGE];
    let align = || prop_oneof![8 => 0u8..5, 1 => 5u8..15];
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

fn program() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 0..if cfg!(miri) { 8 } else { 40 })
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { 2 } else { cases },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(60))]
    #[test]
    fn programs_agree_with_the_model(
        program in program(),
        limits in any::<u8>(),
        one_by_one in any::<bool>(),
    ) {
        model::run(&source(None), Limits::choose(limits), &program, one_by_one);
    }
}

proptest! {
    #![proptest_config(config(4))]
    #[test]
    fn programs_survive_a_refusal_at_every_step(program in program(), limits in any::<u8>()) {
        let counting = source(None);
        model::run(&counting, Limits::choose(limits), &program, false);
        for call in 0..counting.calls().min(if cfg!(miri) { 2 } else { 40 }) {
            model::run(&source(Some(call)), Limits::choose(limits), &program, true);
        }
    }
}
