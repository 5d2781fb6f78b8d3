//! What both sides of an exchange have in common: inputs, actions, failures, and the agreement on keys.

use super::certificates::CertificateKeys;
use super::cpace::{self, Point};
use super::key::{Confirm, Key, KeySchedule, Role};
use super::phrase::Phrase;
use super::record::{AbortReason, Record, RecordError};
use super::sealed::{Opener, Sealer};

const GUEST_DATA: &[u8] = b"peerline/1 guest";
const HOST_DATA: &[u8] = b"peerline/1 host";

/// Random bytes of the guest that name an exchange.
pub(super) type SessionId = [u8; 16];

/// What happened, for [`Guest::handle`](super::Guest::handle) and [`Host::handle`](super::Host::handle).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A record came. [`Record::Sealed`] goes to the [`Opener`] once there is one.
    Record(Record),
    /// Something came that is no record.
    Malformed(RecordError),
    /// The other side left the room.
    PeerLeft,
    /// The other side took longer than the time for pairing (protocol section 6).
    TimedOut,
}

/// What [`Record::decode`] returns is an input.
impl From<Result<Record, RecordError>> for Input {
    fn from(decoded: Result<Record, RecordError>) -> Self {
        decoded.map_or_else(Self::Malformed, Self::Record)
    }
}

/// What to do, in this order. All records go to the peer whose input was handled.
#[derive(Debug)]
pub enum Action {
    /// Send a record.
    Send(Record),
    /// From now on this side may seal. The guest still does not know who reads it.
    MaySeal(Sealer),
    /// Both sides proved that they know the code.
    Paired(Paired),
    /// This input is refused, which costs the code nothing; the exchange of somebody else is unaffected.
    Refused(AbortReason),
    /// It is over: leave the room and never use the code again.
    Failed(PairingError),
}

/// What two peers have once both proved that they know the code.
#[derive(Debug)]
pub struct Paired {
    /// Opens what the other side seals.
    pub opener: Opener,
    /// Binds the certificates of DTLS to the code.
    pub certificates: CertificateKeys,
    /// For people who want to compare by eye.
    pub phrase: Phrase,
    /// Which of the devices that a host waits for has come; 0 for a guest, and with a code.
    pub device: usize,
}

/// Why two peers did not pair. The messages are for users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PairingError {
    /// One side does not know the code.
    #[error(
        "the two codes differ, so this one is used up now; make a new code and check its words"
    )]
    WrongCode,
    /// The versions do not fit.
    #[error("the other side speaks another version of the protocol; update the older program")]
    UnsupportedVersion,
    /// A record was changed, made up or out of place.
    #[error("something between the two sides changed their messages; try another server")]
    Tampered,
    /// The code is in use or used up.
    #[error("this code is in use or was used before; ask for a new one")]
    CodeUsed,
    /// The other side's user or time limit ended it.
    #[error("the other side cancelled; nothing is wrong with the code, but a new one is needed")]
    Cancelled,
    /// The other side left before it proved anything.
    #[error("the other side left during pairing; ask for a new code and try again")]
    PeerLeft,
    /// The other side did not answer in time.
    #[error("the other side did not finish pairing in time; ask for a new code and try again")]
    TimedOut,
    /// The other side does not know this device, or waits for another one.
    #[error("the other side does not know this device any more, or waits for another one")]
    UnknownDevice,
    /// [`MAX_SHARES`](super::MAX_SHARES) guests came and none finished.
    #[error("too many guests tried this code without finishing, so it is used up; make a new one")]
    TooManyGuests,
}

impl PairingError {
    /// What a received abort means. It is not authenticated, so it proves nothing.
    pub(super) fn from_abort(reason: AbortReason) -> Self {
        match reason {
            AbortReason::WrongCode => Self::WrongCode,
            AbortReason::UnsupportedVersion => Self::UnsupportedVersion,
            AbortReason::Tampered => Self::Tampered,
            AbortReason::CodeUsed => Self::CodeUsed,
            AbortReason::Cancelled => Self::Cancelled,
            AbortReason::UnknownDevice => Self::UnknownDevice,
        }
    }
}

/// Stops with an abort that tells the other side why.
pub(super) fn fail(abort: AbortReason, error: PairingError) -> Vec<Action> {
    vec![Action::Send(Record::Abort(abort)), Action::Failed(error)]
}

/// Both shares and the keys that they gave. That the other side has the same is not yet known.
pub(super) struct Agreement {
    schedule: KeySchedule,
    transcript: Vec<u8>,
}

impl Agreement {
    pub(super) fn new(sid: &SessionId, product: &Point, guest: &Point, host: &Point) -> Self {
        let session_key = cpace::session_key(sid, product, guest, GUEST_DATA, host, HOST_DATA);
        Self {
            schedule: KeySchedule::new(&session_key),
            transcript: cpace::prefixed(&[sid, guest, GUEST_DATA, host, HOST_DATA]),
        }
    }

    pub(super) fn confirmation(&self, role: Role) -> Record {
        let key: Key<Confirm> = self.schedule.key(role);
        Record::Confirm {
            tag: key.tag(&self.transcript),
        }
    }

    pub(super) fn confirms(&self, role: Role, tag: &[u8; 32]) -> bool {
        let key: Key<Confirm> = self.schedule.key(role);
        key.verifies(&self.transcript, tag)
    }

    pub(super) fn sealer(&self, role: Role) -> Sealer {
        Sealer::new(&self.schedule, role)
    }

    pub(super) fn paired(&self, role: Role, device: usize) -> Paired {
        Paired {
            device,
            opener: Opener::new(&self.schedule, role.other()),
            certificates: CertificateKeys::new(&self.schedule, role),
            phrase: Phrase::from_bytes(self.schedule.phrase()),
        }
    }
}

#[cfg(test)]
impl Agreement {
    pub(super) fn schedule(&self) -> &KeySchedule {
        &self.schedule
    }

    pub(super) fn transcript(&self) -> &[u8] {
        &self.transcript
    }
}
