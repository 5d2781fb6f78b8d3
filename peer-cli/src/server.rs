//! The embedded signaling server of a sender for whom no server was named.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use peerline::signaling::ServerUrl;
use signaling_server::{Config, Server};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::discover::{Announcement, PORTS, primary_address};
use crate::exit::{Exit, Failure};

/// How long the end may take: the server's own grace for pairings under way is 2 s, and by then
/// ours is over one way or the other.
const END_LIMIT: Duration = Duration::from_millis(500);

/// A server in this process. Dropping it ends it.
pub(crate) struct Embedded {
    port: u16,
    task: JoinHandle<()>,
    announcing: Option<Airing>,
    _stop: DropGuard,
}

/// A room of a server of ours that is being announced on the local network. Dropping it takes it off the air.
pub(crate) struct Airing(JoinHandle<Option<Announcement>>);

impl Airing {
    /// Returns at once: the code can be shown before the sockets for it are open.
    pub(crate) fn start(room: &str, port: u16) -> Self {
        let room = room.to_owned();
        Self(spawn_blocking(move || {
            Announcement::start(&room, port)
                .inspect_err(|error| tracing::warn!(%error, "cannot announce on the local network"))
                .ok()
        }))
    }

    /// Takes it off the air, and waits until that was said.
    pub(crate) async fn end(self) {
        if let Ok(Some(announcement)) = self.0.await {
            announcement.withdraw().await;
        }
    }
}

impl Embedded {
    /// Listens on the first free port, on all interfaces: the other side may be on the network.
    pub(crate) fn start() -> Result<Self, Failure> {
        let server = bind()?;
        let port = server.local_addr().port();
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.run(stop.clone().cancelled_owned()));
        Ok(Self {
            port,
            task,
            announcing: None,
            _stop: stop.drop_guard(),
        })
    }

    /// The server as this process reaches it.
    pub(crate) fn local_url(&self) -> ServerUrl {
        ServerUrl::from(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))
    }

    /// The server as others reach it, as far as this host knows; only this host, if it is not on a
    /// network.
    pub(crate) fn public_url(&self) -> ServerUrl {
        match primary_address() {
            Some(ip) => ServerUrl::from(SocketAddr::new(ip, self.port)),
            None => format!("http://localhost:{}", self.port)
                .parse()
                .expect("a valid URL"),
        }
    }

    /// Announces on the local network that `room` is here.
    pub(crate) fn announce(&mut self, room: &str) {
        self.announcing = Some(Airing::start(room, self.port));
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Takes the announcement back and ends the server, within [`END_LIMIT`].
    pub(crate) async fn end(self) {
        let Self {
            task,
            announcing,
            _stop,
            ..
        } = self;
        drop(_stop);
        let farewell = async {
            if let Some(announcing) = announcing {
                announcing.end().await;
            }
        };
        let aborter = task.abort_handle();
        let ended = timeout(END_LIMIT, async { tokio::join!(farewell, task) }).await;
        if ended.is_err() {
            aborter.abort();
        }
    }
}

/// A room for an embedded server. A server numbers its rooms from 1, and two senders on one network
/// would both announce room 1: a guest at the wrong one spends its only guess there. Four random
/// digits are as easy to say.
pub(crate) fn room() -> String {
    rand::random_range(1000..10_000).to_string()
}

fn bind() -> Result<Server, Failure> {
    let mut last = None;
    for port in candidates() {
        let listen = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        match Server::bind(Config {
            listen,
            ..Config::default()
        }) {
            Ok(server) => return Ok(server),
            Err(error) => last = Some(error),
        }
    }
    let reason = last.map(|error| error.to_string()).unwrap_or_default();
    Err(Failure::new(
        Exit::Local,
        "no-port",
        format!("cannot listen for the other side: {reason}"),
    )
    .hint("name a signaling server with --server"))
}

/// The ports that receivers on this host look at, then any.
fn candidates() -> impl Iterator<Item = u16> {
    PORTS.chain([0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::is_peerline;

    #[test]
    fn a_receiver_on_this_host_looks_where_a_sender_listens() {
        let candidates: Vec<u16> = candidates().collect();
        assert_eq!(candidates.first(), Some(&8787));
        assert_eq!(
            candidates.last(),
            Some(&0),
            "a crowded host still gets a server"
        );
        assert_eq!(candidates.len(), 21);
    }

    #[tokio::test]
    async fn several_senders_run_side_by_side_and_leave_nothing_behind() {
        let servers = [Embedded::start(), Embedded::start()].map(|server| server.expect("starts"));
        let addresses = servers.each_ref().map(|server| {
            assert!(
                server
                    .public_url()
                    .page()
                    .ends_with(&format!(":{}/", server.port))
            );
            SocketAddr::from((Ipv4Addr::LOCALHOST, server.port))
        });
        assert_ne!(addresses[0], addresses[1]);
        for (server, address) in servers.into_iter().zip(addresses) {
            assert_eq!(server.local_url(), ServerUrl::from(address));
            assert!(is_peerline(address).await);
            server.end().await;
            assert!(!is_peerline(address).await);
        }
    }
}
