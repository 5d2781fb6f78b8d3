//! Every way to a server, each tried by itself, through networks that let some of them pass.

use super::networks::{Behaviour, proxy};
use super::within;
use peerline::signaling::{ServerUrl, Survey, survey};
use signaling_server::{Config, Server};
use std::net::SocketAddr;

fn start() -> SocketAddr {
    let server = Server::bind(Config {
        listen: ([127, 0, 0, 1], 0).into(),
        ..Config::default()
    });
    let server = server.unwrap();
    let address = server.local_addr();
    tokio::spawn(server.run(std::future::pending()));
    address
}

fn ways(found: &Survey) -> [bool; 3] {
    [&found.websocket, &found.events, &found.polls].map(Result::is_ok)
}

#[tokio::test]
async fn each_way_is_told_from_the_others() {
    let server = start();
    let refuses = proxy(server, Behaviour::RefusesUpgrade).await;
    let holds = proxy(server, Behaviour::RefusesUpgradeAndStreams).await;
    for (address, expected) in [
        (server, [true, true, true]),
        (refuses.address, [false, true, true]),
        (holds.address, [false, false, true]),
    ] {
        let found = within(survey(&ServerUrl::from(address), None)).await;
        assert_eq!(ways(&found), expected, "{found:?}");
        assert!(found.date.is_some_and(|date| date.ends_with(" GMT")));
    }
}

#[tokio::test]
async fn where_nothing_listens_nothing_works() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let found = within(survey(&ServerUrl::from(address), None)).await;
    assert_eq!(ways(&found), [false; 3]);
    assert!(found.date.is_none() && found.ice_servers.is_empty());
}
