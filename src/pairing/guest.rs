//! The guest's side of an exchange.

use super::code::Code;
use super::cpace::{Point, Secret};
use super::exchange::{self, Action, Agreement, Input, PairingError, SessionId};
use super::key::Role;
use super::password::{DevicePassword, Password};
use super::record::{AbortReason, Record, RecordError};
use std::fmt;

/// The one who was given the code. It sends its share when it has joined the room, and feeds everything that
/// comes from the host to [`handle`](Self::handle).
pub struct Guest(State);

enum State {
    /// The share is sent.
    Shared {
        sid: SessionId,
        secret: Secret,
    },
    /// The confirm is sent: the guest has shown its guess and waits for the host's proof.
    Confirming(Agreement),
    /// Both sides proved that they know the code.
    Paired,
    Ended,
}

impl Guest {
    /// Starts an exchange: the record is to be sent to the host.
    pub fn start(code: &Code) -> (Self, Record) {
        Self::with_password(&code.into(), rand::random())
    }

    /// As [`start`](Self::start), for a host that waits for known devices.
    pub(crate) fn start_known(device: &DevicePassword) -> (Self, Record) {
        Self::with_password(device.password(), device.sid())
    }

    fn with_password(password: &Password, sid: SessionId) -> (Self, Record) {
        Self::with_secret(sid, password.secret(&sid))
    }

    pub(super) fn with_secret(sid: SessionId, secret: Secret) -> (Self, Record) {
        let share = Record::ShareGuest {
            sid,
            share: secret.share,
        };
        (Self(State::Shared { sid, secret }), share)
    }

    /// Decides what to do about an input from the host.
    pub fn handle(&mut self, input: impl Into<Input>) -> Vec<Action> {
        let state = std::mem::replace(&mut self.0, State::Ended);
        match (state, input.into()) {
            (State::Ended, _) => vec![],
            (State::Shared { sid, secret }, Input::Record(Record::ShareHost { share })) => {
                self.agree(sid, &secret, &share)
            }
            (State::Confirming(agreement), Input::Record(Record::Confirm { tag })) => {
                self.finish(&agreement, &tag)
            }
            // A paired session has its own rules for peers that go.
            (State::Paired, Input::PeerLeft | Input::TimedOut) => {
                self.0 = State::Paired;
                vec![]
            }
            (_, Input::Record(Record::Abort(reason))) => {
                vec![Action::Failed(PairingError::from_abort(reason))]
            }
            (_, Input::PeerLeft) => vec![Action::Failed(PairingError::PeerLeft)],
            (_, Input::TimedOut) => exchange::fail(AbortReason::Cancelled, PairingError::TimedOut),
            (_, Input::Malformed(RecordError::Version(_))) => exchange::fail(
                AbortReason::UnsupportedVersion,
                PairingError::UnsupportedVersion,
            ),
            (_, Input::Record(_) | Input::Malformed(_)) => {
                exchange::fail(AbortReason::Tampered, PairingError::Tampered)
            }
        }
    }

    fn agree(&mut self, sid: SessionId, secret: &Secret, host: &Point) -> Vec<Action> {
        // No host draws the guest's own share; somebody sent it back.
        if *host == secret.share {
            return exchange::fail(AbortReason::Tampered, PairingError::Tampered);
        }
        let Some(product) = secret.product(host) else {
            return exchange::fail(AbortReason::WrongCode, PairingError::WrongCode);
        };
        let agreement = Agreement::new(&sid, &product, &secret.share, host);
        let actions = vec![
            Action::Send(agreement.confirmation(Role::Guest)),
            Action::MaySeal(agreement.sealer(Role::Guest)),
        ];
        self.0 = State::Confirming(agreement);
        actions
    }

    fn finish(&mut self, agreement: &Agreement, tag: &[u8; 32]) -> Vec<Action> {
        if !agreement.confirms(Role::Host, tag) {
            return exchange::fail(AbortReason::WrongCode, PairingError::WrongCode);
        }
        self.0 = State::Paired;
        vec![Action::Paired(agreement.paired(Role::Guest, 0))]
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.0 {
            State::Shared { .. } => "shared",
            State::Confirming(_) => "confirming",
            State::Paired => "paired",
            State::Ended => "ended",
        };
        write!(f, "Guest({state})")
    }
}
