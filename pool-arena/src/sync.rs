//! Atomics: the standard ones, or loom's under `--cfg loom`, so that a model can run every
//! interleaving of them. Whatever is shared between threads takes them from here.
#![forbid(unsafe_code)]

#[cfg(not(loom))]
pub(crate) use core::sync::atomic;
#[cfg(loom)]
pub(crate) use loom::sync::atomic;

/// A `const fn`; a plain `fn` under loom, whose atomics cannot be made at compile time.
macro_rules! const_unless_loom {
    ($(#[$meta:meta])* $vis:vis fn $($rest:tt)*) => {
        #[cfg(not(loom))]
        $(#[$meta])*
        $vis const fn $($rest)*
        #[cfg(loom)]
        $(#[$meta])*
        $vis fn $($rest)*
    };
}
pub(crate) use const_unless_loom;

/// Stands for plain fields that are written once, before others may see them: loom, which does not
/// see the fields themselves, checks that every look at it comes after its making. Otherwise it is
/// nothing.
pub(crate) struct Witness {
    #[cfg(loom)]
    cell: loom::cell::UnsafeCell<()>,
}

impl Witness {
    /// The fields are written.
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(loom)]
            cell: {
                let cell = loom::cell::UnsafeCell::new(());
                cell.with_mut(|_| ());
                cell
            },
        }
    }

    /// The fields are looked at.
    #[inline(always)]
    pub(crate) fn look(&self) {
        #[cfg(loom)]
        self.cell.with(|_| ());
    }
}
