//! From arguments to a line: a connected and verified session with the other side.

mod doorway;
mod gathering;
mod guest;
mod host;
mod open_room;
mod place;

use std::future::Future;
use std::time::Duration;

use peerline::media::codec::Codec;
use peerline::session::{Intent, SessionConfig};
use peerline::signaling::ServerUrl;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::ui::Ui;

pub(crate) use doorway::{Doorway, Visit};
pub(crate) use gathering::Gathering;
pub(crate) use guest::{guest, join_existing};
pub(crate) use host::{PLACES, host, make_room};
pub(crate) use open_room::{Entrance, InRoom, room};
pub(crate) use place::Place;

/// What every command needs to open a line.
pub(crate) struct Context<'a> {
    pub(crate) ui: &'a Ui,
    pub(crate) common: &'a Common,
    /// Cancelled by Ctrl-C.
    pub(crate) stop: &'a CancellationToken,
    /// What this side comes for.
    pub(crate) intent: Intent,
    /// What it understands of sound and pictures.
    pub(crate) codecs: Vec<Codec>,
}

impl<'a> Context<'a> {
    /// For a command that has nothing to do with sound and pictures.
    pub(crate) fn new(
        ui: &'a Ui,
        common: &'a Common,
        stop: &'a CancellationToken,
        intent: Intent,
    ) -> Self {
        Self {
            ui,
            common,
            stop,
            intent,
            codecs: Vec::new(),
        }
    }
}

impl Context<'_> {
    /// `connecting` until it is done, `--timeout` is over, or Ctrl-C is pressed.
    pub(crate) async fn limited<T>(
        &self,
        connecting: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let limit = self.common.timeout;
        let limited = async {
            match limit {
                None => connecting.await,
                Some(limit) => timeout(limit, connecting)
                    .await
                    .unwrap_or_else(|_| Err(too_late(limit))),
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Failure::ctrl_c()),
            result = limited => result,
        }
    }

    pub(crate) fn session_config(&self, server: &ServerUrl) -> SessionConfig {
        SessionConfig {
            agent: concat!("peer-cli/", env!("CARGO_PKG_VERSION")).to_owned(),
            intent: self.intent,
            codecs: self.codecs.clone(),
            ice_servers: self.common.ice_servers(),
            policy: self.common.paths(),
            loopback: is_on_this_host(server),
            ..SessionConfig::default()
        }
    }
}

fn too_late(limit: Duration) -> Failure {
    let message = format!(
        "the other side was not connected within {} s",
        limit.as_secs_f64()
    );
    Failure::new(Exit::NoPath, "timeout", message)
        .hint("check that both sides use the same code, or give them more time with --timeout")
        .retry()
}

/// Whether both sides may be on this host: only then may loopback addresses be used, since to anybody
/// else they would mean another machine.
pub(crate) fn is_on_this_host(server: &ServerUrl) -> bool {
    match Url::parse(server.page())
        .ok()
        .and_then(|url| url.host().map(|host| host.to_owned()))
    {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_on_this_host_opens_loopback() {
        for (server, local) in [
            ("http://127.0.0.1:8787", true),
            ("http://127.9.9.9:1", true),
            ("http://[::1]:1", true),
            ("http://localhost:1", true),
            ("https://localhost.example.org", false),
            ("http://10.0.0.2:8787", false),
            ("https://127.0.0.1.example.org", false),
        ] {
            assert_eq!(is_on_this_host(&server.parse().unwrap()), local, "{server}");
        }
    }
}
