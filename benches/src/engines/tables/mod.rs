//! The engines of tables, one small file each.

mod generational_arena;
mod plain;
mod sharded_slab;
mod slab;
mod slot_table;
mod slotmap;
mod thunderdome;

pub use self::generational_arena::GenerationalArena;
pub use self::plain::PlainVec;
pub use self::sharded_slab::ShardedSlab;
pub use self::slab::Slab;
pub use self::slot_table::SlotTable;
pub use self::slotmap::SlotMap;
pub use self::thunderdome::Thunderdome;

/// A list of `$case::<E>()`, with each engine `E`.
macro_rules! of_tables {
    ($case:ident) => {
        vec![
            $case::<$crate::engines::tables::SlotTable>(),
            $case::<$crate::engines::tables::Slab>(),
            $case::<$crate::engines::tables::SlotMap>(),
            $case::<$crate::engines::tables::Thunderdome>(),
            $case::<$crate::engines::tables::GenerationalArena>(),
            $case::<$crate::engines::tables::ShardedSlab>(),
            $case::<$crate::engines::tables::PlainVec>(),
        ]
    };
}

pub(crate) use of_tables;
