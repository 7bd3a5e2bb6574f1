//! Arguments of the verbs that ask or change the map of an open set.

use clap::Args;

/// Arguments of `query`.
#[derive(Args, Debug)]
pub struct QueryArgs {
    /// Name of the open set.
    pub name: String,
    /// Sector of the set.
    pub sector: u64,
}

/// Arguments of `remap`.
#[derive(Args, Debug)]
pub struct RemapArgs {
    /// Name of the open set.
    pub name: String,
    /// First sector.
    pub sector: u64,
    /// Number of sectors.
    #[arg(default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub count: u64,
    /// Say how many of them are on main and would be moved; change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `release`.
#[derive(Args, Debug)]
pub struct ReleaseArgs {
    /// Name of the open set.
    pub name: String,
    /// First sector.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub sector: Option<u64>,
    /// Number of sectors.
    #[arg(default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
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
    /// Name of the open set.
    pub name: String,
}
