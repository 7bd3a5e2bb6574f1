//! The command line.

mod map;
mod number;
mod sets;

pub use map::{NameArgs, QueryArgs, ReleaseArgs, RemapArgs};
pub use sets::{CloseArgs, FormatArgs, ListArgs, Offsets, OpenArgs, StatusArgs, TableArgs};

use clap::{Parser, Subcommand};

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
4 wrong or failing device, or something stayed undone, 5 device exists or is busy;
of status --check also 10 look at it, 11 act now, 12 unknown.")]
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

Main is only read, never written, and keeps its content and filesystem. Refused while main or the spare is mounted, swap, or \
held by LVM, dm-crypt, md or anything else. The spare is overwritten. A spare that holds anything recognisable, or whose first or last MiB is not zero, is refused unless \
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
or WWN) and content tell; and while main or the spare, a partition of it or the disk below is mounted, swap, or held by LVM, \
dm-crypt, md or anything else. --beside-idle goes on beside a mapped device that is not open and a loop device that nothing uses, \
never beside one in use, or a mount.

What finds main by its content at boot has to be told to take /dev/mapper/NAME:
  fstab     name /dev/mapper/NAME, not UUID= or LABEL=, which main has as well
  LVM       devices/global_filter = [ \"r|^MAIN$|\" ] in lvm.conf, with each name of main;
            with a devices file this as well: lvmdevices --deldev MAIN, lvmdevices --adddev /dev/mapper/NAME
  crypttab  name /dev/mapper/NAME as the source, not UUID=
  mdadm     a line DEVICE in mdadm.conf that lists /dev/mapper/NAME and the other members
For what the initramfs starts, `update-initramfs -u` follows.

While the set is open, use /dev/mapper/NAME and leave main and spare alone.

With --linear the kernel needs nothing but device-mapper: the device is made of linear segments, to main and to the \
slots on the spare, and lost sectors are errors. What is mapped is served from where it is. Nothing is remapped: a write \
that fails on main fails. The device is read-only, and nothing is written to main or spare, unless --read-write is given.")]
    #[command(after_long_help = "Examples:
  dmremap open /dev/disk/by-id/ata-OLD_DISK /dev/sdc1 archive
  dmremap open --main-offset 2097152 /dev/sdb /dev/sdb archive
  dmremap open --readonly /dev/sdb /dev/sdc1 archive
  dmremap open --linear /dev/sdb /dev/sdc1 archive
      On a rescue system without the module dm_remap: read what is there.
  dmremap open --linear --read-write /dev/sdb /dev/sdc1 archive
      Write as well. `close` and `open` go back to the module.
  dmremap open --linear --force /dev/sdb /dev/sdc1 archive
      Read by the few superblocks that are left what they know of.")]
    Open(OpenArgs),
    /// Take /dev/mapper/NAME away; everything stays on main and spare.
    #[command(
        long_about = "Takes /dev/mapper/NAME away. Mappings stay on the spare, and `open` brings everything back.

Until then, do not mount main itself: the mapped sectors live on the spare."
    )]
    Close(CloseArgs),
    /// Show how open sets are doing.
    #[command(
        long_about = "Shows how open sets are doing: all in a table, or one in full, and what to do about those that are not well.

The exit status is 4 if the state of a set cannot be read. With --check it is the verdict: 0 good, 10 look at it, 11 act now, \
12 unknown, which is also that NAME is not open, or no set at all."
    )]
    #[command(after_long_help = "Modes:
  rw        bad sectors are replaced, as long as a slot is free
  degraded  the same, with fewer copies of the map than the set has
  no-remap  reads and writes work, but no further bad sector is replaced
  fail      writes are refused, perhaps reads too
  inactive  an open was cut off: nothing is served until it is closed and opened again
  linear    opened with --linear: what is mapped is served, no further bad sector is replaced

Examples:
  dmremap status archive
  dmremap status --check || mail -s 'dm-remap' root </dev/null
      In a script: exit status 0 good, 10 look at it, 11 act now, 12 unknown.")]
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
    /// Print what `dmsetup create` needs to make the device.
    #[command(
        long_about = "Prints the table for `dmsetup create`, for systems where dmremap itself cannot run.

Without --linear: the line for the target remap of the module dm_remap. With --linear: segments of the targets linear and \
error, for a kernel without that module. Main and spare are only read, and are checked as `open` checks them. They may be \
image files; the table names them as they were given, and dmsetup takes block devices only.

Give dmsetup the options --readonly and --uuid as printed. A device that is made without that UUID is not known to dmremap \
as this set: see to it that the set is not opened a second time. The segments are right until the set is next opened by \
the module."
    )]
    #[command(after_long_help = "Examples:
  dmremap table --linear /dev/sdb /dev/sdc1 >table
  dmsetup create --readonly archive table
  dmremap table /dev/sdb /dev/sdc1
      0 41943040 remap /dev/sdb 0 1 /dev/sdc1 0")]
    Table(TableArgs),
    /// Show where one sector lives.
    Query(QueryArgs),
    /// Move sectors to the spare before they fail.
    #[command(
        long_about = "Moves the content of sectors from main to slots on the spare, while the set is in use.

Whole physical blocks of main are moved. What cannot be read stays where it is: only a write can move that. Sectors have \
512 bytes and count from the start of the set. Ctrl-C ends it after the part that is under way and tells what was done. The \
exit status is 4 if anything was not moved."
    )]
    #[command(after_long_help = "Examples:
  dmremap remap archive 2048
  dmremap remap archive 2048 4096
  dmremap remap /dev/mapper/archive 1G 64s
      64 sectors from 1 GiB on.
  dmremap remap --dry-run archive 2048 4096")]
    Remap(RemapArgs),
    /// Move sectors from the spare back to main.
    #[command(long_about = "Moves the content of sectors from slots back to main, while the set is in use.

Each sector is written to main, flushed, read back and compared before the map is changed. What main does not take stays on \
the spare. Lost sectors stay lost until they are written. Ctrl-C ends it after the part that is under way and tells what \
was done. The exit status is 4 if anything that is mapped was not released.")]
    #[command(after_long_help = "Examples:
  dmremap release archive 2048 8
  dmremap release --all archive
  dmremap release --dry-run --all archive")]
    Release(ReleaseArgs),
    /// Set the counts since activation to zero.
    ResetStats(NameArgs),
    /// Accept writes and go on remapping, after a failure that stopped it.
    #[command(
        long_about = "Accepts writes again after a failed flush; after a failed change of the metadata, or when \
remapping stopped, writes the metadata again and goes on if that succeeds. Look into the kernel log first: after a failed \
flush, what was written last may be missing. The exit status is 4 if the set does not remap now."
    )]
    Resume(NameArgs),
    /// Print the man page.
    #[command(hide = true)]
    Man,
}
