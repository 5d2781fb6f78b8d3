//! Clients that come by TCP or TLS, on one port: a TLS handshake begins with a byte that no STUN message
//! and no channel data begins with.

use super::{
    Shared,
    client::Client,
    link::{Duplex, Link},
    quota::GuestGuard,
};
use crate::sources::Source;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

/// The content type of a TLS handshake record (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// From a connection to its first byte, and from there to the end of the handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);

/// Pause after a failed accept: out of file descriptors, every attempt fails until one is closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the kernel keeps for a client that does not read; our own queue is in front of it.
const SEND_BUFFER: usize = 256 * 1024;

/// Serves until it is dropped.
pub(super) async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    let mut tasks = JoinSet::new();
    loop {
        let (stream, from) = tokio::select! {
            Some(_) = tasks.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept TURN clients");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        // A client without an allocation; too many of them are cut without a word.
        let Some(guest) = shared.quota.guest(Source::of(from.ip())) else {
            continue;
        };
        tasks.spawn(client(Arc::clone(&shared), stream, from, guest));
    }
}

async fn client(shared: Arc<Shared>, stream: TcpStream, from: SocketAddr, guest: GuestGuard) {
    // Small frames must not wait for each other; a socket without the option works too.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER);
    let stream = match timeout(HANDSHAKE_LIMIT, open(&shared, stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "a TURN client could not connect"),
        Err(_) => return tracing::debug!("a TURN client said nothing"),
    };
    Client::new(shared, Link::stream(stream), from, guest)
        .run()
        .await;
}

async fn open(shared: &Shared, stream: TcpStream) -> io::Result<Box<dyn Duplex>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if first[0] != TLS_HANDSHAKE {
        return Ok(Box::new(stream));
    }
    let Some(tls) = &shared.config.tls else {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "TLS without a certificate of ours",
        ));
    };
    Ok(Box::new(
        TlsAcceptor::from(tls.server_config())
            .accept(stream)
            .await?,
    ))
}
