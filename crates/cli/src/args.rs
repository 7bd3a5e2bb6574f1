//! The command line.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Keeps a disk with bad sectors in service: what its bad sectors held goes to a spare.
#[derive(Debug, Parser)]
#[command(name = "dmremap", version, max_term_width = 100, arg_required_else_help = true)]
#[command(long_about = "Keeps a disk with bad sectors in service.

A set is a failing device (main), used as it is, with the filesystem that is on it, and a spare: a second device or a \
region of one, 8 MiB or more, that takes what the bad sectors of main can no longer hold. `format` makes the spare, \
`open` puts both together as /dev/mapper/NAME, which is mounted in place of main.")]
#[command(after_long_help = "Examples:
  dmremap format /dev/sdb /dev/sdc1          make /dev/sdc1 the spare of /dev/sdb
  dmremap open /dev/sdb /dev/sdc1 archive    the set appears as /dev/mapper/archive
  mount /dev/mapper/archive /srv             in place of: mount /dev/sdb /srv
  dmremap status                             how is it doing
  umount /srv; dmremap close archive         when done

Exit status: 0 good, 1 wrong parameters, 2 no permission, 3 out of memory,
4 wrong or failing device, 5 device exists or is busy.")]
pub struct Cli {
    /// Print one JSON object instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a device the spare of another.
    #[command(long_about = "Makes SPARE the spare of MAIN.

Main is only read, never written, and keeps its content and filesystem; it need not be unmounted for this. The spare is \
overwritten. A spare that holds anything recognisable, or whose first or last MiB is not zero, is refused unless \
--force is given and the question is answered; even then the spare is refused while something uses it.")]
    #[command(after_long_help = "Examples:
  dmremap format /dev/sdb /dev/sdc1
      The whole of /dev/sdc1 for the bad sectors of /dev/sdb.
  dmremap format --dry-run /dev/sdb /dev/sdc1
      Say what would be done, and whether anything stands in the way.
  dmremap format --main-offset 2097152 /dev/sdb /dev/sdb
      One disk: its first GiB (2097152 sectors) becomes the spare of the rest.
  dmremap format --force --batch-mode /dev/sdb /dev/sdc1
      Overwrite what is on /dev/sdc1, in a script, without a question.")]
    Format(FormatArgs),
    /// Put main and spare together as /dev/mapper/NAME.
    #[command(long_about = "Puts main and spare together as /dev/mapper/NAME.

Refused when the spare belongs to another disk than MAIN, as far as its length, logical block, identity (serial number \
or WWN) and content tell. While the set is open, use /dev/mapper/NAME and leave main and spare alone.")]
    #[command(after_long_help = "Examples:
  dmremap open /dev/disk/by-id/ata-OLD_DISK /dev/sdc1 archive
  dmremap open --main-offset 2097152 /dev/sdb /dev/sdb archive
  dmremap open --readonly /dev/sdb /dev/sdc1 archive")]
    Open(OpenArgs),
    /// Take /dev/mapper/NAME away; everything stays on main and spare.
    #[command(
        long_about = "Takes /dev/mapper/NAME away. Mappings stay on the spare, and `open` brings everything back.

Until then mount main only read-only if at all: what was mapped is not on main."
    )]
    Close(CloseArgs),
    /// Show how open sets are doing.
    #[command(after_long_help = "Modes:
  rw        all is well
  degraded  works, with fewer copies of the metadata than the set has
  no-remap  reads and writes work, but no further bad sector can be replaced
  fail      the device stopped; the kernel log says why")]
    Status(StatusArgs),
    /// List what is mapped, lost or retired.
    #[command(
        long_about = "Lists what is mapped, lost or retired: of an open set by its NAME, or from a spare that is not in use.

Sectors have 512 bytes; those of main count from the start of the set, those of the spare from the start of its device."
    )]
    #[command(after_long_help = "Examples:
  dmremap list archive
  dmremap list --spare /dev/sdc1")]
    List(ListArgs),
}

/// Arguments of `format`.
#[derive(Args, Debug)]
pub struct FormatArgs {
    /// The failing device. Only read.
    pub main: PathBuf,
    /// The device that becomes the spare. Overwritten.
    pub spare: PathBuf,
    /// Number of slots, each for 4096 bytes of main. Default: as many as fit, at most 1048576.
    #[arg(long, value_name = "N")]
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
    /// Overwrite a spare that holds something. On a terminal its name has to be typed; elsewhere needs --batch-mode.
    #[arg(long)]
    pub force: bool,
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
    /// First sector (512 bytes) of main on its device.
    #[arg(long, value_name = "SECTORS", default_value_t = 0)]
    pub main_offset: u64,
    /// First sector (512 bytes) of the spare on its device, a multiple of 8.
    #[arg(long, value_name = "SECTORS", default_value_t = 0)]
    pub spare_offset: u64,
}

/// Arguments of `open`.
#[derive(Args, Debug)]
pub struct OpenArgs {
    /// The failing device.
    pub main: PathBuf,
    /// Its spare.
    pub spare: PathBuf,
    /// The set appears as /dev/mapper/NAME.
    pub name: String,
    /// Where the two begin, as at format.
    #[command(flatten)]
    pub offsets: Offsets,
    /// Allow no writes through /dev/mapper/NAME.
    #[arg(long)]
    pub readonly: bool,
    /// Open although main looks like another disk or was written since.
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `close`.
#[derive(Args, Debug)]
pub struct CloseArgs {
    /// Name of the open set.
    pub name: String,
    /// If it is in use, take it away when the last user is gone.
    #[arg(long)]
    pub deferred: bool,
}

/// Arguments of `status`.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Name of an open set. Default: all.
    pub name: Option<String>,
}

/// Arguments of `list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Name of an open set.
    #[arg(required_unless_present = "spare", conflicts_with = "spare")]
    pub name: Option<String>,
    /// Read this spare instead.
    #[arg(long, value_name = "DEVICE")]
    pub spare: Option<PathBuf>,
    /// First sector of the spare on its device.
    #[arg(long, value_name = "SECTORS", default_value_t = 0, requires = "spare")]
    pub spare_offset: u64,
    /// First sector of main, where main follows the spare on the same device.
    #[arg(long, value_name = "SECTORS", requires = "spare")]
    pub main_offset: Option<u64>,
    /// Read the spare although fewer than half of its superblocks are readable.
    #[arg(long, requires = "spare")]
    pub force: bool,
}
