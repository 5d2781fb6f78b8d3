//! What a network can do to records on their way.

use super::{Record, Role};
use crate::pairing::Code;
use crate::pairing::cpace::Secret;
use crate::pairing::exchange::Agreement;
use crate::pairing::password::Password;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A record on its way to a side.
#[derive(Clone)]
pub(super) struct Letter {
    pub(super) to: Role,
    pub(super) text: String,
}

impl Letter {
    pub(super) fn new(to: Role, record: &Record) -> Self {
        Self {
            to,
            text: record.encode(),
        }
    }

    fn record(&self) -> Record {
        Record::decode(&self.text).unwrap()
    }

    fn is(&self, kind: u8) -> bool {
        URL_SAFE_NO_PAD.decode(&self.text).unwrap()[0] == kind
    }
}

/// What becomes of a record: any number of records, to either side.
pub(super) type Network = Box<dyn FnMut(Letter) -> Vec<Letter>>;

pub(super) fn honest() -> Network {
    Box::new(|letter| vec![letter])
}

pub(super) const SHARE_GUEST: u8 = 1;
pub(super) const SHARE_HOST: u8 = 2;
pub(super) const CONFIRM: u8 = 3;
pub(super) const SEALED: u8 = 4;

/// Does something to the records of one kind to one side; the others go on unchanged.
pub(super) fn on(kind: u8, to: Role, change: impl Fn(Letter) -> Vec<Letter> + 'static) -> Network {
    Box::new(move |letter| match letter.to == to && letter.is(kind) {
        true => change(letter),
        false => vec![letter],
    })
}

pub(super) fn drops(_: Letter) -> Vec<Letter> {
    vec![]
}

pub(super) fn repeats(letter: Letter) -> Vec<Letter> {
    vec![letter.clone(), letter]
}

pub(super) fn reflects(letter: Letter) -> Vec<Letter> {
    vec![Letter {
        to: letter.to.other(),
        text: letter.text,
    }]
}

/// Changes the bytes of a record.
pub(super) fn edits(edit: impl Fn(&mut Vec<u8>) + 'static) -> impl Fn(Letter) -> Vec<Letter> {
    move |letter| {
        let mut bytes = URL_SAFE_NO_PAD.decode(&letter.text).unwrap();
        edit(&mut bytes);
        vec![Letter {
            to: letter.to,
            text: URL_SAFE_NO_PAD.encode(bytes),
        }]
    }
}

pub(super) fn flips(letter: Letter) -> Vec<Letter> {
    edits(|bytes| *bytes.last_mut().unwrap() ^= 4)(letter)
}

pub(super) fn truncates(letter: Letter) -> Vec<Letter> {
    edits(|bytes| bytes.truncate(bytes.len() - 1))(letter)
}

pub(super) fn garbles(mut letter: Letter) -> Vec<Letter> {
    letter.text.replace_range(.., "not a record");
    vec![letter]
}

pub(super) fn next_version(letter: Letter) -> Vec<Letter> {
    edits(|bytes| bytes[1] = 2)(letter)
}

/// Puts another point where the share was.
pub(super) fn puts(point: [u8; 32]) -> impl Fn(Letter) -> Vec<Letter> {
    edits(move |bytes| {
        let start = bytes.len() - 32;
        bytes[start..].copy_from_slice(&point);
    })
}

/// Sends the guest's share back as if it were the host's.
pub(super) fn mirrors(mut letter: Letter) -> Vec<Letter> {
    let Record::ShareGuest { share, .. } = letter.record() else {
        unreachable!()
    };
    letter = Letter::new(Role::Guest, &Record::ShareHost { share });
    vec![letter]
}

/// Drops the first sealed record to a side and gives its number to the second.
pub(super) fn drops_first(renumber: bool) -> impl Fn(Letter) -> Vec<Letter> {
    move |letter| match letter.record() {
        Record::Sealed { counter: 0, .. } => vec![],
        Record::Sealed {
            counter,
            ciphertext,
        } if renumber => {
            vec![Letter::new(
                letter.to,
                &Record::Sealed {
                    counter: counter - 1,
                    ciphertext,
                },
            )]
        }
        _ => vec![letter],
    }
}

/// Holds the first sealed record to a side back until the second has passed.
pub(super) fn reorders(to: Role) -> Network {
    let mut held = None;
    Box::new(move |letter| match letter.to == to && letter.is(SEALED) {
        true if held.is_none() => {
            held = Some(letter);
            vec![]
        }
        true => vec![letter, held.clone().unwrap()],
        false => vec![letter],
    })
}

/// Knows the room and guesses the words, and answers each side with keys from its guess.
pub(super) fn man_in_the_middle(guess: &str) -> Network {
    let guess = Password::from(&guess.parse::<Code>().unwrap());
    let secret = move |sid: &[u8; 16]| guess.secret(sid);
    let mut to_host: Option<([u8; 16], Secret)> = None;
    let mut with_guest: Option<Agreement> = None;
    Box::new(move |letter| match (letter.to, letter.record()) {
        (Role::Host, Record::ShareGuest { sid, share }) => {
            let (own, other) = (secret(&sid), secret(&sid));
            let product = own.product(&share).unwrap();
            with_guest = Some(Agreement::new(&sid, &product, &share, &own.share));
            let for_host = Record::ShareGuest {
                sid,
                share: other.share,
            };
            to_host = Some((sid, other));
            vec![
                Letter::new(Role::Guest, &Record::ShareHost { share: own.share }),
                Letter::new(Role::Host, &for_host),
            ]
        }
        (Role::Guest, Record::ShareHost { share }) => {
            let (sid, own) = to_host.take().unwrap();
            let product = own.product(&share).unwrap();
            let with_host = Agreement::new(&sid, &product, &own.share, &share);
            vec![Letter::new(
                Role::Host,
                &with_host.confirmation(Role::Guest),
            )]
        }
        (Role::Host, Record::Confirm { .. }) => {
            let guess = with_guest.as_ref().unwrap().confirmation(Role::Host);
            vec![Letter::new(Role::Guest, &guess)]
        }
        _ => vec![],
    })
}
