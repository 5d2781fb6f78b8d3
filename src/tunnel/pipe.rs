//! A pipe: one stream between what two sides read and write.

use super::LANE_PROTOCOL;
use super::carrier::{Arrival, Tunnel};
use super::error::RelayError;
use super::frame::{FULL_DATA, Reset, ResetCode};
use super::lane::{self, Lanes};
use super::mux::Side;
use super::relay::{Ends, Moved, relay};
use super::stream::Stream;
use crate::channel::Channel;
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The name of the stream of a pipe.
const TARGET: &str = "pipe";

/// How long the peer may take to begin. It does so as soon as it is connected.
const BEGIN: Duration = Duration::from_secs(30);

/// How long one that is done waits for the other to be done: its last word may have to wait for an interrupted
/// session to heal, which gives up after 120 s.
const LAST_WORD: Duration = Duration::from_secs(150);

const ENDS: Ends = Ends {
    input: "stdin",
    output: "stdout",
    chunk: FULL_DATA,
};

/// Connects `input` and `output` with those of the peer, over a channel of [`PROTOCOL`](super::PROTOCOL). It is
/// done when both directions have ended, and everything that was read on one side has been written and flushed
/// on the other. `tell` is told how far it is.
///
/// The session must go on until this returns; then the opener hangs up, and the acceptor waits for that.
///
/// # Errors
/// See [`RelayError`]. The peer is told, if it can be; a direction is never cut short without an error on both
/// sides.
pub async fn pipe(
    channel: Channel,
    side: Side,
    lanes: Lanes,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
    stop: &CancellationToken,
    tell: impl Fn(Moved),
) -> Result<Moved, RelayError> {
    let Lanes {
        opener,
        mut incoming,
    } = lanes;
    let tunnel = Tunnel::start(channel, side, opener);
    let arriving = async {
        loop {
            let opened = lane::next(&mut incoming).await;
            if opened.protocol == LANE_PROTOCOL {
                tunnel.take_lane(opened.channel);
            }
        }
    };
    let piping = async {
        let begun = timeout(BEGIN, begin(&tunnel, side)).await;
        let stream = begun.unwrap_or(Err(RelayError::Silent))?;
        let (moved, result) = tokio::select! {
            relayed = relay(stream, input, output, ENDS, tell) => relayed,
            never = refuse_others(&tunnel) => match never {},
        };
        result.map(|()| moved)
    };
    let result = tokio::select! {
        biased;
        () = stop.cancelled() => Err(RelayError::Cancelled),
        result = piping => result,
        never = arriving => never,
    };
    // The acceptor's last word is that it closes the channel: until then the opener may not hang up.
    if result.is_ok() && side == Side::Opener {
        let _ = timeout(LAST_WORD, tunnel.ended()).await;
    }
    tunnel.close().await;
    result
}

async fn begin(tunnel: &Tunnel, side: Side) -> Result<Stream, RelayError> {
    match side {
        Side::Opener => {
            let mut stream = tunnel.open(TARGET).await?;
            stream.accepted().await?;
            Ok(stream)
        }
        Side::Acceptor => loop {
            let arrival = tunnel.accept().await?;
            if arrival.target() == TARGET {
                return Ok(arrival.accept());
            }
            refuse(arrival);
        },
    }
}

fn refuse(arrival: Arrival) {
    arrival.refuse(Reset::new(ResetCode::Refused, "this is a pipe"));
}

/// What nobody reads would be kept.
async fn refuse_others(tunnel: &Tunnel) -> Infallible {
    while let Ok(arrival) = tunnel.accept().await {
        refuse(arrival);
    }
    // The pipe itself says what has ended.
    pending().await
}
