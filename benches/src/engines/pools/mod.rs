//! The engines of pools, one small file each.

mod bins;
mod bounded_pool;
mod boxes;
mod lifeguard;
mod lockfree;
mod null;
mod object_pool;
mod opool;
mod pool;
mod sharded_slab;
mod shared_pool;

pub use self::bins::{ArrayQueueOfBoxes, LocalVecOfBoxes, MutexVecOfBoxes, SegQueueOfBoxes, Stack};
pub use self::bounded_pool::BoundedPool;
pub use self::boxes::{BoxOnGlibc, BoxOnMimalloc};
pub use self::lifeguard::Lifeguard;
pub use self::lockfree::Lockfree;
pub use self::null::One;
pub use self::object_pool::ObjectPool;
pub use self::opool::{Opool, OpoolLocal};
pub use self::pool::Pool;
pub use self::sharded_slab::ShardedPool;
pub use self::shared_pool::{SharedPool, SharedPoolHandle};

use crate::objects::{Object, Session};
use pool_object::Recycle;

/// How pools of ours make sessions.
#[derive(Clone, Copy, Debug)]
pub struct Sessions;

impl Recycle<Session> for Sessions {
    fn create(&self) -> Session {
        Session::create()
    }

    #[inline(always)]
    fn reset(&self, session: &mut Session) {
        session.reset();
    }
}
