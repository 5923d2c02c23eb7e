//! Random programs; see `model`.

mod model;
#[path = "model/strategy.rs"]
mod strategy;
mod support;

use model::{Machine, Op, source};
use proptest::prelude::*;
use strategy::{MANY, align, program, refusals, size};
use support::config;

fn op() -> impl Strategy<Value = Op> {
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

proptest! {
    #![proptest_config(config(60, 2))]
    #[test]
    fn programs_agree_with_the_model(program in program(op()), one_by_one in any::<bool>()) {
        Machine::new(&source(None)).run(&program, one_by_one);
    }
}

proptest! {
    #![proptest_config(config(6, 2))]
    #[test]
    fn programs_survive_a_refusal_at_every_step(program in program(op())) {
        let counting = source(None);
        Machine::new(&counting).run(&program, false);
        for call in refusals(counting.calls()) {
            Machine::new(&source(Some(call))).run(&program, true);
        }
    }
}
