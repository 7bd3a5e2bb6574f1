//! What every host does that has several machines under way at once: it carries out what a machine asks for, and finds out what the
//! machine can be told.

use super::protocol::{Comparison, Drain, Event, Next};
use crate::engine::set::Engine;
use crate::error::ErrorKind;
use crate::gate::Lanes;
use crate::io::IoRequest;

/// What a machine waits for before its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Nothing: this is what it is told.
    Nothing(Event),
    /// The end of its request.
    Io,
    /// [`Engine::commit_outcome`] of its context.
    Commit,
    /// The end of a drain.
    Drain(Draining),
    /// A step of another machine, after the host had counted so many steps.
    Claim(u64),
}

/// A drain under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draining {
    /// The lanes that are being drained.
    pub lanes: Lanes,
    /// Where the host's gate stood when the drain began.
    pub mark: u64,
    /// When it is given up, in milliseconds of the host's clock.
    pub until_ms: u64,
}

impl Wait {
    /// What the machine of repair context `context` can be told now; `None`: it goes on waiting. `steps` is how many steps of machines
    /// the host has counted.
    pub fn over(
        &self,
        engine: &Engine<'_>,
        context: usize,
        now_ms: u64,
        steps: u64,
        is_drained: impl FnOnce(&Draining) -> bool,
    ) -> Option<Event> {
        match self {
            Wait::Nothing(event) => Some(*event),
            Wait::Io => None,
            Wait::Commit => engine.commit_outcome(context).map(|_| Event::Committed),
            Wait::Drain(draining) if is_drained(draining) => Some(Event::Drained),
            Wait::Drain(draining) => (now_ms >= draining.until_ms).then_some(Event::Undrained),
            Wait::Claim(seen) => (steps != *seen).then_some(Event::Go),
        }
    }
}

/// What a host does for the machine of one repair context.
pub trait Host {
    /// Why the host itself cannot go on.
    type Stop;

    /// Copies a part of the bio's content to the start of the context's buffer.
    fn load(&mut self, offset_sectors: u32, sectors: u32) -> Result<(), Self::Stop>;

    /// Copies from the start of the context's buffer into a part of the bio.
    fn store(&mut self, offset_sectors: u32, sectors: u32) -> Result<(), Self::Stop>;

    /// Submits a request; how it ended, if it has ended already.
    fn submit(&mut self, request: IoRequest) -> Result<Option<Result<(), ErrorKind>>, Self::Stop>;

    /// Whether two parts of the context's buffer are the same.
    fn is_same(&mut self, what: Comparison) -> bool;

    /// Wakes the committer.
    fn wake_committer(&mut self);

    /// Begins a drain.
    fn drain(&mut self, drain: Drain) -> Draining;

    /// How many steps of machines there were.
    fn steps(&self) -> u64;
}

/// What became of a machine that a host obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obeyed {
    /// It waits.
    Waits(Wait),
    /// Its job has ended like this.
    Done(Result<(), ErrorKind>),
}

/// Has the host do what a machine asked for.
pub fn obey<H: Host>(host: &mut H, next: Next) -> Result<Obeyed, H::Stop> {
    let wait = match next {
        Next::Load { offset_sectors, sectors } => {
            host.load(offset_sectors, sectors)?;
            Wait::Nothing(Event::Loaded)
        }
        Next::Store { offset_sectors, sectors } => {
            host.store(offset_sectors, sectors)?;
            Wait::Nothing(Event::Stored)
        }
        Next::Io(request) => match host.submit(request)? {
            Some(result) => Wait::Nothing(Event::Io(result)),
            None => Wait::Io,
        },
        Next::Compare(what) => Wait::Nothing(Event::Compared(host.is_same(what))),
        Next::Commit => {
            host.wake_committer();
            Wait::Commit
        }
        Next::Drain(drain) => Wait::Drain(host.drain(drain)),
        Next::Yield => Wait::Nothing(Event::Go),
        Next::Wait => Wait::Claim(host.steps()),
        Next::Done(verdict) => return Ok(Obeyed::Done(verdict)),
    };
    Ok(Obeyed::Waits(wait))
}
