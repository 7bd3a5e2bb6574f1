//! The superblock: what a set is and which of its copies count.

use super::header::{
    self, get, get_u32, get_u64, is_zero, put, HEADER_BYTES, KIND_SUPERBLOCK, MINOR_SAMPLES,
};
use super::samples::{AT_SAMPLES, AT_SAMPLES_END};
use super::{Block, BlockError, Geometry, MainShape, Samples, SetId, Text64, COPIES_MAX, COPIES_MIN};

const AT_COMPAT: usize = 64;
const AT_RO_COMPAT: usize = AT_COMPAT + 4;
const AT_INCOMPAT: usize = 72;
const AT_FLAGS: usize = 76;
const AT_EPOCH: usize = 80;
const AT_COPY_COUNT: usize = 88;
const AT_IN_SYNC: usize = 89;
const AT_RESERVED_90: usize = 90;
const AT_BLOCK_BYTES: usize = 92;
const AT_SECTORS: usize = 96;
const AT_REGION_BLOCKS: usize = 104;
const AT_AREA_BLOCKS: usize = 112;
const AT_SLOT_COUNT: usize = 120;
const AT_TABLE_BLOCKS: usize = 124;
const AT_HEALTH_BLOCKS: usize = 128;
const AT_DATA_OFFSET: usize = 132;
const AT_SLOTS_PER_AREA: usize = 136;
const AT_RESERVED_140: usize = 140;
const AT_CREATED: usize = 144;
const AT_ACTIVATIONS: usize = 152;
const AT_FINGERPRINT_TIME: usize = 160;
const AT_FINGERPRINT: usize = 168;
const AT_IDENTITY: usize = 176;
const AT_LABEL: usize = 240;

const _: () = assert!(AT_COMPAT == HEADER_BYTES && AT_FLAGS == AT_COMPAT + 12 && AT_EPOCH == AT_FLAGS + 4);
const _: () = assert!(AT_COPY_COUNT == AT_EPOCH + 8 && AT_BLOCK_BYTES == AT_COPY_COUNT + 4);
const _: () = assert!(AT_SECTORS == AT_BLOCK_BYTES + 4 && AT_REGION_BLOCKS == AT_SECTORS + 8);
const _: () = assert!(AT_SLOT_COUNT == AT_AREA_BLOCKS + 8 && AT_SLOTS_PER_AREA == AT_SLOT_COUNT + 16);
const _: () = assert!(AT_CREATED == AT_RESERVED_140 + 4 && AT_IDENTITY == AT_CREATED + 32);
// The content ends in the first sector, so that a torn write leaves the old superblock or the new one.
const _: () = assert!(AT_LABEL == AT_IDENTITY + 64 && AT_SAMPLES == AT_LABEL + 64 && AT_SAMPLES_END <= 512);

/// Incompatible features that this code knows.
const INCOMPAT_KNOWN: u32 = 0;
/// Read-only-compatible features that this code knows.
const RO_COMPAT_KNOWN: u32 = 0;
/// A feature that only marks that read-only-compatible features were there; never in a released format.
const RO_COMPAT_SOME: u32 = 1 << 31;

const FLAG_CLEAN: u32 = 1;
const FLAG_FORMATTING: u32 = 2;
const FLAG_NEEDS_CHECK: u32 = 4;
const FLAGS_KNOWN: u32 = FLAG_CLEAN | FLAG_FORMATTING | FLAG_NEEDS_CHECK;

/// What a superblock says, the same in all copies of one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// UUID of the set.
    pub id: SetId,
    /// Sequence of the commit that wrote it, 1 to 2^56 - 1.
    pub seq: u64,
    /// The set was closed in order.
    pub clean: bool,
    /// A format is under way or was cut off.
    pub formatting: bool,
    /// Damage was seen.
    pub needs_check: bool,
    /// Epoch of the set, from 1, one more at each change of `in_sync`.
    pub epoch: u64,
    /// Number of copies of the metadata, 2 to 5.
    pub copy_count: u8,
    /// Copies that count, bit *c* for copy *c*.
    pub in_sync: u8,
    /// Length and logical block of main.
    pub main: MainShape,
    /// The layout of the spare.
    pub geometry: Geometry,
    /// When the set was formatted, in seconds since 1970; 0: not known.
    pub created_s: u64,
    /// How often the set was activated.
    pub activations: u64,
    /// When the fingerprint of main was taken, in seconds since 1970; 0: there is none.
    pub fingerprint_s: u64,
    /// CRC32C over sampled blocks of main in the low half, the number of samples in the high half.
    pub fingerprint: u64,
    /// Serial number, WWN or model of main as the tool saw it.
    pub main_identity: Text64,
    /// Label of the set.
    pub label: Text64,
    /// There are read-only-compatible features that this code does not know: nothing of the metadata may be written.
    pub ro_compat_unknown: bool,
    /// Places where a valid superblock of the set was found, bit *c* for copy *c*. Not on disk; [`super::Chooser`] sets it, so that
    /// the next write does not begin with the last one that is whole.
    pub valid_places: u8,
}

impl Superblock {
    /// The superblock of a new set: sequence and epoch 1, all `copy_count` copies in sync, clean, no texts and times.
    /// `copy_count` is brought into 2 to 5.
    pub fn new(id: SetId, main: MainShape, geometry: Geometry, copy_count: u8) -> Superblock {
        let copy_count = copy_count.clamp(COPIES_MIN, COPIES_MAX);
        Superblock {
            id,
            seq: 1,
            clean: true,
            formatting: false,
            needs_check: false,
            epoch: 1,
            copy_count,
            in_sync: all_copies(copy_count),
            main,
            geometry,
            created_s: 0,
            activations: 0,
            fingerprint_s: 0,
            fingerprint: 0,
            main_identity: Text64::EMPTY,
            label: Text64::EMPTY,
            ro_compat_unknown: false,
            valid_places: 0,
        }
    }

    /// True when copy `copy` counts.
    pub const fn is_in_sync(&self, copy: u8) -> bool {
        copy < COPIES_MAX && self.in_sync & (1 << copy) != 0
    }

    /// Writes the block of copy `copy` to `out`, without samples of main.
    pub fn encode(&self, copy: u8, out: &mut Block) {
        self.encode_with(copy, &Samples::NONE, out);
    }

    /// Writes the block of copy `copy` to `out`, with `samples` of main. They are not kept in [`Superblock`]: the kernel only
    /// ever takes them away.
    pub fn encode_with(&self, copy: u8, samples: &Samples, out: &mut Block) {
        header::begin(out, KIND_SUPERBLOCK, &self.id, 0, self.seq, copy);
        let flag = |set: bool, bit: u32| if set { bit } else { 0 };
        let flags = flag(self.clean, FLAG_CLEAN)
            | flag(self.formatting, FLAG_FORMATTING)
            | flag(self.needs_check, FLAG_NEEDS_CHECK);
        let ro_compat = flag(self.ro_compat_unknown, RO_COMPAT_SOME);
        let g = &self.geometry;
        put(out, AT_RO_COMPAT, ro_compat.to_le_bytes());
        put(out, AT_FLAGS, flags.to_le_bytes());
        put(out, AT_EPOCH, self.epoch.to_le_bytes());
        put(out, AT_COPY_COUNT, [self.copy_count]);
        put(out, AT_IN_SYNC, [self.in_sync]);
        put(out, AT_BLOCK_BYTES, self.main.block_bytes.to_le_bytes());
        put(out, AT_SECTORS, self.main.sectors.to_le_bytes());
        put(out, AT_REGION_BLOCKS, g.region_blocks().to_le_bytes());
        put(out, AT_AREA_BLOCKS, g.area_blocks().to_le_bytes());
        put(out, AT_SLOT_COUNT, g.slot_count().to_le_bytes());
        put(out, AT_TABLE_BLOCKS, g.table_blocks().to_le_bytes());
        put(out, AT_HEALTH_BLOCKS, g.health_blocks().to_le_bytes());
        put(out, AT_DATA_OFFSET, g.data_offset().to_le_bytes());
        put(out, AT_SLOTS_PER_AREA, g.slots_per_area().to_le_bytes());
        put(out, AT_CREATED, self.created_s.to_le_bytes());
        put(out, AT_ACTIVATIONS, self.activations.to_le_bytes());
        put(out, AT_FINGERPRINT_TIME, self.fingerprint_s.to_le_bytes());
        put(out, AT_FINGERPRINT, self.fingerprint.to_le_bytes());
        put(out, AT_IDENTITY, self.main_identity.to_bytes());
        put(out, AT_LABEL, self.label.to_bytes());
        if !samples.is_empty() {
            header::set_minor(out, MINOR_SAMPLES);
            samples.put(out);
        }
        header::seal(out);
    }

    /// Reads the superblock at the place of copy `copy`, and checks every field.
    pub fn decode(bytes: &Block, copy: u8) -> Result<Superblock, BlockError> {
        let header = header::check(bytes, KIND_SUPERBLOCK, 0, copy)?;
        let unknown = get_u32(bytes, AT_INCOMPAT) & !INCOMPAT_KNOWN;
        if unknown != 0 {
            return Err(BlockError::Feature(unknown));
        }
        let flags = get_u32(bytes, AT_FLAGS);
        if header.strict() {
            check_reserved(bytes, flags)?;
        }
        if header.minor < MINOR_SAMPLES && !is_zero(bytes, AT_SAMPLES..AT_SAMPLES_END) {
            return Err(BlockError::Field("reserved"));
        }
        let [copy_count] = get(bytes, AT_COPY_COUNT);
        let [in_sync] = get(bytes, AT_IN_SYNC);
        if !(COPIES_MIN..=COPIES_MAX).contains(&copy_count) {
            return Err(BlockError::Field("copy_count"));
        }
        if copy >= copy_count {
            return Err(BlockError::Copy(u32::from(copy)));
        }
        if in_sync == 0 || in_sync & !all_copies(copy_count) != 0 {
            return Err(BlockError::Field("in_sync"));
        }
        let epoch = get_u64(bytes, AT_EPOCH);
        if epoch == 0 {
            return Err(BlockError::Field("epoch"));
        }
        let main = MainShape::new(get_u64(bytes, AT_SECTORS), get_u32(bytes, AT_BLOCK_BYTES))
            .map_err(|_| BlockError::Field("length or logical block of main"))?;
        Samples::check(bytes, &main)?;
        let text = |at, name| Text64::from_bytes(&get(bytes, at)).ok_or(BlockError::Field(name));
        Ok(Superblock {
            id: header.id,
            seq: header.seq,
            clean: flags & FLAG_CLEAN != 0,
            formatting: flags & FLAG_FORMATTING != 0,
            needs_check: flags & FLAG_NEEDS_CHECK != 0,
            epoch,
            copy_count,
            in_sync,
            main,
            geometry: decode_geometry(bytes)?,
            created_s: get_u64(bytes, AT_CREATED),
            activations: get_u64(bytes, AT_ACTIVATIONS),
            fingerprint_s: get_u64(bytes, AT_FINGERPRINT_TIME),
            fingerprint: get_u64(bytes, AT_FINGERPRINT),
            main_identity: text(AT_IDENTITY, "main_identity")?,
            label: text(AT_LABEL, "label")?,
            ro_compat_unknown: get_u32(bytes, AT_RO_COMPAT) & !RO_COMPAT_KNOWN != 0,
            valid_places: 0,
        })
    }
}

/// The mask of copies 0 to `copy_count - 1`.
pub const fn all_copies(copy_count: u8) -> u8 {
    let count = if copy_count > COPIES_MAX { COPIES_MAX } else { copy_count };
    (1 << count) - 1
}

/// Bytes that have to be zero in a block of a minor version that this code knows.
fn check_reserved(bytes: &Block, flags: u32) -> Result<(), BlockError> {
    if flags & !FLAGS_KNOWN != 0 {
        return Err(BlockError::Field("flags"));
    }
    let zero = is_zero(bytes, AT_RESERVED_90..AT_BLOCK_BYTES)
        && is_zero(bytes, AT_RESERVED_140..AT_CREATED)
        && is_zero(bytes, AT_SAMPLES_END..bytes.len());
    if zero {
        Ok(())
    } else {
        Err(BlockError::Field("reserved"))
    }
}

/// The geometry, which has to be what the formulas give.
fn decode_geometry(bytes: &Block) -> Result<Geometry, BlockError> {
    let wrong = BlockError::Field("geometry");
    let slots = get_u32(bytes, AT_SLOT_COUNT);
    let g = Geometry::new(get_u64(bytes, AT_REGION_BLOCKS), Some(slots)).map_err(|_| wrong)?;
    let same = g.area_blocks() == get_u64(bytes, AT_AREA_BLOCKS)
        && g.table_blocks() == get_u32(bytes, AT_TABLE_BLOCKS)
        && g.health_blocks() == get_u32(bytes, AT_HEALTH_BLOCKS)
        && g.data_offset() == get_u32(bytes, AT_DATA_OFFSET)
        && g.slots_per_area() == get_u32(bytes, AT_SLOTS_PER_AREA);
    if same {
        Ok(g)
    } else {
        Err(wrong)
    }
}
