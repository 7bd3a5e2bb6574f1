//! How much of a thread's stack the module takes, from the machine code itself: the frame of each function, and the deepest chain of
//! calls from where the kernel enters to where it is left again.

use std::collections::HashMap;
use std::path::Path;

use crate::finding::Finding;
use crate::sh::{cmd, Error, Result};
use crate::step::output;

/// The most that one function may take of the 16 KiB that a thread's stack has.
const FRAME_BYTES_MAX: u64 = 2048;

/// The most that a chain of calls within the module may take: below and above it the kernel's own frames lie.
const CHAIN_BYTES_MAX: u64 = 6144;

/// What a call pushes.
const RETURN_ADDRESS_BYTES: u64 = 8;

/// One function of the object.
#[derive(Debug, Default)]
struct Function {
    name: String,
    /// Section and address, by which local functions are called.
    at: (String, u64),
    frame_bytes: u64,
    /// Called while the frame is there.
    calls: Vec<Target>,
    /// Jumped to at the end, when the frame is gone.
    tail_calls: Vec<Target>,
    /// Whether it calls through a pointer.
    indirect: bool,
}

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    /// To a function of this name, of the module or of the kernel.
    Name(String),
    /// To what lies there.
    Place(String, u64),
}

impl Target {
    fn name(&self) -> &str {
        match self {
            Target::Name(name) => name,
            Target::Place(..) => "",
        }
    }
}

/// What the machine code does not show, by hand.
#[derive(Debug, Default)]
struct List<'a> {
    /// Pairs of caller and callee, patterns both.
    calls: Vec<(&'a str, &'a str)>,
    /// Functions that the calls go through again and again, and how often one chain does at most.
    nests: Vec<(&'a str, usize)>,
}

/// A callee of the list that stands for the kernel's own code.
const KERNEL: &str = "kernel";

/// Checks a finished module; `listed` is the text of `kernel/stack.calls`.
pub fn check(ko: &Path, listed: &str) -> Result<Finding> {
    let disassembly = output(cmd("objdump", ["-dr", "-C", "--no-show-raw-insn"]).arg(ko))?.out;
    let functions = parse(&disassembly);
    let list = parse_list(listed)?;
    let largest = functions.iter().max_by_key(|f| f.frame_bytes).ok_or("the module has no code")?;
    if largest.frame_bytes > FRAME_BYTES_MAX {
        return Err(Error(format!(
            "{} takes {} bytes of stack, more than {FRAME_BYTES_MAX}",
            largest.name, largest.frame_bytes
        )));
    }
    let chain = Graph::new(&functions, &list)?.deepest()?;
    if chain.bytes > CHAIN_BYTES_MAX {
        return Err(Error(format!(
            "a chain of calls takes {} bytes of stack, more than {CHAIN_BYTES_MAX}:\n{}",
            chain.bytes,
            chain.describe(&functions)
        )));
    }
    let top = chain.path.first().map_or("", |first| functions[*first].name.as_str());
    Ok(Finding {
        name: "stack",
        seen: format!(
            "frames at most {} of {FRAME_BYTES_MAX} bytes, in {}; chains at most {} of {CHAIN_BYTES_MAX}, below {top}",
            largest.frame_bytes, largest.name, chain.bytes
        ),
    })
}

/// The functions of a disassembly with relocations.
fn parse(disassembly: &str) -> Vec<Function> {
    let mut functions: Vec<Function> = Vec::new();
    // The last call or jump, until the next line tells by a relocation where it really goes.
    let mut pending: Option<(bool, Option<Target>)> = None;
    let mut section = "";
    for line in disassembly.lines() {
        if let Some(name) = line.strip_prefix("Disassembly of section ") {
            section = name.trim_end_matches(':');
            continue;
        }
        if let Some((address, name)) = function_start(line) {
            settle(&mut functions, pending.take());
            let at = (section.to_string(), address);
            functions.push(Function { name: name.to_string(), at, ..Function::default() });
            continue;
        }
        if let Some(target) = relocation(line) {
            if let Some((tail, _)) = pending {
                pending = Some((tail, Some(target)));
            }
            continue;
        }
        settle(&mut functions, pending.take());
        let Some(function) = functions.last_mut() else { continue };
        let Some(instruction) = line.split_once(":\t").map(|(_, rest)| rest.trim()) else { continue };
        function.frame_bytes += frame_bytes(instruction);
        pending = transfer(instruction);
    }
    settle(&mut functions, pending.take());
    functions
}

/// Address and name in a line such as `0000000000000010 <name>:`.
fn function_start(line: &str) -> Option<(u64, &str)> {
    let (address, name) = line.strip_suffix(">:")?.split_once(" <")?;
    Some((u64::from_str_radix(address, 16).ok()?, name))
}

/// Where a line such as `R_X86_64_PLT32 name-0x4` or `R_X86_64_PLT32 .text+0x1c` leads: distances count from behind the four bytes.
fn relocation(line: &str) -> Option<Target> {
    let (_, rest) = line.split_once("R_X86_64_")?;
    let (_, symbol) = rest.split_once(char::is_whitespace)?;
    let symbol = symbol.trim();
    let name = without_offset(symbol);
    if !name.starts_with('.') {
        return Some(Target::Name(name.to_string()));
    }
    let offset = symbol.strip_prefix(name)?;
    let offset = match offset.strip_prefix("+0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok()?.checked_add(4)?,
        // To the start of the section.
        None => 0,
    };
    Some(Target::Place(name.to_string(), offset))
}

/// A symbol without the `+0x10` or `-0x4` behind it.
fn without_offset(symbol: &str) -> &str {
    for sign in ["-0x", "+0x"] {
        if let Some((name, digits)) = symbol.rsplit_once(sign) {
            if digits.chars().all(|digit| digit.is_ascii_hexdigit()) {
                return name;
            }
        }
    }
    symbol
}

/// Whether an instruction leaves its function, as a tail call or not, and where to if it says so.
fn transfer(instruction: &str) -> Option<(bool, Option<Target>)> {
    let (mnemonic, operand) = instruction.split_once(char::is_whitespace).unwrap_or((instruction, ""));
    let tail = match mnemonic {
        "call" => false,
        _ if mnemonic.starts_with('j') => true,
        _ => return None,
    };
    let named = operand.split_once('<').and_then(|(_, name)| name.strip_suffix('>'));
    Some((tail, named.map(|name| Target::Name(without_offset(name).to_string()))))
}

/// Writes down what a call or jump turned out to be.
fn settle(functions: &mut [Function], transfer: Option<(bool, Option<Target>)>) {
    let (Some((tail, target)), Some(function)) = (transfer, functions.last_mut()) else { return };
    match target {
        Some(to) if to.name().starts_with("__x86_indirect_thunk") => function.indirect = true,
        Some(to) if tail && to.name() == function.name => {}
        Some(to) if to.name() == "__fentry__" || to.name().starts_with("__x86_return_thunk") => {}
        Some(to) if tail => function.tail_calls.push(to),
        Some(to) => function.calls.push(to),
        None => function.indirect = true,
    }
}

/// What an instruction takes of the stack. 128 bytes are added as -128, which is shorter, and given back by subtracting that.
fn frame_bytes(instruction: &str) -> u64 {
    if instruction.starts_with("push") {
        return 8;
    }
    let taken = |word: &str| {
        let operand = instruction.strip_prefix(word)?.trim_start();
        let digits = operand.strip_prefix("$0x")?.strip_suffix(",%rsp")?;
        u64::from_str_radix(digits, 16).ok().map(|bits| bits as i64)
    };
    let bytes = taken("sub ").or_else(|| taken("add ").map(i64::wrapping_neg));
    bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0)
}

fn parse_list(text: &str) -> Result<List<'_>> {
    let mut list = List::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some((caller, callee)) = line.split_once(" => ") {
            list.calls.push((caller.trim(), callee.trim()));
            continue;
        }
        let nests = line.split_once(" nests ").and_then(|(name, times)| Some((name, times.parse().ok()?)));
        list.nests.push(nests.ok_or_else(|| {
            Error(format!("kernel/stack.calls: neither CALLER => CALLEE nor FUNCTION nests TIMES: {line}"))
        })?);
    }
    Ok(list)
}

impl List<'_> {
    /// How often a chain of calls goes through a function at most, if the list says.
    fn nests(&self, name: &str) -> Option<usize> {
        self.nests.iter().find(|(nests, _)| matches(nests, name)).map(|(_, times)| *times)
    }
}

/// Whether a name is of a pattern in which `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = pattern.contains('*').then(|| pattern.rsplit('*').next().unwrap_or("")) else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    name.ends_with(last)
}

/// Which functions call which, by their places in the list of functions.
struct Graph<'a> {
    functions: &'a [Function],
    /// For each function, how often a chain goes through it at most, if that is limited by hand.
    nests: Vec<Option<usize>>,
    calls: Vec<Vec<usize>>,
    tail_calls: Vec<Vec<usize>>,
}

/// The deepest chain of calls from one function on.
#[derive(Clone, Debug, Default)]
struct Chain {
    bytes: u64,
    path: Vec<usize>,
}

impl Chain {
    fn describe(&self, functions: &[Function]) -> String {
        let lines = self.path.iter().map(|place| {
            let function = &functions[*place];
            format!("  {:5} {}", function.frame_bytes, function.name)
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl<'a> Graph<'a> {
    fn new(functions: &'a [Function], list: &List<'_>) -> Result<Graph<'a>> {
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (place, function) in functions.iter().enumerate() {
            places.entry(function.name.as_str()).or_default().push(place);
        }
        let resolve = |target: &Target| match target {
            Target::Name(name) => places.get(name.as_str()).cloned().unwrap_or_default(),
            Target::Place(section, address) => {
                let below =
                    functions.iter().enumerate().filter(|(_, f)| f.at.0 == *section && f.at.1 <= *address);
                below.max_by_key(|(_, f)| f.at.1).map(|(place, _)| place).into_iter().collect()
            }
        };
        let mut graph = Graph {
            functions,
            nests: functions.iter().map(|f| list.nests(&f.name)).collect(),
            calls: functions.iter().map(|f| f.calls.iter().flat_map(resolve).collect()).collect(),
            tail_calls: functions.iter().map(|f| f.tail_calls.iter().flat_map(resolve).collect()).collect(),
        };
        for (place, function) in functions.iter().enumerate() {
            let by_pointer = graph.add_listed(place, &function.name, list);
            if function.indirect && !by_pointer {
                return Err(Error(format!(
                    "{} calls through a pointer: write into kernel/stack.calls what it can call",
                    function.name
                )));
            }
            // A function of the kernel that calls back into the module before it returns.
            for name in function.calls.iter().chain(&function.tail_calls).map(Target::name) {
                if !name.is_empty() && !places.contains_key(name) {
                    graph.add_listed(place, name, list);
                }
            }
        }
        Ok(graph)
    }

    /// Adds what the list says of `caller` to the calls of the function at `place`; whether it says anything.
    fn add_listed(&mut self, place: usize, caller: &str, list: &List<'_>) -> bool {
        let mut found = false;
        for (_, callee) in list.calls.iter().filter(|(from, _)| matches(from, caller)) {
            found = true;
            if *callee == KERNEL {
                continue;
            }
            let callees = self.functions.iter().enumerate().filter(|(_, f)| matches(callee, &f.name));
            self.calls[place].extend(callees.map(|(callee, _)| callee));
        }
        found
    }

    fn deepest(&self) -> Result<Chain> {
        let mut search = Search { graph: self, known: HashMap::new(), open: Vec::new() };
        let mut deepest = Chain::default();
        for place in 0..self.functions.len() {
            let chain = search.from((place, 0))?;
            if chain.bytes > deepest.bytes {
                deepest = chain;
            }
        }
        Ok(deepest)
    }
}

/// A function, and how often the chain has gone through functions that nest.
type Step = (usize, usize);

/// The search for the deepest chain.
struct Search<'a> {
    graph: &'a Graph<'a>,
    known: HashMap<Step, Chain>,
    /// The steps from the first function of the chain to the one that is looked at.
    open: Vec<Step>,
}

impl Search<'_> {
    fn from(&mut self, (place, nested): Step) -> Result<Chain> {
        if let Some(chain) = self.known.get(&(place, nested)) {
            return Ok(chain.clone());
        }
        if let Some(at) = self.open.iter().position(|one| *one == (place, nested)) {
            return Err(self.circle(at));
        }
        let function = &self.graph.functions[place];
        let below = match self.graph.nests[place] {
            Some(most) if nested >= most => return Ok(Chain::default()),
            Some(_) => nested + 1,
            None => nested,
        };
        self.open.push((place, nested));
        let own = function.frame_bytes + RETURN_ADDRESS_BYTES;
        let mut chain = Chain { bytes: own, path: vec![place] };
        for (callees, kept) in [(&self.graph.calls[place], own), (&self.graph.tail_calls[place], 0)] {
            for callee in callees {
                let next = self.from((*callee, below))?;
                if next.bytes + kept > chain.bytes {
                    chain =
                        Chain { bytes: next.bytes + kept, path: [&[place], next.path.as_slice()].concat() };
                }
            }
        }
        self.open.pop();
        self.known.insert((place, nested), chain.clone());
        Ok(chain)
    }

    fn circle(&self, at: usize) -> Error {
        let names = self.open[at..].iter().map(|(place, _)| self.graph.functions[*place].name.as_str());
        let names: Vec<&str> = names.collect();
        Error(format!("calls go in a circle, so that no depth can be told: {}", names.join(" -> ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: &str = "\
Disassembly of section .text:

0000000000000000 <outer>:
   0:\tpush   %rbp
   1:\tsub    $0x100,%rsp
   8:\tcall   d <outer+0xd>
\t\t\t9: R_X86_64_PLT32\t<a as b>::inner-0x4
   d:\tjmp    12 <outer+0x12>
\t\t\te: R_X86_64_PLT32\t.text+0x3c

0000000000000020 <<a as b>::inner>:
  20:\tsub    $0x1000,%rsp
  27:\tsub    $0x8,%rsp
  2e:\tcall   33 <<a as b>::inner+0x13>
\t\t\t2f: R_X86_64_PLT32\t__x86_indirect_thunk_rax-0x4

0000000000000040 <last>:
  40:\tadd    $0xffffffffffffff80,%rsp
  44:\tje     40 <last>
  46:\tsub    $0xffffffffffffff80,%rsp
";

    #[test]
    fn frames_calls_and_tail_calls_are_read_from_a_disassembly() {
        let functions = parse(OBJECT);
        let names: Vec<&str> = functions.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["outer", "<a as b>::inner", "last"]);
        assert_eq!(functions.iter().map(|f| f.frame_bytes).collect::<Vec<_>>(), [0x108, 0x1008, 128]);
        assert_eq!(
            (functions[0].calls.len(), &functions[0].tail_calls),
            (1, &vec![Target::Place(".text".into(), 0x40)])
        );
        assert!(functions[1].indirect && !functions[0].indirect);
        assert!(functions[2].tail_calls.is_empty(), "a loop is no call");
    }

    #[test]
    fn a_chain_is_as_deep_as_the_frames_that_are_there_at_once() {
        let functions = parse(OBJECT);
        let listed = parse_list("*::inner => last\n").unwrap();
        let chain = Graph::new(&functions, &listed).unwrap().deepest().unwrap();
        assert_eq!(chain.bytes, 0x108 + 8 + 0x1008 + 8 + 128 + 8);
        assert_eq!(chain.path, [0, 1, 2]);
    }

    #[test]
    fn calls_through_pointers_must_be_listed_and_circles_are_refused() {
        let functions = parse(OBJECT);
        let refused = Graph::new(&functions, &List::default()).err().unwrap();
        assert!(refused.0.contains("<a as b>::inner calls through a pointer"), "{refused:?}");
        let circle = parse_list("*::inner => outer").unwrap();
        let refused = Graph::new(&functions, &circle).unwrap().deepest().unwrap_err();
        assert!(refused.0.contains("outer -> <a as b>::inner"), "{refused:?}");
        assert!(Graph::new(&functions, &parse_list("*inner => kernel").unwrap()).is_ok());
        assert!(parse_list("inner last").is_err());
        let nests = parse_list("*::inner => outer\nouter nests 2").unwrap();
        let chain = Graph::new(&functions, &nests).unwrap().deepest().unwrap();
        assert_eq!(chain.path, [1, 0, 1, 0, 1], "outer twice, and not a third time");
    }

    #[test]
    fn patterns_match_whole_names() {
        assert!(matches("core::fmt::write", "core::fmt::write"));
        assert!(!matches("core::fmt::write", "core::fmt::write_str"));
        assert!(matches("<* as core::fmt::Display>::fmt", "<u64 as core::fmt::Display>::fmt"));
        assert!(!matches("<* as core::fmt::Display>::fmt", "<u64 as core::fmt::Debug>::fmt"));
        assert!(matches("*", "anything") && !matches("a*b", "acd"));
    }
}
