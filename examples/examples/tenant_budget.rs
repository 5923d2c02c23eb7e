//! A budget for each tenant: `cargo run -p examples --example tenant_budget`.
//!
//! Tenants share one stack of pages and one cache. Each has a limit of its own below the process', so
//! one that takes too much is refused, by name, while the others go on.
#![forbid(unsafe_code)]

use pool_arena::Arena;
use pool_core::{Budget, Cache, Limit, Mmap, PageSource};
use pool_object::SmallAlloc;
use std::error::Error;
use std::sync::Arc;

/// The pages of all tenants.
type Pages = Arc<Cache<Mmap>>;

/// What a tenant's memory comes from. Every pool takes a source, so every pool can be limited.
struct Tenant {
    budget: Budget,
    /// Its sessions and other things that stay.
    heap: SmallAlloc<Limit<Pages>>,
    /// Its requests.
    arena: Arena<Limit<Pages>>,
}

impl Tenant {
    fn new(name: &'static str, pages: &Pages, process: &Budget) -> Self {
        let budget = process.child(name, 1 << 20);
        let limited = || Limit::with_budget(pages.clone(), budget.clone());
        Self { heap: SmallAlloc::new_in(limited()), arena: Arena::new_in(limited()), budget }
    }

    /// A request that needs so many bytes.
    fn request(&mut self, bytes: usize) -> Result<usize, pool_arena::AllocError> {
        let body = self.arena.try_alloc_slice_fill_copy(bytes, b'x')?;
        let sum = body.iter().filter(|byte| **byte == b'x').count();
        self.arena.reset();
        Ok(sum)
    }
}

/// A quiet tenant beside a greedy one.
pub fn main() -> Result<(), Box<dyn Error>> {
    let pages = Arc::new(Mmap::new().cached());
    let process = Budget::named("process", 1536 << 10);
    let mut quiet = Tenant::new("quiet", &pages, &process);
    let mut greedy = Tenant::new("greedy", &pages, &process);

    // Sessions without end: at one MiB the tenant is told, and nothing of anybody's is lost.
    let mut sessions = Vec::new();
    let refusal = loop {
        match pool_object::PoolBox::try_new_in([0u8; 1000], &greedy.heap) {
            Ok(session) => sessions.push(session),
            Err(error) => break error,
        }
    };
    println!("greedy: {} sessions, then: {refusal}", sessions.len());
    assert!(greedy.budget.used() <= 1 << 20 && greedy.budget.refused() > 0);
    assert!(greedy.arena.try_alloc_slice_fill_copy(1 << 19, 0u8).is_err());

    // The other one is served as if nothing were.
    for _ in 0..1000 {
        assert_eq!(quiet.request(100_000)?, 100_000);
    }
    // And the first again, when its sessions have ended.
    sessions.clear();
    drop(sessions);
    greedy.heap.trim();
    assert_eq!(greedy.request(500_000)?, 500_000);
    println!(
        "quiet: {} bytes, process: {} of {}",
        quiet.budget.used(),
        process.used(),
        process.limit()
    );
    assert!(process.peak() <= process.limit());
    Ok(())
}
