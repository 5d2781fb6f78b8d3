//! Nodes of one cluster, in this process and as processes.

use crate::{
    common::{DEADLINE, TestServer, config, line::request},
    redis::Redis,
};
use serde_json::Value;
use signaling_server::Limits;
use std::{net::SocketAddr, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

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
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Process {
    pub(crate) async fn start(redis: &Redis) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_signaling-server"))
            .args(["--listen", "127.0.0.1:0", "--json"])
            .env("PEERLINE_REDIS", redis.url().expose())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        timeout(DEADLINE, stderr.read_line(&mut line))
            .await
            .unwrap()
            .unwrap();
        tokio::spawn(async move {
            let mut rest = stderr.lines();
            while let Ok(Some(line)) = rest.next_line().await {
                eprintln!("{line}");
            }
        });
        let event: Value = serde_json::from_str(&line).unwrap();
        let address = event["address"].as_str().unwrap().parse().unwrap();
        ready(address, 200).await;
        Self { child, address }
    }

    /// kill -9.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}
