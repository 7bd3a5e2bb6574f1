//! Sending the messages that move content, in pieces.

use crate::dm::Dm;
use crate::failure::{Failure, Result};
use crate::interrupt::Interrupt;
use crate::progress::{is_watched, Progress};
use crate::reply::{ask, not_understood, number};
use serde_json::{json, Map, Value};
use std::time::{Duration, Instant};

/// Sectors from one on.
pub type Range = std::ops::Range<u64>;

/// A message that moves content, and the counts that it answers with.
pub struct Message {
    word: &'static str,
    doing: &'static str,
    /// As `doing`, while it goes on.
    progress: &'static str,
    pub keys: &'static [&'static str],
    /// After a sector that failed the rest is not tried: it would fail as well, slowly.
    ends_at_failure: bool,
}

pub const REMAP: Message = Message {
    word: "remap",
    doing: "move to the spare",
    progress: "moving to the spare",
    keys: &["remapped", "mapped", "unreadable", "failed"],
    ends_at_failure: true,
};

pub const RELEASE: Message = Message {
    word: "release",
    doing: "move back to main",
    progress: "moving back to main",
    keys: &["released", "main", "lost", "unreadable", "failed", "aside"],
    ends_at_failure: false,
};

/// What a row of messages came to.
pub struct Moved {
    message: &'static Message,
    counts: Vec<u64>,
    /// Where it ended before its end, and why if that was an error.
    pub stopped: Option<(u64, Option<Failure>)>,
    /// It ended there since the caller asked for it.
    pub interrupted: bool,
}

impl Moved {
    pub fn count(&self, key: &str) -> u64 {
        let place = self.message.keys.iter().position(|k| *k == key);
        place.and_then(|place| self.counts.get(place)).copied().unwrap_or(0)
    }

    /// The counts as fields of the JSON object.
    pub fn fields(&self, name: &str) -> Map<String, Value> {
        let counts = self.message.keys.iter().map(|key| (format!("{key}_sectors"), json!(self.count(key))));
        let ends = [("name".to_string(), json!(name)), ("dry_run".to_string(), json!(false))];
        ends.into_iter().chain(counts).collect()
    }
}

/// Most sectors of one message.
const SECTORS_MAX: u64 = 65_536;
/// Fewest sectors of a piece that is not the last.
const SECTORS_MIN: u64 = 2048;
/// A piece that takes longer is followed by a smaller one: between two pieces the user is told, and can stop it.
const TIME_MAX: Duration = Duration::from_secs(2);

/// How much is sent at once.
struct Piece {
    sectors: u64,
}

impl Piece {
    /// Of a disk of which nothing is known. Somebody who watches is told early.
    fn new() -> Piece {
        Piece { sectors: if is_watched() { SECTORS_MIN } else { SECTORS_MAX } }
    }

    /// The last one took so long.
    fn took(&mut self, time: Duration) {
        if time > TIME_MAX {
            self.sectors = (self.sectors / 2).max(SECTORS_MIN);
        } else if time < TIME_MAX / 4 {
            self.sectors = (self.sectors * 2).min(SECTORS_MAX);
        }
    }
}

/// Sends the message for every range, in pieces. What the target widened a piece to is not asked for again.
pub fn send(
    dm: &dyn Dm,
    name: &str,
    message: &'static Message,
    ranges: &[Range],
    interrupt: &Interrupt,
) -> Result<Moved> {
    let mut moved = Moved { message, counts: vec![0; message.keys.len()], stopped: None, interrupted: false };
    let total = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
    let mut progress = Progress::new(format!("{name}: {}", message.progress), Some(total));
    let mut piece = Piece::new();
    let mut at = 0;
    let mut answered = false;
    let mut done = 0;
    for range in ranges {
        at = range.start.max(at);
        while at < range.end {
            if interrupt.is_asked() {
                (moved.stopped, moved.interrupted) = (Some((at, None)), true);
                return Ok(moved);
            }
            let count = (range.end - at).min(piece.sectors);
            let begun = Instant::now();
            let doing = format!("{} {count} sectors of {name} from {at} on", message.doing);
            let reply = ask(dm, name, &format!("{} {at} {count}", message.word), &doing);
            let counts =
                reply.and_then(|reply| Counts::parse(message, &reply).ok_or(not_understood(name, &reply)));
            match counts {
                Err(failure) if !answered => return Err(failure),
                Err(failure) => {
                    moved.stopped = Some((at, Some(failure)));
                    return Ok(moved);
                }
                Ok(found) => {
                    answered = true;
                    moved
                        .counts
                        .iter_mut()
                        .zip(found.counts)
                        .for_each(|(sum, n)| *sum = sum.saturating_add(n));
                    // An order that was cut short, by a suspension, says where it stopped. One that got nowhere is not asked
                    // for ever.
                    let next = found.next.unwrap_or(found.end.max(at + count));
                    if next <= at {
                        moved.stopped = Some((at, None));
                        return Ok(moved);
                    }
                    done += next.min(range.end).saturating_sub(at);
                    at = next;
                    piece.took(begun.elapsed());
                    progress.at(done);
                }
            }
            if message.ends_at_failure && moved.count("failed") > 0 && at < range.end {
                moved.stopped = Some((at, None));
                return Ok(moved);
            }
        }
    }
    Ok(moved)
}

/// One reply: the counts, the end of the range as widened, and where the order stopped before that.
struct Counts {
    counts: Vec<u64>,
    end: u64,
    next: Option<u64>,
}

/// A count of a reply. Only what is rare is left out where it is nothing.
fn count(reply: &str, key: &str) -> Option<u64> {
    number(reply, key).or((key == "aside").then_some(0))
}

impl Counts {
    fn parse(message: &Message, reply: &str) -> Option<Counts> {
        let end = number(reply, "sector")?.checked_add(number(reply, "sectors")?)?;
        let counts = message.keys.iter().map(|key| count(reply, key)).collect::<Option<_>>()?;
        Some(Counts { counts, end, next: number(reply, "next") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_shrink_on_a_slow_disk_and_grow_on_a_fast_one() {
        let mut piece = Piece { sectors: SECTORS_MAX };
        piece.took(Duration::from_secs(9));
        assert_eq!(piece.sectors, SECTORS_MAX / 2);
        (0..20).for_each(|_| piece.took(Duration::from_secs(9)));
        assert_eq!(piece.sectors, SECTORS_MIN);
        piece.took(Duration::from_secs(1));
        assert_eq!(piece.sectors, SECTORS_MIN);
        (0..20).for_each(|_| piece.took(Duration::ZERO));
        assert_eq!(piece.sectors, SECTORS_MAX);
    }
}
