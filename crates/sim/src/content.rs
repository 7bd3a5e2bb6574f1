//! What the sectors of user data hold: which write they stem from, and for which sector it was meant.

/// Number of a write; 0 is what main held before the first.
pub type Token = u64;

/// What a discarded sector holds, which no write brought.
pub const ZEROS: Token = Token::MAX;

const SECTOR: usize = 512;
const MAGIC: [u8; 8] = *b"simdata!";

/// Fills `out`, whole sectors, with the content of write `token` for the sectors from `first` on.
pub fn fill(token: Token, first: u64, out: &mut [u8]) {
    for (i, sector) in out.chunks_exact_mut(SECTOR).enumerate() {
        sector.fill(0x5a);
        sector[..8].copy_from_slice(&MAGIC);
        sector[8..16].copy_from_slice(&token.to_le_bytes());
        sector[16..24].copy_from_slice(&(first + i as u64).to_le_bytes());
    }
}

/// Content of write `token` for `sectors` sectors from `first` on.
pub fn data(token: Token, first: u64, sectors: u32) -> Vec<u8> {
    let mut out = vec![0; sectors as usize * SECTOR];
    fill(token, first, &mut out);
    out
}

/// How a report of a failure calls the content of a write.
pub fn name(token: Token) -> String {
    match token {
        ZEROS => "zeros".into(),
        token => format!("write {token}"),
    }
}

/// The write that the content of `sector` stems from, or what stands there instead.
pub fn token_of(sector: u64, bytes: &[u8]) -> Result<Token, String> {
    if bytes.iter().all(|b| *b == 0) {
        return Ok(ZEROS);
    }
    if bytes[..8] != MAGIC {
        return Err("bytes that no write brought".into());
    }
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
    match number(16) == sector {
        true => Ok(number(8)),
        false => Err(format!("content of sector {} (write {})", number(16), number(8))),
    }
}
