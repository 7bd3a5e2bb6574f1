//! What a session does for the machine of a repair context, and what it looks at meanwhile.

use remap_core::engine::host::{Draining, Host};
use remap_core::engine::machine::{same, Comparison, Drain};
use remap_core::error::ErrorKind;
use remap_core::io::IoRequest;

use crate::content;
use crate::session::Session;
use crate::under_way::context::{Running, Work};
use crate::under_way::flight::Owner;
use crate::world::Failure;

/// What a session does for the machine of a context.
pub(crate) struct Hosting<'a, 'w, 'e> {
    pub(crate) session: &'a mut Session<'w, 'e>,
    pub(crate) index: usize,
    pub(crate) running: &'a mut Running,
}

impl Host for Hosting<'_, '_, '_> {
    type Stop = Failure;

    fn load(&mut self, offset_sectors: u32, sectors: u32) -> Result<(), Failure> {
        if let Work::Bio(piece) = self.running.work {
            let (token, _) = self.session.write_of(piece);
            let first = piece.first + u64::from(offset_sectors);
            let buffer = &mut self.session.contexts[self.index].buffer;
            content::fill(token, first, &mut buffer[..sectors as usize * 512]);
        }
        Ok(())
    }

    fn store(&mut self, offset_sectors: u32, sectors: u32) -> Result<(), Failure> {
        let Work::Bio(piece) = self.running.work else {
            return Err(self.session.world.failure(None, "an order stores"));
        };
        let first = piece.first + u64::from(offset_sectors);
        let data = self.session.contexts[self.index].buffer[..sectors as usize * 512].to_vec();
        self.session.check_read(piece.task, first, &data)?;
        if let Some(read) = &mut self.running.read {
            read.give(offset_sectors, sectors);
        }
        Ok(())
    }

    fn submit(&mut self, request: IoRequest) -> Result<Option<Result<(), ErrorKind>>, Failure> {
        let session = &mut *self.session;
        if session.planted_flush(self.running, &request) {
            return Ok(Some(Ok(())));
        }
        let request = match &mut self.running.read {
            Some(read) => {
                let home = session.home_of_request(&request);
                read.asks(home.ok_or_else(|| session.world.failure(None, "a free slot is read"))?);
                session.check_tries(read, &request)?;
                session.planted_retry(request)
            }
            None => {
                session.check_placed(self.running, &request)?;
                session.check_alone(self.running, &request)?;
                request
            }
        };
        self.running.request = Some(request);
        session.submit_from(Owner::Repair(self.index), request, self.index);
        Ok(None)
    }

    fn is_same(&mut self, what: Comparison) -> bool {
        same(&self.session.contexts[self.index].buffer, what)
    }

    fn wake_committer(&mut self) {
        self.session.commit_awaited(self.running);
    }

    fn drain(&mut self, drain: Drain) -> Draining {
        self.session.planted_unhold(self.running);
        self.session.let_in_while_probed();
        let mark = self.session.gate.mark();
        let until_ms = self.session.drain_until(&mut self.running.machine, drain);
        Draining { lanes: drain.lanes, mark, until_ms }
    }

    fn steps(&self) -> u64 {
        self.session.progress
    }
}
