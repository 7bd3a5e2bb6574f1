//! The ioctl interface of device-mapper (`linux/dm-ioctl.h`, version 4).
//!
//! The `devicemapper` crate is not used: its present release asks for a newer compiler than this project, and every release
//! needs libclang, pkg-config and the development files of libdevmapper to build. What is needed here is nine commands;
//! the system call itself goes through `rustix`.

use super::{node, Dm, Info, Line};
use crate::number::Number;
use rustix::ioctl::{self, IoctlOutput, Opcode};
use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;

const CONTROL: &str = "/dev/mapper/control";
const HEADER_BYTES: usize = 312;
const NAME_BYTES: usize = 128;
const UUID_BYTES: usize = 129;
const TARGET_NAME_BYTES: usize = 16;
const TARGET_SPEC_BYTES: usize = 40;
const MESSAGE_HEAD_BYTES: usize = 8;

const AT_VERSION: usize = 0;
const AT_DATA_SIZE: usize = 12;
const AT_DATA_START: usize = 16;
const AT_TARGET_COUNT: usize = 20;
const AT_OPEN_COUNT: usize = 24;
const AT_FLAGS: usize = 28;
const AT_EVENT: usize = 32;
const AT_DEV: usize = 40;
const AT_NAME: usize = 48;
const AT_UUID: usize = 176;

const _: () = assert!(AT_NAME + NAME_BYTES == AT_UUID && AT_UUID + UUID_BYTES + 7 == HEADER_BYTES);

const FLAG_READONLY: u32 = 1;
const FLAG_SUSPEND: u32 = 1 << 1;
const FLAG_STATUS_TABLE: u32 = 1 << 4;
const FLAG_BUFFER_FULL: u32 = 1 << 8;
const FLAG_DATA_OUT: u32 = 1 << 16;
const FLAG_DEFERRED_REMOVE: u32 = 1 << 17;

/// Tells the udev rules of device-mapper that the event comes from a tool and is to be acted on.
const UDEV_PRIMARY_SOURCE: u32 = 0x0040 << 16;

/// Size of the first buffer for an answer, and of the largest: a table of 1,048,576 segments takes 64 MiB or so.
const BUFFER_BYTES_MIN: usize = 16 << 10;
const BUFFER_BYTES_MAX: usize = 256 << 20;

#[derive(Clone, Copy)]
#[repr(u8)]
enum Command {
    ListDevices = 2,
    Create = 3,
    Remove = 4,
    /// Suspend or, without the flag, resume.
    Suspend = 6,
    DeviceStatus = 7,
    Load = 9,
    TableStatus = 12,
    ListTargets = 13,
    Message = 14,
}

struct Call<'a> {
    command: Command,
    buffer: &'a mut [u8],
}

// SAFETY: every command of device-mapper takes a pointer to a `dm_ioctl` of 312 bytes and reads and writes at most the
// number of bytes that its field data_size states. `Request::fill` sets that field to the length of `buffer`, which is never
// shorter than 312 bytes. The structure holds plain numbers and bytes, and the kernel copies it without alignment.
unsafe impl ioctl::Ioctl for Call<'_> {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        ioctl::opcode::read_write::<[u8; HEADER_BYTES]>(0xfd, self.command as u8)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.buffer.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

/// What goes to the kernel with one command.
struct Request<'a> {
    name: &'a str,
    uuid: &'a str,
    flags: u32,
    event: u32,
    target_count: u32,
    data: Vec<u8>,
}

impl<'a> Request<'a> {
    fn of(name: &'a str) -> Request<'a> {
        Request { name, uuid: "", flags: 0, event: 0, target_count: 0, data: Vec::new() }
    }

    fn fill(&self, buffer: &mut [u8]) -> io::Result<()> {
        let too_long = || io::Error::from(io::ErrorKind::InvalidInput);
        buffer.fill(0);
        for (i, number) in [4u32, 0, 0].into_iter().enumerate() {
            put_u32(buffer, AT_VERSION + 4 * i, number);
        }
        put_u32(buffer, AT_DATA_SIZE, u32::try_from(buffer.len()).map_err(|_| too_long())?);
        put_u32(buffer, AT_DATA_START, HEADER_BYTES as u32);
        put_u32(buffer, AT_TARGET_COUNT, self.target_count);
        put_u32(buffer, AT_FLAGS, self.flags);
        put_u32(buffer, AT_EVENT, self.event);
        for (text, at, room) in [(self.name, AT_NAME, NAME_BYTES), (self.uuid, AT_UUID, UUID_BYTES)] {
            if text.len() >= room {
                return Err(too_long());
            }
            buffer[at..at + text.len()].copy_from_slice(text.as_bytes());
        }
        buffer[HEADER_BYTES..HEADER_BYTES + self.data.len()].copy_from_slice(&self.data);
        Ok(())
    }
}

/// The answer to a command.
struct Answer {
    buffer: Vec<u8>,
}

impl Answer {
    fn flags(&self) -> u32 {
        get_u32(&self.buffer, AT_FLAGS)
    }

    fn data(&self) -> &[u8] {
        let start = get_u32(&self.buffer, AT_DATA_START) as usize;
        let end = (get_u32(&self.buffer, AT_DATA_SIZE) as usize).min(self.buffer.len());
        self.buffer.get(start..end).unwrap_or(&[])
    }

    fn info(&self) -> Info {
        let dev = get_u64(&self.buffer, AT_DEV);
        Info {
            name: text_at(&self.buffer, AT_NAME),
            uuid: text_at(&self.buffer, AT_UUID),
            number: Number {
                major: (dev >> 8 & 0xfff) as u32,
                minor: (dev & 0xff) as u32 | (dev >> 12 & 0xf_ff00) as u32,
            },
            open_count: get_u32(&self.buffer, AT_OPEN_COUNT),
            suspended: self.flags() & FLAG_SUSPEND != 0,
            readonly: self.flags() & FLAG_READONLY != 0,
        }
    }

    /// The lines of a table or status. Each says where the next begins, counted from the first.
    fn lines(&self) -> Vec<Line> {
        let data = self.data();
        let mut lines = Vec::new();
        let mut at = 0;
        for _ in 0..get_u32(&self.buffer, AT_TARGET_COUNT) {
            if at + TARGET_SPEC_BYTES > data.len() {
                break;
            }
            lines.push(Line {
                start: get_u64(data, at),
                sectors: get_u64(data, at + 8),
                target: text_at(&data[..at + TARGET_SPEC_BYTES], at + 24),
                text: text_at(data, at + TARGET_SPEC_BYTES),
            });
            at = get_u32(data, at + 20) as usize;
        }
        lines
    }

    /// The names in a linked list; each item holds at `next_at` how far the following one is away, 0 for the last.
    fn items<T>(&self, next_at: usize, name_at: usize, item: impl Fn(&[u8], String) -> T) -> Vec<T> {
        let mut rest = self.data();
        let mut items = Vec::new();
        while rest.get(name_at).is_some_and(|&b| b != 0) {
            items.push(item(rest, text_at(rest, name_at)));
            match get_u32(rest, next_at) as usize {
                0 => break,
                next => rest = rest.get(next..).unwrap_or(&[]),
            }
        }
        items
    }
}

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
}

fn get_u32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_ne_bytes(*b))
}

fn get_u64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_ne_bytes(*b))
}

/// The text from `at` to the next zero byte.
fn text_at(bytes: &[u8], at: usize) -> String {
    let rest = bytes.get(at..).unwrap_or(&[]);
    let end = rest.iter().position(|&b| b == 0).unwrap_or(rest.len());
    String::from_utf8_lossy(&rest[..end]).into_owned()
}

/// The data of a load command. Each line says how far the next one is away.
fn table_data(lines: &[Line]) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    for line in lines {
        if line.target.len() >= TARGET_NAME_BYTES {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let at = data.len();
        let total = (TARGET_SPEC_BYTES + line.text.len() + 1).next_multiple_of(8);
        data.extend(line.start.to_ne_bytes());
        data.extend(line.sectors.to_ne_bytes());
        data.extend(0i32.to_ne_bytes());
        data.extend((total as u32).to_ne_bytes());
        data.extend(line.target.as_bytes());
        data.resize(at + TARGET_SPEC_BYTES, 0);
        data.extend(line.text.as_bytes());
        data.resize(at + total, 0);
    }
    Ok(data)
}

/// Device-mapper of the running kernel.
#[derive(Debug)]
pub struct Kernel {
    control: File,
    log: Option<node::KernelLog>,
}

impl Kernel {
    /// Opens the control device.
    pub fn open() -> io::Result<Kernel> {
        let control = OpenOptions::new().read(true).write(true).open(CONTROL)?;
        Ok(Kernel { control, log: node::KernelLog::from_now() })
    }

    fn send(&self, command: Command, request: &Request<'_>) -> io::Result<Answer> {
        let mut bytes = (HEADER_BYTES + request.data.len()).max(BUFFER_BYTES_MIN);
        loop {
            let mut buffer = vec![0; bytes];
            request.fill(&mut buffer)?;
            let call = Call { command, buffer: &mut buffer };
            // SAFETY: the descriptor is device-mapper's control node, and `Call` describes its commands.
            unsafe { ioctl::ioctl(&self.control, call) }?;
            let answer = Answer { buffer };
            if answer.flags() & FLAG_BUFFER_FULL == 0 || bytes >= BUFFER_BYTES_MAX {
                return Ok(answer);
            }
            bytes *= 4;
        }
    }

    fn table_status(&self, name: &str, flags: u32) -> io::Result<Vec<Line>> {
        Ok(self.send(Command::TableStatus, &Request { flags, ..Request::of(name) })?.lines())
    }
}

fn udev_event() -> u32 {
    if node::udev_runs() {
        UDEV_PRIMARY_SOURCE
    } else {
        0
    }
}

impl Dm for Kernel {
    fn targets(&self) -> io::Result<Vec<(String, [u32; 3])>> {
        let answer = self.send(Command::ListTargets, &Request::of(""))?;
        let version = |item: &[u8]| [4, 8, 12].map(|at| get_u32(item, at));
        Ok(answer.items(0, 16, |item, name| (name, version(item))))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let answer = self.send(Command::ListDevices, &Request::of(""))?;
        Ok(answer.items(8, 12, |_, name| name))
    }

    fn info(&self, name: &str) -> io::Result<Info> {
        Ok(self.send(Command::DeviceStatus, &Request::of(name))?.info())
    }

    fn create(&self, name: &str, uuid: &str) -> io::Result<Info> {
        Ok(self.send(Command::Create, &Request { uuid, ..Request::of(name) })?.info())
    }

    fn load(&self, name: &str, lines: &[Line], readonly: bool) -> io::Result<()> {
        let flags = if readonly { FLAG_READONLY } else { 0 };
        let target_count = u32::try_from(lines.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let data = table_data(lines)?;
        self.send(Command::Load, &Request { flags, target_count, data, ..Request::of(name) })?;
        Ok(())
    }

    fn resume(&self, name: &str) -> io::Result<()> {
        self.send(Command::Suspend, &Request { event: udev_event(), ..Request::of(name) })?;
        Ok(())
    }

    fn remove(&self, name: &str, deferred: bool) -> io::Result<()> {
        let flags = if deferred { FLAG_DEFERRED_REMOVE } else { 0 };
        self.send(Command::Remove, &Request { flags, event: udev_event(), ..Request::of(name) })?;
        Ok(())
    }

    fn table(&self, name: &str) -> io::Result<Vec<Line>> {
        self.table_status(name, FLAG_STATUS_TABLE)
    }

    fn status(&self, name: &str) -> io::Result<Vec<Line>> {
        self.table_status(name, 0)
    }

    fn message(&self, name: &str, text: &str) -> io::Result<String> {
        let mut data = vec![0; MESSAGE_HEAD_BYTES];
        data.extend(text.as_bytes());
        data.push(0);
        let answer = self.send(Command::Message, &Request { data, ..Request::of(name) })?;
        let replied = answer.flags() & FLAG_DATA_OUT != 0;
        Ok(if replied { text_at(answer.data(), 0) } else { String::new() })
    }

    fn kernel_said(&self) -> Option<String> {
        self.log.as_ref().and_then(node::KernelLog::last_about_us)
    }

    fn node_appears(&self, info: &Info) -> io::Result<String> {
        node::appears(info)
    }

    fn node_vanishes(&self, name: &str) {
        node::vanishes(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loaded_line_reads_back() {
        let line =
            Line { start: 0, sectors: 100_000, target: "remap".into(), text: "8:16 0 1 8:33 0".into() };
        let request = Request {
            target_count: 1,
            data: table_data(std::slice::from_ref(&line)).unwrap(),
            ..Request::of("archive")
        };
        let mut buffer = vec![0xaa; 1024];
        request.fill(&mut buffer).unwrap();
        let answer = Answer { buffer };
        assert_eq!(answer.lines(), [line]);
        assert_eq!(answer.info().name, "archive");
    }

    #[test]
    fn lines_follow_one_another_where_each_says() {
        let line = |start, text: &str| Line { start, sectors: 8, target: "linear".into(), text: text.into() };
        let data = table_data(&[line(0, "8:16 0"), line(8, "254:1000 123456789"), line(16, "")]).unwrap();
        let mut at = 0;
        for (start, text) in [(0, "8:16 0"), (8, "254:1000 123456789"), (16, "")] {
            assert_eq!(get_u64(&data, at), start);
            assert_eq!(text_at(&data, at + TARGET_SPEC_BYTES), text);
            at += get_u32(&data, at + 20) as usize;
        }
        assert_eq!(at, data.len());
    }

    #[test]
    fn lists_are_walked_to_their_end() {
        let mut data = vec![0u8; 64];
        data[0..8].copy_from_slice(&0xfe00u64.to_ne_bytes());
        data[8..12].copy_from_slice(&24u32.to_ne_bytes());
        data[12..15].copy_from_slice(b"one");
        data[36..39].copy_from_slice(b"two");
        let mut buffer = vec![0; 1024];
        Request { data, ..Request::of("") }.fill(&mut buffer).unwrap();
        assert_eq!(Answer { buffer }.items(8, 12, |_, name| name), ["one", "two"]);
    }

    #[test]
    fn device_numbers_are_unpacked() {
        let mut buffer = vec![0; HEADER_BYTES];
        // 259:70000, minor 0x11170: its low byte, then the rest above the major number.
        let dev: u64 = 0x70 | 259 << 8 | 0x111 << 20;
        buffer[AT_DEV..AT_DEV + 8].copy_from_slice(&dev.to_ne_bytes());
        assert_eq!(Answer { buffer }.info().number, Number { major: 259, minor: 70_000 });
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        let long = "x".repeat(NAME_BYTES);
        assert!(Request::of(&long).fill(&mut [0; 1024]).is_err());
    }
}
