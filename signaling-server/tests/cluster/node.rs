//! Nodes of one cluster, in this process and as processes.

use crate::{
    common::{
        DEADLINE, TestServer, config,
        line::request,
        program::{Running, command},
    },
    redis::Redis,
};
use signaling_server::Limits;
use std::net::SocketAddr;
use tokio::time::timeout;

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
    change(&mut config.limits);
    TestServer::with_config(config).await
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
