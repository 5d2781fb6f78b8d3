//! Six words that are equal on both sides exactly when nobody is in the middle.

use super::certificates::Fingerprint;
use super::key::SALT;
use super::words;
use hkdf::Hkdf;
use sha2::Sha256;
use std::fmt;

/// Words in a phrase: 66 bits, too many to search for while a session is being set up.
const WORDS: usize = 6;

/// The phrase of one session, to be read aloud and compared. Not secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phrase([u16; WORDS]);

impl Phrase {
    /// Takes 11 bits a word from the first 66 bits, the most significant bit first.
    pub(super) fn from_bytes(bytes: [u8; 9]) -> Self {
        let mut number = [0; 16];
        number[..9].copy_from_slice(&bytes);
        let number = u128::from_be_bytes(number);
        Self(std::array::from_fn(|i| {
            (number >> (128 - 11 * (i + 1))) as u16 & 0x7ff
        }))
    }

    /// The phrase of a session without a code. It says who is at the other end only if it is compared over a
    /// channel that the server does not control.
    pub fn of_certificates(offerer: &Fingerprint, answerer: &Fingerprint) -> Self {
        let mut bytes = [0; 9];
        Hkdf::<Sha256>::new(Some(SALT), &[*offerer.bytes(), *answerer.bytes()].concat())
            .expand(b"phrase", &mut bytes)
            .expect("9 bytes are fewer than HKDF's 8160");
        Self::from_bytes(bytes)
    }

    /// The words in order.
    pub fn words(&self) -> [&'static str; WORDS] {
        self.0.map(words::word)
    }
}

impl fmt::Display for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_take_their_bits_from_the_front() {
        let phrase = Phrase::from_bytes([0, 0x20, 0, 0, 0, 0, 0, 0, 0x7f]);
        // Bit 10, the lowest of the first word, and bit 65, the lowest of the last; the six bits after it
        // belong to no word.
        assert_eq!(phrase.0, [1, 0, 0, 0, 0, 1]);
        assert_eq!(Phrase::from_bytes([0xff; 9]).0, [2047; 6]);
        assert_eq!(
            Phrase::from_bytes([0; 9]).to_string(),
            ["abandon"; 6].join(" ")
        );
    }

    #[test]
    fn certificates_in_the_other_order_have_another_phrase() {
        let (a, b) = (
            Fingerprint::of_certificate(b"a"),
            Fingerprint::of_certificate(b"b"),
        );
        assert_eq!(
            Phrase::of_certificates(&a, &b),
            Phrase::of_certificates(&a, &b)
        );
        assert_ne!(
            Phrase::of_certificates(&a, &b),
            Phrase::of_certificates(&b, &a)
        );
    }
}
