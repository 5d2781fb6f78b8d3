//! Networks that cut connections or let no WebSocket through.

use crate::networks::{Behaviour, Proxy, proxy};
use crate::{next, within};
use peerline::pairing::Code;
use peerline::session::{Session, SessionConfig};
use peerline::signaling::{ServerUrl, Signaling};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use signaling_protocol::{ClientMessage, Join, Joined, ServerMessage};
use signaling_server::{Config, Server};
use std::net::SocketAddr;

/// A server that lives as long as the test's runtime.
async fn server() -> SocketAddr {
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        ..Config::default()
    };
    let server = Server::bind(config).unwrap();
    let address = server.local_addr();
    tokio::spawn(server.run(std::future::pending()));
    address
}

async fn join(address: SocketAddr, room: &str) -> (Signaling, Joined) {
    let join = Join {
        room: Some(room.parse().unwrap()),
        ..Join::default()
    };
    within(Signaling::join(&ServerUrl::from(address), join))
        .await
        .unwrap()
}

fn message(number: u32) -> ClientMessage {
    ClientMessage::Message {
        to: None,
        payload: number.into(),
    }
}

/// The next message of the other side, whatever is said about comings and goings.
async fn heard(signaling: &mut Signaling) -> u64 {
    loop {
        if let ServerMessage::Message { payload, .. } = next(signaling).await.unwrap() {
            return payload.as_u64().unwrap();
        }
    }
}

/// Both sides say thirty things, and hear thirty things in order.
async fn converse(a: &mut Signaling, b: &mut Signaling) {
    for number in 0..30 {
        a.send(message(number)).await.unwrap();
        b.send(message(number)).await.unwrap();
    }
    for number in 0..30 {
        assert_eq!(heard(a).await, number);
        assert_eq!(heard(b).await, number);
    }
}

#[tokio::test]
async fn connections_that_are_cut_lose_and_repeat_nothing() {
    let server = server().await;
    // The answer to the upgrade and `joined` are some 500 bytes.
    let lengths: Vec<usize> = (500..4000).step_by(50).collect();
    let talks = lengths.into_iter().map(|length| async move {
        let again = vec![length, length / 2, length];
        let through = proxy(server, Behaviour::Cuts(again)).await;
        let room = format!("cut-{length}");
        let (mut a, _) = join(server, &room).await;
        let (mut b, _) = join(through.address, &room).await;
        converse(&mut a, &mut b).await;
        b.leave().await;
        through.interfered()
    });
    let cuts: usize = futures_util::future::join_all(talks).await.iter().sum();
    assert!(cuts > 50, "{cuts} cuts");
}

#[tokio::test]
async fn where_no_websocket_comes_through_requests_do() {
    for behaviour in [
        Behaviour::RefusesUpgrade,
        Behaviour::RefusesUpgradeAndStreams,
        Behaviour::CutsWebSockets,
    ] {
        let server = server().await;
        let through = proxy(server, behaviour.clone()).await;
        let (mut a, joined) = join(server, "r").await;
        let (mut b, _) = join(through.address, "r").await;
        converse(&mut a, &mut b).await;
        b.leave().await;
        let left = loop {
            match next(&mut a).await.unwrap() {
                ServerMessage::PeerLeft { peer, .. } => break peer,
                other => assert!(!matches!(other, ServerMessage::Message { .. }), "{other:?}"),
            }
        };
        assert_ne!(left, joined.own_id);
        assert!(through.interfered() > 0, "{behaviour:?}");
    }
}

/// The next `joined`, whatever is said before it.
async fn joins_again(signaling: &mut Signaling) -> Joined {
    loop {
        if let ServerMessage::Joined(joined) = next(signaling).await.unwrap() {
            return joined;
        }
    }
}

#[tokio::test]
async fn who_outlives_a_server_enters_the_room_again_whatever_carries_the_messages() {
    for behaviour in [
        Behaviour::Cuts(Vec::new()),
        Behaviour::RefusesUpgrade,
        Behaviour::RefusesUpgradeAndStreams,
    ] {
        let start = |listen| {
            let config = Config {
                listen,
                ..Config::default()
            };
            let server = Server::bind(config).unwrap();
            let address = server.local_addr();
            (address, tokio::spawn(server.run(std::future::pending())))
        };
        let (address, running) = start("127.0.0.1:0".parse().unwrap());
        let through = proxy(address, behaviour.clone()).await;
        let (mut a, first) = join(through.address, "again").await;
        let (mut b, _) = join(address, "again").await;
        a.outlive_server();
        b.outlive_server();
        running.abort();
        let _ = running.await;
        let (_, _running) = start(address);
        let (a_again, b_again) = tokio::join!(joins_again(&mut a), joins_again(&mut b));
        for joined in [&a_again, &b_again] {
            assert_eq!(joined.room, first.room, "{behaviour:?}");
            assert_eq!(joined.limits.peers, first.limits.peers, "{behaviour:?}");
        }
        assert!(
            a_again.peers.len() + b_again.peers.len() == 1,
            "{behaviour:?}: they are in one room"
        );
        converse(&mut a, &mut b).await;
        // And again, to whatever was begun anew.
        a.check();
        converse(&mut a, &mut b).await;
    }
}

/// Connections that live for a random time each, during the whole of pairing and connecting.
#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_on_a_network_that_cuts_everything_connects() {
    let server = server().await;
    let mut cuts = 0;
    for seed in 0..6 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut through = async || {
            // `joined` is through before the first cut, a description with its candidates behind the last.
            let lengths = (0..3).map(|_| rng.random_range(600..1500)).collect();
            proxy(server, Behaviour::Cuts(lengths)).await
        };
        let proxies = [through().await, through().await];
        let [host_url, guest_url] =
            [0, 1].map(|side: usize| ServerUrl::from(proxies[side].address));
        let join = Join {
            create: Some(true),
            ..Join::default()
        };
        let (signaling, joined) = within(Signaling::join(&host_url, join)).await.unwrap();
        let code = Code::generate(joined.room.as_str()).unwrap();
        let config = SessionConfig {
            loopback: true,
            ..SessionConfig::default()
        };
        let guest = async {
            let join = Join {
                room: Some(joined.room.clone()),
                create: Some(false),
                ..Join::default()
            };
            let (signaling, joined) = Signaling::join(&guest_url, join).await.unwrap();
            Session::guest(signaling, &joined, &code, config.clone()).await
        };
        let host = Session::host(signaling, &joined, code.clone(), config.clone(), || {});
        let (host, guest) = within(async { tokio::join!(host, guest) }).await;
        let (host, guest) = (host.unwrap(), guest.unwrap());
        assert_eq!(host.phrase(), guest.phrase(), "seed {seed}");
        cuts += proxies.iter().map(Proxy::interfered).sum::<usize>();
    }
    assert!(cuts >= 6, "{cuts} cuts");
}
