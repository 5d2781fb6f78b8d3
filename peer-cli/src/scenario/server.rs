//! The signaling server of a scenario.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use peerline::signaling::ServerUrl;
use signaling_server::{BindError, Config, Server};
use tokio_util::task::AbortOnDropHandle;

use super::plan::ServerAct;

/// How long a port may stay in use by what was just ended.
const REBIND_LIMIT: Duration = Duration::from_secs(5);

/// How often it is tried again.
const REBIND: Duration = Duration::from_millis(20);

/// A server in this process. It is killed when it is dropped.
pub(super) struct Hosted {
    address: SocketAddr,
    task: Option<AbortOnDropHandle<()>>,
}

impl Hosted {
    /// Listens on a free port of this host.
    pub(super) fn start() -> Result<Self, String> {
        let server = bind((Ipv4Addr::LOCALHOST, 0).into()).map_err(|error| error.to_string())?;
        let mut hosted = Self {
            address: server.local_addr(),
            task: None,
        };
        hosted.run(server);
        Ok(hosted)
    }

    pub(super) fn url(&self) -> ServerUrl {
        ServerUrl::from(self.address)
    }

    fn run(&mut self, server: Server) {
        let serving = tokio::spawn(server.run(std::future::pending()));
        self.task = Some(AbortOnDropHandle::new(serving));
    }

    pub(super) async fn act(&mut self, act: ServerAct) -> Result<(), String> {
        match act {
            ServerAct::Stop => self.kill().await,
            ServerAct::Start => self.come_back().await,
            ServerAct::Restart { down } => {
                self.kill().await?;
                tokio::time::sleep(down).await;
                self.come_back().await
            }
        }
    }

    /// Every connection is closed at once, and everything forgotten, as after kill -9.
    async fn kill(&mut self) -> Result<(), String> {
        let task = self.task.take().ok_or("it is down already")?;
        task.abort();
        // Its port is closed when it is over.
        let _ = task.await;
        Ok(())
    }

    async fn come_back(&mut self) -> Result<(), String> {
        if self.task.is_some() {
            return Err("it is up already".into());
        }
        let begun = Instant::now();
        loop {
            match bind(self.address) {
                Ok(server) => {
                    self.run(server);
                    return Ok(());
                }
                Err(BindError::InUse { .. }) if begun.elapsed() < REBIND_LIMIT => {
                    tokio::time::sleep(REBIND).await;
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

fn bind(listen: SocketAddr) -> Result<Server, BindError> {
    Server::bind(Config {
        listen,
        ..Config::default()
    })
}
