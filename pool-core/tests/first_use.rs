//! A fork during the very first use of `Global`: the child must not wait for a thread that it does not
//! have. A process of its own, since there is one first use; children of it repeat it.
#![cfg(all(target_os = "linux", not(miri)))]

mod common;

use common::{Ended, in_child};
use pool_core::{Global, PageSource};
use std::sync::Barrier;
use std::thread;

#[test]
fn a_fork_during_the_first_use_does_not_hang_the_child() {
    for round in 0..60 {
        // Nothing has used the stack in this process, so each child makes its first use.
        let ended = in_child(|| {
            let barrier = Barrier::new(2);
            thread::scope(|scope| {
                scope.spawn(|| {
                    barrier.wait();
                    drop(Global.pages(1));
                });
                barrier.wait();
                match in_child(|| i32::from(Global.pages(1).is_err())) {
                    Ended::Exited(0) => 0,
                    _ => 1,
                }
            })
        });
        assert_eq!(ended, Ended::Exited(0), "round {round}");
    }
}
