//! The UUID of a set, and short texts in fixed fields.

use core::fmt;

/// The UUID of a set. Shown as 8-4-4-4-12 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SetId(pub [u8; 16]);

impl SetId {
    /// A UUID of random bytes: version 4, variant 1 (RFC 9562).
    pub const fn from_random(mut bytes: [u8; 16]) -> SetId {
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        SetId(bytes)
    }
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Up to 64 bytes of UTF-8 without control characters, padded with zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text64([u8; 64]);

impl Default for Text64 {
    fn default() -> Text64 {
        Text64::EMPTY
    }
}

impl Text64 {
    /// No text.
    pub const EMPTY: Text64 = Text64([0; 64]);

    /// The text as a field, or `None` when it is longer than 64 bytes or holds a control character.
    pub fn new(text: &str) -> Option<Text64> {
        let mut bytes = [0; 64];
        for (place, byte) in bytes.get_mut(..text.len())?.iter_mut().zip(text.bytes()) {
            *place = byte;
        }
        Text64::from_bytes(&bytes)
    }

    /// Reads a field. `None`: not UTF-8, a control character, or something after the padding began.
    pub fn from_bytes(bytes: &[u8; 64]) -> Option<Text64> {
        let field = Text64(*bytes);
        let text = core::str::from_utf8(field.text_bytes()).ok()?;
        let padding = bytes.get(text.len()..)?;
        let sound = !text.chars().any(char::is_control) && padding.iter().all(|&b| b == 0);
        sound.then_some(field)
    }

    /// The field as it stands on disk.
    pub const fn to_bytes(&self) -> [u8; 64] {
        self.0
    }

    /// The text without its padding.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.text_bytes()).unwrap_or("")
    }

    /// True when there is no text.
    pub fn is_empty(&self) -> bool {
        self.text_bytes().is_empty()
    }

    fn text_bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|&b| b == 0).unwrap_or(self.0.len());
        self.0.get(..end).unwrap_or(&[])
    }
}

impl fmt::Display for Text64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Text64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn uuid_is_shown_in_five_groups() {
        let id = SetId(core::array::from_fn(|i| i as u8));
        assert_eq!(id.to_string(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }

    #[test]
    fn text_is_checked() {
        assert_eq!(Text64::new("Ümlaut 1").map(|t| t.to_string()), Some("Ümlaut 1".to_string()));
        assert!(Text64::new(&"x".repeat(64)).is_some());
        assert!(Text64::new(&"x".repeat(65)).is_none());
        assert!(Text64::new("a\u{1b}[31m").is_none());
        assert!(Text64::new("a\0b").is_none());
        assert!(Text64::from_bytes(&[0xff; 64]).is_none());
        assert!(Text64::EMPTY.is_empty());
    }
}
