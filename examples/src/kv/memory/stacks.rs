//! Where the pages of connections come from, and who may have how many.
#![forbid(unsafe_code)]

use super::Limits;
use pool_core::{Background, Budget, Cache, Limit, Mmap, PageSource, Stats};
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
///  partials ────► a budget of their own ──┴─► counted ► cache ► mmap
/// ```
#[derive(Debug)]
pub struct Stacks {
    /// Without a budget.
    pub(super) pages: CountedPages,
    /// What serves all: the arena, the table of connections.
    pub(super) buffers: PageStack,
    /// What single clients make grow by not reading: never all of it, so that the others are served.
    pub(super) backlog: PageStack,
    /// Partials, where pages are charged one by one.
    pub(super) partials: PageStack,
    pub(super) limits: Limits,
    /// Without such a thread the cache decays by what connections do.
    _decay: Option<Background>,
}

impl Stacks {
    /// The stack, and the thread that lets its cache decay while nobody sends anything.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let cache = Arc::new(Mmap::builder().name("kv buffers").build().cached());
        let _decay = cache.decay_in_background().ok();
        let pages = Rc::new(cache.counted());
        let buffers = Budget::named("buffers", limits.buffers);
        let backlog = buffers.child("unread replies", limits.buffers / 4 * 3);
        let partials = Budget::named("partials", limits.partials);
        let within = |budget| Rc::new(Limit::with_budget(pages.clone(), budget));
        Self {
            buffers: within(buffers),
            backlog: within(backlog),
            partials: within(partials),
            pages,
            limits,
            _decay,
        }
    }
}
