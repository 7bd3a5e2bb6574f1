//! Which repair context works on which groups, and what it waits for.

use super::context::Context;
use super::set::Engine;
use crate::units::Group;

/// Whether a range of groups, if there is one, has groups in common with `first` to `last`.
fn overlap(range: Option<(Group, Group)>, first: Group, last: Group) -> bool {
    range.is_some_and(|(from, to)| from <= last && first <= to)
}

impl Engine<'_> {
    /// Claims groups for a context, so that no other repairs them at the same time (S9). False: another one does, wait for
    /// it to finish a window.
    pub(in crate::engine) fn claim(&mut self, context: usize, first: Group, last: Group) -> bool {
        let free = !self.is_claimed(context, first, last);
        self.unit_is_settled = true;
        if let Some(c) = self.contexts.get_mut(context) {
            *c = match free {
                true => Context { claim: Some((first, last)), ..Context::default() },
                false => Context { wish: Some((first, last)), ..*c },
            };
            return free;
        }
        false
    }

    /// The same for a read, which takes nothing that a write waits for.
    pub(in crate::engine) fn claim_to_read(&mut self, context: usize, first: Group, last: Group) -> bool {
        if self.is_claimed(context, first, last) || self.others(context).any(|c| overlap(c.wish, first, last))
        {
            return false;
        }
        self.claim(context, first, last)
    }

    /// Whether a write waits for groups that this context has claimed.
    pub(in crate::engine) fn is_in_the_way(&self, context: usize) -> bool {
        let claim = self.contexts.get(context).and_then(|c| c.claim);
        claim.is_some_and(|(first, last)| self.others(context).any(|c| overlap(c.wish, first, last)))
    }

    fn others(&self, context: usize) -> impl Iterator<Item = &Context> {
        self.contexts.iter().enumerate().filter(move |(i, _)| *i != context).map(|(_, c)| c)
    }

    /// Notes that an administrator ordered what a context does with its claim.
    pub(in crate::engine) fn set_ordered(&mut self, context: usize) {
        if let Some(c) = self.contexts.get_mut(context) {
            c.ordered = true;
        }
    }

    /// Whether another context works on one of these groups.
    fn is_claimed(&self, context: usize, first: Group, last: Group) -> bool {
        let probed = |c: &Context| {
            let groups = u64::from(c.probe_groups.max(1));
            c.probe.map(|probe| (probe, Group(probe.0.saturating_add(groups - 1))))
        };
        self.others(context).any(|c| overlap(c.claim, first, last) || overlap(probed(c), first, last))
    }

    /// Claims groups besides the window of a context. False: another context works on one of them. Nobody waits for them: two that had a
    /// window each would wait for one another.
    pub(in crate::engine) fn claim_probe(&mut self, context: usize, first: Group, last: Group) -> bool {
        if self.is_claimed(context, first, last) {
            return false;
        }
        match self.contexts.get_mut(context) {
            Some(c) => {
                c.probe = Some(first);
                c.probe_groups = u8::try_from(last.0.saturating_sub(first.0) + 1).unwrap_or(u8::MAX);
                true
            }
            None => false,
        }
    }

    pub(in crate::engine) fn unclaim_probe(&mut self, context: usize) {
        if let Some(c) = self.contexts.get_mut(context) {
            c.probe = None;
        }
    }

    /// Ends a context's window.
    pub(in crate::engine) fn unclaim(&mut self, context: usize) {
        if let Some(c) = self.contexts.get_mut(context) {
            c.claim = None;
            c.wish = None;
            c.probe = None;
        }
    }

    /// What came of the changes that a context queued: `None` while some are under way, or while it waits for the changes of others
    /// to leave the list, otherwise whether all are durable.
    pub fn commit_outcome(&self, context: usize) -> Option<bool> {
        let c = self.contexts.get(context)?;
        // What is in doubt stays in the list, but then nothing is remapped.
        let waits = c.awaits_room && self.commits() && !self.has_room();
        (c.outstanding == 0 && !waits).then_some(!c.failed)
    }

    /// Has [`Engine::commit_outcome`] of a context wait for room in the list of changes, or no longer.
    pub(in crate::engine) fn await_room(&mut self, context: usize, waits: bool) {
        if let Some(c) = self.contexts.get_mut(context) {
            c.awaits_room = waits;
        }
    }

    /// Whether a machine works on any group, so that slots may be on their way (see [`Engine::count_slots`]).
    pub fn is_at_work(&self) -> bool {
        self.contexts.iter().any(|c| c.claim.is_some() || c.probe.is_some())
    }
}
