//! Connections of this machine: to what is exposed, and from whoever uses it.

use super::error::RelayError;
use super::relay::{Ends, Moved, relay};
use super::service::Target;
use super::stream::Stream;
use socket2::SockRef;
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::time::timeout;

/// How long what is exposed may take to accept a connection; the host is on this machine or its network.
const CONNECT: Duration = Duration::from_secs(10);

const ENDS: Ends = Ends {
    input: "the connection",
    output: "the connection",
    // Each connection has one.
    chunk: 16 << 10,
};

/// A connection. One that was not completed is reset when it is dropped, by whatever: its program must not take
/// what it got for all. (A Unix socket knows no reset.)
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl From<TcpStream> for Socket {
    fn from(socket: TcpStream) -> Self {
        // The system does it, also for a process that is killed.
        let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
        // Whoever sends decides what is sent at once.
        let _ = socket.set_nodelay(true);
        Self::Tcp(socket)
    }
}

impl Socket {
    /// Connects with what is exposed.
    pub(super) async fn connect(target: &Target) -> io::Result<Self> {
        let connecting = async {
            match target {
                Target::Tcp(addresses) => {
                    let stream = TcpStream::connect(&addresses[..]).await?;
                    // What was allowed were these addresses, not a name.
                    if !addresses.contains(&stream.peer_addr()?) {
                        return Err(io::ErrorKind::PermissionDenied.into());
                    }
                    Ok(stream.into())
                }
                #[cfg(unix)]
                Target::Unix(path) => UnixStream::connect(path).await.map(Self::Unix),
                #[cfg(not(unix))]
                Target::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
                Target::Udp(_) => Err(io::ErrorKind::InvalidInput.into()),
            }
        };
        let connected = timeout(CONNECT, connecting).await;
        connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// It is closed when it is dropped: everything was said.
    pub(super) fn complete(&self) {
        if let Self::Tcp(socket) = self {
            let _ = SockRef::from(socket).set_linger(None);
        }
    }

    /// Moves everything both ways.
    pub(super) async fn relay(mut self, stream: Stream) -> (Moved, Result<(), RelayError>) {
        let relayed = match &mut self {
            Self::Tcp(socket) => {
                let (input, output) = socket.split();
                relay(stream, input, output, ENDS, |_| ()).await
            }
            #[cfg(unix)]
            Self::Unix(socket) => {
                let (input, output) = socket.split();
                relay(stream, input, output, ENDS, |_| ()).await
            }
        };
        if relayed.1.is_ok() {
            self.complete();
        }
        relayed
    }
}
