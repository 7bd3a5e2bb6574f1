//! The ring of weekly points: how things stood, for a trend.

use super::clock::WEEK_S;

/// Points that are kept: 120 weeks.
pub const POINTS: usize = 120;
/// Seconds of the health's age between two points.
pub const POINT_EVERY_S: u32 = WEEK_S;

/// How things stood at one time. Counts are those for the life of the set, and stay at their largest value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// Seconds since 1970 by the wall clock, below 2^48; 0: not known.
    pub wall_s: u64,
    /// The score, 0 to 1000; `None`: not known.
    pub score: Option<u16>,
    /// Slots in use.
    pub slots_used: u32,
    /// Slots that failed.
    pub slots_retired: u32,
    /// Blocks of main that cannot be read.
    pub pending: u32,
    /// Bursts of failures.
    pub bursts: u32,
    /// Failed reads and writes.
    pub errors: u32,
    /// Slow reads.
    pub slow: u32,
}

/// Largest time of a point.
const WALL_MAX: u64 = (1 << 48) - 1;
const SCORE_UNKNOWN: u16 = u16::MAX;

impl Point {
    /// Bytes of a saved point.
    pub const BYTES: usize = 32;

    pub(super) fn to_bytes(self) -> [u8; Point::BYTES] {
        let score = self.score.unwrap_or(SCORE_UNKNOWN);
        let head = self.wall_s.min(WALL_MAX) | u64::from(score) << 48;
        let rest = [self.slots_used, self.slots_retired, self.pending, self.bursts, self.errors, self.slow];
        let fields = head.to_le_bytes().into_iter().chain(rest.into_iter().flat_map(u32::to_le_bytes));
        let mut bytes = [0; Point::BYTES];
        bytes.iter_mut().zip(fields).for_each(|(place, byte)| *place = byte);
        bytes
    }

    /// `None`: a score that cannot be.
    pub(super) fn from_bytes(bytes: &[u8; Point::BYTES]) -> Option<Point> {
        let (head, rest) = bytes.split_first_chunk::<8>()?;
        let head = u64::from_le_bytes(*head);
        let score = (head >> 48) as u16;
        let mut fields = rest.chunks_exact(4).filter_map(|c| c.first_chunk()).map(|c| u32::from_le_bytes(*c));
        let mut next = || fields.next().unwrap_or(0);
        let (slots_used, slots_retired, pending, bursts) = (next(), next(), next(), next());
        let (errors, slow) = (next(), next());
        let score_is_sound = score <= super::tables::SCORE_MAX || score == SCORE_UNKNOWN;
        score_is_sound.then_some(Point {
            wall_s: head & WALL_MAX,
            score: (score != SCORE_UNKNOWN).then_some(score),
            slots_used,
            slots_retired,
            pending,
            bursts,
            errors,
            slow,
        })
    }
}

/// The latest points, in memory that the host set aside.
pub struct Points<'a> {
    ring: &'a mut [Point; POINTS],
    first: usize,
    len: usize,
}

impl<'a> Points<'a> {
    /// No point yet.
    pub fn new(ring: &'a mut [Point; POINTS]) -> Points<'a> {
        Points { ring, first: 0, len: 0 }
    }

    /// Adds a point; the oldest of [`POINTS`] goes.
    pub fn push(&mut self, point: Point) {
        let at = self.first.wrapping_add(self.len) % POINTS;
        if let Some(place) = self.ring.get_mut(at) {
            *place = point;
        }
        match self.len < POINTS {
            true => self.len = self.len.saturating_add(1),
            false => self.first = self.first.wrapping_add(1) % POINTS,
        }
    }

    /// The points, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Point> {
        self.ring.iter().cycle().skip(self.first).take(self.len)
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn clear(&mut self) {
        (self.first, self.len) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_latest() {
        let mut ring = [Point::default(); POINTS];
        let mut points = Points::new(&mut ring);
        assert!(points.is_empty());
        for n in 0..300u32 {
            points.push(Point { slots_used: n, ..Point::default() });
            assert_eq!(points.len(), POINTS.min(n as usize + 1));
            assert_eq!(points.iter().last().map(|p| p.slots_used), Some(n));
        }
        assert!(points.iter().map(|p| p.slots_used).eq(180..300));
    }

    #[test]
    fn a_point_comes_back_as_it_went() {
        let ends = Point {
            wall_s: WALL_MAX,
            score: Some(1000),
            slots_used: u32::MAX,
            slots_retired: 1,
            pending: 2,
            bursts: 3,
            errors: 4,
            slow: 5,
        };
        for point in [Point::default(), Point { score: None, ..ends }, ends] {
            assert_eq!(Point::from_bytes(&point.to_bytes()), Some(point));
        }
        let mut bytes = ends.to_bytes();
        bytes[6..8].copy_from_slice(&1001u16.to_le_bytes());
        assert_eq!(Point::from_bytes(&bytes), None);
    }
}
