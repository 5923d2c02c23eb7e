//! Reassembly of streams.

mod btree;
mod copy;
mod heap;
mod reassembler;
mod s2n;
mod smoltcp;

pub use self::btree::BTreeCopies;
pub use self::copy::OneCopy;
pub use self::heap::{HeapOfBytes, HeapOfCopies};
pub use self::reassembler::Reassembler;
pub use self::s2n::S2n;
pub use self::smoltcp::Smoltcp;
