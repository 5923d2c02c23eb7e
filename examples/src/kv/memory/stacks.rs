//! Where all pages come from, and who may have how many.
#![forbid(unsafe_code)]

use super::Limits;
use pool_core::{Background, Budget, Cache, HugePages, Limit, Mmap, PageSource, Stats};
use std::rc::Rc;
use std::sync::Arc;

/// The pages of everything: counted, and with a cache that gives back what a rush has left. `Rc`
/// because the server is one thread and every owner keeps a handle.
pub type CountedPages = Rc<Stats<Arc<Cache<Mmap>>>>;

/// The same within a budget.
pub type PageStack = Rc<Limit<CountedPages>>;

/// One stack of pages, and who may have how much of it.
///
/// ```text
///  unread replies ─► backlog (3/4) ─┐
///  arena, connections ─────────► buffers ─┐
///  keys, values, tables ──────────► data ─┤
///  partials ────► a budget of their own ──┴─► counted ► cache ► mmap
/// ```
///
/// One cache for all: what a rush of connections has left serves data next, and the other way round.
#[derive(Debug)]
pub struct Stacks {
    /// Addresses of the ring of partials, counted apart: it acquires those of its whole budget, and memory
    /// is taken by the few that are used.
    pub(super) ring: CountedPages,
    /// What serves all: the arena, the table of connections.
    pub(super) buffers: PageStack,
    /// What single clients make grow by not reading: never all of it, so that the others are served.
    pub(super) backlog: PageStack,
    /// The heap of keys, values and tables, if it takes pages. The store has its own budget of what
    /// lies in them; this one bounds what the heap holds for it.
    pub(super) data: PageStack,
    /// Partials, where pages are charged one by one.
    pub(super) partials: PageStack,
    pub(super) limits: Limits,
    /// Without such a thread the cache decays by what connections do.
    _decay: Option<Background>,
}

/// Bytes of pages that the heap of data may hold beyond one and a half times the budget of what lies
/// in it: spans that are not full, tables that are being moved.
const SLACK: usize = 32 << 20;

impl Stacks {
    /// The stack, and the thread that lets its cache decay while nobody sends anything.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let huge = if limits.no_huge_pages { HugePages::Never } else { HugePages::System };
        let cache = Arc::new(Mmap::builder().name("kv").huge_pages(huge).build().cached());
        let _decay = cache.decay_in_background().ok();
        let ring = Rc::new(cache.clone().counted());
        let pages = Rc::new(cache.counted());
        let buffers = Budget::named("buffers", limits.buffers);
        let backlog = buffers.child("unread replies", limits.buffers / 4 * 3);
        let partials = Budget::named("partials", limits.partials);
        let held = limits.memory.saturating_add(limits.memory / 2).saturating_add(SLACK);
        let data = Budget::named("data", held);
        let within = |budget| Rc::new(Limit::with_budget(pages.clone(), budget));
        Self {
            buffers: within(buffers),
            backlog: within(backlog),
            data: within(data),
            partials: within(partials),
            ring,
            limits,
            _decay,
        }
    }
}
