//! nginx's pools, its own `ngx_palloc.c`: the ancestor. It is called, not inlined.

use crate::engine::{Engine, Setup};
use crate::region::{Places, Region, Regions, Texts, Values};
use std::alloc::Layout;
use std::ffi::c_void;
use std::ptr::NonNull;

/// `ngx_pool_t`.
pub struct Nginx;

unsafe extern "C" {
    /// A page, as nginx sets it when it starts: larger objects are not put into blocks.
    static mut ngx_pagesize: usize;
    fn ngx_create_pool(size: usize, log: *mut c_void) -> *mut c_void;
    fn ngx_destroy_pool(pool: *mut c_void);
    fn ngx_reset_pool(pool: *mut c_void);
    fn ngx_palloc(pool: *mut c_void, size: usize) -> *mut c_void;
    fn ngx_pnalloc(pool: *mut c_void, size: usize) -> *mut c_void;
}

/// A pool.
pub struct Pool(NonNull<c_void>);

impl Engine for Nginx {
    const NAME: &'static str = "nginx";
    type Store = Setup;

    fn build(setup: Setup) -> Setup {
        let page = &raw mut ngx_pagesize;
        // SAFETY: engines are built before any of their pools is there, all with the same number, so it does not
        // matter who reads it when.
        unsafe { page.write_volatile(4096) };
        setup
    }
}

impl Regions for Nginx {
    type Region<'a> = Pool;

    #[inline(always)]
    fn open(setup: &Setup) -> Pool {
        // SAFETY: a pool may have any size of some pages; nothing is logged.
        let pool = unsafe { ngx_create_pool(setup.chunk, std::ptr::null_mut()) };
        Pool(NonNull::new(pool).expect("there is memory"))
    }
}

impl Drop for Pool {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: made by `open`, and nobody uses it or its objects any more: they borrow it.
        unsafe { ngx_destroy_pool(self.0.as_ptr()) };
    }
}

impl Region for Pool {
    #[inline(always)]
    fn reset(&mut self) {
        // SAFETY: a live pool, whose objects borrow it and so are gone.
        unsafe { ngx_reset_pool(self.0.as_ptr()) };
    }
}

impl Places for Pool {
    #[inline(always)]
    fn place(&self, layout: Layout) -> NonNull<u8> {
        debug_assert!(layout.align() <= 8);
        // SAFETY: a live pool, used by one thread.
        let place = unsafe { ngx_palloc(self.0.as_ptr(), layout.size()) };
        NonNull::new(place.cast()).expect("there is memory")
    }
}

impl<T> Values<T> for Pool {
    #[inline(always)]
    fn value(&self, value: T) -> &mut T {
        let place = self.place(Layout::new::<T>()).cast::<T>();
        // SAFETY: aligned bytes, enough for a `T`, that nobody else has.
        unsafe { place.write(value) };
        // SAFETY: written just now; its own until the pool is reset, which needs `&mut`.
        unsafe { &mut *place.as_ptr() }
    }
}

impl Texts for Pool {
    #[inline(always)]
    fn text<'a>(&'a self, text: &'a str) -> &'a str {
        // SAFETY: as in `place`; strings need no alignment.
        let place = unsafe { ngx_pnalloc(self.0.as_ptr(), text.len()) };
        super::copied(NonNull::new(place.cast()).expect("there is memory"), text)
    }
}
