//! Relay abuse: what must be refused, and what must do no harm.

use crate::{
    client::{Client, TRANSPORTS, Transport},
    server::{SECRET, TestServer},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use ring::hmac;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::net::UdpSocket;

/// Who knows the secret can make credentials: the convention, written down a second time.
pub(crate) fn password(name: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, SECRET.as_bytes());
    BASE64_STANDARD.encode(hmac::sign(&key, name.as_bytes()))
}

/// It still relays for a new client.
async fn assert_serves(server: &TestServer) {
    let mut client = server.allocated("still-alive", Transport::Udp).await;
    assert_eq!(client.refresh(0).await, Ok(0));
}

#[tokio::test]
async fn peers_inside_are_refused_with_403() {
    let server = TestServer::with(|config| {
        config.external_ips = vec!["::2".parse().unwrap(), "1.2.3.4".parse().unwrap()]
    });
    for transport in TRANSPORTS {
        let mut client = server.allocated("7", transport).await;
        for peer in [
            "0.0.0.0:80",
            "10.0.0.1:80",
            "100.64.0.1:80",
            "127.0.0.1:80",
            "169.254.169.254:80",
            "172.16.0.1:80",
            "192.168.1.1:80",
            "224.0.0.1:80",
            "255.255.255.255:80",
            "[::1]:80",
            "[::]:80",
            "[::ffff:127.0.0.1]:80",
            "[::ffff:169.254.169.254]:80",
            "[64:ff9b::7f00:1]:80",
            "[2002:7f00:1::]:80",
            "[fe80::1]:80",
            "[fd00::1]:80",
            "[ff02::1]:80",
        ] {
            let peer: SocketAddr = peer.parse().unwrap();
            assert_eq!(client.permit(peer).await, Err(403), "{transport:?} {peer}");
            assert_eq!(
                client.bind(0x4000, peer).await,
                Err(403),
                "{transport:?} {peer}"
            );
        }
        client.permit("1.1.1.1:80".parse().unwrap()).await.unwrap();
    }
}

/// A permission for our own relayed addresses does not open other ports of this machine.
#[tokio::test]
async fn only_relayed_ports_of_this_machine_are_reached() {
    let server = TestServer::with(|_| {});
    let service = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let inside = service.local_addr().unwrap();
    let mut one = server.allocated("7", Transport::Udp).await;
    let mut other = server.allocated("7", Transport::Udp).await;
    one.permit(other.relayed.unwrap()).await.unwrap();
    other.permit(one.relayed.unwrap()).await.unwrap();
    assert_eq!(one.bind(0x4000, inside).await, Err(403));
    one.send_to(inside, b"attack").await;
    one.send_to(other.relayed.unwrap(), b"fine").await;
    assert_eq!(other.data().await, b"fine");
    let mut buffer = [0; 100];
    assert!(
        service.try_recv_from(&mut buffer).is_err(),
        "nothing came before `fine`"
    );
}

#[tokio::test]
async fn wrong_and_expired_credentials_are_refused_with_401() {
    let server = TestServer::start();
    let told = server.credentials("7").await;
    let name = told["username"].as_str().unwrap();
    let right = told["credential"].as_str().unwrap();
    let expired = "1000000000:7/p";
    for transport in TRANSPORTS {
        for (case, name, password) in [
            ("a wrong password", name, "wrong"),
            ("another name", "9999999999:7/other", right),
            ("no expiry", "somebody", &password("somebody")),
            ("expired", expired, &password(expired)),
            ("empty", "", ""),
        ] {
            let mut client = server.connect(transport).await;
            client.log_in_as(name.to_owned(), password.to_owned());
            assert_eq!(client.allocate().await, Err(401), "{transport:?}: {case}");
        }
        let mut client = server.connect(transport).await;
        assert_eq!(client.allocate().await, Err(401), "{transport:?}: none");
        client.log_in(&told);
        client.allocate().await.unwrap();
    }
}

#[tokio::test]
async fn beyond_the_quota_is_refused_with_486_until_room_is_made() {
    let server = TestServer::with(|config| config.limits.allocations_per_user = 2);
    let told = server.credentials("7").await;
    let mut first = server.connect(Transport::Udp).await;
    let mut second = server.connect(Transport::Tls).await;
    let mut third = server.connect(Transport::Tcp).await;
    for client in [&mut first, &mut second, &mut third] {
        client.log_in(&told);
    }
    first.allocate().await.unwrap();
    second.allocate().await.unwrap();
    assert_eq!(third.allocate().await, Err(486));
    first.refresh(0).await.unwrap();
    third.allocate().await.unwrap();
    // Another user has a quota of its own.
    server.allocated("8", Transport::Udp).await;
    // Hanging up makes room, too.
    drop(second);
    let freed = async {
        loop {
            let mut fourth = server.connect(Transport::Udp).await;
            fourth.log_in(&told);
            if fourth.allocate().await.is_ok() {
                break;
            }
        }
    };
    tokio::time::timeout(crate::server::DEADLINE, freed)
        .await
        .unwrap();
}

#[tokio::test]
async fn bandwidth_has_a_bound() {
    let server = TestServer::with(|config| {
        config.allow = vec!["127.0.0.0/8".parse().unwrap()];
        config.limits.bytes_per_second = 40_000;
    });
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let there = peer.local_addr().unwrap();
    let mut client = server.allocated("7", Transport::Tcp).await;
    client.bind(0x4000, there).await.unwrap();
    let started = Instant::now();
    for _ in 0..100 {
        client.send_on(0x4000, &[1; 1000]).await;
    }
    let mut buffer = [0; 2000];
    for _ in 0..100 {
        peer.recv_from(&mut buffer).await.unwrap();
    }
    // What is read from the client at once is up to 64 KiB, and the rest waits until that is paid for.
    let took = started.elapsed();
    assert!(took > Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn connections_to_peers_are_not_offered() {
    let server = TestServer::start();
    let told = server.credentials("7").await;
    for transport in TRANSPORTS {
        let mut client = server.connect(transport).await;
        client.log_in(&told);
        assert_eq!(
            client.allocate_transport(6).await,
            Err(442),
            "{transport:?}: TCP"
        );
        assert_eq!(
            client.allocate_transport(1).await,
            Err(442),
            "{transport:?}: ICMP"
        );
    }
}

#[tokio::test]
async fn streams_that_are_no_turn_are_closed_and_half_frames_wait() {
    let server = TestServer::start();
    for (name, bytes) in [
        ("a byte that begins nothing", vec![0xff; 64]),
        (
            "a message whose length is odd",
            vec![0, 3, 0, 7, 0, 0, 0, 0],
        ),
        ("RTP", vec![0x80; 64]),
        (
            "a message without cookie",
            [&[0, 3, 0, 8][..], &[0; 24]].concat(),
        ),
    ] {
        for transport in [Transport::Tcp, Transport::Tls] {
            let mut client = server.connect(transport).await;
            client.send_raw(&bytes).await;
            assert_eq!(client.receive().await, None, "{transport:?}: {name}");
        }
    }
    // One byte at a time is slow, not wrong.
    let mut client = server.connect(Transport::Tcp).await;
    let binding = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[5; 12]].concat();
    for byte in &binding {
        client.send_raw(&[*byte]).await;
    }
    let answer = client.receive().await.unwrap();
    assert_eq!(
        (answer[..2].to_vec(), answer[8..20].to_vec()),
        (vec![1, 1], vec![5; 12])
    );
    assert_serves(&server).await;
}

/// Memory is bounded by what a frame may be; the server answers whoever comes next.
#[tokio::test]
async fn noise_changes_nothing() {
    let server = TestServer::start();
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    for transport in TRANSPORTS {
        let mut insider = server.allocated("7", transport).await;
        for round in 0..300 {
            let noise = noise(&mut rng);
            if transport == Transport::Udp {
                insider.send_raw(&noise).await;
            } else if round % 10 == 0 {
                let mut stranger = server.connect(transport).await;
                stranger.send_raw(&noise).await;
            }
        }
        // The largest frames there are, complete and not.
        let mut largest = vec![0; 20 + 65_532];
        largest[..8].copy_from_slice(&[0, 3, 0xff, 0xfc, 0x21, 0x12, 0xa4, 0x42]);
        if transport != Transport::Udp {
            insider.send_raw(&largest).await;
            insider.send_on(0x4fff, &vec![0; 65_535]).await;
        }
        assert_eq!(insider.refresh(600).await, Ok(600), "{transport:?}");
        insider.send_raw(&largest[..1000]).await;
        assert_serves(&server).await;
    }
}

/// Messages with plausible headers and any content.
fn noise(rng: &mut StdRng) -> Vec<u8> {
    let methods = [
        0x001, 0x003, 0x004, 0x006, 0x007, 0x008, 0x009, 0x00a, 0x00b, 0x00c,
    ];
    let kind: u16 = methods[rng.random_range(0..methods.len())]
        | [0, 0x10, 0x100, 0x110][rng.random_range(0..4)];
    let mut attributes = Vec::new();
    for _ in 0..rng.random_range(0..6) {
        let types: [u16; 17] = [
            0x0006, 0x0008, 0x0009, 0x000c, 0x000d, 0x0012, 0x0013, 0x0014, 0x0015, 0x0016, 0x0017,
            0x0018, 0x0019, 0x001c, 0x001d, 0x8028, 0x8000,
        ];
        let length = rng.random_range(0..40u16);
        attributes.extend_from_slice(&types[rng.random_range(0..types.len())].to_be_bytes());
        attributes.extend_from_slice(&length.to_be_bytes());
        attributes.extend((0..length.next_multiple_of(4)).map(|_| rng.random::<u8>()));
    }
    let length = u16::try_from(attributes.len()).unwrap();
    let id: [u8; 12] = rng.random();
    let mut message = [
        &kind.to_be_bytes()[..],
        &length.to_be_bytes(),
        &[0x21, 0x12, 0xa4, 0x42],
        &id,
        &attributes,
    ]
    .concat();
    if rng.random_bool(0.3) {
        let at = rng.random_range(0..message.len());
        message[at] = rng.random();
    }
    message
}

#[tokio::test]
async fn guests_have_their_places_only() {
    let server = TestServer::with(|config| config.limits.guests = (3, 3));
    let mut guests = Vec::new();
    for _ in 0..3 {
        let mut guest = server.connect(Transport::Tcp).await;
        assert_eq!(guest.allocate().await, Err(401));
        guests.push(guest);
    }
    let mut fourth: Client = server.connect(Transport::Tcp).await;
    assert_eq!(fourth.receive().await, None);
    // Whoever stays without an allocation makes room after 10 s.
    assert_eq!(guests[0].receive().await, None);
}
