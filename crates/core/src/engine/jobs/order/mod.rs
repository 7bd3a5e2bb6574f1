//! What an administrator orders: a range of main, worked on window by window.

pub mod release;
pub mod relocate;

mod shell;

pub use crate::extent::{Range, MESSAGE_SECTORS_MAX};
