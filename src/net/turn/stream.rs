//! One TCP or TLS stream to a TURN server, and the task that carries datagrams in it. It ends with its
//! [`Stream`], or when the server hangs up; what is sent after that is lost, as on any path that broke, and
//! ICE restarts with new sockets and new streams.

use super::frames;
use super::servers::{Servers, Transport};
use super::trust;
use super::uri::TurnUri;
use bytes::{Bytes, BytesMut};
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

/// TCP and TLS handshakes together; ICE gives up on everything after 30 s.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Bytes that wait for the stream; what comes while there are more is dropped. More than SCTP's window, so
/// that a line that is slow for a while delays and does not lose: SCTP takes seconds to recover from that.
const MAX_UNSENT: usize = 4 << 20;

/// Bytes read at once.
const READ: usize = 64 * 1024;

/// An Allocate success response (RFC 8656 section 17).
const ALLOCATED: [u8; 2] = [0x01, 0x03];

/// A frame from a server.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) from: SocketAddr,
    pub(super) frame: Bytes,
}

/// A stream that is there, or will be.
#[derive(Debug)]
pub(super) struct Stream {
    outgoing: Arc<Outgoing>,
    _carrier: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Outgoing {
    unsent: Mutex<BytesMut>,
    news: Notify,
}

impl Outgoing {
    fn unsent(&self) -> MutexGuard<'_, BytesMut> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    /// Connects in the background. `address` is where the engine believes the server to be.
    pub(super) fn open(
        server: TurnUri,
        address: SocketAddr,
        servers: Arc<Servers>,
        arrivals: mpsc::Sender<Arrival>,
    ) -> Self {
        let outgoing = Arc::new(Outgoing::default());
        let carrying = carry(server, address, servers, arrivals, Arc::clone(&outgoing));
        Self {
            outgoing,
            _carrier: AbortOnDropHandle::new(tokio::spawn(carrying)),
        }
    }

    /// Queues a frame, or drops it.
    pub(super) fn send(&self, frame: &[u8]) {
        let mut unsent = self.outgoing.unsent();
        // overflow: dropped, see MAX_UNSENT.
        if unsent.len() + frame.len() > MAX_UNSENT {
            return;
        }
        unsent.extend_from_slice(frame);
        unsent.extend_from_slice(frames::padding(frame));
        drop(unsent);
        self.outgoing.news.notify_one();
    }
}

async fn carry(
    server: TurnUri,
    address: SocketAddr,
    servers: Arc<Servers>,
    arrivals: mpsc::Sender<Arrival>,
    outgoing: Arc<Outgoing>,
) {
    sleep(servers.patience(server.transport)).await;
    if !servers.is_needless(server.transport) {
        let (host, port) = (&server.host, server.port);
        let result = match timeout(CONNECT_LIMIT, connect(&server)).await {
            Ok(Ok(stream)) => {
                tracing::debug!(host, port, "connected to a TURN server");
                pump(stream, &server, address, &servers, &arrivals, &outgoing).await
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        if let Err(error) = result {
            tracing::warn!(host, port, %error, "a TURN server cannot be used");
        }
    }
    // The engine goes on sending; nothing is kept for a stream that is gone.
    outgoing.unsent().clear();
    loop {
        outgoing.news.notified().await;
        outgoing.unsent().clear();
    }
}

async fn connect(server: &TurnUri) -> io::Result<Box<dyn Duplex>> {
    let stream = TcpStream::connect((server.host.as_str(), server.port)).await?;
    // Connectivity checks must not wait for each other.
    stream.set_nodelay(true)?;
    if server.transport != Transport::Tls {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(server.host.clone()).map_err(io::Error::other)?;
    let connector = TlsConnector::from(trust::system().await?);
    Ok(Box::new(connector.connect(name, stream).await?))
}

async fn pump(
    stream: Box<dyn Duplex>,
    server: &TurnUri,
    address: SocketAddr,
    servers: &Servers,
    arrivals: &mpsc::Sender<Arrival>,
    outgoing: &Outgoing,
) -> io::Result<()> {
    let (mut read, mut write) = tokio::io::split(stream);
    let reading = async {
        let mut received = BytesMut::new();
        loop {
            received.reserve(READ);
            if read.read_buf(&mut received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            while let Some((length, padded)) =
                frames::first(&received).map_err(|_| io::Error::other("it sent what is no TURN"))?
            {
                let mut frame = received.split_to(padded).freeze();
                frame.truncate(length);
                if frame.starts_with(&ALLOCATED) {
                    servers.answered(server.transport);
                }
                let from = address;
                // Full, the stream is not read: TCP slows the relay down.
                if arrivals.send(Arrival { from, frame }).await.is_err() {
                    return Ok(());
                }
            }
        }
    };
    let writing = async {
        let mut sending = BytesMut::new();
        loop {
            std::mem::swap(&mut sending, &mut *outgoing.unsent());
            if sending.is_empty() {
                write.flush().await?;
                outgoing.news.notified().await;
                continue;
            }
            write.write_all(&sending).await?;
            sending.clear();
        }
    };
    tokio::select! {
        result = reading => result,
        result = writing => result,
    }
}

/// Something to read from and to write to.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}
