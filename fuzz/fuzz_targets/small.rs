//! Any bytes as a program over a heap of small objects, against the model that the property tests use;
//! the first byte chooses which acquire is refused, if any, and how it ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::{Machine, Op, source};

#[path = "../../pool-object/tests/model/mod.rs"]
mod model;

fuzz_target!(|bytes: &[u8]| {
    let Some((&how, mut bytes)) = bytes.split_first() else { return };
    let program: Vec<Op> = std::iter::from_fn(|| Op::decode(&mut bytes)).take(60).collect();
    let refused = (how % 4 != 0).then(|| u64::from(how / 8));
    Machine::new(&source(refused)).run(&program, how % 8 < 4);
});
