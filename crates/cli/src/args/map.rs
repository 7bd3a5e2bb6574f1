//! Arguments of the verbs that ask or change the map of an open set.

use super::number;
use clap::Args;

/// Arguments of `query`.
#[derive(Args, Debug)]
pub struct QueryArgs {
    /// The open set, by name, /dev/mapper/NAME, UUID or label.
    pub name: String,
    /// Sector of the set: sectors of 512 bytes, or with a unit: 2048, 0x800, 64s, 1G.
    #[arg(value_parser = number::sectors)]
    pub sector: u64,
}

/// Arguments of `remap`.
#[derive(Args, Debug)]
pub struct RemapArgs {
    /// The open set, by name, /dev/mapper/NAME, UUID or label.
    pub name: String,
    /// First sector: sectors of 512 bytes, or with a unit: 2048, 0x800, 64s, 1G.
    #[arg(value_parser = number::sectors)]
    pub sector: u64,
    /// Number of sectors, as the first one.
    #[arg(default_value = "1", value_parser = number::count)]
    pub count: u64,
    /// Say how many of them are on main and would be moved; change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `release`.
#[derive(Args, Debug)]
pub struct ReleaseArgs {
    /// The open set, by name, /dev/mapper/NAME, UUID or label.
    pub name: String,
    /// First sector: sectors of 512 bytes, or with a unit: 2048, 0x800, 64s, 1G.
    #[arg(required_unless_present = "all", conflicts_with = "all", value_parser = number::sectors)]
    pub sector: Option<u64>,
    /// Number of sectors, as the first one.
    #[arg(default_value = "1", value_parser = number::count)]
    pub count: u64,
    /// Everything that is mapped.
    #[arg(long)]
    pub all: bool,
    /// Say how many of them are mapped and would be moved; change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// The name of an open set.
#[derive(Args, Debug)]
pub struct NameArgs {
    /// The open set, by name, /dev/mapper/NAME, UUID or label.
    pub name: String,
}
