//! What an administrator ordered.

use remap_core::engine::machine::Machine;
use remap_core::engine::order::Range;
use remap_core::engine::release::Release;
use remap_core::engine::relocate::Relocate;
use remap_core::engine::Engine;
use remap_core::units::Sector;

/// One order.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// First sector.
    pub first: u64,
    /// Length in sectors.
    pub sectors: u64,
    /// Content goes back to main; otherwise to slots.
    pub release: bool,
}

impl Order {
    /// The machine that carries it out, and the order as widened.
    pub fn machine(self, context: u8, engine: &Engine<'_>) -> (Machine, Order) {
        let range = Range { first: Sector(self.first), sectors: self.sectors };
        let (machine, range) = match self.release {
            true => {
                let release = Release::new(context, range, engine);
                let range = release.range();
                (Machine::Release(release), range)
            }
            false => {
                let relocate = Relocate::new(context, range, engine);
                let range = relocate.range();
                (Machine::Relocate(relocate), range)
            }
        };
        (machine, Order { first: range.first.0, sectors: range.sectors, ..self })
    }
}
