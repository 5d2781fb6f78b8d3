//! A connection to a server over WebSocket.

use super::dial;
use super::error::{Lost, Unreachable, shown};
use super::server_url::ServerUrl;
use super::tls::trust;
use super::transport::{Incoming, Transport};
use futures_util::{SinkExt, StreamExt};
use signaling_protocol::limits::MESSAGE_BYTES;
use signaling_protocol::{ClientMessage, Numbered, ParseError, ServerMessage, seq_of, with_seq};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

/// Bytes in the largest message that is read: a relayed message is as large as one that may be sent, and
/// the server adds to it.
const MAX_RECEIVED: usize = 2 * MESSAGE_BYTES;

/// Bytes that wait for the network to take them before sending fails; a message is at most a quarter.
const MAX_UNSENT: usize = 4 * MESSAGE_BYTES;

/// Bytes that are read from the network at once: some candidates, or a description in a few steps.
const READ_BUFFER: usize = 16 * 1024;

pub(super) struct WebSocket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl WebSocket {
    /// Connects. The caller limits the time.
    pub(super) async fn connect(server: &ServerUrl) -> Result<Self, Unreachable> {
        let connector = match server.is_secure() {
            true => Connector::Rustls(Arc::new(trust(server).await?)),
            false => Connector::Plain,
        };
        Self::connect_with(server, connector).await
    }

    async fn connect_with(server: &ServerUrl, tls: Connector) -> Result<Self, Unreachable> {
        let (host, port) = server.host_and_port();
        let stream = dial::dial(&host, port).await?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_RECEIVED))
            .max_frame_size(Some(MAX_RECEIVED))
            .max_write_buffer_size(MAX_UNSENT)
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0);
        let url = server.websocket();
        client_async_tls_with_config(url, stream, Some(config), Some(tls))
            .await
            .map(|(socket, _)| Self(socket))
            .map_err(|error| unreachable(server, error))
    }
}

fn unreachable(server: &ServerUrl, error: tungstenite::Error) -> Unreachable {
    match error {
        tungstenite::Error::Http(response) => match response.status().as_u16() {
            busy @ (429 | 503) => Unreachable::Network(format!("it is busy (HTTP {busy})")),
            status => Unreachable::NotSignaling(status),
        },
        // rustls reports through the stream; before the first byte of HTTP there is nothing but TLS.
        tungstenite::Error::Io(error) if server.is_secure() => {
            Unreachable::Tls(shown(&error.to_string()))
        }
        tungstenite::Error::Tls(error) => Unreachable::Tls(shown(&error.to_string())),
        tungstenite::Error::Io(error) => dial::cause(&error),
        error => Unreachable::Network(format!(
            "what answers there does not speak WebSocket ({})",
            shown(&error.to_string())
        )),
    }
}

impl Transport for WebSocket {
    async fn send(&mut self, seq: Option<u64>, message: &ClientMessage) -> Result<(), Lost> {
        self.0
            .send(Message::text(frame(seq, message)))
            .await
            .map_err(lost)
    }

    async fn receive(&mut self) -> Result<Incoming, Lost> {
        match self
            .0
            .next()
            .await
            .unwrap_or(Err(tungstenite::Error::ConnectionClosed))
        {
            Ok(Message::Text(text)) => read(&text),
            // The library answers it on the next call.
            Ok(Message::Ping(_) | Message::Pong(_)) => Ok(Incoming::Alive),
            Ok(Message::Close(_)) => {
                // Sends the library's answer; if that fails, the connection is closed all the same.
                let _ = self.0.flush().await;
                Err(Lost::Closed)
            }
            Ok(Message::Binary(_) | Message::Frame(_)) => {
                Err(Lost::Protocol("it sent a binary message".to_owned()))
            }
            Err(error) => Err(lost(error)),
        }
    }
}

/// The text of a message.
pub(super) fn frame(seq: Option<u64>, message: &ClientMessage) -> String {
    let json = message.to_json();
    match seq {
        Some(seq) => with_seq(&json, seq),
        None => json,
    }
}

pub(super) fn read(text: &str) -> Result<Incoming, Lost> {
    match Numbered::<ServerMessage>::parse(text) {
        Ok(Numbered { seq, message }) => Ok(Incoming::Message {
            seq,
            bytes: text.len(),
            message,
        }),
        // A message of a newer server, which counts all the same.
        Err(ParseError::Type(_)) => Ok(match seq_of(text) {
            Some(seq) => Incoming::Unknown { seq },
            None => Incoming::Alive,
        }),
        Err(error) => Err(Lost::Protocol(shown(&error.to_string()))),
    }
}

fn lost(error: tungstenite::Error) -> Lost {
    use tungstenite::Error;
    use tungstenite::error::ProtocolError;
    match error {
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Lost::Closed,
        Error::Io(error) => Lost::Network(error.to_string()),
        error => Lost::Protocol(shown(&error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signaling::tls::trusting;
    use crate::signaling::{Signaling, SignalingError};
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use signaling_protocol::{ErrorCode, Join};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    /// The same, and the fingerprint of its certificate; reached by an address that is not in it.
    async fn pinned_server() -> (ServerUrl, String) {
        use sha2::{Digest, Sha256};
        let (url, _, certificate) = tls_server_with_certificate().await;
        let digest = hex::encode(Sha256::digest(&certificate));
        let (_, port) = url.host_and_port();
        let url = format!("https://127.0.0.1:{port}").parse().unwrap();
        (url, format!("sha256:{digest}"))
    }

    async fn tls_server() -> (ServerUrl, ClientConfig) {
        let (url, trust, _) = tls_server_with_certificate().await;
        (url, trust)
    }

    /// A TLS server for `localhost` that answers `join` with an error, and a client that trusts it.
    async fn tls_server_with_certificate() -> (ServerUrl, ClientConfig, Vec<u8>) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("wss://localhost:{}", listener.local_addr().unwrap().port());
        tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(config));
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                socket.next().await.unwrap().unwrap();
                let answer = ServerMessage::error(ErrorCode::RoomFull, "full");
                socket.send(Message::text(answer.to_json())).await.unwrap();
            }
        });
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        (url.parse().unwrap(), trusting(roots), certificate.to_vec())
    }

    #[tokio::test]
    async fn a_trusted_certificate_lets_messages_through() {
        let (url, trust) = tls_server().await;
        let connector = Connector::Rustls(Arc::new(trust));
        let socket = WebSocket::connect_with(&url, connector).await.unwrap();
        let refused = Signaling::enter(socket, Join::default()).await.unwrap_err();
        assert!(
            matches!(&refused, SignalingError::Refused(r) if r.code == ErrorCode::RoomFull),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn a_pinned_certificate_needs_nobody_to_have_signed_it() {
        let (url, print) = pinned_server().await;
        let right = url.clone().pinned(print.parse().unwrap());
        let socket = WebSocket::connect(&right).await.unwrap();
        let refused = Signaling::enter(socket, Join::default()).await.unwrap_err();
        assert!(matches!(refused, SignalingError::Refused(_)), "{refused}");
        let wrong = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
        let error = WebSocket::connect(&url.pinned(wrong)).await.err();
        assert!(matches!(error, Some(Unreachable::Tls(_))), "{error:?}");
        // Requests go the same way.
        assert!(super::super::http::Connection::open(&right).await.is_ok());
    }

    #[tokio::test]
    async fn an_unknown_certificate_is_refused_and_the_error_says_so() {
        let (url, _) = tls_server().await;
        let mut other = RootCertStore::empty();
        let stranger = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        other.add(stranger.cert.der().clone()).unwrap();
        let connector = Connector::Rustls(Arc::new(trusting(other)));
        let error = WebSocket::connect_with(&url, connector).await.err();
        assert!(matches!(error, Some(Unreachable::Tls(_))), "{error:?}");
    }
}
