//! The kernel's interface as bindgen reads it from the headers of the kernel being built for.
#![allow(
    improper_ctypes,
    improper_ctypes_definitions,
    missing_docs,
    dead_code,
    unknown_lints,
    unsafe_op_in_unsafe_fn,
    unnecessary_transmutes
)]
#![allow(non_camel_case_types, non_snake_case, non_upper_case_globals, unused_imports)]
#![allow(clippy::all, clippy::undocumented_unsafe_blocks)]

include!(env!("DM_REMAP_BINDINGS"));
