//! Any bytes as a program for an arena, run against the model of its own tests; the first byte chooses
//! which call of the source is refused, if any.
#![no_main]

#[path = "../../pool-arena/tests/model/mod.rs"]
mod model;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, mut bytes)) = bytes.split_first() else { return };
    let ops: Vec<_> = std::iter::from_fn(|| model::Op::decode(&mut bytes, 4)).collect();
    let refused = (choice >= 128).then(|| u64::from(choice - 128));
    model::run(&model::source(refused), &ops, choice % 2 == 1);
});
