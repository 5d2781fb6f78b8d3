//! Pairing over a signaling server, through the public interface: what the session layer does, in small.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use peerline::pairing::{
    Action, ByeCode, Code, Fingerprint, Guest, Host, Input, Paired, PairingError, Record,
    SealedMessage, Sealer,
};
use peerline::signaling::Signaling;
use peerline::signaling::memory::{self, Relayed};
use signaling_protocol::{ClientMessage, Join, PeerId, ServerMessage};
use std::time::Duration;

/// Longer than anything here takes on a busy machine; a test that waits for it fails.
const LIMIT: Duration = Duration::from_secs(30);

/// One side of a code, whichever it is.
enum Side {
    Guest(Guest),
    Host(Host<PeerId>),
}

impl Side {
    fn handle(&mut self, from: &PeerId, input: Input) -> Vec<Action> {
        match self {
            Self::Guest(guest) => guest.handle(input),
            Self::Host(host) => host.handle(from, input),
        }
    }
}

/// Runs a side until it is paired and has got one sealed message, and returns that message.
async fn run(mut side: Side, mut room: Signaling) -> Result<(SealedMessage, Paired), String> {
    let mut paired: Option<Paired> = None;
    loop {
        let (from, input) = match room.next().await.map_err(|lost| lost.to_string())? {
            ServerMessage::Sealed { from, data } => (from, Record::decode(&data).into()),
            ServerMessage::PeerLeft { peer, .. } => (peer, Input::PeerLeft),
            _ => continue,
        };
        if let Input::Record(Record::Sealed {
            counter,
            ciphertext,
        }) = &input
            && let Some(mut paired) = paired.take()
        {
            let opened = paired.opener.open(*counter, ciphertext);
            room.leave().await;
            return Ok((opened.map_err(|error| error.to_string())?, paired));
        }
        for action in side.handle(&from, input) {
            match action {
                Action::Send(record) => send(&room, &from, &record).await,
                Action::MaySeal(mut sealer) => {
                    send(&room, &from, &sealed(&mut sealer, "hello")).await;
                }
                Action::Paired(done) => paired = Some(done),
                Action::Refused(_) => {}
                Action::Failed(error) => {
                    room.leave().await;
                    return Err(error.to_string());
                }
            }
        }
    }
}

async fn send(room: &Signaling, to: &PeerId, record: &Record) {
    let message = ClientMessage::Sealed {
        to: to.clone(),
        data: record.encode(),
    };
    room.send(message).await.unwrap();
}

fn sealed(sealer: &mut Sealer, message: &str) -> Record {
    sealer.seal(&hello(message)).unwrap()
}

fn hello(message: &str) -> SealedMessage {
    SealedMessage::Bye {
        code: ByeCode::Done,
        message: message.to_owned(),
    }
}

type Outcome = Result<(SealedMessage, Paired), String>;

/// Makes a code on a server, gives it to a guest after `mistype`, and returns how both ended.
async fn pair(server: &memory::Server, mistype: fn(String) -> String) -> (Outcome, Outcome) {
    let join = Join {
        create: Some(true),
        capacity: Some(2),
        ..Join::default()
    };
    let (host_room, joined) = server.join(join).await.unwrap();
    let code = Code::generate(joined.room.as_str()).unwrap();
    let given: Code = mistype(code.to_string()).parse().unwrap();

    let room = given.room().parse().ok();
    let join = Join {
        room,
        create: Some(false),
        ..Join::default()
    };
    let (guest_room, joined) = server.join(join).await.unwrap();
    let (guest, share) = Guest::start(&given);
    send(&guest_room, &joined.peers[0].id, &share).await;
    let both = async {
        tokio::join!(
            run(Side::Guest(guest), guest_room),
            run(Side::Host(Host::new(code)), host_room)
        )
    };
    tokio::time::timeout(LIMIT, both)
        .await
        .expect("both sides end")
}

#[tokio::test]
async fn two_sides_of_a_code_read_each_other_and_agree_on_everything() {
    let (guest, host) = pair(&memory::Server::new(), |code| code.to_uppercase()).await;
    let ((to_guest, guest), (to_host, host)) = (guest.unwrap(), host.unwrap());
    assert_eq!((to_guest, to_host), (hello("hello"), hello("hello")));
    assert_eq!(guest.phrase, host.phrase);
    let ends = (
        Fingerprint::of_certificate(b"guest"),
        Fingerprint::of_certificate(b"host"),
    );
    let tag = guest.certificates.tag(&ends.0, &ends.1);
    assert!(host.certificates.verify(&tag, &ends.0, &ends.1));
    assert!(!host.certificates.verify(&tag, &ends.1, &ends.0));
}

#[tokio::test]
async fn a_wrong_word_ends_both_sides_with_the_same_reason() {
    let other_word = |code: String| {
        let (rest, last) = code.rsplit_once('-').unwrap();
        format!("{rest}-{}", if last == "zoo" { "zone" } else { "zoo" })
    };
    let (guest, host) = pair(&memory::Server::new(), other_word).await;
    let wrong = PairingError::WrongCode.to_string();
    assert_eq!(
        (guest.unwrap_err(), host.unwrap_err()),
        (wrong.clone(), wrong)
    );
}

#[tokio::test]
async fn a_server_that_changes_a_sealed_message_is_noticed() {
    let server = memory::Server::with_tap(|mut relayed: Relayed| {
        if let ServerMessage::Sealed { data, .. } = &mut relayed.message
            && let Ok(Record::Sealed {
                counter,
                mut ciphertext,
            }) = Record::decode(data)
        {
            ciphertext[0] ^= 1;
            *data = Record::Sealed {
                counter,
                ciphertext,
            }
            .encode();
        }
        vec![relayed]
    });
    let (guest, host) = pair(&server, |code| code).await;
    for outcome in [guest, host] {
        assert_eq!(outcome.unwrap_err(), "sealed message 0 does not open");
    }
}
