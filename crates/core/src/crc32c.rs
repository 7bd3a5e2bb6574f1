//! CRC32C (Castagnoli), eight bytes at a step, from tables that are computed at compile time.

/// The polynomial, bit-reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// `TABLES[k][b]` is the remainder of byte `b` followed by `k` zero bytes.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut t = [[0u32; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        t[0][i] = crc;
        i += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut i = 0;
        while i < 256 {
            let before = t[k - 1][i];
            t[k][i] = (before >> 8) ^ t[0][(before & 0xff) as usize];
            i += 1;
        }
        k += 1;
    }
    t
}

/// One table look-up. The index is a byte, so that the access is always in range.
#[inline(always)]
fn look_up(table: &[u32; 256], byte: u8) -> u32 {
    table[byte as usize]
}

/// CRC32C of the concatenation of `parts`.
pub(crate) fn crc32c(parts: &[&[u8]]) -> u32 {
    let mut crc = !0u32;
    for part in parts {
        crc = update(crc, part);
    }
    !crc
}

/// CRC32C of what `crc` is the checksum of, followed by `bytes`. The checksum of nothing is 0.
pub(crate) fn extend(crc: u32, bytes: &[u8]) -> u32 {
    !update(!crc, bytes)
}

fn update(mut crc: u32, mut bytes: &[u8]) -> u32 {
    let [t0, t1, t2, t3, t4, t5, t6, t7] = &TABLES;
    while let Some((&[a, b, c, d, e, f, g, h], rest)) = bytes.split_first_chunk::<8>() {
        let [a, b, c, d] = (crc ^ u32::from_le_bytes([a, b, c, d])).to_le_bytes();
        crc = look_up(t7, a)
            ^ look_up(t6, b)
            ^ look_up(t5, c)
            ^ look_up(t4, d)
            ^ look_up(t3, e)
            ^ look_up(t2, f)
            ^ look_up(t1, g)
            ^ look_up(t0, h);
        bytes = rest;
    }
    for &byte in bytes {
        let [low, ..] = crc.to_le_bytes();
        crc = (crc >> 8) ^ look_up(t0, low ^ byte);
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn published_vectors() {
        // RFC 3720, B.4, and the check value of the CRC catalogue.
        assert_eq!(crc32c(&[&[0u8; 32]]), 0x8a91_36aa);
        assert_eq!(crc32c(&[&[0xffu8; 32]]), 0x62a8_ab43);
        let mut up = [0u8; 32];
        for (i, b) in up.iter_mut().enumerate() {
            *b = i as u8;
        }
        assert_eq!(crc32c(&[&up]), 0x46dd_794e);
        up.reverse();
        assert_eq!(crc32c(&[&up]), 0x113f_db5c);
        assert_eq!(crc32c(&[b"123456789"]), 0xe306_9283);
        assert_eq!(crc32c(&[]), 0);
    }

    proptest! {
        #[test]
        fn agrees_with_another_implementation(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 0usize..300,
        ) {
            let expected = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&bytes);
            let (a, b) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(crc32c(&[&bytes]), expected);
            prop_assert_eq!(crc32c(&[a, b]), expected);
        }
    }
}
