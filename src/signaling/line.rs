//! Whichever way leads to a server: a WebSocket, or requests where the network refuses one.

use super::error::{Lost, Unreachable};
use super::requests::Requests;
use super::server_url::ServerUrl;
use super::transport::{Incoming, Transport};
use super::websocket::WebSocket;
use signaling_protocol::ClientMessage;
use std::time::Duration;
use tokio::time::timeout;

/// Time for a WebSocket before requests are tried: three lost packets of a slow network are within it, and
/// there is as much time left for the requests.
const WEBSOCKET_LIMIT: Duration = Duration::from_secs(4);

/// A way to one server.
pub(super) struct Line {
    server: ServerUrl,
    carrier: Carrier,
}

enum Carrier {
    WebSocket(Box<WebSocket>),
    Requests(Box<Requests>),
}

impl Line {
    /// Connects. The caller limits the time.
    pub(super) async fn connect(server: &ServerUrl) -> Result<Self, Unreachable> {
        Ok(Self {
            server: server.clone(),
            carrier: Carrier::open(server).await?,
        })
    }

    /// Uses requests from now on, if that is possible and not so already: for a WebSocket that opened and
    /// then carried nothing.
    pub(super) async fn fall_back(&mut self) -> bool {
        if matches!(self.carrier, Carrier::Requests(_))
            || Requests::probe(&self.server).await.is_err()
        {
            return false;
        }
        self.carrier = Carrier::Requests(Box::new(Requests::new(self.server.clone())));
        true
    }
}

impl Carrier {
    async fn open(server: &ServerUrl) -> Result<Self, Unreachable> {
        let opened = timeout(WEBSOCKET_LIMIT, WebSocket::connect(server)).await;
        let cause = match opened.unwrap_or(Err(Unreachable::Timeout)) {
            Ok(socket) => return Ok(Self::WebSocket(Box::new(socket))),
            // Requests would go to the same place.
            Err(cause @ (Unreachable::Name | Unreachable::Refused | Unreachable::Tls(_))) => {
                return Err(cause);
            }
            Err(cause) => cause,
        };
        // If that fails too, what the WebSocket met says more.
        if Requests::probe(server).await.is_err() {
            return Err(cause);
        }
        tracing::info!(%cause, "no WebSocket comes through; using requests");
        Ok(Self::Requests(Box::new(Requests::new(server.clone()))))
    }
}

impl Transport for Line {
    async fn send(&mut self, seq: Option<u64>, message: &ClientMessage) -> Result<(), Lost> {
        match &mut self.carrier {
            Carrier::WebSocket(socket) => socket.send(seq, message).await,
            Carrier::Requests(requests) => requests.send(seq, message).await,
        }
    }

    async fn receive(&mut self) -> Result<Incoming, Lost> {
        match &mut self.carrier {
            Carrier::WebSocket(socket) => socket.receive().await,
            Carrier::Requests(requests) => requests.receive().await,
        }
    }

    async fn reconnect(&mut self) -> Result<(), Unreachable> {
        match &mut self.carrier {
            Carrier::WebSocket(_) => {
                self.carrier = Carrier::open(&self.server).await?;
                Ok(())
            }
            Carrier::Requests(requests) => requests.reconnect().await,
        }
    }
}
