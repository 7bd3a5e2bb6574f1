//! Device-mapper, as far as the verbs need it.

#[cfg(test)]
pub mod fake;
pub mod ioctl;
pub mod node;

use crate::number::Number;
use std::io;

/// One line of a table or a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// First sector of the mapped device.
    pub start: u64,
    /// Length in sectors.
    pub sectors: u64,
    /// Name of the target.
    pub target: String,
    /// Everything after the name.
    pub text: String,
}

impl std::fmt::Display for Line {
    /// As `dmsetup` reads and prints it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{} {} {} {}", self.start, self.sectors, self.target, self.text);
        f.write_str(text.trim_end())
    }
}

/// State of a mapped device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// Its DM UUID.
    pub uuid: String,
    /// Its device number.
    pub number: Number,
    /// How often it is open.
    pub open_count: u32,
    /// It is suspended.
    pub suspended: bool,
    /// It takes no writes.
    pub readonly: bool,
}

/// The operations of device-mapper. Behind a trait so that the verbs can be tested without a kernel.
pub trait Dm {
    /// Names and versions of all targets that are loaded.
    fn targets(&self) -> io::Result<Vec<(String, [u32; 3])>>;
    /// Names of all mapped devices.
    fn names(&self) -> io::Result<Vec<String>>;
    /// State of a device.
    fn info(&self, name: &str) -> io::Result<Info>;
    /// Creates a device without a table.
    fn create(&self, name: &str, uuid: &str) -> io::Result<Info>;
    /// Loads a table.
    fn load(&self, name: &str, lines: &[Line], readonly: bool) -> io::Result<()>;
    /// Makes the loaded table live.
    fn resume(&self, name: &str) -> io::Result<()>;
    /// Removes a device; `deferred`: when its last user is gone.
    fn remove(&self, name: &str, deferred: bool) -> io::Result<()>;
    /// The live table.
    fn table(&self, name: &str) -> io::Result<Vec<Line>>;
    /// The status of the live table.
    fn status(&self, name: &str) -> io::Result<Vec<Line>>;
    /// Sends a message to the target at sector 0 and returns its reply.
    fn message(&self, name: &str, text: &str) -> io::Result<String>;
    /// The last line of the kernel log about our target since this object was made.
    fn kernel_said(&self) -> Option<String>;
    /// Waits for the node of a device to appear, or makes it where no udev does; its path.
    fn node_appears(&self, info: &Info) -> io::Result<String>;
    /// Sees to it that the node of a removed device is gone.
    fn node_vanishes(&self, name: &str);
}
