//! Nodes of one cluster, in this process and as processes.

use crate::{
    common::{
        DEADLINE, TestServer, config, exchange,
        line::request,
        program::{Running, command},
    },
    redis::Redis,
};
use signaling_protocol::Secret;
use signaling_server::Limits;
use std::net::SocketAddr;
use tokio::{net::TcpStream, time::timeout};

const ADMIN: &str = "a token of an administrator";

/// A node that is in the cluster.
pub(crate) async fn node(redis: &Redis) -> TestServer {
    node_with(redis, |_| {}).await
}

pub(crate) async fn node_with(redis: &Redis, change: impl FnOnce(&mut Limits)) -> TestServer {
    let server = lonely(redis, change).await;
    ready(server.address, 200).await;
    server
}

/// A node that may not be in the cluster yet.
pub(crate) async fn lonely(redis: &Redis, change: impl FnOnce(&mut Limits)) -> TestServer {
    let mut config = config();
    config.redis = Some(redis.url());
    config.admin_token = Some(Secret::new(ADMIN.to_owned()));
    change(&mut config.limits);
    TestServer::with_config(config).await
}

/// A series of `/metrics`.
pub(crate) async fn figure(address: SocketAddr, series: &str) -> f64 {
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {ADMIN}\r\n\r\n"
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    let answer = exchange(&mut stream, request.as_bytes()).await;
    let text = String::from_utf8(answer).unwrap();
    let mut found = text.lines().filter_map(|line| line.strip_prefix(series));
    let value = found.next().unwrap_or_else(|| panic!("{series} in {text}"));
    value.trim().parse().unwrap()
}

/// Waits until it has this value.
pub(crate) async fn reaches(address: SocketAddr, series: &str, expected: f64) {
    let asked = async {
        while (figure(address, series).await - expected).abs() > 1e-9 {
            // Nothing tells when it changes.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let asked = timeout(DEADLINE, asked).await;
    asked.unwrap_or_else(|_| panic!("{series} is not {expected} in time"));
}

/// Waits until a node says that it is ready, or that it is not.
pub(crate) async fn ready(address: SocketAddr, expected: u16) {
    let asked = async {
        while request(address, "GET", "/readyz", None, "").await.0 != expected {
            // Nothing tells when it changes.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, asked)
        .await
        .expect("a node changes in time");
}

/// A node that can be killed.
pub(crate) async fn process(redis: &Redis) -> Running {
    let mut start = command(&["--listen", "127.0.0.1:0", "--json"]);
    start.env("PEERLINE_REDIS", redis.url().expose());
    let node = Running::start(start).await;
    ready(node.address(), 200).await;
    node
}
