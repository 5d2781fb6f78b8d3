//! The fingerprint of a certificate that nobody but itself has signed.

use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// The SHA-256 of a server's certificate in DER, written `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

/// Not a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is sha256: and 64 hexadecimal digits, as the server prints it")]
pub struct FingerprintError;

impl Fingerprint {
    pub(super) fn matches(&self, certificate: &[u8]) -> bool {
        // Both are public: nothing is learnt from how long it takes.
        self.0 == *Sha256::digest(certificate)
    }
}

/// Colons and spaces between the digits, and capitals, are taken too, as other programs write it.
impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let text = text.trim().to_ascii_lowercase();
        let digits = text.strip_prefix("sha256:").unwrap_or(&text);
        let mut digits = digits.bytes().filter(|byte| !matches!(byte, b':' | b' '));
        let mut digit = || {
            let byte = digits.next()?;
            char::from(byte).to_digit(16)
        };
        let mut bytes = [0; 32];
        for byte in &mut bytes {
            let (high, low) = digit().zip(digit()).ok_or(FingerprintError)?;
            *byte = u8::try_from(high * 16 + low).map_err(|_| FingerprintError)?;
        }
        match digits.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(FingerprintError),
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_it_is_written_and_as_others_write_it() {
        let text = format!("sha256:{}", "0a".repeat(32));
        let fingerprint: Fingerprint = text.parse().unwrap();
        assert_eq!(fingerprint.to_string(), text);
        let colons = ["0A"; 32].join(":");
        assert_eq!(colons.parse(), Ok(fingerprint));
        assert_eq!(format!(" {text} ").parse(), Ok(fingerprint));
        for wrong in [
            "",
            "sha256:",
            "sha1:0a",
            &"0a".repeat(31),
            &"0a".repeat(33),
            &"0g".repeat(32),
            &"é".repeat(32),
        ] {
            assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
        }
    }
}
