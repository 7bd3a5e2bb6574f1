//! The tag by which every health block names its main.

use crate::crc32c::crc32c;
use crate::format::Text64;

/// The tag of a main, which stands for its identity in every block: 0 if it is not known, else its CRC32C, never 0.
pub fn main_tag(identity: &Text64) -> u32 {
    match identity.is_empty() {
        true => 0,
        false => crc32c(&[&identity.to_bytes()]).max(1),
    }
}

/// Whether two tags can be of one main.
pub fn same_main(a: u32, b: u32) -> bool {
    a == 0 || b == 0 || a == b
}
