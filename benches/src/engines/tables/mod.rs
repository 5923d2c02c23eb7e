//! The engines of tables, one small file each.

/// An engine whose table has the methods that most have; `$remove` returns what had the key, if
/// anything.
macro_rules! engine {
    ($(#[$doc:meta])* $engine:ident, $name:literal, $ours:literal, $table:ty, $key:ty, $remove:ident) => {
        $(#[$doc])*
        pub struct $engine;

        impl $crate::engine::Engine for $engine {
            const NAME: &'static str = $name;
            const OURS: bool = $ours;
            type Store = $table;

            fn build(_: $crate::engine::Setup) -> $table {
                <$table>::new()
            }
        }

        impl $crate::slots::Slots for $table {
            type Key = $key;

            #[inline(always)]
            fn insert(&mut self, value: Value) -> $key {
                self.insert(value)
            }

            #[inline(always)]
            fn look(&self, key: $key) -> Option<u64> {
                self.get(key).map(|value| value[0])
            }

            #[inline(always)]
            fn remove(&mut self, key: $key) -> Option<u64> {
                self.$remove(key).map(|value| value[0])
            }

            #[inline(always)]
            fn sum(&mut self) -> u64 {
                self.iter().map(|(_, value)| value[0]).sum()
            }
        }
    };
}

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
