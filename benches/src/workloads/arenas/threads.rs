//! `request-reset-2t`: as `request-reset`, by two threads at once, each `n` times in an arena of its
//! own. The time is from the first thread's start to the last one's end, without starting threads.

use super::requests::{Serves, all_in_one, draw, setup};
use crate::case::Case;
use crate::engines::arenas::{Cursor, of_arenas};
use crate::region::Regions;
use crate::workloads::POOL_ARENA;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

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
            let ready = Barrier::new(THREADS);
            let ends = thread::scope(|scope| {
                let threads = [(); THREADS].map(|()| {
                    scope.spawn(|| {
                        let store = E::build(setup());
                        let mut region = E::open(&store);
                        all_in_one(&mut region, &requests, 1000);
                        ready.wait();
                        let start = Instant::now();
                        let sum = all_in_one(&mut region, &requests, n as usize);
                        let end = Instant::now();
                        assert!(sum.is_right(&requests, n as usize), "{sum:x?} is not right");
                        (start, end)
                    })
                });
                threads.map(|thread| thread.join().expect("no thread fails"))
            });
            let start = ends.iter().map(|end| end.0).min();
            let end = ends.iter().map(|end| end.1).max();
            end.expect("two threads") - start.expect("two threads")
        })
    };
    Case::new::<E>(POOL_ARENA, "request-reset-2t", prepare).uncounted()
}
