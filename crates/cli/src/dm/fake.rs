//! A device-mapper for tests: one set, one other device, and a record of what was asked.

use super::{Dm, Info, Line};
use crate::number::Number;
use std::cell::RefCell;
use std::io;

/// Answers are set up front; calls that change something are recorded.
#[derive(Debug, Default)]
pub struct FakeDm {
    /// Mapped devices.
    pub devices: Vec<(Info, Vec<Line>, Vec<Line>)>,
    /// Targets that are loaded.
    pub targets: Vec<(String, [u32; 3])>,
    /// Number of the error with which loading a table fails.
    pub load_error: Option<i32>,
    /// What the kernel log says.
    pub said: Option<String>,
    /// Messages and their replies.
    pub replies: Vec<(String, String)>,
    /// Messages that fail, and the number of the error.
    pub message_errors: Vec<(String, i32)>,
    /// Messages that were sent.
    pub sent: RefCell<Vec<String>>,
    /// What was asked.
    pub recorded: RefCell<Vec<String>>,
}

impl FakeDm {
    /// A set and a device of another target.
    pub fn with_set(name: &str, uuid: &str, number: Number, open_count: u32) -> FakeDm {
        let info = |name: &str, uuid: &str| Info {
            name: name.into(),
            uuid: uuid.into(),
            number,
            open_count,
            suspended: false,
            readonly: false,
        };
        let line = |target: &str, text: &str| Line {
            start: 0,
            sectors: 100_000,
            target: target.into(),
            text: text.into(),
        };
        let table = line("remap", "0:4001 2048 1 0:4002 0");
        let status =
            line("remap", "rw 3/1950 8 - 5/5 1 12 11 1 40 9 - d0010203-0405-4607-8809-0a0b0c0d0e0f 0");
        let other = line("linear", "0:4003 0");
        FakeDm {
            devices: vec![
                (info("other", ""), vec![other.clone()], vec![other]),
                (info(name, uuid), vec![table], vec![status]),
            ],
            ..FakeDm::default()
        }
    }

    /// As [`FakeDm::with_set`], of a set of which `open` was cut off: the device has no table.
    pub fn half_open(uuid: &str) -> FakeDm {
        let mut dm = FakeDm::with_set("archive", uuid, Number { major: 254, minor: 3 }, 0);
        let (_, tables, states) = &mut dm.devices[1];
        tables.clear();
        states.clear();
        dm
    }

    /// What was asked, in order.
    pub fn calls(&self) -> Vec<String> {
        self.recorded.borrow().clone()
    }

    fn call(&self, text: String) -> io::Result<()> {
        self.recorded.borrow_mut().push(text);
        Ok(())
    }

    fn find(&self, name: &str) -> io::Result<&(Info, Vec<Line>, Vec<Line>)> {
        self.devices.iter().find(|(info, ..)| info.name == name).ok_or(io::Error::from_raw_os_error(6))
    }
}

impl Dm for FakeDm {
    fn targets(&self) -> io::Result<Vec<(String, [u32; 3])>> {
        Ok(self.targets.clone())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.devices.iter().map(|(info, ..)| info.name.clone()).collect())
    }

    fn info(&self, name: &str) -> io::Result<Info> {
        let blank = |name: &str| Info {
            name: name.into(),
            uuid: String::new(),
            number: Number { major: 0, minor: 4000 },
            open_count: 0,
            suspended: false,
            readonly: false,
        };
        let created = self.calls().iter().any(|call| call.starts_with(&format!("create {name} ")));
        self.find(name)
            .map(|(info, ..)| info.clone())
            .or_else(|e| if created { Ok(blank(name)) } else { Err(e) })
    }

    fn create(&self, name: &str, uuid: &str) -> io::Result<Info> {
        self.call(format!("create {name} {uuid}"))?;
        self.info(name)
    }

    fn load(&self, name: &str, lines: &[Line], readonly: bool) -> io::Result<()> {
        let access = if readonly { " read-only" } else { "" };
        for line in lines {
            self.call(format!("load {name} {line}{access}"))?;
        }
        self.load_error.map_or(Ok(()), |number| Err(io::Error::from_raw_os_error(number)))
    }

    fn resume(&self, name: &str) -> io::Result<()> {
        self.call(format!("resume {name}"))
    }

    fn remove(&self, name: &str, _: bool) -> io::Result<()> {
        self.call(format!("remove {name}"))
    }

    fn table(&self, name: &str) -> io::Result<Vec<Line>> {
        self.find(name).map(|(_, table, _)| table.clone())
    }

    fn status(&self, name: &str) -> io::Result<Vec<Line>> {
        self.find(name).map(|(.., status)| status.clone())
    }

    fn message(&self, _: &str, text: &str) -> io::Result<String> {
        self.sent.borrow_mut().push(text.into());
        if let Some((_, number)) = self.message_errors.iter().find(|(message, _)| message == text) {
            return Err(io::Error::from_raw_os_error(*number));
        }
        let reply = self.replies.iter().find(|(message, _)| message == text);
        reply.map(|(_, reply)| reply.clone()).ok_or(io::Error::from_raw_os_error(22))
    }

    fn kernel_said(&self) -> Option<String> {
        self.said.clone()
    }

    fn node_appears(&self, info: &Info) -> io::Result<String> {
        Ok(format!("/dev/mapper/{}", info.name))
    }

    fn node_vanishes(&self, _: &str) {}
}
