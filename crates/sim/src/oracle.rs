//! The oracle: what each sector may hold, by S1, S5, S6, S7 and S11 alone. It knows nothing of slots or metadata.

use std::collections::VecDeque;

use crate::content::{self, Token};

const TRACE_LEN: usize = 4000;

/// One write as a sector knows it.
#[derive(Clone, Debug)]
struct Version {
    token: Token,
    start: u64,
    /// When it completed, failed, or was cut off by a crash; `None` while in flight.
    end: Option<u64>,
    ok: bool,
    fua: bool,
    /// A later flush, or FUA, has promised that it stays.
    durable: bool,
    /// From then on it cannot be read any more, unless a crash brings it back.
    hidden: Option<u64>,
    /// No crash can bring it back; readers that began before it was hidden may still have it.
    gone: bool,
}

#[derive(Clone, Debug, Default)]
struct SectorState {
    versions: Vec<Version>,
    /// Written since the set was loaded.
    written: bool,
    /// When the place where the content lives has last failed a read.
    unreadable: Option<u64>,
    /// When a write last ended that.
    healed: u64,
    /// When a write completed whose content had a slot, so that the sector must stay mapped.
    mapped: Option<u64>,
    /// A removal of its mapping may be on disk, although nobody was told.
    removal: bool,
    /// Main has failed to read it, and no write has ended well there since, in this session.
    unreadable_on_main: bool,
}

impl SectorState {
    /// The set is loaded again, and the mapping may be gone.
    fn forget_removed(&mut self) {
        if std::mem::take(&mut self.removal) {
            self.mapped = None;
        }
    }
}

/// What is known about every sector of main.
pub struct Oracle {
    sectors: Vec<SectorState>,
    now: u64,
    last_flush: u64,
    trace: VecDeque<(u64, u64, u64, String)>,
    /// Step of the history, for the trace.
    pub step: u64,
    /// Print every event.
    pub verbose: bool,
}

impl Oracle {
    /// Main as it is before the first write: token 0 everywhere.
    pub fn new(sectors: u64) -> Oracle {
        let first = Version {
            token: 0,
            start: 0,
            end: Some(0),
            ok: true,
            fua: false,
            durable: true,
            hidden: None,
            gone: false,
        };
        let state = SectorState { versions: vec![first], ..SectorState::default() };
        Oracle {
            sectors: vec![state; sectors as usize],
            now: 1,
            last_flush: 0,
            trace: VecDeque::new(),
            step: 0,
            verbose: false,
        }
    }

    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    /// Notes something that touched sectors, for the report of a failure.
    pub fn note(&mut self, first: u64, sectors: u64, what: impl Into<String>) {
        let what = what.into();
        if self.verbose {
            println!("step {}: {first}+{sectors} {what}", self.step);
        }
        if self.trace.len() == TRACE_LEN {
            self.trace.pop_front();
        }
        self.trace.push_back((self.step, first, sectors, what));
    }

    /// The last `most` events that touched `sector`, or everything.
    pub fn trace(&self, sector: u64, most: usize) -> String {
        let touches = |f: u64, n: u64| n == 0 || (f <= sector && sector < f.saturating_add(n));
        let lines: Vec<String> = self
            .trace
            .iter()
            .filter(|(_, f, n, _)| touches(*f, *n))
            .map(|(step, f, n, what)| match n {
                0 => format!("  step {step}: {what}"),
                _ => format!("  step {step}: {f}+{n} {what}"),
            })
            .collect();
        lines[lines.len().saturating_sub(most)..].join("\n")
    }

    fn range(&mut self, first: u64, sectors: u32) -> &mut [SectorState] {
        &mut self.sectors[first as usize..first as usize + sectors as usize]
    }

    /// A write begins.
    pub fn write_begins(&mut self, token: Token, first: u64, sectors: u32, fua: bool) {
        let start = self.tick();
        let (what, fua_too) = (content::name(token), if fua { " (FUA)" } else { "" });
        self.note(first, sectors.into(), format!("{what} begins{fua_too}"));
        for s in self.range(first, sectors) {
            s.written = true;
            let v = Version {
                token,
                start,
                end: None,
                ok: false,
                fua,
                durable: false,
                hidden: None,
                gone: false,
            };
            s.versions.push(v);
        }
    }

    /// A write has ended; `mapped` tells for a sector whether lookups find it in a slot now.
    pub fn write_ends(
        &mut self,
        token: Token,
        first: u64,
        sectors: u32,
        ok: bool,
        mapped: impl Fn(u64) -> bool,
    ) {
        let now = self.tick();
        self.note(first, sectors.into(), format!("write {token} {}", if ok { "completes" } else { "fails" }));
        for (i, s) in self.range(first, sectors).iter_mut().enumerate() {
            let Some(v) = s.versions.iter_mut().find(|v| v.token == token && v.end.is_none()) else {
                continue;
            };
            v.end = Some(now);
            v.ok = ok;
            v.durable = ok && v.fua;
            let (start, durable) = (v.start, v.durable);
            if !ok {
                continue;
            }
            if s.unreadable.take_if(|failed| *failed <= start).is_some() {
                s.healed = now;
            }
            if mapped(first + i as u64) {
                s.mapped.get_or_insert(now);
                s.removal = false;
            }
            for older in s.versions.iter_mut().filter(|v| v.end.is_some_and(|e| e < start)) {
                older.hidden.get_or_insert(now);
            }
            if durable {
                s.versions.iter_mut().for_each(|v| v.gone |= v.end.is_some_and(|e| e < start));
            }
        }
    }

    /// A write to these sectors was refused before any of it went to a device: its content is nowhere.
    pub fn write_refused(&mut self, token: Token, first: u64, sectors: u32) {
        self.note(first, sectors.into(), format!("write {token} is refused"));
        for s in self.range(first, sectors) {
            s.versions.retain(|v| v.token != token);
        }
    }

    /// Main is told to discard sectors that live there; the time to be given back at its end. From now on they may hold zeros, as
    /// after a write of zeros that nobody promised, and nothing else that they did not hold before (S18).
    pub fn discard_begins(&mut self, first: u64, sectors: u32) -> u64 {
        self.write_begins(content::ZEROS, first, sectors, false);
        self.now
    }

    /// The discard of these sectors that began at `began` has ended, well or not, which is all one.
    pub fn discard_ends(&mut self, began: u64, first: u64, sectors: u32) {
        let now = self.tick();
        self.note(first, sectors.into(), "discard ends");
        for s in self.range(first, sectors) {
            let of_discard = |v: &&mut Version| v.token == content::ZEROS && v.start == began;
            s.versions.iter_mut().filter(of_discard).for_each(|v| v.end = Some(now));
        }
    }

    /// A flush begins; the time to be given back at its end.
    pub fn flush_begins(&mut self) -> u64 {
        self.note(0, 0, "flush begins");
        self.tick()
    }

    /// A flush that began at `began` has succeeded.
    pub fn flush_succeeds(&mut self, began: u64) {
        self.note(0, 0, "flush completes");
        self.last_flush = self.last_flush.max(began);
        for s in &mut self.sectors {
            for v in &mut s.versions {
                v.durable |= v.ok && v.end.is_some_and(|e| e < began);
            }
            let floor = s.versions.iter().filter(|v| v.durable).map(|v| v.start).max().unwrap_or(0);
            s.versions.iter_mut().for_each(|v| v.gone |= v.end.is_some_and(|e| e < floor));
        }
    }

    /// A read begins; the time to be given back at its end.
    pub fn read_begins(&mut self) -> u64 {
        self.tick()
    }

    /// The device failed to read the place where the content of `sector` lives: an error is right until the next write.
    pub fn place_failed(&mut self, sector: u64) {
        let now = self.tick();
        if let Some(s) = self.sectors.get_mut(sector as usize) {
            s.unreadable = Some(now);
        }
        self.note(sector, 1, "the slot failed a read");
    }

    /// From now on the mapping of these sectors may go: the next load may find it gone.
    pub fn may_be_released(&mut self, first: u64, sectors: u64) {
        self.range(first, sectors as u32).iter_mut().for_each(|s| s.removal = true);
    }

    /// Sectors of a group need not be mapped any more.
    pub fn released(&mut self, first: u64, mask: u8) {
        for (_, s) in
            (0..8).zip(self.sectors.iter_mut().skip(first as usize)).filter(|(i, _)| mask & (1 << i) != 0)
        {
            s.mapped = None;
        }
    }

    /// Whether `sector` must be mapped, as content was acknowledged that has a slot.
    pub fn must_be_mapped(&self, sector: u64) -> bool {
        self.sectors[sector as usize].mapped.is_some()
    }

    /// A read brought an error for `sector`, since main could not read it; what was mapped since `began` is not meant.
    pub fn main_failed(&self, sector: u64, began: u64) -> Result<(), String> {
        match self.sectors[sector as usize].mapped {
            Some(at) if at < began => {
                Err("an error of main, although the content was stored in a slot".into())
            }
            _ => Ok(()),
        }
    }

    /// A read brought an error for `sector` without asking a device for it, at some time since `began`: it may have come there before a
    /// write did, and wait for others of its sectors since.
    pub fn refused(&self, sector: u64, began: u64) -> Result<(), String> {
        let s = &self.sectors[sector as usize];
        match s.unreadable.is_some() || s.healed > began {
            true => Ok(()),
            false => Err("an error, although the place where the content lives was readable".into()),
        }
    }

    /// Main has failed to read `sector`.
    pub fn unreadable_on_main(&mut self, sector: u64) {
        self.sectors[sector as usize].unreadable_on_main = true;
    }

    /// A write has ended well on main, of a user, a repair or a release.
    pub fn written_on_main(&mut self, first: u64, sectors: u32) {
        self.range(first, sectors).iter_mut().for_each(|s| s.unreadable_on_main = false);
    }

    /// `sector` is pending.
    pub fn may_be_pending(&self, sector: u64) -> bool {
        self.sectors.get(sector as usize).is_some_and(|s| s.unreadable_on_main)
    }

    /// The time as the oracle counts it.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// A read that began at `began` brought `token` for `sector`.
    pub fn read_ends(&mut self, began: u64, sector: u64, token: Token) -> Result<(), String> {
        let now = self.tick();
        let last_flush = self.last_flush;
        let s = &mut self.sectors[sector as usize];
        let readable = |v: &Version| v.hidden.is_none_or(|h| h > began);
        if !s.versions.iter().any(|v| v.token == token && readable(v)) {
            let right: Vec<_> =
                s.versions.iter().filter(|v| readable(v)).map(|v| content::name(v.token)).collect();
            return Err(format!("{}; right would be {}", content::name(token), right.join(" or ")));
        }
        if s.versions.iter().any(|v| v.end.is_none_or(|e| e >= began)) {
            return Ok(());
        }
        // Nothing was in flight: what was read is what is there, and stays.
        let settled = !s.written;
        let flushed = s.versions.iter().all(|v| v.end.is_some_and(|e| e < last_flush));
        for v in s.versions.iter_mut().filter(|v| v.token != token) {
            v.hidden.get_or_insert(now);
            v.gone |= settled || flushed && v.ok;
        }
        Ok(())
    }

    /// The power went away: writes in flight may have landed, and what was not promised may be gone.
    pub fn crash(&mut self) {
        let now = self.tick();
        self.note(0, 0, "crash");
        self.forget_session(now);
    }

    /// The set was closed and is loaded again; nothing was in flight. A failed write may have left a commit in doubt, and
    /// now what is on disk counts (S13).
    pub fn reload(&mut self) {
        for s in &mut self.sectors {
            s.forget_removed();
            s.unreadable_on_main = false;
            let floor = s.versions.iter().filter(|v| v.ok).map(|v| v.start).max().unwrap_or(0);
            for v in s.versions.iter_mut().filter(|v| !v.ok && v.end.is_some_and(|e| e >= floor)) {
                v.hidden = None;
            }
        }
        self.note(0, 0, "closed");
    }

    fn forget_session(&mut self, now: u64) {
        for s in &mut self.sectors {
            s.forget_removed();
            s.written = false;
            s.unreadable_on_main = false;
            s.versions.retain(|v| !v.gone);
            for v in &mut s.versions {
                v.end.get_or_insert(now);
                v.hidden = None;
                // What was not promised counts as no better than a write that failed.
                v.ok = v.durable;
            }
        }
    }
}
