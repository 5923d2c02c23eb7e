//! `Buddy` as a stranger sees it: runs that are live never overlap, and all comes back.

mod property;

use core::mem::MaybeUninit;
use pool_core::{Buddy, Fixed, Heap, PageError, PageSource, Request, Run};
use proptest::prelude::*;
use std::cell::Cell;

/// The longest block in bytes, and the longest program.
const BLOCK: usize = if cfg!(miri) { 100_000 } else { 1_500_000 };
const STEPS: usize = if cfg!(miri) { 12 } else { 60 };

#[derive(Clone, Debug)]
enum Op {
    Acquire { len: usize, align: usize, zeroed: bool },
    Release { which: usize },
}

fn op() -> impl Strategy<Value = Op> {
    let len = prop_oneof![1..=20_000usize, 1..=600_000usize];
    let align = prop_oneof![3 => Just(1usize), 1 => (0..22u32).prop_map(|shift| 1 << shift)];
    prop_oneof![
        3 => (len, align, any::<bool>())
            .prop_map(|(len, align, zeroed)| Op::Acquire { len, align, zeroed }),
        2 => any::<usize>().prop_map(|which| Op::Release { which }),
    ]
}

/// Writes a pattern over the ends of each granule, and finds it again at release.
fn stamp(run: &Run, granule: usize, tag: u8) {
    for at in (0..run.len()).step_by(granule).chain([run.len() - 1]) {
        // SAFETY: the run is live and ours.
        unsafe { run.ptr().as_ptr().wrapping_add(at).write(tag) };
    }
}

fn read(run: &Run, at: usize) -> u8 {
    assert!(at < run.len());
    // SAFETY: the run is live and ours, and the byte was written.
    unsafe { run.ptr().as_ptr().wrapping_add(at).read() }
}

fn is_stamped(run: &Run, granule: usize, tag: u8) -> bool {
    (0..run.len()).step_by(granule).chain([run.len() - 1]).all(|at| read(run, at) == tag)
}

fn run_program<S: PageSource>(buddy: &Buddy<S>, program: &[Op]) {
    let granule = buddy.granule();
    let mut live: Vec<(Run, u8)> = Vec::new();
    let mut bytes = 0;
    for (step, op) in program.iter().enumerate() {
        match *op {
            Op::Acquire { len, align, zeroed } => {
                let request = Request { len, align, zeroed };
                let before = (buddy.free(), buddy.largest_free());
                match buddy.acquire(request) {
                    Ok(run) => {
                        let granules = len.div_ceil(granule).next_power_of_two();
                        assert_eq!(run.len(), granules * granule);
                        let natural = run.len().min(buddy.align_limit());
                        assert_eq!(run.ptr().addr().get() % natural.max(align), 0);
                        if zeroed {
                            assert!(run.is_zeroed());
                            assert!(is_stamped(&run, granule, 0));
                        }
                        bytes += run.len();
                        stamp(&run, granule, step as u8);
                        live.push((run, step as u8));
                    }
                    Err(PageError::Exhausted { asked, free, capacity }) => {
                        assert!(asked >= len && free == before.0 && capacity == buddy.capacity());
                        assert!(len.max(align).next_power_of_two() > before.1);
                    }
                    Err(PageError::TooLarge { align: asked, limit, .. }) => {
                        assert!(len > limit && (limit > 0 || asked > buddy.align_limit()));
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            Op::Release { which } if !live.is_empty() => {
                let (run, tag) = live.swap_remove(which % live.len());
                assert!(is_stamped(&run, granule, tag));
                bytes -= run.len();
                // SAFETY: acquired above, taken out of `live`, released once.
                unsafe { buddy.release(run) };
            }
            Op::Release { .. } => {}
        }
        assert_eq!(buddy.capacity() - buddy.free(), bytes);
    }
    for (run, tag) in live {
        assert!(is_stamped(&run, granule, tag));
        // SAFETY: as above.
        unsafe { buddy.release(run) };
    }
    assert_eq!(buddy.free(), buddy.capacity());
}

proptest! {
    #![proptest_config(property::config(256, 2))]

    #[test]
    fn over_heap(len in 1..BLOCK, program in prop::collection::vec(op(), 1..STEPS)) {
        let buddy = Buddy::new(Heap::new(), len).unwrap();
        prop_assert!(buddy.capacity() >= len);
        let whole = buddy.largest_free();
        run_program(&buddy, &program);
        prop_assert_eq!(buddy.largest_free(), whole);
    }

    #[test]
    fn over_any_piece_of_memory(
        skip in 0..40_000usize,
        len in 20_000..BLOCK,
        program in prop::collection::vec(op(), 1..STEPS),
    ) {
        let mut memory = vec![MaybeUninit::uninit(); skip + len];
        let buddy = Buddy::over(&mut memory[skip..]).unwrap();
        prop_assert!(buddy.capacity() + 3 * buddy.granule() >= len);
        run_program(&buddy, &program);
    }
}

#[test]
fn a_block_that_is_no_power_of_two_is_sold_whole() {
    let buddy = Buddy::new(Heap::new(), 11 << 12).unwrap();
    let granule = buddy.granule();
    let pages = buddy.capacity() / granule;
    let runs: Vec<_> = (0..pages).map(|_| (&buddy).pages(1).unwrap()).collect();
    assert!(matches!((&buddy).pages(1), Err(PageError::Exhausted { free: 0, .. })));
    assert_eq!(buddy.largest_free(), 0);
    drop(runs);
    assert_eq!(buddy.free(), buddy.capacity());
}

#[test]
fn the_whole_block_is_one_run() {
    let buddy = Buddy::new(Heap::new(), 1 << 18).unwrap();
    let run = buddy.acquire(Request::new(1 << 18)).unwrap();
    stamp(&run, buddy.granule(), 7);
    assert_eq!(run.len(), buddy.capacity());
    assert_eq!(run.ptr().addr().get() % (1 << 18), 0);
    // SAFETY: acquired above, released once.
    unsafe { buddy.release(run) };
}

#[test]
fn zeroed_is_zeroed_after_use() {
    let buddy = Buddy::new(Heap::new(), 1 << 16).unwrap();
    for _ in 0..3 {
        let request = Request::new(1 << 15).zeroed();
        let mut bytes = (&buddy).pages(request).unwrap().into_bytes();
        assert!(bytes.iter().all(|&byte| byte == 0));
        bytes.fill(0xff);
    }
}

#[test]
fn what_can_never_be_is_refused_and_changes_nothing() {
    let buddy = Buddy::new(Heap::new(), 1 << 16).unwrap();
    let refused = |request: Request| buddy.acquire(request).unwrap_err();
    assert_eq!(refused(Request::new(0)), PageError::ZeroLength);
    assert_eq!(refused(Request::new(1).align(3)), PageError::BadAlign { align: 3 });
    let too_large = |error| matches!(error, PageError::TooLarge { .. });
    assert!(too_large(refused(Request::new(usize::MAX))));
    assert!(too_large(refused(Request::new(isize::MAX as usize))));
    assert!(too_large(refused(Request::new((1 << 16) + 1))));
    assert!(too_large(refused(Request::new(1).align(buddy.align_limit() << 1))));
    assert!(too_large(refused(Request::new(1).align(1 << (usize::BITS - 2)))));
    assert_eq!(buddy.free(), buddy.capacity());
    assert!(Buddy::new(Heap::new(), 0).is_err());
    assert!(Buddy::new(Heap::new(), usize::MAX).is_err());
}

#[test]
fn decommit_says_that_nothing_went_back() {
    let buddy = Buddy::new(Heap::new(), 1 << 16).unwrap();
    assert!(!(&buddy).pages(1).unwrap().decommit());
}

/// A source that counts what is out, and refuses call `refuse_at`.
struct Counted<S> {
    inner: S,
    calls: Cell<usize>,
    refuse_at: usize,
    out: Cell<isize>,
}

impl<S> Counted<S> {
    fn new(inner: S, refuse_at: usize) -> Self {
        Self { inner, calls: Cell::new(0), refuse_at, out: Cell::new(0) }
    }
}

// SAFETY: everything is passed on, or refused without effect.
unsafe impl<S: PageSource> PageSource for Counted<S> {
    fn granule(&self) -> usize {
        self.inner.granule()
    }

    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        let call = self.calls.replace(self.calls.get() + 1);
        if call >= self.refuse_at {
            return Err(PageError::Injected { call: call as u64 });
        }
        let run = self.inner.acquire(request)?;
        self.out.set(self.out.get() + 1);
        Ok(run)
    }

    unsafe fn release(&self, run: Run) {
        self.out.set(self.out.get() - 1);
        // SAFETY: the caller's promise.
        unsafe { self.inner.release(run) };
    }
}

#[test]
fn both_runs_go_back_at_drop() {
    let source = Counted::new(Heap::new(), usize::MAX);
    let buddy = Buddy::new(&source, 1 << 16).unwrap();
    assert_eq!(source.out.get(), 2);
    let _ = buddy.acquire(Request::new(1)).unwrap();
    drop(buddy);
    assert_eq!(source.out.get(), 0);
}

#[test]
fn a_refusal_below_leaks_nothing() {
    for refuse_at in 0..2 {
        let source = Counted::new(Heap::new(), refuse_at);
        let error = Buddy::new(&source, 1 << 16).unwrap_err();
        assert!(matches!(error, PageError::Injected { .. }));
        assert_eq!(source.out.get(), 0);
    }
}

/// Where the aligned block fits but leaves no room for the metadata, the plain one is taken.
#[test]
fn every_position_in_the_callers_memory_works() {
    let page = Heap::new().granule();
    let mut pages = Heap::new().pages(Request::new(40 * page).align(64 * page)).unwrap();
    for start in 0..20 {
        let memory = &mut pages.as_uninit_mut()[start * page..(start + 17) * page];
        let buddy = Buddy::over(memory).unwrap();
        assert_eq!(buddy.capacity(), 16 * page);
        let one = (&buddy).pages(Request::new(1).align(2 * page)).unwrap();
        assert_eq!(one.as_ptr().addr().get() % (2 * page), 0);
        let fixed = Fixed::new(&mut []);
        assert!(Buddy::new(fixed, 1).is_err());
    }
}

#[test]
fn too_little_memory_is_refused() {
    let page = Heap::new().granule();
    let mut pages = Heap::new().pages(4 * page).unwrap();
    let memory = pages.as_uninit_mut();
    for len in [0, 1, page - 1, page, page + 1, 2 * page - 1] {
        let error = Buddy::over(&mut memory[..len]).unwrap_err();
        assert!(matches!(error, PageError::Exhausted { .. }), "{len}: {error}");
    }
    assert_eq!(Buddy::over(&mut memory[..2 * page]).unwrap().capacity(), page);
}

#[test]
fn it_may_move_with_its_runs() {
    let buddy = Buddy::new(Heap::new(), 1 << 16).unwrap();
    let run = buddy.acquire(Request::new(1)).unwrap();
    stamp(&run, 1 << 12, 9);
    let boxed = Box::new(buddy);
    std::thread::spawn(move || {
        assert_eq!(read(&run, 0), 9);
        // SAFETY: acquired from this buddy, which moved here with it.
        unsafe { boxed.release(run) };
        assert_eq!(boxed.free(), boxed.capacity());
    })
    .join()
    .unwrap();
}

static_assertions::assert_impl_all!(Buddy<Heap>: Send);
static_assertions::assert_not_impl_any!(Buddy<Heap>: Sync);
static_assertions::assert_not_impl_any!(Buddy<std::rc::Rc<Heap>>: Send);
