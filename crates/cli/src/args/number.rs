//! Numbers of sectors as users type them.

const SECTOR_BYTES: u64 = 512;

/// Sectors: a plain number, decimal or `0x`, or one with a unit. `1G` and `1GiB` are 2^30 bytes, `64s` are 64 sectors.
pub fn sectors(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let bytes_each = match unit.to_ascii_lowercase().as_str() {
        "" | "s" => return Ok(number),
        "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "p" | "pib" => 1 << 50,
        _ => {
            return Err(format!("the unit \"{unit}\" is none of s, B, K, M, G, T, P (as in 64s, 1G or 1GiB)"))
        }
    };
    let bytes = number.checked_mul(bytes_each).ok_or("that is more than 16 EiB")?;
    if bytes % SECTOR_BYTES != 0 {
        return Err(format!("{bytes} bytes are no whole number of sectors of {SECTOR_BYTES} bytes"));
    }
    Ok(bytes / SECTOR_BYTES)
}

/// As [`sectors`], at least one.
pub fn count(text: &str) -> Result<u64, String> {
    sectors(text).and_then(|n| if n == 0 { Err("at least 1 is needed".into()) } else { Ok(n) })
}

/// A number of slots: a plain number, or the room that they are to have, with a unit.
pub fn slots(text: &str) -> Result<u32, String> {
    let (number, unit) = split(text)?;
    let slots = if unit.is_empty() { number } else { sectors(text)? / 8 };
    u32::try_from(slots).map_err(|_| format!("{slots} are more slots than a spare can have"))
}

/// Digits and what follows them.
fn split(text: &str) -> Result<(u64, &str), String> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    let (number, unit) = digits.split_at(end);
    if number.is_empty() {
        return Err("a number is wanted, as in 2048, 0x800, 64s or 1G".into());
    }
    let number = u64::from_str_radix(number, radix).map_err(|_| "the number is too large")?;
    Ok((number, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_as_users_type_them() {
        for (text, wanted) in [
            ("0", 0),
            ("2048", 2048),
            ("0x10", 16),
            ("0X1f", 31),
            ("0x10s", 16),
            ("64s", 64),
            ("64S", 64),
            ("512B", 1),
            ("1K", 2),
            ("4KiB", 8),
            ("1M", 2048),
            ("1G", 2_097_152),
            ("1GiB", 2_097_152),
            ("2t", 1 << 32),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(sectors(text), Ok(wanted), "{text}");
        }
        for text in [
            "",
            "x",
            "-1",
            "1.5G",
            "1 G",
            "1GB",
            "0x",
            "511B",
            "1X",
            "18446744073709551616",
            "99999999P",
            "G",
            "+1",
        ] {
            assert!(sectors(text).is_err(), "{text}: {:?}", sectors(text));
        }
        assert!(count("0").is_err() && count("0s").is_err() && count("1") == Ok(1));
        assert_eq!((slots("100"), slots("1G"), slots("0x10")), (Ok(100), Ok(262_144), Ok(16)));
        assert!(slots("64T").is_err());
    }
}
