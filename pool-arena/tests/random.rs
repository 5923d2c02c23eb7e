//! Random programs; see `model`.

mod model;
mod property;

use model::Op;
use proptest::prelude::*;

/// Bytes of blocks that are small, and of those that are large (from 4 KiB on).
const MIDDLE: u32 = if cfg!(miri) { 400 } else { 6000 };
const LONG: u32 = if cfg!(miri) { 4500 } else { 40_000 };

fn leaf() -> impl Strategy<Value = Op> {
    let size = prop_oneof![8 => 0u32..200, 2 => 200u32..MIDDLE, 1 => MIDDLE..LONG];
    let level = any::<u8>();
    prop_oneof![
        8 => (level, size.clone(), prop_oneof![9 => 0u8..5, 1 => 5u8..17])
            .prop_map(|(level, size, align)| Op::Alloc { level, size, align }),
        3 => (level, any::<u8>(), size.clone())
            .prop_map(|(level, pick, by)| Op::Grow { level, pick, by }),
        2 => (level, any::<u8>(), size).prop_map(|(level, pick, by)| Op::Shrink { level, pick, by }),
        3 => (level, any::<u8>()).prop_map(|(level, pick)| Op::Free { level, pick }),
        1 => (level, any::<bool>()).prop_map(|(level, call)| Op::Cleanup { level, call }),
        1 => (level, 0u32..MIDDLE / 4, 0u8..9)
            .prop_map(|(level, items, between)| Op::Tail { level, items, between }),
        1 => (level, 0u16..300).prop_map(|(level, width)| Op::Format { level, width }),
        1 => (0u32..200_000).prop_map(Op::Limit),
        1 => Just(Op::Reset),
    ]
}

fn program() -> impl Strategy<Value = Vec<Op>> {
    let op = leaf().prop_recursive(4, 64, 12, |op| {
        let ops = prop::collection::vec(op, 0..12);
        prop_oneof![ops.clone().prop_map(Op::Scope), ops.prop_map(Op::Rewind)]
    });
    prop::collection::vec(op, 0..if cfg!(miri) { 12 } else { 40 })
}

proptest! {
    #![proptest_config(property::config(100, 3))]
    #[test]
    fn programs_agree_with_the_model(program in program(), zero in any::<bool>()) {
        model::run(&model::source(None), &program, zero);
    }
}

proptest! {
    #![proptest_config(property::config(6, 3))]
    #[test]
    fn programs_survive_a_refusal_at_every_step(program in program()) {
        let counting = model::source(None);
        model::run(&counting, &program, false);
        for call in 0..counting.calls().min(if cfg!(miri) { 2 } else { 60 }) {
            model::run(&model::source(Some(call)), &program, false);
        }
    }
}
