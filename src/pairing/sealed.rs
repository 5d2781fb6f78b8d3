//! Sealed messages: what the two sides say over the server and the server cannot read, change, repeat,
//! reorder or drop unnoticed.

use super::key::{Key, KeySchedule, Role, Seal};
use super::record::Record;
use super::sealed_message::{MessageError, SealedMessage};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use std::fmt;
use zeroize::Zeroizing;

/// Bytes in the longest plaintext. Encrypted, in base64 and in its `sealed` message it stays under the 64 KiB
/// that a signaling server accepts.
pub const MAX_PLAINTEXT: usize = 47 * 1024;

/// Seals what this side sends.
pub struct Sealer {
    direction: Direction,
    next: u64,
}

/// Opens what the other side sends. After its first error it opens nothing any more.
pub struct Opener(State);

enum State {
    Open { direction: Direction, next: u64 },
    Ended,
}

/// A message cannot be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Longer than [`MAX_PLAINTEXT`]; a session description of this size is not one.
    #[error("a message of {0} bytes exceeds the limit of {MAX_PLAINTEXT}")]
    TooLarge(usize),
    /// 2^64 messages were sealed.
    #[error("the numbers for sealed messages are used up")]
    Exhausted,
}

/// A sealed message was not what comes next from the other side. Whatever the variant, the server or somebody
/// else on the way is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Repeated, missing or reordered.
    #[error("sealed message {found} came where {expected} was due")]
    OutOfOrder {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// Changed on the way, or sealed by somebody else or in the other direction.
    #[error("sealed message {0} does not open")]
    DoesNotOpen(u64),
    /// It came from the other side unchanged, but makes no sense.
    #[error("a sealed message of the other side is malformed: {0}")]
    Malformed(#[from] MessageError),
    /// An earlier message failed.
    #[error("an earlier sealed message failed")]
    Ended,
}

impl Sealer {
    pub(super) fn new(schedule: &KeySchedule, role: Role) -> Self {
        Self {
            direction: Direction::new(schedule, role),
            next: 0,
        }
    }

    /// Seals a message as the next record.
    pub fn seal(&mut self, message: &SealedMessage) -> Result<Record, SealError> {
        self.seal_bytes(&message.to_json())
    }

    fn seal_bytes(&mut self, plaintext: &[u8]) -> Result<Record, SealError> {
        if plaintext.len() > MAX_PLAINTEXT {
            return Err(SealError::TooLarge(plaintext.len()));
        }
        let counter = self.next;
        // A nonce must never be used twice, so the counter moves before the record exists.
        self.next = counter.checked_add(1).ok_or(SealError::Exhausted)?;
        Ok(Record::Sealed {
            counter,
            ciphertext: self.direction.encrypt(counter, plaintext),
        })
    }
}

impl Opener {
    pub(super) fn new(schedule: &KeySchedule, sender: Role) -> Self {
        Self(State::Open {
            direction: Direction::new(schedule, sender),
            next: 0,
        })
    }

    /// Opens the next record: the `counter` and `ciphertext` of a [`Record::Sealed`].
    pub fn open(&mut self, counter: u64, ciphertext: &[u8]) -> Result<SealedMessage, OpenError> {
        let result = self.open_next(counter, ciphertext);
        if result.is_err() {
            self.0 = State::Ended;
        }
        result
    }

    /// Opens a record of somebody who may be the other side and may have said things before that are lost:
    /// any that was not opened before, nor one before it, counts as next. One that does not open changes
    /// nothing.
    pub fn open_ahead(
        &mut self,
        counter: u64,
        ciphertext: &[u8],
    ) -> Result<SealedMessage, OpenError> {
        let State::Open { direction, next } = &mut self.0 else {
            return Err(OpenError::Ended);
        };
        if counter < *next {
            return Err(OpenError::OutOfOrder {
                expected: *next,
                found: counter,
            });
        }
        let plaintext = direction
            .decrypt(counter, ciphertext)
            .ok_or(OpenError::DoesNotOpen(counter))?;
        *next = counter.checked_add(1).ok_or(OpenError::Ended)?;
        Ok(SealedMessage::from_json(&plaintext)?)
    }

    fn open_next(&mut self, counter: u64, ciphertext: &[u8]) -> Result<SealedMessage, OpenError> {
        let State::Open { direction, next } = &mut self.0 else {
            return Err(OpenError::Ended);
        };
        if counter != *next {
            return Err(OpenError::OutOfOrder {
                expected: *next,
                found: counter,
            });
        }
        let plaintext = direction
            .decrypt(counter, ciphertext)
            .ok_or(OpenError::DoesNotOpen(counter))?;
        // The number 2^64 - 1 is never sealed, so this cannot overflow for a real sender.
        *next = counter.checked_add(1).ok_or(OpenError::Ended)?;
        Ok(SealedMessage::from_json(&plaintext)?)
    }
}

/// One direction: its key and the name of its sender.
struct Direction {
    key: Key<Seal>,
    sender: Role,
}

impl Direction {
    fn new(schedule: &KeySchedule, sender: Role) -> Self {
        Self {
            key: schedule.key(sender),
            sender,
        }
    }

    fn encrypt(&self, counter: u64, plaintext: &[u8]) -> Vec<u8> {
        let aad = self.associated(counter);
        self.cipher()
            .encrypt(
                &nonce(counter),
                Payload {
                    msg: plaintext,
                    aad: &aad,
                },
            )
            .expect("a plaintext under 48 KiB is under the cipher's limit of 256 GiB")
    }

    fn decrypt(&self, counter: u64, ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let aad = self.associated(counter);
        let payload = Payload {
            msg: ciphertext,
            aad: &aad,
        };
        self.cipher()
            .decrypt(&nonce(counter), payload)
            .ok()
            .map(Zeroizing::new)
    }

    /// Made for each record, so that the key rests only where it is wiped.
    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(self.key.bytes().into())
    }

    fn associated(&self, counter: u64) -> Vec<u8> {
        [
            b"peerline/1 sealed ".as_slice(),
            self.sender.name().as_bytes(),
            &counter.to_be_bytes(),
        ]
        .concat()
    }
}

fn nonce(counter: u64) -> Nonce {
    let mut nonce = Nonce::default();
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    nonce
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Sealer({}, next {})",
            self.direction.sender.name(),
            self.next
        )
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Open { direction, next } => {
                write!(f, "Opener({}, next {next})", direction.sender.name())
            }
            State::Ended => f.write_str("Opener(ended)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairing::ByeCode;
    use proptest::prelude::*;

    fn bye(message: &str) -> SealedMessage {
        SealedMessage::Bye {
            code: ByeCode::Done,
            message: message.into(),
        }
    }

    fn direction(sender: Role) -> (Sealer, Opener) {
        let schedule = KeySchedule::new(&[9; 64]);
        (
            Sealer::new(&schedule, sender),
            Opener::new(&schedule, sender),
        )
    }

    fn parts(record: Record) -> (u64, Vec<u8>) {
        match record {
            Record::Sealed {
                counter,
                ciphertext,
            } => (counter, ciphertext),
            other => panic!("{other:?}"),
        }
    }

    fn seal(sealer: &mut Sealer, message: &str) -> (u64, Vec<u8>) {
        parts(sealer.seal(&bye(message)).unwrap())
    }

    #[test]
    fn messages_open_in_their_order() {
        let (mut sealer, mut opener) = direction(Role::Guest);
        for n in 0..5 {
            let (counter, ciphertext) = seal(&mut sealer, &n.to_string());
            assert_eq!(counter, n);
            assert_eq!(opener.open(counter, &ciphertext), Ok(bye(&n.to_string())));
        }
    }

    /// What a server may do to the records 0, 1 and 2, and what the receiver sees: the messages that open
    /// before the error, and the error, after which nothing opens.
    #[test]
    fn whatever_the_server_does_to_records_ends_the_opener() {
        type Tamper = fn(&mut Vec<(u64, Vec<u8>)>);
        let cases: [(&str, Tamper, usize, OpenError); 9] = [
            (
                "repeats",
                |r| r.insert(1, r[0].clone()),
                1,
                OpenError::OutOfOrder {
                    expected: 1,
                    found: 0,
                },
            ),
            (
                "reorders",
                |r| r.swap(0, 1),
                0,
                OpenError::OutOfOrder {
                    expected: 0,
                    found: 1,
                },
            ),
            (
                "drops",
                |r| drop(r.remove(1)),
                1,
                OpenError::OutOfOrder {
                    expected: 1,
                    found: 2,
                },
            ),
            (
                "renumbers",
                |r| (r[1].0, r[2].0) = (2, 1),
                1,
                OpenError::OutOfOrder {
                    expected: 1,
                    found: 2,
                },
            ),
            (
                "drops and renumbers",
                |r| {
                    r.remove(1);
                    r[1].0 = 1
                },
                1,
                OpenError::DoesNotOpen(1),
            ),
            (
                "truncates",
                |r| r[1].1.truncate(20),
                1,
                OpenError::DoesNotOpen(1),
            ),
            ("extends", |r| r[1].1.push(0), 1, OpenError::DoesNotOpen(1)),
            (
                "flips the first bit",
                |r| r[0].1[0] ^= 0x80,
                0,
                OpenError::DoesNotOpen(0),
            ),
            ("empties", |r| r[2].1.clear(), 2, OpenError::DoesNotOpen(2)),
        ];
        for (name, tamper, opened, error) in cases {
            let (mut sealer, mut opener) = direction(Role::Host);
            let mut records: Vec<_> = ["zero", "one", "two"]
                .into_iter()
                .map(|m| seal(&mut sealer, m))
                .collect();
            let honest = records.clone();
            tamper(&mut records);
            let mut results = records
                .iter()
                .map(|(counter, text)| opener.open(*counter, text));
            for message in ["zero", "one", "two"].iter().take(opened) {
                assert_eq!(results.next(), Some(Ok(bye(message))), "{name}");
            }
            assert_eq!(results.next(), Some(Err(error)), "{name}");
            assert!(
                results.all(|result| result == Err(OpenError::Ended)),
                "{name}"
            );
            let (counter, ciphertext) = &honest[opened];
            assert_eq!(
                opener.open(*counter, ciphertext),
                Err(OpenError::Ended),
                "{name}"
            );
        }
    }

    #[test]
    fn ahead_opens_what_is_newer_and_nothing_that_is_old_or_false() {
        let (mut sealer, mut opener) = direction(Role::Guest);
        let records: Vec<_> = (0..5).map(|n| seal(&mut sealer, &n.to_string())).collect();
        let open = |opener: &mut Opener, n: usize| {
            let (counter, ciphertext) = &records[n];
            opener.open_ahead(*counter, ciphertext)
        };
        assert_eq!(open(&mut opener, 0), Ok(bye("0")));
        for (found, why) in [(2, "false"), (u64::MAX, "false and last")] {
            assert_eq!(
                opener.open_ahead(found, &records[3].1),
                Err(OpenError::DoesNotOpen(found)),
                "{why}"
            );
        }
        assert_eq!(
            open(&mut opener, 2),
            Ok(bye("2")),
            "what was lost is let go"
        );
        for (n, found) in [(2, 2), (1, 1), (0, 0)] {
            let error = OpenError::OutOfOrder { expected: 3, found };
            assert_eq!(open(&mut opener, n), Err(error));
        }
        let (counter, ciphertext) = &records[3];
        assert_eq!(opener.open(*counter, ciphertext), Ok(bye("3")));
        assert!(opener.open(0, &records[0].1).is_err());
        assert_eq!(open(&mut opener, 4), Err(OpenError::Ended));
    }

    #[test]
    fn a_record_from_the_wrong_direction_does_not_open() {
        let (mut sealer, _) = direction(Role::Guest);
        let (_, mut opener) = direction(Role::Host);
        let (counter, ciphertext) = seal(&mut sealer, "reflected");
        assert_eq!(
            opener.open(counter, &ciphertext),
            Err(OpenError::DoesNotOpen(0))
        );
    }

    #[test]
    fn what_is_too_large_is_refused_and_takes_no_number() {
        let (mut sealer, _) = direction(Role::Guest);
        let large = vec![b' '; MAX_PLAINTEXT + 1];
        assert_eq!(
            sealer.seal_bytes(&large),
            Err(SealError::TooLarge(MAX_PLAINTEXT + 1))
        );
        let (counter, ciphertext) = parts(sealer.seal_bytes(&large[1..]).unwrap());
        let text = Record::Sealed {
            counter,
            ciphertext,
        }
        .encode();
        let envelope = r#"{"type":"sealed","from":"","data":""}"#.len() + 32;
        assert!(text.len() + envelope <= 64 * 1024);
        assert_eq!(counter, 0);
    }

    #[test]
    fn the_last_number_is_not_used() {
        let (mut sealer, _) = direction(Role::Guest);
        sealer.next = u64::MAX;
        assert_eq!(sealer.seal(&bye("")), Err(SealError::Exhausted));
        assert_eq!(sealer.seal(&bye("")), Err(SealError::Exhausted));
    }

    #[test]
    fn plaintext_that_is_no_message_ends_the_opener() {
        let (mut sealer, mut opener) = direction(Role::Guest);
        let (counter, ciphertext) = parts(sealer.seal_bytes(b"{}").unwrap());
        assert!(matches!(
            opener.open(counter, &ciphertext),
            Err(OpenError::Malformed(_))
        ));
        let (counter, ciphertext) = seal(&mut sealer, "later");
        assert_eq!(opener.open(counter, &ciphertext), Err(OpenError::Ended));
    }

    proptest! {
        #[test]
        fn no_flipped_bit_opens(bit in 0usize..400, message in "[a-z]{20}") {
            let (mut sealer, mut opener) = direction(Role::Guest);
            let (counter, mut ciphertext) = seal(&mut sealer, &message);
            let bit = bit % (ciphertext.len() * 8);
            ciphertext[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(opener.open(counter, &ciphertext), Err(OpenError::DoesNotOpen(0)));
        }

        #[test]
        fn nothing_made_up_opens(counter: u64, ciphertext: Vec<u8>) {
            let (_, mut opener) = direction(Role::Guest);
            prop_assert!(opener.open(counter, &ciphertext).is_err());
        }
    }
}
