//! The host's side: one code, one success or one wrong guess. The same for devices that know each other.

use super::code::Code;
use super::cpace::Secret;
use super::exchange::{self, Action, Agreement, Input, PairingError, SessionId};
use super::key::Role;
use super::password::{DevicePassword, Password, Passwords};
use super::record::{AbortReason, Record, RecordError};
use std::fmt;

/// Shares that are answered for one code. A guest that goes after the answer has learned nothing, so a broken
/// connection may try again; ten such guests are no accident.
pub const MAX_SHARES: u8 = 10;

/// The one who made the code. It feeds everything that peers in the room send to [`handle`](Self::handle);
/// `P` names a peer.
pub struct Host<P>(State<P>);

enum State<P> {
    /// No guest is being answered.
    Waiting(Waiting),
    /// A guest got the host's share and must now prove that it knows the code.
    Answered {
        waiting: Waiting,
        guest: P,
        agreement: Agreement,
        device: usize,
    },
    /// The guest proved it. The code is gone.
    Paired { guest: P },
    /// The code is gone.
    Ended,
}

/// What it takes to answer the next guest.
struct Waiting {
    passwords: Passwords,
    answered: u8,
}

impl<P: Clone + PartialEq> Host<P> {
    /// Waits for a guest with this code.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a code is good for one host, and gone with it"
    )]
    pub fn new(code: Code) -> Self {
        Self::with_passwords(Passwords::Code(Password::from(&code)))
    }

    /// Waits for one of these devices.
    pub(crate) fn for_devices(devices: Vec<DevicePassword>) -> Self {
        Self::with_passwords(Passwords::Devices(devices))
    }

    fn with_passwords(passwords: Passwords) -> Self {
        Self(State::Waiting(Waiting {
            passwords,
            answered: 0,
        }))
    }

    /// Decides what to do about an input from the peer `from`.
    pub fn handle(&mut self, from: &P, input: impl Into<Input>) -> Vec<Action> {
        self.handle_with(from, &input.into(), Password::secret)
    }

    pub(super) fn handle_with(
        &mut self,
        from: &P,
        input: &Input,
        secret: impl FnOnce(&Password, &SessionId) -> Secret,
    ) -> Vec<Action> {
        match std::mem::replace(&mut self.0, State::Ended) {
            State::Waiting(waiting) => self.wait(waiting, from, input, secret),
            State::Answered {
                waiting,
                guest,
                agreement,
                device,
            } if guest == *from => self.prove(waiting, guest, agreement, device, input),
            State::Paired { guest } if guest == *from => self.paired(guest, input),
            other => {
                self.0 = other;
                turn_away(input)
            }
        }
    }

    fn wait(
        &mut self,
        mut waiting: Waiting,
        from: &P,
        input: &Input,
        secret: impl FnOnce(&Password, &SessionId) -> Secret,
    ) -> Vec<Action> {
        let (sid, share) = match input {
            Input::Record(Record::ShareGuest { sid, share }) => (sid, share),
            // Without an exchange these end nothing and cost nothing; a guest that was given up may
            // still be sending.
            Input::PeerLeft
            | Input::TimedOut
            | Input::Record(Record::Abort(_) | Record::Confirm { .. } | Record::Sealed { .. }) => {
                self.0 = State::Waiting(waiting);
                return vec![];
            }
            Input::Malformed(RecordError::Version(_)) => {
                self.0 = State::Waiting(waiting);
                return refuse(AbortReason::UnsupportedVersion);
            }
            Input::Record(_) | Input::Malformed(_) => {
                return exchange::fail(AbortReason::Tampered, PairingError::Tampered);
            }
        };
        if waiting.answered == MAX_SHARES {
            return exchange::fail(AbortReason::CodeUsed, PairingError::TooManyGuests);
        }
        let Some((device, password)) = waiting.passwords.meant_by(sid) else {
            // It has guessed nothing, so it costs nothing.
            self.0 = State::Waiting(waiting);
            return refuse(AbortReason::UnknownDevice);
        };
        let secret = secret(password, sid);
        let Some(product) = secret.product(share) else {
            return exchange::fail(AbortReason::WrongCode, PairingError::WrongCode);
        };
        let agreement = Agreement::new(sid, &product, share, &secret.share);
        let reply = Record::ShareHost {
            share: secret.share,
        };
        waiting.answered += 1;
        self.0 = State::Answered {
            waiting,
            guest: from.clone(),
            agreement,
            device,
        };
        vec![Action::Send(reply)]
    }

    fn prove(
        &mut self,
        waiting: Waiting,
        guest: P,
        agreement: Agreement,
        device: usize,
        input: &Input,
    ) -> Vec<Action> {
        match input {
            Input::Record(Record::Confirm { tag }) if agreement.confirms(Role::Guest, tag) => {
                self.0 = State::Paired { guest };
                vec![
                    Action::Send(agreement.confirmation(Role::Host)),
                    Action::MaySeal(agreement.sealer(Role::Host)),
                    Action::Paired(agreement.paired(Role::Host, device)),
                ]
            }
            Input::Record(Record::Confirm { .. }) => {
                exchange::fail(AbortReason::WrongCode, PairingError::WrongCode)
            }
            // The guest goes without having shown a guess, so it has learned nothing.
            Input::PeerLeft | Input::Record(Record::Abort(_)) => {
                self.0 = State::Waiting(waiting);
                vec![]
            }
            Input::TimedOut => {
                self.0 = State::Waiting(waiting);
                refuse(AbortReason::Cancelled)
            }
            Input::Record(Record::ShareGuest { .. }) => {
                self.0 = State::Answered {
                    waiting,
                    guest,
                    agreement,
                    device,
                };
                refuse(AbortReason::CodeUsed)
            }
            Input::Record(_) | Input::Malformed(_) => {
                exchange::fail(AbortReason::Tampered, PairingError::Tampered)
            }
        }
    }

    fn paired(&mut self, guest: P, input: &Input) -> Vec<Action> {
        match input {
            // A paired session has its own rules for peers that go.
            Input::PeerLeft | Input::TimedOut => {
                self.0 = State::Paired { guest };
                vec![]
            }
            Input::Record(Record::Abort(reason)) => {
                vec![Action::Failed(PairingError::from_abort(*reason))]
            }
            Input::Record(_) | Input::Malformed(_) => {
                exchange::fail(AbortReason::Tampered, PairingError::Tampered)
            }
        }
    }
}

/// Answers a peer that is not the guest: one exchange at a time, and a code works once.
fn turn_away(input: &Input) -> Vec<Action> {
    match input {
        Input::Record(Record::ShareGuest { .. }) => refuse(AbortReason::CodeUsed),
        Input::Malformed(RecordError::Version(_)) => refuse(AbortReason::UnsupportedVersion),
        Input::Record(_) | Input::Malformed(_) | Input::PeerLeft | Input::TimedOut => vec![],
    }
}

fn refuse(reason: AbortReason) -> Vec<Action> {
    vec![Action::Send(Record::Abort(reason)), Action::Refused(reason)]
}

impl<P: fmt::Debug> fmt::Debug for Host<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Waiting(waiting) => write!(f, "Host(waiting, {} answered)", waiting.answered),
            State::Answered { guest, .. } => write!(f, "Host(answered {guest:?})"),
            State::Paired { guest } => write!(f, "Host(paired with {guest:?})"),
            State::Ended => f.write_str("Host(ended)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairing::Guest;

    const CODE: &str = "7-crane-velvet-orbit";

    fn host() -> Host<&'static str> {
        Host::new(CODE.parse().unwrap())
    }

    fn guest(code: &str) -> (Guest, Record) {
        Guest::start(&code.parse().unwrap())
    }

    /// The one record that is sent, and what is said to the user.
    fn outcome(actions: Vec<Action>) -> (Option<Record>, Option<String>) {
        let mut outcome = (None, None);
        for action in actions {
            match action {
                Action::Send(record) => assert_eq!(outcome.0.replace(record), None),
                Action::MaySeal(_) => {}
                said => outcome.1 = Some(format!("{said:?}")),
            }
        }
        outcome
    }

    fn abort(reason: AbortReason) -> Option<Record> {
        Some(Record::Abort(reason))
    }

    fn share(host: &mut Host<&'static str>, from: &'static str) -> (Guest, Record) {
        let (guest, share) = guest(CODE);
        let (reply, _) = outcome(host.handle(&from, Input::Record(share)));
        (guest, reply.unwrap())
    }

    /// Makes `guest` answer the host's share, and returns what the host says to that.
    fn finish(
        host: &mut Host<&'static str>,
        from: &'static str,
        mut guest: Guest,
        reply: Record,
    ) -> (Option<Record>, Option<String>) {
        let (confirm, _) = outcome(guest.handle(Input::Record(reply)));
        outcome(host.handle(&from, Input::Record(confirm.unwrap())))
    }

    #[test]
    fn a_second_guest_is_turned_away_and_the_first_one_pairs() {
        let mut host = host();
        let (first, reply) = share(&mut host, "a");
        let (_, other) = guest(CODE);
        let away = Some(format!("{:?}", Action::Refused(AbortReason::CodeUsed)));
        let (sent, said) = outcome(host.handle(&"b", Input::Record(other.clone())));
        assert_eq!((sent, said), (abort(AbortReason::CodeUsed), away));
        // Neither a tag nor an abort nor nonsense of somebody else touches the exchange.
        for input in [
            Input::Record(Record::Confirm { tag: [0; 32] }),
            Input::Record(Record::Abort(AbortReason::WrongCode)),
            Input::Malformed(RecordError::Type),
            Input::PeerLeft,
        ] {
            assert!(host.handle(&"b", input).is_empty());
        }
        let (_, said) = finish(&mut host, "a", first, reply);
        assert!(said.unwrap().starts_with("Paired"));
        let (sent, _) = outcome(host.handle(&"b", Input::Record(other)));
        assert_eq!(sent, abort(AbortReason::CodeUsed), "after pairing");
    }

    #[test]
    fn one_wrong_guess_burns_the_code_even_for_the_right_guest() {
        let mut host = host();
        let (wrong, share) = guest("7-crane-velvet-zoo");
        let (reply, _) = outcome(host.handle(&"a", Input::Record(share)));
        let (sent, said) = finish(&mut host, "a", wrong, reply.unwrap());
        assert_eq!(sent, abort(AbortReason::WrongCode));
        assert_eq!(said.unwrap(), "Failed(WrongCode)");
        for from in ["a", "b", "c"] {
            let (_, share) = guest(CODE);
            let (sent, _) = outcome(host.handle(&from, Input::Record(share)));
            assert_eq!(sent, abort(AbortReason::CodeUsed));
        }
    }

    #[test]
    fn guests_that_go_before_they_guess_cost_nothing_up_to_the_tenth() {
        let gone = [
            Input::PeerLeft,
            Input::TimedOut,
            Input::Record(Record::Abort(AbortReason::Cancelled)),
        ];
        let mut host = host();
        for (_, input) in (1..MAX_SHARES).zip(gone.iter().cycle()) {
            share(&mut host, "a");
            let (_, said) = outcome(host.handle(&"a", input.clone()));
            assert!(!said.unwrap_or_default().starts_with("Failed"));
        }
        let (tenth, reply) = share(&mut host, "a");
        let (_, said) = finish(&mut host, "a", tenth, reply);
        assert!(said.unwrap().starts_with("Paired"));
    }

    #[test]
    fn a_guest_that_was_given_up_cannot_pair_late_but_may_start_again() {
        let mut host = host();
        let (mut slow, reply) = share(&mut host, "a");
        host.handle(&"a", Input::TimedOut);
        let (confirm, _) = outcome(slow.handle(Input::Record(reply)));
        assert!(
            host.handle(&"a", Input::Record(confirm.unwrap()))
                .is_empty()
        );
        let (again, reply) = share(&mut host, "a");
        let (_, said) = finish(&mut host, "a", again, reply);
        assert!(said.unwrap().starts_with("Paired"));
    }

    #[test]
    fn the_eleventh_share_burns_the_code() {
        let mut host = host();
        for _ in 0..MAX_SHARES {
            share(&mut host, "a");
            host.handle(&"a", Input::PeerLeft);
        }
        let (_, share) = guest(CODE);
        let (sent, said) = outcome(host.handle(&"a", Input::Record(share)));
        assert_eq!(sent, abort(AbortReason::CodeUsed));
        assert_eq!(said.unwrap(), "Failed(TooManyGuests)");
    }

    #[test]
    fn two_hosts_or_two_guests_do_not_pair() {
        let mut host = host();
        let reply = Record::ShareHost { share: [1; 32] };
        let (sent, said) = outcome(host.handle(&"a", Input::Record(reply)));
        assert_eq!(
            (sent, said.unwrap().as_str()),
            (abort(AbortReason::Tampered), "Failed(Tampered)")
        );
        let (mut one, _) = guest(CODE);
        let (_, share) = guest(CODE);
        let (sent, said) = outcome(one.handle(Input::Record(share)));
        assert_eq!(
            (sent, said.unwrap().as_str()),
            (abort(AbortReason::Tampered), "Failed(Tampered)")
        );
        assert!(one.handle(Input::PeerLeft).is_empty(), "it ended before");
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut host = host();
        assert_eq!(format!("{host:?}"), "Host(waiting, 0 answered)");
        let (guest, _) = share(&mut host, "a");
        assert_eq!(format!("{host:?}"), "Host(answered \"a\")");
        assert_eq!(format!("{guest:?}"), "Guest(shared)");
    }
}
