//! Partial packets and reassembly.
#![cfg_attr(not(feature = "std"), no_std)]

pub mod frame;
