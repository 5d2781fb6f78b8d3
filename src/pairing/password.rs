//! What goes into the key agreement as its password: the words of a code, or the secret of two devices.

use super::code::Code;
use super::cpace::Secret;
use super::exchange::SessionId;
use super::key::{Hint, Key};
use std::fmt;
use zeroize::Zeroizing;

/// Random bytes of a device's session id; as many more tell the host whose it is.
const RANDOM: usize = 8;

/// A password (PRS) of CPace and the identifier (CI) of what it is good for.
pub(crate) struct Password {
    channel: Vec<u8>,
    text: Zeroizing<String>,
}

impl Password {
    /// A fresh secret for the exchange that `sid` names.
    pub(super) fn secret(&self, sid: &SessionId) -> Secret {
        Secret::random(self.text.as_bytes(), &self.channel, sid)
    }

    /// The channel identifier: what the exchange is for and where it takes place.
    #[cfg(test)]
    pub(super) fn channel(&self) -> &[u8] {
        &self.channel
    }
}

impl From<&Code> for Password {
    fn from(code: &Code) -> Self {
        Self {
            channel: [b"peerline/1 pair\0", code.room().as_bytes()].concat(),
            text: code.password(),
        }
    }
}

/// The password of two devices in one room, and how the guest says which device it is to nobody but the host:
/// half of the session id is random, the other half its tag under a key of these two.
pub(crate) struct DevicePassword {
    hint: Key<Hint>,
    /// The host's public key, so that nothing said to one of the two passes for a message to the other.
    host: [u8; 32],
    password: Password,
}

impl DevicePassword {
    pub(crate) fn new(
        room: &str,
        host: [u8; 32],
        hint: Zeroizing<[u8; 32]>,
        text: Zeroizing<String>,
    ) -> Self {
        Self {
            hint: Key::from_bytes(hint),
            host,
            password: Password {
                channel: [b"peerline/1 device\0", room.as_bytes()].concat(),
                text,
            },
        }
    }

    pub(super) fn password(&self) -> &Password {
        &self.password
    }

    /// A new session id of this device.
    pub(super) fn sid(&self) -> SessionId {
        self.sid_of(rand::random())
    }

    pub(crate) fn sid_of(&self, random: [u8; RANDOM]) -> SessionId {
        let mut sid = [0; 16];
        sid[..RANDOM].copy_from_slice(&random);
        let tag = self.hint.tag(&[&self.host[..], &random].concat());
        sid[RANDOM..].copy_from_slice(&tag[..RANDOM]);
        sid
    }

    #[cfg(test)]
    pub(crate) fn reveal(&self) -> &str {
        &self.password.text
    }

    /// Whether the id is one of this device's. Not compared in constant time: whoever can make one that
    /// fits gains an exchange in which it must still know the password.
    fn made(&self, sid: &SessionId) -> bool {
        let (random, _) = sid.split_first_chunk().expect("16 bytes are more than 8");
        self.sid_of(*random) == *sid
    }
}

impl fmt::Debug for DevicePassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DevicePassword(…)")
    }
}

/// What a host waits for.
pub(super) enum Passwords {
    Code(Password),
    Devices(Vec<DevicePassword>),
}

impl Passwords {
    /// The password of the guest with this session id, and its place among the devices.
    pub(super) fn meant_by(&self, sid: &SessionId) -> Option<(usize, &Password)> {
        match self {
            Self::Code(password) => Some((0, password)),
            Self::Devices(devices) => devices
                .iter()
                .enumerate()
                .find(|(_, device)| device.made(sid))
                .map(|(place, device)| (place, &device.password)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairing::{AbortReason, Action, Guest, Host, Input, PairingError, Record};

    fn password(room: &str, host: u8, hint: u8, text: &str) -> DevicePassword {
        let text = Zeroizing::new(text.to_owned());
        DevicePassword::new(room, [host; 32], Zeroizing::new([hint; 32]), text)
    }

    /// A guest with `ours` comes to a host that waits for `theirs`; what the host and the guest make of it.
    fn meet(ours: &DevicePassword, theirs: Vec<DevicePassword>) -> (String, String) {
        let mut host = Host::for_devices(theirs);
        let (mut guest, mut record) = Guest::start_known(ours);
        let (mut of_host, mut of_guest) = (String::new(), String::new());
        for _ in 0..2 {
            let answer = host.handle(&1, Input::Record(record.clone()));
            let Some(reply) = outcome(answer, &mut of_host) else {
                break;
            };
            match outcome(guest.handle(Input::Record(reply)), &mut of_guest) {
                Some(next) => record = next,
                None => break,
            }
        }
        (of_host, of_guest)
    }

    fn outcome(actions: Vec<Action>, said: &mut String) -> Option<Record> {
        let mut sent = None;
        for action in actions {
            match action {
                Action::Send(record) => sent = Some(record),
                Action::Paired(paired) => *said = format!("paired with {}", paired.device),
                Action::Refused(reason) => *said = format!("refused: {reason:?}"),
                Action::Failed(error) => *said = format!("failed: {error:?}"),
                Action::MaySeal(_) => {}
            }
        }
        sent
    }

    #[test]
    fn the_host_knows_which_device_has_come() {
        let ours = password("r", 1, 2, "secret");
        let others = || vec![password("r", 1, 3, "x"), password("r", 1, 4, "y")];
        let mut theirs = others();
        theirs.push(password("r", 1, 2, "secret"));
        assert_eq!(
            meet(&ours, theirs),
            ("paired with 2".into(), "paired with 0".into())
        );
        let refused = format!("refused: {:?}", AbortReason::UnknownDevice);
        let failed = format!("failed: {:?}", PairingError::UnknownDevice);
        assert_eq!(meet(&ours, others()), (refused.clone(), failed.clone()));
        assert_eq!(meet(&ours, vec![]), (refused, failed));
    }

    #[test]
    fn what_differs_in_any_part_does_not_pair() {
        let ours = password("r", 1, 2, "secret");
        for (theirs, expected) in [
            (password("r", 1, 2, "other"), "failed: WrongCode"),
            (password("s", 1, 2, "secret"), "failed: WrongCode"),
            (password("r", 9, 2, "secret"), "refused: UnknownDevice"),
            (password("r", 1, 9, "secret"), "refused: UnknownDevice"),
        ] {
            assert_eq!(meet(&ours, vec![theirs]).0, expected);
        }
    }

    #[test]
    fn an_unknown_device_costs_nothing() {
        let known = || password("r", 1, 2, "secret");
        let mut host = Host::for_devices(vec![known()]);
        for _ in 0..100 {
            let (_, share) = Guest::start_known(&password("r", 1, 9, "secret"));
            let mut said = String::new();
            outcome(host.handle(&1, Input::Record(share)), &mut said);
            assert_eq!(said, "refused: UnknownDevice");
        }
        let (_, share) = Guest::start_known(&known());
        let answer = outcome(host.handle(&2, Input::Record(share)), &mut String::new());
        assert!(matches!(answer, Some(Record::ShareHost { .. })));
    }

    #[test]
    fn ids_are_new_each_time_and_show_nothing() {
        let ours = password("r", 1, 2, "secret");
        let (one, two) = (ours.sid(), ours.sid());
        assert_ne!(one[..8], two[..8]);
        assert_ne!(one[8..], two[8..]);
        assert!(ours.made(&one) && ours.made(&two));
        assert!(!ours.made(&[0; 16]));
        assert_eq!(format!("{ours:?}"), "DevicePassword(…)");
    }
}
