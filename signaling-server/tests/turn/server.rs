//! A server with TURN on free ports, whose peers are on this machine.

use crate::client::{Client, Transport};
use futures_util::{SinkExt, StreamExt};
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use signaling_server::{Config, Server, Tls, TurnConfig};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{task::JoinHandle, time::timeout};
use tokio_tungstenite::{connect_async, tungstenite::Message};

/// No event takes this long unless it never comes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct TestServer {
    pub(crate) turn: SocketAddr,
    signaling: SocketAddr,
    trust: Arc<ClientConfig>,
    run: JoinHandle<()>,
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.run.abort();
    }
}

impl TestServer {
    /// Loopback peers are allowed.
    pub(crate) fn start() -> Self {
        Self::with(|config| config.allow = vec!["127.0.0.0/8".parse().unwrap()])
    }

    pub(crate) fn with(change: impl FnOnce(&mut TurnConfig)) -> Self {
        let (tls, trust) = certificate();
        let mut turn = TurnConfig {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            tls: Some(tls),
            ..TurnConfig::default()
        };
        change(&mut turn);
        let server = Server::bind(Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            turn: Some(turn),
            turn_secret: Some(signaling_protocol::Secret::new(SECRET)),
            ..Config::default()
        })
        .unwrap();
        Self {
            turn: server.turn_addrs()[0],
            signaling: server.local_addr(),
            trust,
            run: tokio::spawn(server.run(std::future::pending())),
        }
    }

    pub(crate) async fn connect(&self, transport: Transport) -> Client {
        Client::connect(self.turn, transport, Arc::clone(&self.trust)).await
    }

    /// What a peer is told when it joins: URLs, name, password.
    pub(crate) async fn credentials(&self, room: &str) -> Value {
        let url = format!("ws://{}/ws", self.signaling);
        let (mut socket, _) = connect_async(url).await.unwrap();
        let join = json!({ "type": "join", "room": room }).to_string();
        socket.send(Message::text(join)).await.unwrap();
        let joined = timeout(DEADLINE, socket.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let joined: Value = serde_json::from_str(joined.to_text().unwrap()).unwrap();
        joined["iceServers"][0].clone()
    }

    /// A client with an allocation, as a peer of a room of its own.
    pub(crate) async fn allocated(&self, room: &str, transport: Transport) -> Client {
        let mut client = self.connect(transport).await;
        client.log_in(&self.credentials(room).await);
        client.allocate().await.unwrap();
        client
    }
}

/// What the server's passwords are made with.
pub(crate) const SECRET: &str = "a secret that this test knows";

/// A certificate for loopback, and a client that trusts it.
fn certificate() -> (Tls, Arc<ClientConfig>) {
    let key = KeyPair::generate().unwrap();
    let authority = CertificateParams::new(Vec::new()).unwrap();
    let mut authority = authority;
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = authority.self_signed(&key).unwrap();
    let issuer = Issuer::new(authority, key);
    let own = KeyPair::generate().unwrap();
    let name = IpAddr::from(Ipv4Addr::LOCALHOST).to_string();
    let leaf = CertificateParams::new(vec![name])
        .unwrap()
        .signed_by(&own, &issuer)
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (chain, secret) = (
        directory.path().join("c.pem"),
        directory.path().join("k.pem"),
    );
    std::fs::write(&chain, leaf.pem()).unwrap();
    std::fs::write(&secret, own.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    let trust =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    (Tls::from_files(&chain, &secret).unwrap(), Arc::new(trust))
}
