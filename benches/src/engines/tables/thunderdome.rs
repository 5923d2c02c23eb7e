//! thunderdome: keys with generations.

use crate::slots::Value;
use thunderdome::{Arena, Index};

engine! {
    /// `thunderdome::Arena`.
    Thunderdome, "thunderdome", false, Arena<Value>, Index, remove
}
