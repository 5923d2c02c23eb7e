//! Any bytes as a program of three threads that take turns on a heap for all of them, against the
//! model that the property tests use; the first two bytes choose how much the heap may keep, which
//! acquire is refused, if any, and how it ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::{Limits, Op, source};

#[path = "../../pool-object/tests/model/shared.rs"]
mod model;

fuzz_target!(|bytes: &[u8]| {
    let Some((&[how, limits], mut bytes)) = bytes.split_first_chunk() else { return };
    let program: Vec<Op> = std::iter::from_fn(|| Op::decode(&mut bytes)).take(40).collect();
    let refused = (how % 4 != 0).then(|| u64::from(how / 8));
    model::run(&source(refused), Limits::choose(limits), &program, how % 8 < 4);
});
