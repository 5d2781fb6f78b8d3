//! Connecting to the first address of a name that answers (RFC 8305).

use super::error::Unreachable;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::io;
use std::time::Duration;
use tokio::net::{self, TcpStream};
use tokio::time;

/// Time before the next address is tried beside the one that has not answered (RFC 8305 section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Addresses that are tried. A name with more is a mistake or an attack.
const MAX_ADDRESSES: usize = 8;

/// Connects to `host`. The caller limits the time.
pub(super) async fn dial(host: &str, port: u16) -> Result<TcpStream, Unreachable> {
    let addresses = net::lookup_host((host, port))
        .await
        .map_err(|_| Unreachable::Name)?;
    let mut attempts: FuturesUnordered<_> = addresses
        .take(MAX_ADDRESSES)
        .zip(0..)
        .map(|(address, turn)| async move {
            time::sleep(HEAD_START * turn).await;
            TcpStream::connect(address).await
        })
        .collect();
    let mut failure = Unreachable::Name;
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(stream) => {
                // Messages are small and wait for answers; a failure costs time only.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => failure = cause(&error),
        }
    }
    Err(failure)
}

/// What an error of the network means for somebody who tries to connect.
pub(super) fn cause(error: &io::Error) -> Unreachable {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Unreachable::Refused,
        io::ErrorKind::TimedOut => Unreachable::Timeout,
        _ => Unreachable::Network(error.to_string()),
    }
}
