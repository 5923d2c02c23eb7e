//! The workloads of pools: objects of 256 bytes with a buffer of 4 KiB, which is emptied between two
//! users.

mod burst;
mod hand_over;
mod hot;
mod threads;

use crate::case::Case;
use crate::objects::{Object, Pools};
use crate::opaque::hide;
use std::ops::DerefMut;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = hot::cases();
    cases.extend(burst::cases());
    cases.extend(threads::cases());
    cases.extend(hand_over::cases());
    cases
}

/// Bytes in a buffer after one use.
const USED: u64 = 1;

/// Uses an object, and returns how many bytes are in its buffer then.
#[inline(always)]
fn used<G: DerefMut<Target: Object>>(guard: &mut G, number: u64) -> u64 {
    hide(&mut **guard).used(number)
}

/// What is measured in `pool-hot` and `pool-hot-2t`: gets an object, uses it, puts it back.
#[inline(never)]
fn pairs<E: Pools>(view: &E::View<'_>, n: u64) -> u64 {
    (0..n).map(|number| used(&mut E::get(view), number)).sum()
}

/// A list of `$case::<E>()`, with each engine `E` that any thread may use.
macro_rules! of_shared_pools {
    ($case:ident) => {
        vec![
            $case::<$crate::engines::pools::SharedPoolHandle>(),
            $case::<$crate::engines::pools::SharedPool>(),
            $case::<$crate::engines::pools::BoundedPool>(),
            $case::<$crate::engines::pools::BoxOnGlibc>(),
            $case::<$crate::engines::pools::BoxOnMimalloc>(),
            $case::<$crate::engines::pools::MutexVecOfBoxes>(),
            $case::<$crate::engines::pools::LocalVecOfBoxes>(),
            $case::<$crate::engines::pools::ArrayQueueOfBoxes>(),
            $case::<$crate::engines::pools::SegQueueOfBoxes>(),
            $case::<$crate::engines::pools::ObjectPool>(),
            $case::<$crate::engines::pools::Opool>(),
            $case::<$crate::engines::pools::Lockfree>(),
            $case::<$crate::engines::pools::ShardedPool>(),
        ]
    };
}

/// The same with each engine that there is, and the loop.
macro_rules! of_pools {
    ($case:ident) => {{
        let mut cases =
            vec![$case::<$crate::engines::pools::One>(), $case::<$crate::engines::pools::Pool>()];
        cases.extend($crate::workloads::pools::of_shared_pools!($case));
        cases.push($case::<$crate::engines::pools::OpoolLocal>());
        cases.push($case::<$crate::engines::pools::Lifeguard>());
        cases.push($case::<$crate::engines::pools::Stack>());
        cases
    }};
}

use {of_pools, of_shared_pools};
