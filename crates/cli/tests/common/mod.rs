//! Running the tool on image files. Not every test program uses all of it.

#![allow(dead_code)]

use remap_core::format::Superblock;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Bytes in a MiB.
pub const MIB: usize = 1 << 20;

/// How a run of the tool ended.
pub struct Output {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the tool, its input not a terminal.
pub fn dmremap(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dmremap"));
    let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
    Output {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

pub fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Image files of main and spare, all zero.
pub struct Files {
    _dir: tempfile::TempDir,
    pub main: PathBuf,
    pub spare: PathBuf,
}

impl Files {
    pub fn new(main_bytes: usize, spare_bytes: usize) -> Files {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: usize| {
            let path = dir.path().join(name);
            fs::File::create(&path).unwrap().set_len(bytes as u64).unwrap();
            path
        };
        Files { main: file("main", main_bytes), spare: file("spare", spare_bytes), _dir: dir }
    }

    pub fn main(&self) -> &str {
        self.main.to_str().unwrap()
    }

    pub fn spare(&self) -> &str {
        self.spare.to_str().unwrap()
    }
}

/// The superblocks of a region of 8 MiB, with the flag that a format is under way.
pub fn formatting_superblocks(region: &[u8]) -> Vec<[u8; 4096]> {
    let block: &[u8; 4096] = region[4096..8192].try_into().unwrap();
    let mut superblock = Superblock::decode(block, 0).unwrap();
    (superblock.formatting, superblock.seq) = (true, 1);
    let encode = |copy| {
        let mut block = [0; 4096];
        superblock.encode(copy, &mut block);
        block
    };
    (0..5).map(encode).collect()
}

/// Takes the flag *clean* from every superblock of a region of 8 MiB with five copies.
pub fn unclean(region: &mut [u8]) {
    for copy in 0..5 {
        let at = (usize::from(copy) * 408 + 1) * 4096;
        let block: &mut [u8; 4096] = (&mut region[at..at + 4096]).try_into().unwrap();
        let mut superblock = Superblock::decode(block, copy).unwrap();
        superblock.clean = false;
        superblock.encode(copy, block);
    }
}

/// The region that format version 1.0 left behind, from the tests of core: a line for each block that is not zero.
pub fn golden_region() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/golden/v1.0/region.txt");
    let mut region = vec![0; 8 * MIB];
    for line in fs::read_to_string(path).unwrap().lines() {
        let (number, digits) = line.split_once(' ').unwrap();
        let start = number.parse::<usize>().unwrap() * 4096;
        for (i, pair) in digits.as_bytes().chunks(2).enumerate() {
            region[start + i] = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        }
    }
    region
}

/// A run of `list` as "sector+sectors state slot@spare_sector".
pub fn in_short(run: &Value) -> String {
    let number = |key: &str| run[key].as_u64().map_or("-".into(), |n| n.to_string());
    let state = run["state"].as_str().unwrap();
    format!(
        "{}+{} {state} {}@{}",
        number("sector"),
        number("sectors"),
        number("slot"),
        number("spare_sector")
    )
}
