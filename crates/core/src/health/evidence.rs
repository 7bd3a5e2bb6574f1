//! Evidence of a monitor about main, SMART above all: the message `evidence`.

use core::fmt;

use super::clock::DAY_S;

/// Evidence older than this, in seconds, is stale: it keeps its value, and says so.
pub const STALE_S: u64 = 3 * DAY_S as u64;
/// Highest value of `smart`.
pub const SMART_MAX: u16 = 1000;

/// The content of one message. Keys that are not in it say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// `smart=`: 0 to [`SMART_MAX`], a score that the monitor worked out.
    pub smart: Option<u16>,
    /// `smart_failed=`: the disk's own verdict is that it fails.
    pub smart_failed: Option<bool>,
    /// `smart_age_s=`: so many seconds ago the monitor asked the disk. 0 if not said.
    pub smart_age_s: Option<u32>,
    /// `smart_model=`: version of the monitor's model.
    pub smart_model: Option<u32>,
}

/// Why a message is refused. Nothing changes then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvidenceError {
    /// A word is not `<key>=<value>`, or there is none.
    Form,
    /// A key that does not exist.
    Key,
    /// A key is there twice.
    Twice,
    /// A value is no decimal number of its range.
    Value,
    /// Neither `smart` nor `smart_failed`: age or model of nothing.
    Nothing,
}

impl fmt::Display for EvidenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EvidenceError::Form => "evidence is a list of <key>=<value>",
            EvidenceError::Key => "keys of evidence are smart, smart_failed, smart_age_s and smart_model",
            EvidenceError::Twice => "a key of evidence is given twice",
            EvidenceError::Value => "a value of evidence is no decimal number or out of its range",
            EvidenceError::Nothing => "evidence needs smart or smart_failed",
        })
    }
}

/// A decimal number of digits alone, without a sign and without zeros in front of it.
fn number(text: &str, max: u32) -> Result<u32, EvidenceError> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let plain = plain && (text == "0" || !text.starts_with('0'));
    let number = plain.then(|| text.parse::<u32>().ok()).flatten();
    number.filter(|n| *n <= max).ok_or(EvidenceError::Value)
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), EvidenceError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(EvidenceError::Twice),
    }
}

impl Update {
    /// Reads the words behind `evidence`.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Update, EvidenceError> {
        let mut update = Update::default();
        let mut any = false;
        for word in words {
            any = true;
            let (key, value) = word.split_once('=').ok_or(EvidenceError::Form)?;
            match key {
                "smart" => once(&mut update.smart, number(value, u32::from(SMART_MAX))? as u16)?,
                "smart_failed" => once(&mut update.smart_failed, number(value, 1)? == 1)?,
                "smart_age_s" => once(&mut update.smart_age_s, number(value, u32::MAX)?)?,
                "smart_model" => once(&mut update.smart_model, number(value, u32::MAX)?)?,
                _ => return Err(EvidenceError::Key),
            }
        }
        match (any, update.smart.is_some() || update.smart_failed.is_some()) {
            (false, _) => Err(EvidenceError::Form),
            (true, false) => Err(EvidenceError::Nothing),
            (true, true) => Ok(update),
        }
    }
}

/// All evidence of monitors so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The latest `smart`.
    pub smart: Option<u16>,
    /// The latest `smart_failed`.
    pub smart_failed: Option<bool>,
    /// The latest `smart_model`.
    pub smart_model: Option<u32>,
    /// How old the latest message was when it came, in seconds.
    pub age_s: u32,
    /// Age of the health, in seconds, when it came.
    pub received_s: u32,
}

impl Evidence {
    /// Takes a message at an age of the health. A key that it leaves out stays.
    pub fn take(&mut self, update: &Update, age_s: u32) {
        self.smart = update.smart.or(self.smart);
        self.smart_failed = update.smart_failed.or(self.smart_failed);
        self.smart_model = update.smart_model.or(self.smart_model);
        self.age_s = update.smart_age_s.unwrap_or(0);
        self.received_s = age_s;
    }

    /// Whether anything was ever said.
    pub const fn is_known(&self) -> bool {
        self.smart.is_some() || self.smart_failed.is_some()
    }

    /// How old it is, in seconds; `None` if nothing was ever said.
    pub fn age_s(&self, age_s: u32) -> Option<u64> {
        let since = u64::from(age_s.saturating_sub(self.received_s));
        self.is_known().then(|| since.saturating_add(u64::from(self.age_s)))
    }

    /// Whether it is too old to be news.
    pub fn is_stale(&self, age_s: u32) -> bool {
        self.age_s(age_s).is_some_and(|age| age > STALE_S)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Update, EvidenceError> {
        Update::parse(text.split_whitespace())
    }

    #[test]
    fn all_keys_are_read() {
        let all = parse("smart=1000 smart_failed=1 smart_age_s=4294967295 smart_model=7").unwrap();
        assert_eq!((all.smart, all.smart_failed), (Some(1000), Some(true)));
        assert_eq!((all.smart_age_s, all.smart_model), (Some(u32::MAX), Some(7)));
        assert_eq!(parse("smart_failed=0").unwrap().smart_failed, Some(false));
    }

    #[test]
    fn s27_what_is_not_on_the_list_is_refused() {
        use EvidenceError::*;
        for (text, why) in [
            ("", Form),
            ("smart", Form),
            ("smart=", Value),
            ("smart=1001", Value),
            ("smart=-1", Value),
            ("smart=+1", Value),
            ("smart=01", Value),
            ("smart=0x1", Value),
            ("smart=1=2", Value),
            ("smart=99999999999999999999", Value),
            ("smart_failed=2", Value),
            ("smart_failed=yes", Value),
            ("smart_age_s=4294967296 smart=1", Value),
            ("Smart=1", Key),
            ("=1", Key),
            ("serial=1", Key),
            ("smart=1 smart=1", Twice),
            ("smart_age_s=1 smart_model=2", Nothing),
        ] {
            assert_eq!(parse(text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn it_is_stale_after_three_days_and_keeps_its_value() {
        let mut evidence = Evidence::default();
        assert_eq!((evidence.age_s(9), evidence.is_stale(u32::MAX)), (None, false));
        evidence.take(&parse("smart=300 smart_age_s=86400").unwrap(), 1000);
        assert_eq!(evidence.age_s(1000), Some(86_400));
        assert!(!evidence.is_stale(1000 + 2 * DAY_S) && evidence.is_stale(1001 + 2 * DAY_S));
        assert_eq!(evidence.smart, Some(300));
        evidence.take(&parse("smart_failed=1").unwrap(), u32::MAX);
        assert_eq!((evidence.smart, evidence.smart_failed), (Some(300), Some(true)));
        assert!(!evidence.is_stale(u32::MAX));
    }

    proptest! {
        #[test]
        fn no_text_panics(words in proptest::collection::vec("[ -~]{0,20}|smart[_a-z]{0,8}=[0-9]{0,12}", 0..6)) {
            let words: std::vec::Vec<&str> = words.iter().map(|w| w.as_str()).collect();
            if let Ok(update) = Update::parse(words) {
                prop_assert!(update.smart.is_none_or(|s| s <= SMART_MAX));
            }
        }
    }
}
