//! What a server, or anybody else on the way, can do to an exchange, and how both sides end.
//!
//! Each case is a row: the guest's code, a network that carries the records, and how both sides
//! must end. Whatever the network does, a sealed message opens only where both sides proved that
//! they know the code, and nobody is left without a stated reason.

mod network;

use super::*;
use curve25519_dalek::constants::RISTRETTO_BASEPOINT_COMPRESSED;
use network::*;
use std::collections::VecDeque;

const RIGHT: &str = "7-crane-velvet-orbit";
const WRONG: &str = "7-crane-velvet-zoo";

/// How one side ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Paired,
    Failed(PairingError),
    /// A host whose guest went without a guess: the code is still good.
    Waiting,
}

const WRONG_CODE: End = End::Failed(PairingError::WrongCode);
const TAMPERED: End = End::Failed(PairingError::Tampered);
const TIMED_OUT: End = End::Failed(PairingError::TimedOut);
const CODE_USED: End = End::Failed(PairingError::CodeUsed);
const OTHER_VERSION: End = End::Failed(PairingError::UnsupportedVersion);

/// One of the two sides, with what the session layer would do around the state machines.
struct Side {
    role: Role,
    opener: Option<Opener>,
    opened: usize,
    end: Option<End>,
}

impl Side {
    fn new(role: Role) -> Self {
        Self {
            role,
            opener: None,
            opened: 0,
            end: None,
        }
    }

    /// Opens a sealed record if it is one for the opener; `None` hands the input on.
    fn open(&mut self, input: &Input) -> Option<Vec<Record>> {
        let (
            Input::Record(Record::Sealed {
                counter,
                ciphertext,
            }),
            Some(opener),
        ) = (input, &mut self.opener)
        else {
            return None;
        };
        if self.end != Some(End::Paired) {
            return Some(vec![]);
        }
        match opener.open(*counter, ciphertext) {
            Ok(message) => {
                assert_eq!(message, secret_message());
                self.opened += 1;
                Some(vec![])
            }
            Err(_) => {
                self.end = Some(TAMPERED);
                Some(vec![Record::Abort(AbortReason::Tampered)])
            }
        }
    }

    fn act(&mut self, actions: Vec<Action>) -> Vec<Record> {
        let mut records = vec![];
        for action in actions {
            match action {
                Action::Send(record) => records.push(record),
                Action::MaySeal(mut sealer) => {
                    records.push(sealer.seal(&secret_message()).unwrap());
                    records.push(sealer.seal(&secret_message()).unwrap());
                }
                Action::Paired(paired) => {
                    self.opener = Some(paired.opener);
                    self.end = Some(End::Paired);
                }
                Action::Refused(_) => {}
                Action::Failed(error) => self.end = Some(End::Failed(error)),
            }
        }
        records
    }
}

fn secret_message() -> SealedMessage {
    SealedMessage::Bye {
        code: ByeCode::Done,
        message: "secret".into(),
    }
}

fn run_case(
    name: &str,
    guest_code: &str,
    mut network: Network,
    ends: (End, End),
    opened: [usize; 2],
) {
    let (mut guest, share) = Guest::start(&guest_code.parse().unwrap());
    let mut host = Host::new(RIGHT.parse().unwrap());
    let mut sides = [Side::new(Role::Guest), Side::new(Role::Host)];
    let mut way: VecDeque<Letter> = network(Letter::new(Role::Host, &share)).into();
    loop {
        let (to, input) = match way.pop_front() {
            Some(letter) => (letter.to, Input::from(Record::decode(&letter.text))),
            // Nothing is on its way any more: what a dropping network leads to.
            None if sides[0].end.is_none() => (Role::Guest, Input::TimedOut),
            None => break,
        };
        let side = &mut sides[to as usize];
        let records = match side.open(&input) {
            Some(records) => records,
            None => {
                let actions = match to {
                    Role::Guest => guest.handle(input),
                    Role::Host => host.handle(&"guest", input),
                };
                side.act(actions)
            }
        };
        let other = side.role.other();
        way.extend(
            records
                .iter()
                .flat_map(|record| network(Letter::new(other, record))),
        );
    }
    let [guest, host] = sides;
    assert_eq!(
        (guest.end.unwrap(), host.end.unwrap_or(End::Waiting)),
        ends,
        "{name}"
    );
    assert_eq!(
        [guest.opened, host.opened],
        opened,
        "{name}: opened by guest and host"
    );
}

#[test]
#[rustfmt::skip] // A row a line.
fn every_exchange_ends_with_its_reason_and_nothing_opens_that_should_not() {
    use Role::{Guest, Host};
    let other_point = RISTRETTO_BASEPOINT_COMPRESSED.to_bytes();
    let mut prime = [0xff; 32];
    (prime[0], prime[31]) = (0xed, 0x7f);

    let paired = (End::Paired, End::Paired);
    let wrong = (WRONG_CODE, WRONG_CODE);
    let tampered = (TAMPERED, TAMPERED);
    let guest_sees_it = (TAMPERED, End::Waiting);
    let elsewhere = "8-crane-velvet-orbit";
    for (name, code, network, ends, opened) in [
        ("nobody interferes", RIGHT, honest(), paired, [2, 2]),
        ("wrong words", WRONG, honest(), wrong, [0, 0]),
        ("the server moves the guest to another room", elsewhere, honest(), wrong, [0, 0]),
        ("a man in the middle with a wrong guess", RIGHT, man_in_the_middle(WRONG), wrong, [0, 0]),
        // One in 2^33: shows that the row above fails for the guess and nothing else.
        ("a man in the middle with the right guess", RIGHT, man_in_the_middle(RIGHT), paired, [0, 0]),
        // Shares.
        ("another share for the host", RIGHT, on(SHARE_GUEST, Host, puts(other_point)), wrong, [0, 0]),
        ("another share for the guest", RIGHT, on(SHARE_HOST, Guest, puts(other_point)), wrong, [0, 0]),
        ("identity for the host", RIGHT, on(SHARE_GUEST, Host, puts([0; 32])), wrong, [0, 0]),
        ("identity for the guest", RIGHT, on(SHARE_HOST, Guest, puts([0; 32])), (WRONG_CODE, End::Waiting), [0, 0]),
        ("non-canonical for the host", RIGHT, on(SHARE_GUEST, Host, puts(prime)), wrong, [0, 0]),
        ("non-canonical for the guest", RIGHT, on(SHARE_HOST, Guest, puts(prime)), (WRONG_CODE, End::Waiting), [0, 0]),
        ("another session id", RIGHT, on(SHARE_GUEST, Host, edits(|bytes| bytes[2] ^= 1)), wrong, [0, 0]),
        ("another version", RIGHT, on(SHARE_GUEST, Host, next_version), (OTHER_VERSION, End::Waiting), [0, 0]),
        ("the guest's share comes back", RIGHT, on(SHARE_GUEST, Host, reflects), guest_sees_it, [0, 0]),
        ("the guest's share comes back as a host's", RIGHT, on(SHARE_GUEST, Host, mirrors), guest_sees_it, [0, 0]),
        ("the host's share comes back", RIGHT, on(SHARE_HOST, Guest, reflects), tampered, [0, 0]),
        ("a repeated share for the host", RIGHT, on(SHARE_GUEST, Host, repeats), (CODE_USED, End::Paired), [0, 2]),
        ("a repeated share for the guest", RIGHT, on(SHARE_HOST, Guest, repeats), tampered, [0, 2]),
        ("a truncated share for the host", RIGHT, on(SHARE_GUEST, Host, truncates), tampered, [0, 0]),
        ("a truncated share for the guest", RIGHT, on(SHARE_HOST, Guest, truncates), guest_sees_it, [0, 0]),
        ("no share for the host", RIGHT, on(SHARE_GUEST, Host, drops), (TIMED_OUT, End::Waiting), [0, 0]),
        ("no share for the guest", RIGHT, on(SHARE_HOST, Guest, drops), (TIMED_OUT, End::Waiting), [0, 0]),
        ("no record for the host", RIGHT, on(SHARE_GUEST, Host, garbles), tampered, [0, 0]),
        ("no record for the guest", RIGHT, on(SHARE_HOST, Guest, garbles), guest_sees_it, [0, 0]),
        // Confirmations.
        ("a changed tag for the host", RIGHT, on(CONFIRM, Host, flips), wrong, [0, 0]),
        ("a changed tag for the guest", RIGHT, on(CONFIRM, Guest, flips), wrong, [0, 2]),
        ("the guest's tag comes back", RIGHT, on(CONFIRM, Host, reflects), (WRONG_CODE, TAMPERED), [0, 0]),
        ("the host's tag comes back", RIGHT, on(CONFIRM, Guest, reflects), tampered, [0, 2]),
        ("a repeated tag for the host", RIGHT, on(CONFIRM, Host, repeats), tampered, [2, 0]),
        ("a repeated tag for the guest", RIGHT, on(CONFIRM, Guest, repeats), tampered, [0, 2]),
        ("a truncated tag for the host", RIGHT, on(CONFIRM, Host, truncates), tampered, [0, 0]),
        ("a truncated tag for the guest", RIGHT, on(CONFIRM, Guest, truncates), tampered, [0, 2]),
        ("no tag for the host", RIGHT, on(CONFIRM, Host, drops), tampered, [0, 0]),
        ("no tag for the guest", RIGHT, on(CONFIRM, Guest, drops), tampered, [0, 2]),
        // Sealed messages.
        ("a changed message for the host", RIGHT, on(SEALED, Host, flips), tampered, [2, 0]),
        ("a changed message for the guest", RIGHT, on(SEALED, Guest, flips), tampered, [0, 2]),
        ("a truncated message for the host", RIGHT, on(SEALED, Host, truncates), tampered, [2, 0]),
        ("a truncated message for the guest", RIGHT, on(SEALED, Guest, truncates), tampered, [0, 2]),
        ("a repeated message for the host", RIGHT, on(SEALED, Host, repeats), tampered, [2, 1]),
        ("a repeated message for the guest", RIGHT, on(SEALED, Guest, repeats), tampered, [1, 2]),
        ("the guest's messages come back", RIGHT, on(SEALED, Host, reflects), tampered, [0, 0]),
        ("the host's messages come back", RIGHT, on(SEALED, Guest, reflects), tampered, [0, 2]),
        ("a missing message for the host", RIGHT, on(SEALED, Host, drops_first(false)), tampered, [2, 0]),
        ("a missing message for the guest", RIGHT, on(SEALED, Guest, drops_first(false)), tampered, [0, 2]),
        ("a renumbered message for the host", RIGHT, on(SEALED, Host, drops_first(true)), tampered, [2, 0]),
        ("a renumbered message for the guest", RIGHT, on(SEALED, Guest, drops_first(true)), tampered, [0, 2]),
        ("reordered messages for the host", RIGHT, reorders(Host), tampered, [2, 0]),
        ("reordered messages for the guest", RIGHT, reorders(Guest), tampered, [0, 2]),
    ] {
        run_case(name, code, network, ends, opened);
    }
}
