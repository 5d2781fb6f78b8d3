//! What a TURN server is for.

use crate::{
    client::{TRANSPORTS, Transport},
    server::TestServer,
};
use tokio::net::UdpSocket;

async fn peer() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

#[tokio::test]
async fn credentials_come_with_joined_and_name_every_transport() {
    let server = TestServer::start();
    let told = server.credentials("7").await;
    let urls: Vec<_> = told["urls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|url| url.as_str().unwrap())
        .collect();
    let address = server.turn;
    assert_eq!(
        urls,
        [
            format!("turn:{address}?transport=udp"),
            format!("turn:{address}?transport=tcp"),
            format!("turns:{address}?transport=tcp"),
        ]
    );
    assert!(told["username"].as_str().unwrap().contains(":7/"));
}

#[tokio::test]
async fn data_goes_both_ways_over_every_transport() {
    let server = TestServer::start();
    for transport in TRANSPORTS {
        let mut client = server.allocated("7", transport).await;
        let relayed = client.relayed.unwrap();
        let peer = peer().await;
        let there = peer.local_addr().unwrap();
        let mut buffer = [0; 2000];

        client.permit(there).await.unwrap();
        client.send_to(there, b"by indication").await;
        let (length, from) = peer.recv_from(&mut buffer).await.unwrap();
        assert_eq!(
            (&buffer[..length], from.port()),
            (&b"by indication"[..], relayed.port())
        );
        peer.send_to(b"back", relayed).await.unwrap();
        assert_eq!(client.data().await, b"back", "{transport:?}");

        client.bind(0x4001, there).await.unwrap();
        for size in [0, 1, 2, 3, 4, 1200] {
            let data = vec![7; size];
            client.send_on(0x4001, &data).await;
            let (length, _) = peer.recv_from(&mut buffer).await.unwrap();
            assert_eq!(buffer[..length], data, "{transport:?}");
            peer.send_to(&data, relayed).await.unwrap();
            assert_eq!(client.data().await, data, "{transport:?}");
        }
        assert_eq!(client.refresh(900).await, Ok(900));
        assert_eq!(client.refresh(0).await, Ok(0));
        assert_eq!(
            client.permit(there).await,
            Err(437),
            "{transport:?}: it is gone"
        );
    }
}

/// The answer was lost, and the client asks again in the same words.
#[tokio::test]
async fn a_repeated_allocate_is_answered_as_before() {
    let server = TestServer::start();
    for transport in TRANSPORTS {
        let mut client = server.allocated("7", transport).await;
        let request = client.last.clone();
        client.send_raw(&request).await;
        let answer = client.receive().await.unwrap();
        assert_eq!(
            (&answer[..2], &answer[8..20]),
            (&[1, 3][..], &request[8..20]),
            "{transport:?}"
        );
        assert_eq!(
            client.allocate().await,
            Err(437),
            "{transport:?}: another request"
        );
    }
}

/// Two peers of whom neither gets through: what one relays to the other's relayed address needs no network
/// of ours, and no exception from what is denied.
#[tokio::test]
async fn two_relayed_addresses_reach_each_other_although_both_are_inside() {
    let server = TestServer::with(|_| {});
    for (one, other) in [
        (Transport::Udp, Transport::Tls),
        (Transport::Tls, Transport::Tcp),
    ] {
        let mut one = server.allocated("7", one).await;
        let mut other = server.allocated("7", other).await;
        let (first, second) = (one.relayed.unwrap(), other.relayed.unwrap());
        one.permit(second).await.unwrap();
        other.permit(first).await.unwrap();
        one.send_to(second, b"one").await;
        assert_eq!(other.data().await, b"one");
        other.bind(0x4000, first).await.unwrap();
        other.send_on(0x4000, b"other").await;
        assert_eq!(one.data().await, b"other");
    }
}

#[tokio::test]
async fn a_peer_without_permission_is_not_heard() {
    let server = TestServer::start();
    let mut client = server.allocated("7", Transport::Udp).await;
    let relayed = client.relayed.unwrap();
    let (stranger, friend) = (UdpSocket::bind("127.0.0.2:0").await.unwrap(), peer().await);
    client.permit(friend.local_addr().unwrap()).await.unwrap();
    stranger.send_to(b"stranger", relayed).await.unwrap();
    friend.send_to(b"friend", relayed).await.unwrap();
    assert_eq!(client.data().await, b"friend");
}

#[tokio::test]
async fn an_allocation_outlives_its_credentials_on_the_same_connection() {
    let server = TestServer::start();
    let mut client = server.connect(Transport::Tcp).await;
    // One second is left.
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let name = format!("{}:7/p", now.as_secs() + 1);
    let password = crate::hostile::password(&name);
    client.log_in_as(name.clone(), password.clone());
    client.allocate().await.unwrap();
    let expired = async {
        loop {
            let mut late = server.connect(Transport::Tcp).await;
            late.log_in_as(name.clone(), password.clone());
            if late.allocate().await == Err(401) {
                break;
            }
        }
    };
    tokio::time::timeout(crate::server::DEADLINE, expired)
        .await
        .unwrap();
    assert_eq!(client.refresh(600).await, Ok(600));
}
