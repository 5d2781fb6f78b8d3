//! The data channels of one session: which are open, which must wait, and which nobody may read yet.

use super::engine::MAX_CHANNELS;
use super::{IncomingChannel, SessionError};
use crate::channel::Channel;
use crate::channel::port::{Activity, Number, Port};
use crate::channel::window::Window;
use crate::net::packet;
use std::sync::Arc;
use std::time::Duration;
use webrtc::data_channel::DataChannel;

/// Longest label or protocol of a channel that the peer opens, in bytes.
const MAX_NAME: usize = 256;

/// How long a session that is closed waits for its channels, and how often it looks: SCTP's first
/// repetition of what was lost comes after 1 s.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);
const FLUSH_CHECK: Duration = Duration::from_millis(2);

/// The name of a channel that the peer opened: its label and its protocol.
pub(super) async fn name_of(
    data_channel: &Arc<dyn DataChannel>,
) -> Result<(String, String), SessionError> {
    let label = data_channel.label().await?;
    let protocol = data_channel.protocol().await?;
    if label.len() > MAX_NAME || protocol.len() > MAX_NAME {
        return Err(SessionError::Protocol(
            "it opened a channel with an endless name",
        ));
    }
    Ok((label, protocol))
}

/// Every channel but the control channel and those of lanes.
pub(super) struct Ports {
    activity: Activity,
    /// Of the next channel.
    window: Window,
    accepted: Vec<Port>,
    opened: Vec<Port>,
    held: Vec<Arc<dyn DataChannel>>,
}

impl Ports {
    pub(super) fn new(activity: Activity) -> Self {
        Self {
            activity,
            window: Window::towards(false),
            accepted: Vec::new(),
            opened: Vec::new(),
            held: Vec::new(),
        }
    }

    /// The peer is a browser on a direct path: it takes in less at once than we can send.
    pub(super) fn browser_is_near(&mut self) {
        self.window = Window::towards(true);
    }

    /// Those of our channels.
    pub(super) fn numbers(&self) -> Vec<Number> {
        let unfinished = self.opened.iter().filter(|port| !port.is_finished());
        unfinished.map(Port::number).collect()
    }

    /// Whether one more channel may be open.
    pub(super) fn make_room(&mut self) -> Result<(), SessionError> {
        self.accepted.retain(|port| !port.is_finished());
        self.opened.retain(|port| !port.is_finished());
        if self.accepted.len() + self.opened.len() < MAX_CHANNELS {
            return Ok(());
        }
        Err(SessionError::Protocol("too many channels are open"))
    }

    /// Takes care of a channel that we opened.
    pub(super) fn opened(&mut self, label: &str, data_channel: Arc<dyn DataChannel>) -> Channel {
        let (channel, endpoint) = Channel::with_endpoint(label);
        let (activity, window) = (&self.activity, self.window.clone());
        self.opened
            .push(Port::opened(data_channel, endpoint, activity, window));
        channel.in_packets_of(packet::BASE)
    }

    /// Takes care of a channel that a verified peer opened.
    pub(super) async fn accept(
        &mut self,
        data_channel: Arc<dyn DataChannel>,
    ) -> Result<IncomingChannel, SessionError> {
        self.make_room()?;
        let (label, protocol) = name_of(&data_channel).await?;
        let (channel, endpoint) = Channel::with_endpoint(&label);
        let (activity, window) = (&self.activity, self.window.clone());
        self.accepted
            .push(Port::accepted(data_channel, endpoint, activity, window));
        let channel = channel.in_packets_of(packet::BASE);
        Ok(IncomingChannel { channel, protocol })
    }

    /// Keeps a channel that the peer opened before it was verified; nobody reads it yet.
    pub(super) fn hold(&mut self, data_channel: Arc<dyn DataChannel>) -> Result<(), SessionError> {
        if self.held.len() == MAX_CHANNELS {
            return Err(SessionError::Protocol("it opened too many channels"));
        }
        self.held.push(data_channel);
        Ok(())
    }

    /// What was kept.
    pub(super) fn take_held(&mut self) -> Vec<Arc<dyn DataChannel>> {
        std::mem::take(&mut self.held)
    }

    /// Waits until what was queued on channels that the application has dropped is with the peer: it hangs
    /// up when it reads the goodbye.
    pub(super) async fn flush(&self) {
        let flushed = async {
            let ports = || self.accepted.iter().chain(&self.opened);
            while !ports().all(Port::has_sent) {
                tokio::time::sleep(FLUSH_CHECK).await;
            }
        };
        let _ = tokio::time::timeout(FLUSH_LIMIT, flushed).await;
    }
}
