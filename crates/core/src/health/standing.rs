//! From the health and a host's facts of the set to the score, its news and the weekly points.

use super::counters::Counter;
use super::facts::SetFacts;
use super::points::{Point, POINT_EVERY_S};
use super::risk::News;
use super::score::{Facts, Score};
use super::state::Health;

impl Health<'_> {
    /// The score as things stand. Looks at every spot; a host asks at most once a second.
    pub fn score(&self, set: &SetFacts) -> Score {
        let age_s = self.age_s();
        let unreadable = self.spots.iter().filter(|spot| spot.unreadable() != 0 && spot.is_proven()).count();
        let (bursts, writes) = self.failures.at(age_s);
        Score::of(&Facts {
            pass_ended: self.cursor.pass_ended,
            unreadable: unreadable as u32,
            bursts: [bursts, writes, self.retried.at(age_s).0, self.slow.at(age_s).0],
            set: *set,
            evidence: self.evidence,
            age_s,
        })
    }

    /// Takes a score and gives the news in it. A host calls it whenever it has worked the score out, and at least once a day.
    pub fn judge(&mut self, score: &Score) -> News {
        let before = (self.risk, self.acks);
        let news =
            News { risk: self.risk.update(score.value, self.clock.age_s()), worse: self.acks.update(score) };
        if (self.risk, self.acks) != before {
            self.store.mark_head();
        }
        news
    }

    /// Adds the point of the week if it is due; whether it was. One is added for any number of weeks in which the set was closed.
    pub fn note_week(&mut self, score: &Score, set: &SetFacts) -> bool {
        let age_s = self.clock.age_s();
        if age_s < self.point_due_s {
            return false;
        }
        let count = |c: Counter| u32::try_from(self.counters.get(c)).unwrap_or(u32::MAX);
        self.points.push(Point {
            wall_s: self.clock.anchor().wall_s,
            score: score.value,
            slots_used: set.slots_used,
            slots_retired: set.slots_retired,
            pending: set.pending,
            bursts: count(Counter::Bursts),
            errors: count(Counter::ReadErrors).saturating_add(count(Counter::WriteErrors)),
            slow: count(Counter::SlowReads),
        });
        self.point_due_s = age_s.saturating_add(POINT_EVERY_S);
        self.store.mark_points();
        true
    }
}
