//! What both sides do alike with their channels.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::error::TransferError;
use super::message::ControlMessage;
use crate::channel::{ChannelReceiver, ChannelSender, Message};

/// How long a failing side waits for room in the control channel to say why. A peer that reads has
/// room within a round trip; one that does not will not learn it.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long after the end of the lane the control channel may still bring the reason: both are
/// closed at once, but nothing orders them, and a lost packet delays one of them by a
/// retransmission of up to 1 s.
const LANE_GRACE: Duration = Duration::from_secs(2);

/// The next control message.
pub(super) async fn next_control(
    incoming: &mut ChannelReceiver,
) -> Result<ControlMessage, TransferError> {
    match incoming.recv().await {
        None => Err(TransferError::Closed),
        Some(Message::Binary(_)) => Err(TransferError::protocol("a control message is not text")),
        Some(Message::Text(text)) => ControlMessage::parse(&text)
            .map_err(|error| TransferError::protocol(format!("a malformed message: {error}"))),
    }
}

/// Tells the other side why the transfer failed, if it did and the other side does not know.
pub(super) async fn end<T>(
    control: &ChannelSender,
    result: Result<T, TransferError>,
) -> Result<T, TransferError> {
    if let Some((code, message)) = result.as_ref().err().and_then(TransferError::farewell) {
        let code = code.as_str().to_owned();
        let cancel = Message::Text(ControlMessage::Cancel { code, message }.to_text());
        // Closed or full: there is nobody to tell.
        let _ = timeout(FAREWELL, control.send(cancel)).await;
    }
    result
}

/// Whether the lane has ended, and since when.
#[derive(Debug, Default)]
pub(super) struct LaneEnd(Option<Instant>);

impl LaneEnd {
    pub(super) fn is_open(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn ended(&mut self) {
        self.0.get_or_insert_with(Instant::now);
    }

    /// Another one is there.
    pub(super) fn reopened(&mut self) {
        self.0 = None;
    }

    /// Returns when the lane ended [`LANE_GRACE`] ago.
    pub(super) async fn grace_over(&self) {
        match self.0 {
            Some(ended) => sleep_until(ended + LANE_GRACE).await,
            None => std::future::pending().await,
        }
    }
}

/// Returns then, or never.
pub(super) async fn until(deadline: Option<std::time::Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// A disk thread ended without a word: only a panic does that, and it is ours.
pub(super) async fn thread_failed(thread: &mut JoinHandle<()>) -> TransferError {
    let source = match thread.await {
        Ok(()) => io::Error::other("the disk thread stopped"),
        Err(error) => io::Error::other(error),
    };
    TransferError::io(Path::new("disk"), source)
}
