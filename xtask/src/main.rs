//! Developer commands of dm-remap, reached through `./x`.
fn main() {}
