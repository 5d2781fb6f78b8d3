//! Binding the certificates that DTLS used to the code: `docs/protocol.md` 3.2.

use super::key::{Certificates, Device, Key, KeySchedule, Named, Role};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// The SHA-256 of a certificate in DER.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

/// A text is not the SHA-256 fingerprint of a session description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint must be sha-256 and 32 bytes in hex, as in \"sha-256 AB:CD:…\"")]
pub struct FingerprintError;

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    pub fn of_certificate(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// The 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// Reads the value of `a=fingerprint`, in any case: `sha-256 AB:CD:…`.
impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let (hash, digits) = text.trim().split_once(' ').ok_or(FingerprintError)?;
        if !hash.eq_ignore_ascii_case("sha-256") {
            return Err(FingerprintError);
        }
        let mut bytes = [0; 32];
        let mut pairs = digits.split(':');
        for byte in &mut bytes {
            let pair = pairs
                .next()
                .filter(|pair| pair.len() == 2 && !pair.contains('+'));
            *byte = pair
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .ok_or(FingerprintError)?;
        }
        pairs
            .next()
            .is_none()
            .then_some(Self(bytes))
            .ok_or(FingerprintError)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha-256 ")?;
        for (i, byte) in self.0.iter().enumerate() {
            let colon = if i == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// The keys with which both sides vouch for the certificates that they saw.
#[derive(Debug)]
pub struct CertificateKeys {
    own: Key<Certificates>,
    peer: Key<Certificates>,
    named: Key<Named>,
    device: Key<Device>,
}

/// What two sides have of a session that nobody else has, and no other session of theirs: it depends on the
/// agreed key and on both certificates.
#[derive(Clone)]
pub struct Binding {
    name: [u8; 32],
    device: Key<Device>,
    certificates: Vec<u8>,
}

impl Binding {
    /// What signatures for this session cover.
    pub(crate) fn name(&self) -> &[u8; 32] {
        &self.name
    }

    /// A secret of the two devices with these keys.
    pub(crate) fn device_secret(&self, guest: &[u8; 32], host: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        let message = [&self.certificates[..], guest, host].concat();
        Zeroizing::new(self.device.tag(&message))
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Binding(…)")
    }
}

impl CertificateKeys {
    pub(super) fn new(schedule: &KeySchedule, role: Role) -> Self {
        Self {
            own: schedule.key(role),
            peer: schedule.key(role.other()),
            named: schedule.shared(),
            device: schedule.shared(),
        }
    }

    /// What binds other things to the session with these certificates.
    pub(crate) fn binding(&self, offerer: &Fingerprint, answerer: &Fingerprint) -> Binding {
        let certificates = joined(offerer, answerer);
        Binding {
            name: self.named.tag(&certificates),
            device: self.device.clone(),
            certificates,
        }
    }

    /// The value of `certificates` in this side's `hello`. The offerer is the one who sent the first offer.
    pub fn tag(&self, offerer: &Fingerprint, answerer: &Fingerprint) -> String {
        URL_SAFE_NO_PAD.encode(self.own.tag(&joined(offerer, answerer)))
    }

    /// Whether `tag`, the value of `certificates` in the peer's `hello`, vouches for the certificates that
    /// this side saw. If not, somebody is in the middle.
    #[must_use]
    pub fn verify(&self, tag: &str, offerer: &Fingerprint, answerer: &Fingerprint) -> bool {
        let tag = URL_SAFE_NO_PAD.decode(tag.as_bytes());
        tag.is_ok_and(|tag| self.peer.verifies(&joined(offerer, answerer), &tag))
    }
}

fn joined(offerer: &Fingerprint, answerer: &Fingerprint) -> Vec<u8> {
    [offerer.0, answerer.0].concat()
}

/// Bindings that are equal for equal numbers.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn test_binding(session: u8) -> Binding {
    let (a, b) = (
        Fingerprint::of_certificate(b"offerer"),
        Fingerprint::of_certificate(b"answerer"),
    );
    CertificateKeys::new(&KeySchedule::new(&[session; 64]), Role::Guest).binding(&a, &b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tags_verify_on_the_other_side_for_the_same_certificates_only() {
        let schedule = KeySchedule::new(&[1; 64]);
        let guest = CertificateKeys::new(&schedule, Role::Guest);
        let host = CertificateKeys::new(&schedule, Role::Host);
        let (a, b) = (
            Fingerprint::of_certificate(b"a"),
            Fingerprint::of_certificate(b"b"),
        );
        let tag = guest.tag(&a, &b);
        assert!(host.verify(&tag, &a, &b));
        assert!(!host.verify(&tag, &b, &a), "roles swapped");
        assert!(
            !host.verify(&tag, &a, &Fingerprint::of_certificate(b"c")),
            "another certificate"
        );
        assert!(!guest.verify(&tag, &a, &b), "its own tag, reflected");
        assert!(!host.verify(&tag[..42], &a, &b));
        assert!(!host.verify("", &a, &b));
        let other = CertificateKeys::new(&KeySchedule::new(&[2; 64]), Role::Host);
        assert!(!other.verify(&tag, &a, &b), "another session");
    }

    #[test]
    fn foreign_hashes_and_broken_digits_are_refused() {
        let good = Fingerprint::of_certificate(b"a").to_string();
        assert_eq!(
            good.to_lowercase().parse(),
            Ok(Fingerprint::of_certificate(b"a"))
        );
        for bad in [
            "",
            "sha-256",
            &good.replace("sha-256", "sha-1"),
            &good[..good.len() - 1],
            &good[..good.len() - 3],
            &format!("{good}:00"),
            &good.replacen(':', "", 1),
            &format!("sha-256 {}+1", &good[8..good.len() - 2]),
        ] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(FingerprintError), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn fingerprints_survive_being_shown_and_read(bytes: [u8; 32]) {
            let fingerprint = Fingerprint::from(bytes);
            prop_assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        }
    }
}
