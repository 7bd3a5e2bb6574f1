//! Every decision of dm-remap, and nothing else: no I/O, no clock, no allocation.
#![no_std]
#![forbid(unsafe_code)]
