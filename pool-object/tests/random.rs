//! Random programs; see `model`.

mod model;

use model::{Machine, Op, source};
use proptest::prelude::*;

/// Blocks at once, and bytes of middle and of large ones.
const MANY: u16 = if cfg!(miri) { 12 } else { 2500 };
const MIDDLE: u32 = if cfg!(miri) { 600 } else { 5000 };
const LARGE: u32 = if cfg!(miri) { 601 } else { 300_000 };

fn op() -> impl Strategy<Value = Op> {
    let size = || prop_oneof![8 => 0u32..200, 4 => 200u32..MIDDLE, 1 => MIDDLE..LARGE];
    let align = || prop_oneof![8 => 0u8..5, 1 => 5u8..15];
    prop_oneof![
        6 => (size(), align(), any::<bool>())
            .prop_map(|(size, align, zeroed)| Op::Allocate { size, align, zeroed }),
        2 => (1u32..200, 0..MANY).prop_map(|(size, count)| Op::AllocateMany { size, count }),
        3 => any::<u16>().prop_map(|pick| Op::Free { pick }),
        2 => (any::<u16>(), 0..MANY).prop_map(|(pick, count)| Op::FreeMany { pick, count }),
        3 => (any::<u16>(), size(), align())
            .prop_map(|(pick, size, align)| Op::Relayout { pick, size, align }),
        2 => any::<u16>().prop_map(|pick| Op::Relocate { pick }),
        1 => Just(Op::Flush),
        2 => (0u8..101).prop_map(|percent| Op::MarkSparse { percent }),
        1 => Just(Op::Trim),
        1 => (0u32..400_000).prop_map(|bytes| Op::Reserve { bytes }),
        1 => Just(Op::Clear),
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
    fn programs_agree_with_the_model(program in program(), one_by_one in any::<bool>()) {
        Machine::new(&source(None)).run(&program, one_by_one);
    }
}

proptest! {
    #![proptest_config(config(6))]
    #[test]
    fn programs_survive_a_refusal_at_every_step(program in program()) {
        let counting = source(None);
        Machine::new(&counting).run(&program, false);
        for call in 0..counting.calls().min(if cfg!(miri) { 2 } else { 40 }) {
            Machine::new(&source(Some(call))).run(&program, true);
        }
    }
}
