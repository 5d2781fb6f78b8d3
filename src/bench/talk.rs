//! This side's end of the channel on which leader and follower talk.

use super::BenchError;
use super::message::Message;
use super::pings::Pings;
use crate::channel::{Channel, Message as Raw};
use std::time::{Duration, Instant};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// How long answers to pings are waited for, behind whatever else is on its way.
const SETTLE: Duration = Duration::from_secs(15);

/// Says and hears; pings are sent and answered meanwhile.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) channel: Channel,
    pub(super) stop: CancellationToken,
    pub(super) pings: Pings,
}

impl Talk {
    /// Says something. The channel's queue holds more than is ever said at a time to a side that listens.
    pub(super) fn say(&self, message: &Message) -> Result<(), BenchError> {
        if !self.channel.has_room() {
            // overflow: a peer that does not read what it asked for; measuring ends.
            return Err(BenchError::Silent);
        }
        let said = self.channel.try_send_text(message.to_json());
        said.map_err(|_| BenchError::Closed)
    }

    /// The next message that is not about pings. Cancelled, it has lost nothing.
    pub(super) async fn heard(&mut self) -> Result<Message, BenchError> {
        loop {
            if let Some(message) = self.turn().await? {
                return Ok(message);
            }
        }
    }

    /// Ends pinging, and waits for the answers that are due.
    pub(super) async fn settle(&mut self) -> Result<(), BenchError> {
        self.pings.stop();
        let settling = async {
            while !self.pings.is_settled() {
                if self.turn().await?.is_some() {
                    return Err(BenchError::Protocol("it spoke out of turn"));
                }
            }
            Ok(())
        };
        let settled = timeout(SETTLE, settling).await;
        settled.unwrap_or(Err(BenchError::Silent))
    }

    /// One message or one ping; `None` if there is nothing to tell.
    async fn turn(&mut self) -> Result<Option<Message>, BenchError> {
        let due = self.pings.next_deadline();
        let message = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(BenchError::Cancelled),
            message = self.channel.recv() => message.ok_or(BenchError::Closed)?,
            () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {
                if let Some(id) = self.pings.ping(Instant::now()) {
                    self.say(&Message::Ping { id })?;
                }
                return Ok(None);
            }
        };
        let message = match message {
            Raw::Text(text) => Message::parse(&text),
            Raw::Binary(_) => None,
        };
        match message.ok_or(BenchError::Protocol("its message makes no sense"))? {
            Message::Ping { id } => self.say(&Message::Pong { id })?,
            Message::Pong { id } => self.pings.pong(Instant::now(), id)?,
            Message::Unknown => {}
            message => return Ok(Some(message)),
        }
        Ok(None)
    }
}
