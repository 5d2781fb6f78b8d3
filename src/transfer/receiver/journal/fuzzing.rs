//! Journals with right checks, for `fuzz/`: a fuzzer finds none.

use super::{BLOCKS, ENTRIES, Encoder, MAGIC, OFFER, check_of};
use crate::transfer::receiver::fuzzing::journal;

/// As a journal, and as the frames of one: a line each, whose first byte is its kind. Blocks are in hexadecimal
/// digits.
pub fn transfer_journal(data: &[u8]) {
    journal(data);
    let mut encoder = Encoder {
        check: check_of(&[MAGIC]),
    };
    let mut bytes = MAGIC.to_vec();
    for line in data.split(|byte| *byte == b'\n') {
        match line.split_first() {
            Some((b'o', json)) => encoder.frame(OFFER, json, &mut bytes),
            Some((b'e', json)) => encoder.frame(ENTRIES, json, &mut bytes),
            Some((b'b', digits)) => encoder.frame(BLOCKS, &from_digits(digits), &mut bytes),
            Some((kind, rest)) => encoder.frame(*kind, rest, &mut bytes),
            None => {}
        }
    }
    journal(&bytes);
    // Cut off, as a crash leaves it.
    journal(&bytes[..bytes.len() - data.len().min(bytes.len()) / 2]);
}

fn from_digits(digits: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_default() as u8;
    let (pairs, _) = digits.as_chunks::<2>();
    pairs
        .iter()
        .map(|[a, b]| digit(*a) << 4 | digit(*b))
        .collect()
}
