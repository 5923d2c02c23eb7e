//! `request-reset-2t`: as `request-reset`, by two threads at once, each `n` times in an arena of its
//! own. The time is from the first thread's start to the last one's end, without starting threads.

use super::requests::{Serves, all_in_one, draw, setup};
use crate::case::Case;
use crate::engines::arenas::{Cursor, of_arenas};
use crate::region::Regions;
use crate::together::at_once;
use crate::workloads::POOL_ARENA;

const THREADS: usize = 2;

pub(super) fn cases() -> Vec<Case> {
    of_arenas!(case, Cursor)
}

fn case<E>() -> Case
where
    E: for<'a> Regions<Region<'a>: Serves>,
{
    let prepare = || -> crate::Prepared {
        let requests = draw();
        Box::new(move |n| {
            at_once(THREADS, |_, start| {
                let store = E::build(setup());
                let mut region = E::open(&store);
                all_in_one(&mut region, &requests, 1000);
                let work = || all_in_one(&mut region, &requests, n as usize);
                let (sum, span) = start.together(work);
                assert!(sum.is_right(&requests, n as usize), "{sum:x?} is not right");
                span
            })
        })
    };
    Case::new::<E>(POOL_ARENA, "request-reset-2t", prepare).uncounted()
}
