//! The live tables of a host: what each uses, and which table of a mapped device has its set (S20, S21).

use core::ops::DerefMut;

use super::refusal::Refusal;
use crate::format::SetId;
use crate::placement::Claim;

/// Most tables alive at once, over all mapped devices. [`Refusal::TooManyTables`] names the number.
pub const TABLES_MAX: usize = 256;

/// A live table.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    ticket: u64,
    claim: Claim,
    owns_set: bool,
    /// It was taken into service.
    served: bool,
}

/// All live tables, in memory that the host sets aside: as many places as there may be tables.
#[derive(Debug)]
pub struct Claims<S> {
    entries: S,
    next_ticket: u64,
}

impl<S: DerefMut<Target = [Option<Entry>]>> Claims<S> {
    /// No table yet; all places are to be empty.
    pub fn new(entries: S) -> Claims<S> {
        Claims { entries, next_ticket: 1 }
    }

    fn live(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().flatten()
    }

    fn find(&self, ticket: u64) -> Option<&Entry> {
        self.live().find(|entry| entry.ticket == ticket)
    }

    fn find_mut(&mut self, ticket: u64) -> Option<&mut Entry> {
        self.entries.iter_mut().flatten().find(|entry| entry.ticket == ticket)
    }

    /// Enters a table; its ticket.
    ///
    /// # Errors
    /// [`Refusal::InUse`] while another mapped device uses something of it, [`Refusal::TooManyTables`].
    pub fn enter(&mut self, claim: Claim) -> Result<u64, Refusal> {
        if self.live().any(|entry| entry.claim.conflicts(&claim)) {
            return Err(Refusal::InUse);
        }
        let ticket = self.next_ticket;
        let place = self.entries.iter_mut().find(|entry| entry.is_none()).ok_or(Refusal::TooManyTables)?;
        *place = Some(Entry { ticket, claim, owns_set: false, served: false });
        self.next_ticket = ticket.wrapping_add(1);
        Ok(ticket)
    }

    /// Notes which set a table found on its spare, or is to write there.
    ///
    /// # Errors
    /// [`Refusal::InUse`] while another mapped device has that set, by another way; [`Refusal::OtherSet`] while the mapped device serves main
    /// with another set; [`Refusal::NotReady`] for a ticket that is not known.
    pub fn name_set(&mut self, ticket: u64, set: SetId) -> Result<(), Refusal> {
        let claim = Claim { set: Some(set), ..self.find(ticket).ok_or(Refusal::NotReady)?.claim };
        if self.live().any(|entry| entry.claim.conflicts(&claim)) {
            return Err(Refusal::InUse);
        }
        if self.live().any(|entry| entry.owns_set && entry.served && claim.forgets(&entry.claim)) {
            return Err(Refusal::OtherSet);
        }
        if let Some(entry) = self.find_mut(ticket) {
            entry.claim = claim;
        }
        Ok(())
    }

    /// Gives the set to this table; a table of the same mapped device that had it writes nothing to it any more.
    pub fn take_set(&mut self, ticket: u64) {
        let Some(claim) = self.find(ticket).map(|entry| entry.claim) else { return };
        // A set that was in service is so until another takes its place, whether this table can be resumed at once or not.
        let serving =
            |e: &Entry| e.owns_set && e.served && e.claim.owner == claim.owner && e.claim.set == claim.set;
        let served = self.live().any(serving);
        for entry in self.entries.iter_mut().flatten().filter(|entry| entry.claim.owner == claim.owner) {
            entry.owns_set = entry.ticket == ticket;
            entry.served |= served && entry.owns_set;
        }
    }

    /// This table is in service.
    pub fn serves(&mut self, ticket: u64) {
        if let Some(entry) = self.find_mut(ticket) {
            entry.served = true;
        }
    }

    /// Whether this table has its set.
    pub fn owns_set(&self, ticket: u64) -> bool {
        self.find(ticket).is_some_and(|entry| entry.owns_set)
    }

    /// Takes a table out.
    pub fn leave(&mut self, ticket: u64) {
        for place in self.entries.iter_mut() {
            place.take_if(|entry| entry.ticket == ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::placement::{Extent, Placement};

    fn claims(places: usize) -> Claims<Vec<Option<Entry>>> {
        Claims::new(std::vec![None; places])
    }

    /// Mapped device `owner` on main `main` with the spare `spare`.
    fn claim(owner: u32, main: u32, spare: u32) -> Claim {
        let extent = |device| Extent { device, first: 0, sectors: 1000 };
        let placement = Placement { main: extent(main), region: extent(spare), block_bytes: 512 };
        Claim { owner, placement, set: None }
    }

    fn set(n: u8) -> SetId {
        SetId([n; 16])
    }

    /// A table that is in service.
    fn serving(claims: &mut Claims<Vec<Option<Entry>>>, claim: Claim, id: SetId) -> u64 {
        let ticket = claims.enter(claim).unwrap();
        claims.name_set(ticket, id).unwrap();
        claims.take_set(ticket);
        claims.serves(ticket);
        ticket
    }

    #[test]
    fn s20_what_another_mapped_device_uses_is_refused_until_it_leaves() {
        let mut claims = claims(4);
        let first = claims.enter(claim(7, 1, 2)).unwrap();
        for other in [claim(8, 1, 3), claim(8, 3, 2), claim(8, 2, 3)] {
            assert_eq!(claims.enter(other), Err(Refusal::InUse));
        }
        assert!(claims.enter(claim(7, 1, 2)).is_ok(), "a reload");
        claims.leave(first);
        assert_eq!(claims.enter(claim(8, 1, 3)), Err(Refusal::InUse), "the reload is there still");
    }

    #[test]
    fn s20_a_set_that_is_reached_by_another_way_is_refused() {
        let mut claims = claims(4);
        serving(&mut claims, claim(7, 1, 2), set(1));
        let other = claims.enter(claim(8, 3, 4)).unwrap();
        assert_eq!(claims.name_set(other, set(1)), Err(Refusal::InUse));
        assert_eq!(claims.name_set(other, set(2)), Ok(()));
        assert_eq!(claims.name_set(99, set(3)), Err(Refusal::NotReady));
    }

    #[test]
    fn s21_a_set_in_service_is_not_followed_by_another_on_the_same_main() {
        let mut claims = claims(4);
        let ticket = claims.enter(claim(7, 1, 2)).unwrap();
        claims.name_set(ticket, set(1)).unwrap();
        let other = claims.enter(claim(7, 1, 3)).unwrap();
        assert_eq!(claims.name_set(other, set(2)), Ok(()), "nothing is in service yet");
        claims.leave(other);
        claims.take_set(ticket);
        claims.serves(ticket);
        let other = claims.enter(claim(7, 1, 3)).unwrap();
        assert_eq!(claims.name_set(other, set(2)), Err(Refusal::OtherSet));
        assert_eq!(claims.name_set(other, set(1)), Ok(()));
    }

    #[test]
    fn s21_a_reload_that_cannot_be_resumed_leaves_the_set_in_service() {
        let mut claims = claims(4);
        let old = serving(&mut claims, claim(7, 1, 2), set(1));
        let new = claims.enter(claim(7, 1, 2)).unwrap();
        claims.name_set(new, set(1)).unwrap();
        claims.take_set(new);
        claims.leave(old);
        // It was never told that it serves: what the old table mapped must not be forgotten for that.
        let other = claims.enter(claim(7, 1, 3)).unwrap();
        assert_eq!(claims.name_set(other, set(2)), Err(Refusal::OtherSet));
    }

    #[test]
    fn s19_of_two_tables_of_a_device_the_one_resumed_last_has_the_set() {
        let mut claims = claims(4);
        let old = serving(&mut claims, claim(7, 1, 2), set(1));
        let elsewhere = serving(&mut claims, claim(8, 3, 4), set(2));
        let new = claims.enter(claim(7, 1, 2)).unwrap();
        claims.name_set(new, set(1)).unwrap();
        assert_eq!([old, new].map(|ticket| claims.owns_set(ticket)), [true, false]);
        claims.take_set(new);
        assert_eq!([old, new, elsewhere].map(|ticket| claims.owns_set(ticket)), [false, true, true]);
        claims.leave(new);
        assert!(!claims.owns_set(new));
    }

    #[test]
    fn s27_more_tables_than_places_are_refused_and_change_nothing() {
        let mut claims = claims(2);
        let tickets = [claims.enter(claim(1, 10, 11)).unwrap(), claims.enter(claim(2, 20, 21)).unwrap()];
        assert_eq!(claims.enter(claim(3, 30, 31)), Err(Refusal::TooManyTables));
        claims.leave(tickets[0]);
        let third = claims.enter(claim(3, 30, 31)).unwrap();
        assert!(!tickets.contains(&third), "a ticket is given once");
        // The text for an administrator names the number.
        let text = Refusal::TooManyTables.text().to_str().unwrap();
        assert!(text.starts_with(&std::format!("{TABLES_MAX} ")), "{text}");
    }
}
