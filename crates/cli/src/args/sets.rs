//! Arguments of the verbs that make, open and show sets.

use super::number;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `format`.
#[derive(Args, Debug)]
pub struct FormatArgs {
    /// The failing device. Only read.
    pub main: PathBuf,
    /// The device that becomes the spare. Overwritten.
    pub spare: PathBuf,
    /// Number of slots, each for 4096 bytes of main, or the room that they are to have, as in 1G. Default: as many as fit, at
    /// most 1048576.
    #[arg(long, value_name = "N", value_parser = number::slots)]
    pub slots: Option<u32>,
    /// Copies of the metadata.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(2..=5))]
    pub copies: u8,
    /// A name for people, up to 64 bytes.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub label: String,
    /// Where the two begin.
    #[command(flatten)]
    pub offsets: Offsets,
    /// Overwrite a spare that holds something. On a terminal the spare's name has to be typed; elsewhere needs --batch-mode.
    #[arg(long)]
    pub force: bool,
    /// Go on beside an idle user of main: a mapped device that is not open, or a loop device that nothing uses.
    #[arg(long)]
    pub beside_idle: bool,
    /// Ask nothing.
    #[arg(long, short = 'q')]
    pub batch_mode: bool,
    /// Check everything and say what would be done; write nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Where main and spare begin on their devices.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Offsets {
    /// First sector of main on its device; sectors of 512 bytes, or with a unit: 2048, 0x800, 64s, 1G.
    #[arg(long, value_name = "SECTORS", default_value = "0", value_parser = number::sectors)]
    pub main_offset: u64,
    /// First sector of the spare on its device, a multiple of 8; as --main-offset.
    #[arg(long, value_name = "SECTORS", default_value = "0", value_parser = number::sectors)]
    pub spare_offset: u64,
}

/// A name that is to be made; its path in /dev/mapper may be given as well.
fn new_name(given: &str) -> Result<String, std::convert::Infallible> {
    Ok(given.strip_prefix("/dev/mapper/").unwrap_or(given).to_string())
}

/// Arguments of `open`.
#[derive(Args, Debug)]
pub struct OpenArgs {
    /// The failing device.
    pub main: PathBuf,
    /// Its spare.
    pub spare: PathBuf,
    /// The set appears as /dev/mapper/NAME.
    #[arg(value_parser = new_name)]
    pub name: String,
    /// Where the two begin, as at format.
    #[command(flatten)]
    pub offsets: Offsets,
    /// Allow no writes through /dev/mapper/NAME.
    #[arg(long)]
    pub readonly: bool,
    /// Make it of linear segments, without the module dm_remap. Read-only; nothing is remapped.
    #[arg(long)]
    pub linear: bool,
    /// With --linear: allow writes. They go where the sectors are; one that fails fails.
    #[arg(long, requires = "linear", conflicts_with = "readonly")]
    pub read_write: bool,
    /// Open although main looks like another disk or was written since; with --linear, also although fewer than half of the
    /// superblocks are readable.
    #[arg(long)]
    pub force: bool,
    /// Go on beside an idle user of main or spare: a mapped device that is not open, or a loop device that nothing uses.
    #[arg(long)]
    pub beside_idle: bool,
}

/// Arguments of `close`.
#[derive(Args, Debug)]
pub struct CloseArgs {
    /// The open set, by name, /dev/mapper/NAME, UUID or label.
    pub name: String,
    /// If it is in use, take it away when the last user is gone.
    #[arg(long)]
    pub deferred: bool,
}

/// Arguments of `status`.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// An open set, by name, /dev/mapper/NAME, UUID or label. Default: all.
    pub name: Option<String>,
    /// For scripts: a line for each thing to know, and the verdict as exit status. 0 good, 10 look at it, 11 act now, 12
    /// unknown.
    #[arg(long)]
    pub check: bool,
}

/// Arguments of `list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// An open set, by name, /dev/mapper/NAME, UUID or label.
    #[arg(required_unless_present = "spare", conflicts_with = "spare")]
    pub name: Option<String>,
    /// Read this spare instead.
    #[arg(long, value_name = "DEVICE")]
    pub spare: Option<PathBuf>,
    /// First sector of the spare on its device; sectors of 512 bytes, or with a unit: 2048, 0x800, 64s, 1G.
    #[arg(long, value_name = "SECTORS", default_value = "0", value_parser = number::sectors, requires = "spare")]
    pub spare_offset: u64,
    /// First sector of main, where main follows the spare on the same device.
    #[arg(long, value_name = "SECTORS", value_parser = number::sectors, requires = "spare")]
    pub main_offset: Option<u64>,
    /// Read the spare although fewer than half of its superblocks are readable.
    #[arg(long, requires = "spare")]
    pub force: bool,
}

/// Arguments of `table`.
#[derive(Args, Debug)]
pub struct TableArgs {
    /// The failing device.
    pub main: PathBuf,
    /// Its spare.
    pub spare: PathBuf,
    /// Where the two begin, as at format.
    #[command(flatten)]
    pub offsets: Offsets,
    /// Print linear and error segments, for a kernel without the module dm_remap.
    #[arg(long)]
    pub linear: bool,
    /// Print although main looks like another disk or was written since; with --linear, also although fewer than half of the
    /// superblocks are readable.
    #[arg(long)]
    pub force: bool,
}
