//! Pins what `net/turn` relies on in the `webrtc` crate: how its TURN client resolves and addresses servers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
    RTCIceServer, SettingEngineBuilder,
};
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

use crate::harness::within;
use crate::runtime::{Changed, Changes};

/// An address that no host has: nothing may reach the network for it.
const NOWHERE: &str = "240.0.112.9:3478";

/// What the engine asks of its runtime.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Host(String),
    Send(SocketAddr, u16),
}

#[derive(Debug)]
struct Recorder(mpsc::UnboundedSender<Asked>);

#[derive(Debug)]
struct Socket(Arc<dyn AsyncUdpSocket>, mpsc::UnboundedSender<Asked>);

impl AsyncUdpSocket for Socket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn poll_send(&self, _: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let kind = u16::from_be_bytes([transmit.contents[0], transmit.contents[1]]);
        self.1.send(Asked::Send(transmit.destination, kind)).ok();
        Poll::Ready(Ok(transmit.contents.len()))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [io::IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_recv(cx, bufs, meta)
    }
}

impl Changes for Recorder {
    fn socket(&self, socket: Arc<dyn AsyncUdpSocket>) -> Arc<dyn AsyncUdpSocket> {
        Arc::new(Socket(socket, self.0.clone()))
    }

    fn resolve(&self, host: &str) -> Option<Vec<SocketAddr>> {
        self.0.send(Asked::Host(host.to_owned())).ok();
        let found = ["[100::70:0]:3478", NOWHERE];
        Some(found.map(|address| address.parse().unwrap()).to_vec())
    }
}

struct Deaf;
impl PeerConnectionEventHandler for Deaf {}

/// `turns:` and `?transport=tcp` are skipped before the runtime is asked, so they must be named otherwise;
/// a server over UDP is resolved by name and port through the runtime, and its first Allocate leaves through
/// the wrapped socket for whatever address of its family the runtime named.
#[tokio::test(flavor = "multi_thread")]
async fn turn_servers_are_resolved_and_reached_through_the_runtime_and_streams_are_not() {
    let (asked_tx, mut asked) = mpsc::unbounded_channel();
    let server = RTCIceServer {
        urls: [
            "turns:tls.test:443",
            "turn:tcp.test?transport=tcp",
            "turn:0.udp.invalid:3478?transport=udp",
        ]
        .map(str::to_owned)
        .to_vec(),
        username: "user".into(),
        credential: "password".into(),
    };
    let settings = SettingEngineBuilder::new()
        .with_include_loopback_candidate(true)
        .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
        .build();
    let connection = PeerConnectionBuilder::new()
        .with_configuration(
            RTCConfigurationBuilder::new()
                .with_ice_servers(vec![server])
                .build(),
        )
        .with_setting_engine(settings)
        .with_runtime(Arc::new(Changed(Recorder(asked_tx))))
        .with_handler(Arc::new(Deaf))
        .with_udp_addrs(vec!["127.0.0.1:0".to_owned()])
        .build()
        .await
        .unwrap();
    connection.create_data_channel("test", None).await.unwrap();
    let offer = connection.create_offer(None).await.unwrap();
    connection.set_local_description(offer).await.unwrap();
    let mut next = async || within("asking", asked.recv()).await.unwrap();
    assert_eq!(next().await, Asked::Host("0.udp.invalid:3478".into()));
    const ALLOCATE: u16 = 0x0003;
    assert_eq!(
        next().await,
        Asked::Send(NOWHERE.parse().unwrap(), ALLOCATE)
    );
    connection.close().await.unwrap();
}
