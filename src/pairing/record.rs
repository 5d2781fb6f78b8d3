//! Pairing records: the `data` of `sealed` messages.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Characters in the longest text that is decoded: no signaling message is longer.
pub const MAX_RECORD_TEXT: usize = 64 * 1024;

/// The version of the key agreement that this code speaks.
const VERSION: u8 = 1;

const SHARE_GUEST: u8 = 0x01;
const SHARE_HOST: u8 = 0x02;
const CONFIRM: u8 = 0x03;
const SEALED: u8 = 0x04;
const ABORT: u8 = 0x05;

/// The length of a ChaCha20-Poly1305 tag: a shorter ciphertext cannot open.
const SEAL_TAG: usize = 16;

/// One pairing record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The guest's half of the key agreement.
    ShareGuest {
        /// Random bytes of the guest that name this exchange.
        sid: [u8; 16],
        /// Ya, not yet checked to be a group element.
        share: [u8; 32],
    },
    /// The host's half.
    ShareHost {
        /// Yb, not yet checked to be a group element.
        share: [u8; 32],
    },
    /// Proof that a side knows the key.
    Confirm {
        /// HMAC-SHA256 of the transcript.
        tag: [u8; 32],
    },
    /// A message that only the other side can read.
    Sealed {
        /// Its number in its direction, from 0.
        counter: u64,
        /// The encrypted message, with its tag of 16 bytes.
        ciphertext: Vec<u8>,
    },
    /// A side stops. Anybody on the way can make one, so it proves nothing.
    Abort(AbortReason),
}

/// Why a side stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbortReason {
    /// The other side does not know the code.
    WrongCode = 1,
    /// The other side speaks a version that this one does not.
    UnsupportedVersion = 2,
    /// Something on the way changed what was sent.
    Tampered = 3,
    /// The code is in use or used up.
    CodeUsed = 4,
    /// A user or a time limit ended it.
    Cancelled = 5,
    /// The guest is none of the devices that the host waits for.
    UnknownDevice = 6,
}

/// A text is not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Longer than any signaling message.
    #[error("a record of {0} characters exceeds the limit of {MAX_RECORD_TEXT}")]
    TooLong(usize),
    /// Not base64url without padding.
    #[error("a record that is not base64url")]
    Encoding,
    /// No bytes at all, or a first byte that is no type.
    #[error("a record of unknown type")]
    Type,
    /// Too short or too long for its type.
    #[error("a record of the wrong length")]
    Length,
    /// A guest's share of another version.
    #[error("version {0} of the key agreement, which this program does not speak")]
    Version(u8),
    /// An abort without a known reason.
    #[error("an abort with unknown reason {0}")]
    Reason(u8),
}

impl Record {
    /// The record as text: base64url without padding.
    pub fn encode(&self) -> String {
        let bytes = match self {
            Self::ShareGuest { sid, share } => [&[SHARE_GUEST, VERSION][..], sid, share].concat(),
            Self::ShareHost { share } => [&[SHARE_HOST][..], share].concat(),
            Self::Confirm { tag } => [&[CONFIRM][..], tag].concat(),
            Self::Sealed {
                counter,
                ciphertext,
            } => [&[SEALED][..], &counter.to_be_bytes(), ciphertext].concat(),
            Self::Abort(reason) => vec![ABORT, *reason as u8],
        };
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a record.
    pub fn decode(text: &str) -> Result<Self, RecordError> {
        if text.len() > MAX_RECORD_TEXT {
            return Err(RecordError::TooLong(text.len()));
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| RecordError::Encoding)?;
        let (&kind, body) = bytes.split_first().ok_or(RecordError::Type)?;
        match kind {
            SHARE_GUEST => Self::share_guest(body),
            SHARE_HOST => Ok(Self::ShareHost {
                share: exactly(body)?,
            }),
            CONFIRM => Ok(Self::Confirm {
                tag: exactly(body)?,
            }),
            SEALED => Self::sealed(body),
            ABORT => Self::abort(body),
            _ => Err(RecordError::Type),
        }
    }

    fn share_guest(body: &[u8]) -> Result<Self, RecordError> {
        // The version is read before the length: another version may have another length.
        let (&version, body) = body.split_first().ok_or(RecordError::Length)?;
        if version != VERSION {
            return Err(RecordError::Version(version));
        }
        let (sid, share) = body.split_first_chunk().ok_or(RecordError::Length)?;
        Ok(Self::ShareGuest {
            sid: *sid,
            share: exactly(share)?,
        })
    }

    fn sealed(body: &[u8]) -> Result<Self, RecordError> {
        let (counter, ciphertext) = body.split_first_chunk().ok_or(RecordError::Length)?;
        if ciphertext.len() < SEAL_TAG {
            return Err(RecordError::Length);
        }
        Ok(Self::Sealed {
            counter: u64::from_be_bytes(*counter),
            ciphertext: ciphertext.to_vec(),
        })
    }

    fn abort(body: &[u8]) -> Result<Self, RecordError> {
        let [reason] = exactly(body)?;
        match reason {
            1 => Ok(AbortReason::WrongCode),
            2 => Ok(AbortReason::UnsupportedVersion),
            3 => Ok(AbortReason::Tampered),
            4 => Ok(AbortReason::CodeUsed),
            5 => Ok(AbortReason::Cancelled),
            6 => Ok(AbortReason::UnknownDevice),
            unknown => Err(RecordError::Reason(unknown)),
        }
        .map(Self::Abort)
    }
}

fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N], RecordError> {
    bytes.try_into().map_err(|_| RecordError::Length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn records() -> impl Strategy<Value = Record> {
        let reason = prop::sample::select(vec![
            AbortReason::WrongCode,
            AbortReason::UnsupportedVersion,
            AbortReason::Tampered,
            AbortReason::CodeUsed,
            AbortReason::Cancelled,
            AbortReason::UnknownDevice,
        ]);
        prop_oneof![
            any::<([u8; 16], [u8; 32])>()
                .prop_map(|(sid, share)| Record::ShareGuest { sid, share }),
            any::<[u8; 32]>().prop_map(|share| Record::ShareHost { share }),
            any::<[u8; 32]>().prop_map(|tag| Record::Confirm { tag }),
            (any::<u64>(), prop::collection::vec(any::<u8>(), 16..200)).prop_map(
                |(counter, ciphertext)| Record::Sealed {
                    counter,
                    ciphertext
                }
            ),
            reason.prop_map(Record::Abort),
        ]
    }

    proptest! {
        #[test]
        fn every_record_survives(record in records()) {
            prop_assert_eq!(Record::decode(&record.encode()), Ok(record));
        }

        #[test]
        fn a_record_has_one_encoding(kind in 0u8..7, body in prop::collection::vec(any::<u8>(), 0..60)) {
            let text = URL_SAFE_NO_PAD.encode([&[kind][..], &body].concat());
            if let Ok(record) = Record::decode(&text) {
                prop_assert_eq!(record.encode(), text);
            }
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = Record::decode(&text);
        }

        #[test]
        fn no_part_of_a_record_is_that_record(record in records(), cut in 0usize..49) {
            let whole = URL_SAFE_NO_PAD.decode(record.encode()).unwrap();
            let part = URL_SAFE_NO_PAD.encode(&whole[..cut.min(whole.len() - 1)]);
            prop_assert_ne!(Record::decode(&part), Ok(record));
        }
    }

    #[test]
    fn what_is_no_record_is_refused_with_its_reason() {
        let of = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        for (text, error) in [
            (String::new(), RecordError::Type),
            ("AQ==".into(), RecordError::Encoding),
            ("AR".into(), RecordError::Encoding),
            ("a+b/".into(), RecordError::Encoding),
            (of(&[0x06]), RecordError::Type),
            (of(&[0x01]), RecordError::Length),
            (of(&[0x01, 0x02]), RecordError::Version(2)),
            (
                of(&[[0x01].as_slice(), &[1; 50]].concat()),
                RecordError::Length,
            ),
            (of(&[0x02; 32]), RecordError::Length),
            (of(&[0x03; 34]), RecordError::Length),
            (of(&[0x04; 24]), RecordError::Length),
            (of(&[0x05]), RecordError::Length),
            (of(&[0x05, 0x00]), RecordError::Reason(0)),
            (of(&[0x05, 0x07]), RecordError::Reason(7)),
            (
                "A".repeat(MAX_RECORD_TEXT + 1),
                RecordError::TooLong(MAX_RECORD_TEXT + 1),
            ),
        ] {
            assert_eq!(Record::decode(&text), Err(error), "{text:.20}");
        }
    }
}
