//! What an administrator orders: content that moves to slots, or back to main.

use remap_core::engine::machine::{Event, Machine};
use remap_core::gate::{Lanes, Regions};
use remap_core::io::{Device, IoRequest, Op};
use remap_core::lookup::Use;
use remap_core::units::Group;

use crate::plan::Planted;
use crate::session::Session;
use crate::under_way::context::{Running, Work};
use crate::under_way::order::Order;
use crate::world::Failure;

impl Session<'_, '_> {
    /// Whether a context is the administrator's.
    pub fn is_for_orders(&self, index: usize) -> bool {
        index + 1 == self.contexts.len()
    }

    /// Now and then the administrator wants something.
    pub fn maybe_order(&mut self) {
        let (plan, rng) = (&self.world.plan, &mut self.world.rng);
        if !self.serving || self.order.is_some() || !rng.permille(plan.orders_permille) {
            return;
        }
        let first = if rng.percent(50) {
            rng.below(plan.main_sectors)
        } else {
            plan.hot_sector / 2 + rng.below(plan.main_sectors.min(192))
        };
        let sectors = rng.range(1, rng_limit(plan.main_sectors - first));
        let release = self.world.rng.percent(60);
        self.order = Some(Order { first, sectors, release });
    }

    /// An order has ended: what it says it did is all that was asked for.
    pub fn order_done(&mut self, machine: &Machine, order: Order) -> Result<(), Failure> {
        let (done, next) = match machine {
            Machine::Relocate(relocate) => {
                let t = relocate.tally();
                self.world.stats.relocated += t.remapped;
                (t.remapped + t.mapped + t.unreadable + t.failed, t.next)
            }
            Machine::Release(release) => {
                let t = release.tally();
                self.world.stats.released += t.released;
                (t.released + t.main + t.lost + t.unreadable + t.failed, t.next)
            }
            Machine::Write(_) | Machine::Read(_) => return Ok(()),
        };
        let right = next.map_or(order.sectors, |next| next.0 - order.first);
        match done == right {
            true => Ok(()),
            false => {
                Err(self.world.failure(None, format!("{order:?} accounts for {done} sectors of {right}")))
            }
        }
    }

    /// A planted bug lets bios on to groups that are being released.
    pub(crate) fn planted_unhold(&mut self, running: &Running) {
        let (Work::Order(order), Some(Planted::ReleaseWithoutHold)) =
            (running.work, self.world.options.planted)
        else {
            return;
        };
        for group in (order.first / 8..=(order.first + order.sectors) / 8).map(Group) {
            if let Some((slot, record)) =
                self.table.record_of(group).filter(|(_, r)| r.usage() == Use::Mapped)
            {
                self.table.set_record(slot, record.with_held(false));
            }
        }
    }

    /// A planted bug waits for fewer.
    pub(crate) fn planted_lanes(&self, lanes: Lanes) -> Lanes {
        if self.world.options.planted != Some(Planted::DrainWritesOnly) {
            return lanes;
        }
        let (regions, groups) = (Regions::new(self.engine.shape().sectors), self.engine.shape().groups());
        let writes = (0..groups).map(Group).fold(Lanes::NONE, |all, g| all.with(regions.writes_to(g, g)));
        if lanes == Lanes::ALL {
            writes
        } else {
            lanes
        }
    }

    /// A planted bug, that goes on when the time of a drain is over, gives it none.
    pub(crate) fn planted_limit(&self, steps: u64) -> u64 {
        match self.world.options.planted {
            Some(Planted::IgnoreTimeout) => 0,
            _ => steps,
        }
    }

    /// A planted bug forgets an order that waits for nothing but the end of a drain, after which slots would be free or retired.
    pub(crate) fn planted_leak(&self, running: &Running, lanes: Lanes) -> bool {
        let last = matches!(running.work, Work::Order(_)) && lanes == Lanes::ALL;
        last && self.world.options.planted == Some(Planted::LeakSlot)
    }

    /// What is said of a drain whose time is over; a planted bug says that all have left.
    pub(crate) fn planted_timeout(&self) -> Event {
        match self.world.options.planted {
            Some(Planted::IgnoreTimeout) => Event::Drained,
            _ => Event::Undrained,
        }
    }

    /// A planted bug does not wait in this drain.
    pub(crate) fn planted_drain(&self, running: &Running) -> bool {
        match self.world.options.planted {
            Some(Planted::SkipDrain) => true,
            Some(Planted::MoveWithoutDrain) => matches!(running.machine, Machine::Write(_)),
            Some(Planted::ReleaseWithoutDrain) => matches!(running.machine, Machine::Release(_)),
            _ => false,
        }
    }

    /// A planted bug reports a flush of main that a release asks for without doing it.
    pub(crate) fn planted_flush(&self, running: &Running, request: &IoRequest) -> bool {
        self.world.options.planted == Some(Planted::ReleaseWithoutFlush)
            && matches!(running.work, Work::Order(_))
            && (request.device, request.op) == (Device::Main, Op::Flush)
    }
}

/// Most sectors of an order, where so many are left.
fn rng_limit(left: u64) -> u64 {
    left.min(400)
}
