//! How two devices that know each other meet again: the room, the password, and who is expected.

use super::identity::{Identity, PublicKey};
use super::proof::Known;
use super::secret::{Inbox, PairSecret};
use crate::pairing::{DevicePassword, Role};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use sha2::Sha256;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// Binds everything derived here to this protocol.
const SALT: &[u8] = b"peerline/1 device";

/// Characters of a room, 5 bits each: 80 bits, which nobody meets by chance.
const ROOM: usize = 16;

/// RFC 4648 section 6 in lower case, as rooms of codes are written.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The day, in UTC, counted from 1970: rooms are good for one.
pub fn day(now: SystemTime) -> u64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() / 86_400
}

impl Inbox {
    /// The room on a signaling server on this [`day`]. Without the inbox nobody can tell which rooms are those
    /// of one device.
    pub fn room(&self, day: u64) -> String {
        let info = [b"room ".as_slice(), &day.to_be_bytes()].concat();
        let bytes = expand::<10>(self.bytes(), &info);
        let number = bytes
            .iter()
            .fold(0u128, |sum, byte| sum << 8 | u128::from(*byte));
        (0..ROOM)
            .rev()
            .map(|place| char::from(BASE32[(number >> (5 * place)) as usize & 31]))
            .collect()
    }
}

/// What a device keeps of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquaintance {
    /// Who it is.
    pub key: PublicKey,
    /// Where it waits.
    pub inbox: Inbox,
    /// What the two agreed on.
    pub secret: PairSecret,
}

impl Acquaintance {
    /// The password with which one of the two gets into `room`, in which `host` waits.
    pub(super) fn password(&self, room: &str, host: &PublicKey) -> DevicePassword {
        let text = expand::<32>(self.secret.bytes(), b"password");
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(text.as_slice()));
        let hint = expand(self.secret.bytes(), b"hint");
        DevicePassword::new(room, *host.bytes(), hint, text)
    }
}

fn expand<const N: usize>(secret: &[u8; 32], info: &[u8]) -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    Hkdf::<Sha256>::new(Some(SALT), secret)
        .expand(info, &mut *bytes)
        .expect("it is shorter than HKDF's 8160 bytes");
    bytes
}

/// Going to where another device waits.
#[derive(Debug)]
pub struct Calling {
    room: String,
    pub(crate) password: DevicePassword,
    pub(crate) known: Known,
}

impl Calling {
    /// `whom` is expected in its inbox of this [`day`].
    pub fn new(identity: &Arc<Identity>, whom: &Acquaintance, day: u64) -> Self {
        let room = whom.inbox.room(day);
        Self {
            password: whom.password(&room, &whom.key),
            known: Known::new(Arc::clone(identity), whom.key, Role::Guest),
            room,
        }
    }

    /// The room to join, which the other side has made.
    pub fn room(&self) -> &str {
        &self.room
    }
}

/// Waiting for other devices.
#[derive(Debug)]
pub struct Awaiting {
    room: String,
    pub(crate) devices: Vec<(DevicePassword, Known)>,
}

impl Awaiting {
    /// This device waits for any of `devices`, in its inbox of this [`day`].
    pub fn new<'a>(
        identity: &Arc<Identity>,
        devices: impl IntoIterator<Item = &'a Acquaintance>,
        day: u64,
    ) -> Self {
        let room = identity.inbox().room(day);
        let expected = |device: &Acquaintance| {
            let known = Known::new(Arc::clone(identity), device.key, Role::Host);
            (device.password(&room, &identity.key()), known)
        };
        Self {
            devices: devices.into_iter().map(expected).collect(),
            room,
        }
    }

    /// The room to make.
    pub fn room(&self) -> &str {
        &self.room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairing::Code;
    use std::time::Duration;

    #[test]
    fn rooms_change_with_the_day_and_can_be_rooms() {
        let inbox = Inbox::from([7; 32]);
        let rooms = [0, 1, 20_000, u64::MAX].map(|day| inbox.room(day));
        for room in &rooms {
            assert_eq!(room.len(), ROOM);
            assert!(Code::generate(room).is_ok(), "{room}");
        }
        assert_ne!(rooms[0], rooms[1]);
        assert_ne!(rooms[0], Inbox::from([8; 32]).room(0));
        assert_eq!(rooms[2], inbox.room(20_000));
    }

    #[test]
    fn days_begin_at_midnight_and_not_before_1970() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!([at(0), at(86_399), at(86_400)].map(day), [0, 0, 1]);
        assert_eq!(day(UNIX_EPOCH - Duration::from_secs(1)), 0);
    }
}
