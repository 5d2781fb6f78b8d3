//! Signaling between two who cannot or need not meet on a server: somebody else carries their messages.

use super::client::Signaling;
use super::error::Lost;
use signaling_protocol::limits::{MESSAGE_BYTES, MESSAGES_PER_SECOND};
use signaling_protocol::{
    ClientMessage, IceServer, Joined, LeaveReason, Limits, NameError, PeerId, PeerInfo, RoomName,
    ServerMessage,
};
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Messages that wait in each direction. More are lost, and with them the introduction.
const QUEUE: usize = 64;

/// The carrier's end of a [`Signaling`] without a server. When it is dropped, that signaling is lost.
#[derive(Debug)]
pub(crate) struct Carried {
    outgoing: mpsc::Receiver<ClientMessage>,
    incoming: mpsc::Sender<Result<ServerMessage, Lost>>,
    peer: PeerId,
}

/// Who begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    /// Whoever has the [`Signaling`]: the other side is in the room already.
    Us,
    /// The other side, which is heard of by its first message.
    Them,
}

impl Carried {
    /// A room with two places, both of them taken.
    pub(crate) fn open(
        begins: Begins,
        ice_servers: Vec<IceServer>,
    ) -> Result<(Signaling, Joined, Self), NameError> {
        let (room, own_id, peer): (RoomName, PeerId, PeerId) =
            ("pair".parse()?, "self".parse()?, "other".parse()?);
        let (to_carrier, outgoing) = mpsc::channel(QUEUE);
        let (incoming, from_carrier) = mpsc::channel(QUEUE);
        let other = PeerInfo {
            id: peer.clone(),
            name: None,
            plain: false,
            away: false,
        };
        let joined = Joined {
            room: room.clone(),
            own_id,
            peers: match begins {
                Begins::Us => vec![other],
                Begins::Them => Vec::new(),
            },
            ice_servers,
            resume: None,
            limits: Limits {
                message_bytes: MESSAGE_BYTES as u32,
                messages_per_second: MESSAGES_PER_SECOND,
                peers: 2,
            },
        };
        let signaling = Signaling::without_server(to_carrier, from_carrier, room);
        let carried = Self {
            outgoing,
            incoming,
            peer,
        };
        Ok((signaling, joined, carried))
    }

    /// The next message to carry; `None` when there will be no more.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<ClientMessage>> {
        self.outgoing.poll_recv(cx)
    }

    /// As [`poll_next`](Self::poll_next). Cancelled, it has taken nothing.
    pub(crate) async fn next(&mut self) -> Option<ClientMessage> {
        self.outgoing.recv().await
    }

    /// What the other side says, made of its name. It is dropped when too much waits.
    pub(crate) fn deliver(&self, message: impl FnOnce(PeerId) -> ServerMessage) {
        let _ = self.incoming.try_send(Ok(message(self.peer.clone())));
    }

    /// The other side is gone.
    pub(crate) fn left(&self) {
        self.deliver(|peer| ServerMessage::PeerLeft {
            peer,
            reason: LeaveReason::Left,
        });
    }
}
