//! The control channel as the driver uses it: it sends without waiting, and reads.

use super::SessionError;
use super::control::{self, ControlMessage};
use super::driver::Side;
use crate::channel::port::{Activity, Port};
use crate::channel::window::Window;
use crate::channel::{Channel, Endpoint, Message};
use std::collections::VecDeque;
use std::sync::Arc;
use webrtc::data_channel::DataChannel;

/// Control messages that wait for room in the channel. Lanes are described in bursts; beyond this the peer
/// reads nothing.
const UNSENT: usize = 512;

#[derive(Debug)]
pub(super) struct ControlLine {
    channel: Channel,
    /// What waits for room in `channel`.
    unsent: VecDeque<String>,
    /// The engine's side of `channel`, until the answerer has seen the offerer open it.
    endpoint: Option<Endpoint>,
    port: Option<Port>,
}

impl ControlLine {
    pub(super) fn new() -> Self {
        let (channel, endpoint) = Channel::with_endpoint(control::LABEL);
        Self {
            channel,
            unsent: VecDeque::new(),
            endpoint: Some(endpoint),
            port: None,
        }
    }

    /// Whether the offerer has yet to open it.
    pub(super) fn is_awaited(&self) -> bool {
        self.endpoint.is_some()
    }

    /// Takes the data channel into use, the first time.
    pub(super) fn start(
        &mut self,
        data_channel: Arc<dyn DataChannel>,
        side: Side,
        activity: &Activity,
    ) {
        if let Some(endpoint) = self.endpoint.take() {
            let window = Window::towards(false);
            self.port = Some(match side {
                Side::Offerer => Port::opened(data_channel, endpoint, activity, window),
                Side::Answerer => Port::accepted(data_channel, endpoint, activity, window),
            });
        }
    }

    /// Queues a message.
    pub(super) fn send(&mut self, message: &ControlMessage) -> Result<(), SessionError> {
        // overflow: the peer has not read its control channel for megabytes; it is gone.
        if self.unsent.len() == UNSENT {
            return Err(SessionError::Lost);
        }
        self.unsent.push_back(message.to_json());
        self.send_unsent()
    }

    fn send_unsent(&mut self) -> Result<(), SessionError> {
        while self.channel.has_room()
            && let Some(text) = self.unsent.pop_front()
        {
            self.channel
                .try_send_text(text)
                .map_err(|_| SessionError::Lost)?;
        }
        Ok(())
    }

    /// The peer's next message, while what is queued leaves as there is room; `None` when the channel has
    /// ended. Cancelled, it has lost nothing.
    pub(super) async fn next(&mut self) -> Option<Message> {
        loop {
            let waiting = (!self.unsent.is_empty()).then(|| self.channel.sender());
            let room = async {
                match &waiting {
                    Some(sender) => sender.room().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = self.channel.recv() => return message,
                () = room => self.send_unsent().ok()?,
            }
        }
    }
}
