//! The engines of small objects, one small file each.

mod free_lists;
mod glibc;
#[cfg(feature = "jemalloc")]
mod jemalloc;
mod mimalloc;
mod null;
mod rlsf;
mod rusty_alloc;
mod shared_alloc;
mod small_alloc;
#[cfg(feature = "snmalloc")]
mod snmalloc;
#[cfg(feature = "stoolap")]
mod stoolap;

pub use self::free_lists::FreeLists;
pub use self::glibc::GlibcHeap;
#[cfg(feature = "jemalloc")]
pub use self::jemalloc::Jemalloc;
pub use self::mimalloc::{Aligned, MimallocCrate, MimallocHeap, MimallocRaw};
pub use self::rlsf::Rlsf;
pub use self::rusty_alloc::RustyAlloc;
pub use self::shared_alloc::{GlobalHeap, SharedAlloc};
pub use self::small_alloc::SmallAlloc;
#[cfg(feature = "snmalloc")]
pub use self::snmalloc::Snmalloc;
#[cfg(feature = "stoolap")]
pub use self::stoolap::Stoolap;

/// Engines that are built with a feature only, and its name.
pub const OPTIONAL: [(&str, &str, bool); 4] = [
    ("nginx", "nginx", cfg!(feature = "nginx")),
    ("jemalloc", "jemalloc", cfg!(feature = "jemalloc")),
    ("snmalloc", "snmalloc", cfg!(feature = "snmalloc")),
    ("stoolap-jemalloc", "stoolap", cfg!(feature = "stoolap")),
];

/// What to do about engines whose name contains this and that are not built in.
#[must_use]
pub fn absent(name: &str) -> Vec<String> {
    let absent = OPTIONAL.iter().filter(|(engine, _, built)| !built && engine.contains(name));
    absent
        .map(|(engine, feature, _)| {
            format!("{engine} is not built in: --features {feature} (or peers, for all)")
        })
        .collect()
}

/// A list of `$case::<E>($arguments)`, with each engine `E` that any thread may use.
macro_rules! of_shared_heaps {
    ($case:ident($($argument:expr),*)) => {{
        #[allow(unused_mut, reason = "not with all features")]
        let mut cases = vec![
            $case::<$crate::engines::heaps::SharedAlloc>($($argument),*),
            $case::<$crate::engines::heaps::GlobalHeap>($($argument),*),
            $case::<$crate::engines::heaps::MimallocCrate>($($argument),*),
            $case::<$crate::engines::heaps::MimallocRaw>($($argument),*),
            $case::<$crate::engines::heaps::GlibcHeap>($($argument),*),
            $case::<$crate::engines::heaps::RustyAlloc>($($argument),*),
        ];
        #[cfg(feature = "jemalloc")]
        cases.push($case::<$crate::engines::heaps::Jemalloc>($($argument),*));
        #[cfg(feature = "snmalloc")]
        cases.push($case::<$crate::engines::heaps::Snmalloc>($($argument),*));
        #[cfg(feature = "stoolap")]
        cases.push($case::<$crate::engines::heaps::Stoolap>($($argument),*));
        cases
    }};
}

/// The same with each engine that there is, but for the loop.
macro_rules! of_heaps {
    ($case:ident($($argument:expr),*)) => {{
        let mut cases = vec![$case::<$crate::engines::heaps::SmallAlloc>($($argument),*)];
        cases.extend($crate::engines::heaps::of_shared_heaps!($case($($argument),*)));
        cases.push($case::<$crate::engines::heaps::Rlsf>($($argument),*));
        cases.push($case::<$crate::engines::heaps::FreeLists>($($argument),*));
        cases
    }};
}

pub(crate) use {of_heaps, of_shared_heaps};
