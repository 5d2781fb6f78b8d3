//! Two devices get to know each other over a session, and meet again without a code; whoever is not the one
//! that is expected gets nowhere.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use peerline::channel::{Delivery, Message};
use peerline::device::{Acquaintance, Awaiting, Calling, Identity, IntroductionError, introduce};
use peerline::pairing::{PairingError, Role};
use peerline::session::{Bye, ByeCode, Session, SessionConfig, SessionError};
use peerline::signaling::Signaling;
use peerline::signaling::memory::{Relayed, Server};
use peerline::testing::Pair;
use signaling_protocol::{ClientMessage, Join, Joined, ServerMessage};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::timeout;

/// Longer than anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(80);

const DAY: u64 = 20_000;

/// A device, and what it keeps of the other one.
struct Device {
    identity: Arc<Identity>,
    other: Acquaintance,
}

/// Guest and host of the session that introduced them.
async fn two() -> [Device; 2] {
    let Pair {
        mut host,
        mut guest,
        ..
    } = Pair::connect().await.unwrap();
    let identities = [(); 2].map(|()| Arc::new(Identity::generate()));
    let (mut of_guest, mut of_host) = (None, None);
    let (guests, hosts) = (identities[0].clone(), identities[1].clone());
    let as_guest = async {
        let keep = |who| {
            of_guest = Some(who);
            Ok(())
        };
        introduce(&mut guest, guests, keep).await.unwrap();
        guest.close(Bye::new(ByeCode::Done, "done")).await;
    };
    let as_host = async {
        let keep = |who| {
            of_host = Some(who);
            Ok(())
        };
        introduce(&mut host, hosts, keep).await.unwrap();
    };
    timeout(LIMIT, async { tokio::join!(as_guest, as_host) })
        .await
        .unwrap();
    let [one, two] = identities;
    let (of_guest, of_host): (Acquaintance, Acquaintance) = (of_guest.unwrap(), of_host.unwrap());
    assert_eq!((of_guest.key, of_host.key), (two.key(), one.key()));
    [
        Device {
            identity: one,
            other: of_guest,
        },
        Device {
            identity: two,
            other: of_host,
        },
    ]
}

fn config() -> SessionConfig {
    SessionConfig {
        loopback: true,
        ..SessionConfig::default()
    }
}

async fn make(server: &Server, room: &str) -> (Signaling, Joined) {
    let join = Join {
        room: Some(room.parse().unwrap()),
        create: Some(true),
        capacity: Some(2),
        ..Join::default()
    };
    server.join(join).await.unwrap()
}

async fn enter(server: &Server, room: &str) -> (Signaling, Joined) {
    let join = Join {
        room: Some(room.parse().unwrap()),
        create: Some(false),
        ..Join::default()
    };
    server.join(join).await.unwrap()
}

type Outcome = Result<Session, SessionError>;

/// What both make of it: `caller` calls whom it takes for `called`, who waits for `expected`.
async fn meet(
    server: &Server,
    (caller, called): (&Arc<Identity>, &Acquaintance),
    (waiter, expected): (&Arc<Identity>, &[Acquaintance]),
) -> (Outcome, Outcome) {
    let awaiting = Awaiting::new(waiter, expected, DAY);
    let (signaling, joined) = make(server, awaiting.room()).await;
    let guest = async {
        let calling = Calling::new(caller, called, DAY);
        let (signaling, joined) = enter(server, calling.room()).await;
        Session::guest_known(signaling, &joined, calling, config()).await
    };
    let host = Session::host_known(signaling, &joined, awaiting, config(), |_| ());
    timeout(LIMIT, async { tokio::join!(guest, host) })
        .await
        .expect("both end")
}

/// A device that is known, and does not come.
fn stranger() -> Acquaintance {
    Acquaintance {
        key: Identity::generate().key(),
        inbox: [1; 32].into(),
        secret: [2; 32].into(),
    }
}

/// Whether a side says that the other one is not who it should be.
fn is_refused(outcome: &Outcome) -> bool {
    match outcome {
        Err(SessionError::WrongDevice | SessionError::Tampered(_) | SessionError::Pairing(_)) => {
            true
        }
        Err(SessionError::Bye(bye)) => bye.code == ByeCode::Tampered,
        _ => false,
    }
}

/// Neither goes on, and one of them was the first to see whose key is missing.
#[track_caller]
fn are_refused(guest: &Outcome, host: &Outcome) {
    assert!(is_refused(guest) && is_refused(host), "{guest:?}, {host:?}");
    let saw = |outcome: &Outcome| matches!(outcome, Err(SessionError::WrongDevice));
    assert!(saw(guest) || saw(host), "{guest:?}, {host:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn they_meet_again_in_both_directions_and_know_who_it_is() {
    let [one, two] = two().await;
    let server = Server::default();
    for (caller, waiter) in [(&one, &two), (&two, &one)] {
        let expected = [stranger(), waiter.other.clone()];
        let called = (&caller.identity, &caller.other);
        let (guest, host) = meet(&server, called, (&waiter.identity, &expected)).await;
        let (guest, mut host) = (guest.unwrap(), host.unwrap());
        assert_eq!(guest.device(), Some(waiter.identity.key()));
        assert_eq!(host.device(), Some(caller.identity.key()));
        assert_eq!((guest.role(), host.role()), (Role::Guest, Role::Host));
        let channel = guest.open("x", "", Delivery::Reliable).await.unwrap();
        channel.send_text("hello".into()).await.unwrap();
        let mut incoming = host.accept().await.unwrap().channel;
        assert_eq!(incoming.recv().await, Some(Message::Text("hello".into())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_not_enough_without_the_key() {
    let [one, two] = two().await;
    let server = Server::default();
    let thief = Arc::new(Identity::generate());
    let called = (&thief, &one.other);
    let expected = [two.other.clone()];
    let (guest, host) = meet(&server, called, (&two.identity, &expected)).await;
    are_refused(&guest, &host);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_were_swapped_lead_to_nobody() {
    let [one, two] = two().await;
    let server = Server::default();
    // The waiting device has the secret of each under the key of the other.
    let (mut first, mut second) = (two.other.clone(), stranger());
    std::mem::swap(&mut first.key, &mut second.key);
    let called = (&one.identity, &one.other);
    let (guest, host) = meet(&server, called, (&two.identity, &[first, second])).await;
    are_refused(&guest, &host);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_device_is_turned_away_and_the_next_one_comes_in() {
    let [one, two] = two().await;
    let server = Server::default();
    // The next one, as the two know each other.
    let third = Arc::new(Identity::generate());
    let expected = Acquaintance {
        key: third.key(),
        ..stranger()
    };
    let known_to_third = Acquaintance {
        key: two.identity.key(),
        inbox: two.identity.inbox().clone(),
        secret: expected.secret.clone(),
    };
    let awaiting = Awaiting::new(&two.identity, [&expected], DAY);
    let (signaling, joined) = make(&server, awaiting.room()).await;
    let host = Session::host_known(signaling, &joined, awaiting, config(), |_| ());
    let guests = async {
        let calling = Calling::new(&one.identity, &one.other, DAY);
        let (signaling, joined) = enter(&server, calling.room()).await;
        let removed = Session::guest_known(signaling, &joined, calling, config()).await;
        let error = removed.expect_err("it is not known any more");
        assert!(
            matches!(error, SessionError::Pairing(PairingError::UnknownDevice)),
            "{error}"
        );
        let calling = Calling::new(&third, &known_to_third, DAY);
        let (signaling, joined) = enter(&server, calling.room()).await;
        Session::guest_known(signaling, &joined, calling, config()).await
    };
    let (host, guest) = timeout(LIMIT, async { tokio::join!(host, guests) })
        .await
        .unwrap();
    assert_eq!(host.unwrap().device(), Some(third.key()));
    assert_eq!(guest.unwrap().device(), Some(two.identity.key()));
}

/// Flips a bit of one sealed message of one side: 0 is the share, 1 the proof, 2 the description.
fn meddling(number: usize, of_first: bool) -> Server {
    let (mut first, mut seen) = (None, 0);
    Server::with_tap(move |mut relayed: Relayed| {
        if let ServerMessage::Sealed { data, .. } = &mut relayed.message {
            let first = first.get_or_insert_with(|| relayed.from.clone());
            if (*first == relayed.from) == of_first {
                if seen == number {
                    // The last but one character: the last one may have bits that say nothing.
                    let place = data.len() - 2;
                    let other = if data.as_bytes()[place] == b'A' {
                        "B"
                    } else {
                        "A"
                    };
                    data.replace_range(place..=place, other);
                }
                seen += 1;
            }
        }
        vec![relayed]
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_in_the_middle_gets_nothing() {
    let [one, two] = two().await;
    let called = (&one.identity, &one.other);
    let expected = [two.other.clone()];
    // Without the first message of the host, whose guest may go at once, so that it waits for the next one.
    for (of_guest, number) in [(true, 0), (true, 1), (true, 2), (false, 1), (false, 2)] {
        let server = meddling(number, of_guest);
        let (guest, host) = meet(&server, called, (&two.identity, &expected)).await;
        let name = format!("message {number}, of the guest: {of_guest}");
        assert!(is_refused(&guest), "{name}: {guest:?}");
        assert!(is_refused(&host), "{name}: {host:?}");
    }
    let server = meddling(0, false);
    let awaiting = Awaiting::new(&two.identity, &expected, DAY);
    let (signaling, joined) = make(&server, awaiting.room()).await;
    let host = Session::host_known(signaling, &joined, awaiting, config(), |_| ());
    let guest = async {
        let calling = Calling::new(&one.identity, &one.other, DAY);
        let (signaling, joined) = enter(&server, calling.room()).await;
        Session::guest_known(signaling, &joined, calling, config()).await
    };
    let first = timeout(LIMIT, async {
        tokio::select! {
            guest = guest => guest,
            host = host => host,
        }
    });
    assert!(is_refused(&first.await.unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_recorded_opens_nothing() {
    let [one, two] = two().await;
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let server = Server::with_tap({
        let (recorded, mut guest) = (Arc::clone(&recorded), None);
        move |relayed: Relayed| {
            if let ServerMessage::Sealed { data, .. } = &relayed.message {
                let guest = guest.get_or_insert_with(|| relayed.from.clone());
                if *guest == relayed.from {
                    recorded.lock().unwrap().push(data.clone());
                }
            }
            vec![relayed]
        }
    });
    let expected = [two.other.clone()];
    let called = (&one.identity, &one.other);
    let (guest, host) = meet(&server, called, (&two.identity, &expected)).await;
    assert!(guest.is_ok() && host.is_ok());
    let records = recorded.lock().unwrap().clone();
    assert!(records.len() >= 3, "{}", records.len());

    let server = Server::default();
    let awaiting = Awaiting::new(&two.identity, &expected, DAY);
    let room = awaiting.room().to_owned();
    let (signaling, joined) = make(&server, &room).await;
    let host = Session::host_known(signaling, &joined, awaiting, config(), |_| ());
    let replay = async {
        let (mut signaling, joined) = enter(&server, &room).await;
        for data in records {
            let to = joined.peers[0].id.clone();
            let sent = signaling.send(ClientMessage::Sealed { to, data }).await;
            if sent.is_err() {
                break;
            }
        }
        // Until the host has left.
        while let Ok(message) = signaling.next().await {
            if matches!(message, ServerMessage::PeerLeft { .. }) {
                break;
            }
        }
    };
    let (host, ()) = timeout(LIMIT, async { tokio::join!(host, replay) })
        .await
        .unwrap();
    assert!(
        matches!(host, Err(SessionError::Pairing(PairingError::WrongCode))),
        "{host:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_does_not_get_to_know_itself_nor_one_that_says_nothing() {
    let Pair {
        mut host,
        mut guest,
        ..
    } = Pair::connect().await.unwrap();
    let identity = Arc::new(Identity::generate());
    let keep = |_| panic!("nobody is to be kept");
    let (one, other) = timeout(LIMIT, async {
        tokio::join!(
            introduce(&mut guest, identity.clone(), keep),
            introduce(&mut host, identity.clone(), keep)
        )
    })
    .await
    .unwrap();
    for error in [one.unwrap_err(), other.unwrap_err()] {
        let expected = matches!(error, IntroductionError::Itself | IntroductionError::Ended);
        assert!(expected, "{error}");
    }
    let Pair {
        mut host, guest, ..
    } = Pair::connect().await.unwrap();
    guest.close(Bye::new(ByeCode::Done, "done")).await;
    let error = introduce(&mut host, identity, keep).await.unwrap_err();
    assert_eq!(error, IntroductionError::Ended);
}
