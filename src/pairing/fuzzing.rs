//! Codes, links and sealed records, for `fuzz/`.

use super::key::KeySchedule;
use super::sealed_message::SealedMessage;
use super::{Code, Fingerprint, Invitation, MAX_PLAINTEXT, Opener, Record, Role, Sealer};

/// What stands for a code.
pub(crate) fn code(text: &str) {
    match text.parse::<Code>() {
        Ok(code) => {
            assert_eq!(code.to_string().parse(), Ok(code.clone()));
            let link: Invitation = code
                .link("https://host/page")
                .parse()
                .expect("our own link");
            assert_eq!(link.code, code);
        }
        Err(error) => assert!(!error.to_string().chars().any(char::is_control), "{error}"),
    }
    if let Ok(Invitation {
        server: Some(server),
        code,
    }) = text.parse()
    {
        let again: Invitation = code.link(&server).parse().expect("our own link");
        assert_eq!(again.code, code);
    }
    if let Ok(fingerprint) = text.parse::<Fingerprint>() {
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
    }
}

/// The `data` of a `sealed` message; also as what is inside one.
pub fn pairing_record(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data)
        && let Ok(record) = Record::decode(text)
    {
        assert_eq!(record.encode(), text, "a record has one encoding");
        if let Record::Sealed {
            counter,
            ciphertext,
        } = record
        {
            let mut opener = opener();
            assert!(opener.open_ahead(counter, &ciphertext).is_err());
            assert!(opener.open(counter, &ciphertext).is_err());
        }
    }
    if let Ok(message) = SealedMessage::from_json(data) {
        let again = SealedMessage::from_json(&message.to_json());
        assert_eq!(again.as_ref(), Ok(&message));
        match Sealer::new(&KeySchedule::new(&[1; 64]), Role::Guest).seal(&message) {
            Ok(Record::Sealed {
                counter,
                ciphertext,
            }) => assert_eq!(opener().open(counter, &ciphertext), Ok(message)),
            Ok(record) => panic!("sealed as {record:?}"),
            Err(_) => assert!(message.to_json().len() > MAX_PLAINTEXT),
        }
    }
}

/// With a key that nobody draws.
fn opener() -> Opener {
    Opener::new(&KeySchedule::new(&[1; 64]), Role::Guest)
}
