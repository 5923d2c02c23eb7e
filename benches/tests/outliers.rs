//! What an arena holds after requests of very different sizes stays within its policy.

use benches::engine::{Engine, Setup};
use benches::engines::arenas::{Arena, Bumpalo};
use benches::region::{Holds, Regions};
use benches::workloads::arenas::outliers::{draw, held, request};
use pool_arena::ArenaBuilder;

/// Requests, one of them an outlier.
const REQUESTS: usize = if cfg!(miri) { 50 } else { 2000 };
const OUTLIER: usize = 8 << 20;
/// What an arena retains by default.
const RETAINED: usize = 1 << 20;

/// An arena with other options.
struct With;

impl Engine for With {
    const NAME: &'static str = "Arena with options";
    const OURS: bool = true;
    type Store = ArenaBuilder;

    fn build(setup: Setup) -> ArenaBuilder {
        pool_arena::Arena::builder().retain(setup.capacity)
    }
}

impl Regions for With {
    type Region<'a> = pool_arena::Arena;

    fn open(store: &ArenaBuilder) -> pool_arena::Arena {
        store.build()
    }
}

#[test]
fn after_each_reset_no_more_is_held_than_is_retained() {
    let sizes = draw(REQUESTS, OUTLIER);
    for retained in [0, 4 << 10, 64 << 10, 300_000, RETAINED, 3 << 20] {
        let store = With::build(Setup { chunk: 0, capacity: retained });
        let mut arena = With::open(&store);
        let (mut objects, mut most) = (0, 0);
        for &size in &sizes {
            objects += request(&mut arena, size);
            assert!(arena.held() <= retained, "{} bytes held of {retained}", arena.held());
            most = most.max(arena.held());
        }
        assert!(objects > OUTLIER / 4096);
        // Not by keeping nothing: what is allowed is used, but for the steps that chunks have.
        assert!(most >= retained / 4, "{most} bytes are the most that was held of {retained}");
    }
}

#[test]
fn the_yardstick_holds_its_largest_request() {
    let sizes = draw(REQUESTS, OUTLIER);
    assert!(held::<Arena>(&sizes, REQUESTS) as usize <= RETAINED);
    assert!(held::<Bumpalo>(&sizes, REQUESTS) as usize > RETAINED);
}
