//! The engines, one small file each.

pub mod arenas;
mod array_queue;
mod buddy;
mod buddy_system;
mod cache;
mod first_touch;
mod global;
pub mod heaps;
mod local_cache;
mod mmap;
mod mutex_vec;
mod null;
pub mod pools;
pub mod rings;
mod seg_queue;
pub mod tables;
mod thread_local_vec;
mod unmap;
mod vec;

pub use array_queue::ArrayQueueOf;
pub use buddy::Buddy;
pub use buddy_system::{BuddySystemFrames, BuddySystemHeap};
pub use cache::Cache;
pub use first_touch::{BasePages, HugePages, PlainMapping};
pub use global::Global;
pub use local_cache::LocalCache;
pub use mmap::Mmap;
pub use mutex_vec::MutexVec;
pub use null::Null;
pub use seg_queue::SegQueueOf;
pub use thread_local_vec::ThreadLocalVec;
pub use unmap::Unmap;
pub use vec::VecOf;
