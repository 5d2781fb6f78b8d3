//! Sessions through a TURN server: the way that must be taken is taken, the one that must not is not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use bytes::Bytes;
use peerline::channel::{Delivery, Message};
use peerline::net::link::LinkConfig;
use peerline::session::{ByeCode, PathKind, PathPolicy, RelayTransport, SessionError, Wait};
use peerline::signaling::Signaling;
use peerline::testing::{Pair, PairConfig, connect_both};
use signaling_protocol::{IceServer, Join};
use signaling_server::{Config, Server, TurnConfig, TurnLimits};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const LIMIT: Duration = Duration::from_secs(60);

/// What a session through a relay takes at most, if nothing else is possible.
const CONNECTED: Duration = Duration::from_secs(3);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .unwrap_or_else(|_| panic!("{what} took too long"))
}

/// A server with TURN on this machine, and what it tells those who join.
struct Relay {
    servers: Vec<IceServer>,
    _signaling: Signaling,
    run: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.run.abort();
    }
}

impl Relay {
    async fn start() -> Self {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind(Config {
            listen: loopback,
            turn: Some(TurnConfig {
                listen: vec![loopback],
                allow: vec!["0.0.0.0/0".parse().unwrap()],
                limits: TurnLimits {
                    bytes_per_second: 1 << 30,
                    ..TurnLimits::default()
                },
                ..TurnConfig::default()
            }),
            ..Config::default()
        })
        .unwrap();
        let url = format!("http://{}", server.local_addr()).parse().unwrap();
        let run = tokio::spawn(server.run(std::future::pending()));
        let join = Join {
            create: Some(true),
            ..Join::default()
        };
        let (signaling, joined) = Signaling::join(&url, join).await.unwrap();
        Self {
            servers: joined.ice_servers,
            _signaling: signaling,
            run,
        }
    }

    /// The servers, with only those URLs that end like this.
    fn over(&self, transport: &str) -> Vec<IceServer> {
        let mut servers = self.servers.clone();
        for server in &mut servers {
            server.urls.retain(|url| url.ends_with(transport));
            assert_eq!(server.urls.len(), 1, "{transport}");
        }
        servers
    }
}

fn config(servers: Vec<IceServer>, host: PathPolicy, guest: PathPolicy) -> PairConfig {
    let mut config = PairConfig::default();
    config.host.ice_servers.clone_from(&servers);
    config.host.policy = host;
    config.guest.ice_servers = servers;
    config.guest.policy = guest;
    config
}

/// Messages one way; returns MiB a second.
async fn send(pair: &mut Pair, bytes: usize) -> f64 {
    const MESSAGE: usize = 60_000;
    let channel = pair
        .guest
        .open("data", "", Delivery::Reliable)
        .await
        .unwrap();
    let mut incoming = within("the channel", pair.host.accept())
        .await
        .unwrap()
        .channel;
    let started = Instant::now();
    let sending = async {
        for _ in 0..bytes / MESSAGE {
            channel.send(Bytes::from(vec![7; MESSAGE])).await.unwrap();
        }
    };
    let receiving = async {
        for _ in 0..bytes / MESSAGE {
            assert!(
                matches!(incoming.recv().await, Some(Message::Binary(data)) if data.len() == MESSAGE)
            );
        }
    };
    within("sending", async { tokio::join!(sending, receiving) }).await;
    bytes as f64 / f64::from(1 << 20) / started.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_must_be_relayed_is_and_sends_nothing_elsewhere() {
    let relay = Relay::start().await;
    for (over, expected) in [
        ("transport=udp", RelayTransport::Udp),
        ("transport=tcp", RelayTransport::Tcp),
    ] {
        let mut config = config(
            relay.over(over),
            PathPolicy::RelayOnly,
            PathPolicy::RelayOnly,
        );
        let links = config.emulate(&LinkConfig::default());
        let started = Instant::now();
        let mut pair = within("connecting", Pair::connect_with(config))
            .await
            .unwrap();
        let connected = started.elapsed();
        // Little: what a relay carries is measured elsewhere.
        let rate = send(&mut pair, 1 << 20).await;
        println!("{over}: connected in {connected:?}, {rate:.0} MiB/s");
        for session in [&pair.host, &pair.guest] {
            let path = session.path().await.unwrap();
            assert_eq!(
                (path.kind, path.relay),
                (PathKind::Relayed, Some(expected)),
                "{path:?}"
            );
        }
        if expected == RelayTransport::Tcp {
            let datagrams = links.map(|link| link.stats().sent);
            assert_eq!(datagrams, [0, 0], "everything went through the stream");
        }
        assert!(connected < CONNECTED, "{over}: {connected:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_datagram_gets_through_a_stream_does() {
    let relay = Relay::start().await;
    let mut config = config(relay.servers.clone(), PathPolicy::Any, PathPolicy::Any);
    for link in config.emulate(&LinkConfig::default()) {
        link.set_outage(true);
    }
    let started = Instant::now();
    let mut pair = within("connecting", Pair::connect_with(config))
        .await
        .unwrap();
    let connected = started.elapsed();
    let path = pair.guest.path().await.unwrap();
    assert_eq!(
        (path.kind, path.relay),
        (PathKind::Relayed, Some(RelayTransport::Tcp)),
        "{path:?}"
    );
    send(&mut pair, 1 << 20).await;
    assert!(connected < CONNECTED, "{connected:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_path_is_preferred_and_a_relay_is_not_told_about() {
    let relay = Relay::start().await;
    for policy in [PathPolicy::Any, PathPolicy::DirectOnly] {
        let config = config(relay.servers.clone(), policy, policy);
        let mut pair = within("connecting", Pair::connect_with(config))
            .await
            .unwrap();
        let path = pair.guest.path().await.unwrap();
        assert_eq!(
            (path.kind, path.relay),
            (PathKind::Direct, None),
            "{path:?}"
        );
        send(&mut pair, 1 << 20).await;
    }
}

/// The guest's relay asks the host's addresses, and ICE would take it for a new one of the guest's.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_must_be_direct_does_not_hear_relays() {
    let relay = Relay::start().await;
    let config = config(
        relay.over("transport=udp"),
        PathPolicy::DirectOnly,
        PathPolicy::RelayOnly,
    );
    let (host, guest) = within("giving up", connect_both(config, None)).await;
    // Whoever gives up first tells the other one.
    for side in [host, guest] {
        let given_up = match &side {
            Err(SessionError::Timeout(Wait::Ice)) => true,
            Err(SessionError::Bye(bye)) => bye.code == ByeCode::Timeout,
            _ => false,
        };
        assert!(given_up, "{side:?}");
    }
}
