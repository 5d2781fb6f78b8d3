//! Limits for each client behind a proxy, and what a client cannot make of it.

use crate::common::{Client, TestServer, config};
use serde_json::json;
use signaling_server::{Config, ProxyHeader};
use tokio::net::TcpStream;

fn behind(trusted: &str, header: ProxyHeader) -> Config {
    let mut config = config();
    config.trusted_proxies = vec![trusted.parse().unwrap()];
    config.proxy_header = header;
    config.limits.per_address.connections = 2;
    config
}

async fn client(server: &TestServer, header: &'static str, value: &str) -> Client {
    let stream = TcpStream::connect(server.address).await.unwrap();
    Client::over_with(stream, "/ws", &[(header, value)]).await
}

async fn joins(client: &mut Client, room: &str) -> bool {
    client
        .try_send(json!({ "type": "join", "room": room }))
        .await;
    let answer = client.next().await;
    assert!(
        answer["type"] == "joined" || answer["code"] == "rate-limited",
        "{answer}"
    );
    answer["type"] == "joined"
}

#[tokio::test]
async fn each_client_of_a_trusted_proxy_counts_for_itself() {
    for (kind, header, one, two) in [
        (
            ProxyHeader::XForwardedFor,
            "x-forwarded-for",
            "203.0.113.9, 192.0.2.1",
            "192.0.2.2",
        ),
        (
            ProxyHeader::Forwarded,
            "forwarded",
            "for=203.0.113.9, for=192.0.2.1",
            "for=192.0.2.2",
        ),
    ] {
        let server = TestServer::with_config(behind("127.0.0.1", kind)).await;
        let mut clients = Vec::new();
        for (value, expected) in [(one, true), (one, true), (one, false), (two, true)] {
            let mut client = client(&server, header, value).await;
            assert_eq!(joins(&mut client, "a").await, expected, "{header}: {value}");
            clients.push(client);
        }
        // The count goes down when one of them does.
        clients.remove(0).close().await;
        let mut again = client(&server, header, one).await;
        assert!(joins(&mut again, "a").await);
    }
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let trusted = behind("192.0.2.77", ProxyHeader::XForwardedFor);
    let rows = [
        // The proxy is another one.
        (trusted, "x-forwarded-for"),
        // The proxy is this one, but says it in another header, which it passes on from its client.
        (
            behind("127.0.0.1", ProxyHeader::Forwarded),
            "x-forwarded-for",
        ),
    ];
    for (mut config, header) in rows {
        config.limits.loopback.connections = 2;
        let server = TestServer::with_config(config).await;
        let mut clients = Vec::new();
        for (last, expected) in [(1, true), (2, true), (3, false)] {
            let mut client = client(&server, header, &format!("192.0.2.{last}")).await;
            assert_eq!(joins(&mut client, "a").await, expected, "{last}");
            clients.push(client);
        }
    }
}
