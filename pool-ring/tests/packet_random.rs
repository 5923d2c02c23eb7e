//! Random programs over a `PacketRing`; see `model::packets`.

mod model;

use model::packets::{Op, Protocol, Then, run};
use pool_ring::Policy;
use proptest::prelude::*;
use std::time::Duration;

fn op() -> impl Strategy<Value = Op> {
    let then = prop_oneof![
        8 => Just(Then::Drop), 2 => Just(Then::Finish), 1 => Just(Then::Forget),
        1 => Just(Then::Panic), 1 => Just(Then::Skip),
    ];
    let bytes = prop_oneof![4 => 1u16..20, 4 => 1u16..200, 1 => 200u16..1500];
    let take = prop_oneof![6 => Just(99u8), 1 => 0u8..3];
    prop_oneof![
        20 => (any::<u8>(), bytes, take, then)
            .prop_map(|(conn, bytes, take, then)| Op::Feed { conn, bytes, take, then }),
        1 => any::<u8>().prop_map(|conn| Op::Again { conn }),
        1 => any::<u8>().prop_map(|conn| Op::Close { conn }),
        2 => (0u16..300).prop_map(|millis| Op::Wait { millis }),
        2 => Just(Op::Drain),
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 0..if cfg!(miri) { 8 } else { 120 })
}

fn protocol() -> impl Strategy<Value = Protocol> {
    use Protocol::{Delimiter, Fixed, Garbage, Lines, Prefix, Unhelpful, Varint};
    prop::sample::select(vec![Prefix, Unhelpful, Varint, Lines, Delimiter, Fixed, Garbage])
}

fn policy() -> impl Strategy<Value = Policy> {
    let oldest = |millis| Policy::EvictOldest { min_age: Duration::from_millis(millis) };
    prop::sample::select(vec![oldest(0), oldest(200), Policy::EvictLargest, Policy::Reject])
}

proptest! {
    #![proptest_config(model::config(400))]
    #[test]
    fn frames_and_costs_are_the_models(
        protocol in protocol(), policy in policy(), chunks in 4usize..80, ops in ops()
    ) {
        run(&model::source(None), protocol, policy, chunks, &ops);
    }
}

proptest! {
    #![proptest_config(model::config(15))]
    #[test]
    fn every_refusal_of_the_source_is_survived(
        protocol in protocol(), policy in policy(), ops in ops()
    ) {
        let counting = model::source(None);
        run(&counting, protocol, policy, 80, &ops);
        for call in 0..counting.calls().min(if cfg!(miri) { 2 } else { 40 }) {
            run(&model::source(Some(call)), protocol, policy, 80, &ops);
        }
    }
}
