//! What scenarios print, counted.

/// What scenarios said.
#[derive(Default)]
pub struct Tally {
    /// Tests that passed.
    pub passed: u32,
    /// What failed, by name.
    pub failed: Vec<String>,
}

/// Reads a guest's output line by line.
pub struct Reader<'a> {
    kernel: &'a str,
    /// Whose output it is at present.
    pub scenario: String,
    ended: bool,
    line: Vec<u8>,
    /// What was counted so far.
    pub tally: &'a mut Tally,
}

impl<'a> Reader<'a> {
    /// Of a guest with that kernel.
    pub fn new(kernel: &'a str, tally: &'a mut Tally) -> Reader<'a> {
        Reader { kernel, scenario: String::new(), ended: true, line: Vec::new(), tally }
    }

    /// The next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
            self.take(line.trim_end());
        }
    }

    fn take(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("begin ") {
            self.end_scenario();
            self.scenario = name.to_string();
            self.ended = false;
        } else if line == "end" {
            self.ended = true;
        } else if let Some(name) = line.strip_prefix("ok ") {
            println!("{} {}: ok {name}", self.kernel, self.scenario);
            self.tally.passed += 1;
        } else if let Some(name) = line.strip_prefix("FAIL ") {
            self.fail(name);
        } else {
            println!("{} {}: {line}", self.kernel, self.scenario);
        }
    }

    /// Something of the scenario failed.
    pub fn fail(&mut self, name: &str) {
        println!("{} {}: FAIL {name}", self.kernel, self.scenario);
        self.tally.failed.push(format!("{} {}: {name}", self.kernel, self.scenario));
    }

    /// A scenario that never came to its end is a failure of its own.
    pub fn end_scenario(&mut self) {
        if !self.ended {
            self.fail("did not come to its end");
            self.ended = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_counted() {
        let mut tally = Tally::default();
        let mut reader = Reader::new("k", &mut tally);
        reader.feed(b"begin one\nok a\nFAIL b (status 1)\nend\nbegin tw");
        reader.feed(b"o\nok c\n");
        reader.end_scenario();
        assert_eq!(tally.passed, 2);
        assert_eq!(tally.failed.len(), 2);
    }
}
