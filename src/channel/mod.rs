//! Messages and byte streams over data channels.
//!
//! A [`Channel`] is a pair of bounded queues: the session's engine moves messages between them and
//! one SCTP stream. It therefore knows nothing of WebRTC, and [`Channel::pair`] joins two of them in
//! memory. Sending waits while the queue is full, so a slow peer slows its sender; a receiver that
//! stops reading closes the SCTP window of its whole connection, so every channel must be read.

mod frame;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
pub(crate) mod port;
pub mod stream;
pub(crate) mod window;

pub use stream::Stream;

use crate::net::packet::Packets;
use bytes::Bytes;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

/// The largest message that may be sent: one less than 64 KiB, because some stacks hang at 65,536.
pub const MAX_MESSAGE: usize = 65_535;

/// The largest message that leaves in four of the largest packets, rather than four and a nearly empty one: what
/// data is sent in.
pub(crate) const FULL_MESSAGE: usize = 4 * Packets::LARGEST.payload();

/// Messages that wait in each direction between the application and the engine. With messages of
/// [`MAX_MESSAGE`] bytes this bounds a direction to 1 MiB; when it is full the sender waits.
const QUEUE: usize = 16;

/// One data channel message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// UTF-8 text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

impl Message {
    /// Length of the content in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether the content is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How a channel delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// Everything, in order.
    #[default]
    Reliable,
    /// In any order and without retransmission: for datagrams.
    Datagram,
}

/// A message could not be sent.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SendError {
    /// The channel or its session has ended.
    #[error("the channel is closed")]
    Closed,
    /// The message exceeds [`MAX_MESSAGE`].
    #[error("a message of {0} bytes exceeds the limit of {MAX_MESSAGE}")]
    TooLarge(usize),
}

/// One data channel of a session. Dropping both halves closes it.
#[derive(Debug)]
pub struct Channel {
    sender: ChannelSender,
    receiver: ChannelReceiver,
    packet: Option<u16>,
}

/// The sending half of a [`Channel`]; clones send into the same channel.
#[derive(Debug, Clone)]
pub struct ChannelSender {
    label: Arc<str>,
    queue: mpsc::Sender<Message>,
}

/// The receiving half of a [`Channel`].
#[derive(Debug)]
pub struct ChannelReceiver {
    queue: mpsc::Receiver<Message>,
}

/// The engine's side of a [`Channel`].
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// What the application sends.
    pub(crate) outgoing: mpsc::Receiver<Message>,
    /// What the application will receive.
    pub(crate) incoming: mpsc::Sender<Message>,
}

impl Channel {
    pub(crate) fn with_endpoint(label: &str) -> (Self, Endpoint) {
        let (to_engine, outgoing) = mpsc::channel(QUEUE);
        let (incoming, from_engine) = mpsc::channel(QUEUE);
        let channel = Self {
            sender: ChannelSender {
                label: label.into(),
                queue: to_engine,
            },
            receiver: ChannelReceiver { queue: from_engine },
            packet: None,
        };
        (channel, Endpoint { outgoing, incoming })
    }

    /// Says in which datagrams the channel's messages travel.
    pub(crate) fn in_packets_of(mut self, bytes: u16) -> Self {
        self.packet = Some(bytes);
        self
    }

    /// The largest datagrams in which its messages travel, in bytes of UDP payload; `None` in memory.
    pub fn packet_size(&self) -> Option<u16> {
        self.packet
    }

    /// Two channels joined in memory: what one sends the other receives.
    pub fn pair(label: &str) -> (Self, Self) {
        let (left_tx, right_rx) = mpsc::channel(QUEUE);
        let (right_tx, left_rx) = mpsc::channel(QUEUE);
        let join = |queue, receiver| Self {
            sender: ChannelSender {
                label: label.into(),
                queue,
            },
            receiver: ChannelReceiver { queue: receiver },
            packet: None,
        };
        (join(left_tx, left_rx), join(right_tx, right_rx))
    }

    /// The label that the opening side chose.
    pub fn label(&self) -> &str {
        &self.sender.label
    }

    /// Sends a text message; waits while the queue is full.
    pub async fn send_text(&self, text: String) -> Result<(), SendError> {
        self.sender.send(Message::Text(text)).await
    }

    /// Sends a text message, or fails at once if the queue is full.
    pub(crate) fn try_send_text(&self, text: String) -> Result<(), SendError> {
        if text.len() > MAX_MESSAGE {
            return Err(SendError::TooLarge(text.len()));
        }
        self.sender
            .queue
            .try_send(Message::Text(text))
            .map_err(|_| SendError::Closed)
    }

    /// Whether a message can be sent at once.
    pub(crate) fn has_room(&self) -> bool {
        self.sender.queue.capacity() > 0
    }

    /// Another handle of the sending half.
    pub(crate) fn sender(&self) -> ChannelSender {
        self.sender.clone()
    }

    /// Sends a binary message; waits while the queue is full.
    pub async fn send(&self, bytes: Bytes) -> Result<(), SendError> {
        self.sender.send(Message::Binary(bytes)).await
    }

    /// The next message, or `None` when the channel has closed and everything was received.
    pub async fn recv(&mut self) -> Option<Message> {
        self.receiver.recv().await
    }

    /// Both halves, to be used by different tasks.
    pub fn split(self) -> (ChannelSender, ChannelReceiver) {
        (self.sender, self.receiver)
    }
}

impl ChannelSender {
    /// The label that the opening side chose.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Sends a message; waits while the queue is full. Cancelled, it has sent nothing.
    pub async fn send(&self, message: Message) -> Result<(), SendError> {
        if message.len() > MAX_MESSAGE {
            return Err(SendError::TooLarge(message.len()));
        }
        self.queue
            .send(message)
            .await
            .map_err(|_| SendError::Closed)
    }

    /// Sends bytes, or fails at once if the queue is full.
    pub(crate) fn try_send(&self, bytes: Bytes) -> Result<(), SendError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(SendError::TooLarge(bytes.len()));
        }
        self.queue
            .try_send(Message::Binary(bytes))
            .map_err(|_| SendError::Closed)
    }

    /// Waits until a message may be sent at once, or the channel is closed.
    pub(crate) async fn room(&self) {
        let _ = self.queue.reserve().await;
    }

    /// A handle that is asked for room before each message.
    pub(crate) fn polled(self) -> PolledSender {
        PolledSender(PollSender::new(self.queue))
    }

    /// Waits until the other end of the channel is gone.
    pub async fn closed(&self) {
        self.queue.closed().await;
    }
}

/// A sending half for whoever serves several channels at once.
#[derive(Debug)]
pub(crate) struct PolledSender(PollSender<Message>);

impl PolledSender {
    /// Whether [`send`](Self::send) may be called now. What was found stays true until then.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.0.poll_reserve(cx).map_err(|_| SendError::Closed)
    }

    /// Sends a message of at most [`MAX_MESSAGE`] bytes into the room that was found.
    pub(crate) fn send(&mut self, message: Message) -> Result<(), SendError> {
        self.0.send_item(message).map_err(|_| SendError::Closed)
    }
}

impl ChannelReceiver {
    /// As [`recv`](Self::recv), for whoever serves several channels at once.
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.queue.poll_recv(cx)
    }

    /// The next message, or `None` when the channel has closed and everything was received.
    pub async fn recv(&mut self) -> Option<Message> {
        self.queue.recv().await
    }
}
