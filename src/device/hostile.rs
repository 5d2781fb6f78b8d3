//! Somebody who has all that two devices share but the key of one of them, and does not check the other.

use super::{Acquaintance, Awaiting, Calling, Identity};
use crate::pairing::{ByeCode, Guest, Host};
use crate::session::{Session, SessionConfig, SessionError};
use crate::signaling::Signaling;
use crate::signaling::memory::Server;
use signaling_protocol::{Join, Joined};
use std::sync::Arc;

async fn enter(server: &Server, room: &str, create: bool) -> (Signaling, Joined) {
    let join = Join {
        room: Some(room.parse().unwrap()),
        create: Some(create),
        ..Join::default()
    };
    server.join(join).await.unwrap()
}

fn config() -> SessionConfig {
    SessionConfig {
        loopback: true,
        ..SessionConfig::default()
    }
}

/// Two devices as the other one knows them.
fn two() -> [(Arc<Identity>, Acquaintance); 2] {
    let identities = [(); 2].map(|()| Arc::new(Identity::generate()));
    let secret: [u8; 32] = rand::random();
    identities.map(|identity| {
        let known = Acquaintance {
            key: identity.key(),
            inbox: identity.inbox().clone(),
            secret: secret.into(),
        };
        (identity, known)
    })
}

type Outcome = Result<Session, SessionError>;

fn check(honest: &Outcome, thief: &Outcome) {
    assert!(
        matches!(honest, Err(SessionError::WrongDevice)),
        "{honest:?}"
    );
    // It may be the first to be ready, but not for long, and nothing was accepted from it.
    if let Err(error) = thief {
        let told = matches!(error, SessionError::Bye(bye) if bye.code == ByeCode::Tampered);
        assert!(told, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_without_the_key_does_not_get_in() {
    let [(caller, known_caller), (waiter, known_waiter)] = two();
    let server = Server::default();
    let awaiting = Awaiting::new(&waiter, [&known_caller], 1);
    let (signaling, joined) = enter(&server, awaiting.room(), true).await;
    let host = Session::host_known(signaling, &joined, awaiting, config(), |_| ());
    let thief = async {
        let calling = Calling::new(&caller, &known_waiter, 1);
        let (signaling, joined) = enter(&server, calling.room(), false).await;
        let guest = Guest::start_known(&calling.password);
        Session::visit(signaling, &joined, guest, None, config()).await
    };
    let (host, thief) = tokio::join!(host, thief);
    check(&host, &thief);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_the_key_gets_nobody() {
    let [(caller, known_caller), (waiter, known_waiter)] = two();
    let server = Server::default();
    let awaiting = Awaiting::new(&waiter, [&known_caller], 1);
    let (signaling, joined) = enter(&server, awaiting.room(), true).await;
    let passwords = awaiting.devices.into_iter().map(|(password, _)| password);
    let host = Host::for_devices(passwords.collect()).into();
    let thief = Session::receive(signaling, &joined, host, vec![], config(), |_| ());
    let guest = async {
        let calling = Calling::new(&caller, &known_waiter, 1);
        let (signaling, joined) = enter(&server, calling.room(), false).await;
        Session::guest_known(signaling, &joined, calling, config()).await
    };
    let (thief, guest) = tokio::join!(thief, guest);
    check(&guest, &thief);
}
