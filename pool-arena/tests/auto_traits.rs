//! What is `Send` and `Sync`, and what is not (DESIGN, auto traits).

use pool_arena::{AllocError, Arena, ArenaBox, Checkpoint, Scope, TailString, TailVec};
use pool_core::{Fixed, Global, Heap};
use static_assertions::{assert_impl_all, assert_not_impl_any};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

assert_impl_all!(Arena: Send, Default);
assert_not_impl_any!(Arena: Sync, Clone);
assert_impl_all!(Arena<Fixed<'static>>: Send);
assert_impl_all!(Arena<Arc<Heap>>: Send);
assert_not_impl_any!(Arena<Rc<Heap>>: Send, Sync);
assert_not_impl_any!(Arena<&'static Fixed<'static>>: Send);

assert_not_impl_any!(Scope<'static, Global>: Send, Sync, Clone, std::ops::DerefMut);
assert_not_impl_any!(Checkpoint: Send, Sync);
assert_not_impl_any!(TailVec<'static, u8, Global>: Send, Sync, Clone);
assert_not_impl_any!(TailString<'static, Global>: Send, Sync, Clone);

assert_impl_all!(ArenaBox<'static, str>: Send, Sync);
assert_not_impl_any!(ArenaBox<'static, Rc<u8>>: Send, Sync);
assert_impl_all!(ArenaBox<'static, Cell<u8>>: Send);
assert_not_impl_any!(ArenaBox<'static, Cell<u8>>: Sync);
assert_not_impl_any!(ArenaBox<'static, u8>: Clone);

assert_impl_all!(AllocError: Send, Sync, Copy, std::error::Error);
