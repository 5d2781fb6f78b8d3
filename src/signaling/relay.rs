//! Signaling between two who cannot or need not meet on a server: somebody else carries their records.

use super::client::Signaling;
use super::error::Lost;
use signaling_protocol::limits::{MESSAGE_BYTES, MESSAGES_PER_SECOND};
use signaling_protocol::{
    ClientMessage, Joined, Limits, NameError, PeerId, PeerInfo, RoomName, ServerMessage,
};
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Records that wait in each direction. More are lost, and with them the introduction.
const QUEUE: usize = 64;

/// The carrier's end of a [`Signaling`] without a server. When it is dropped, that signaling is lost.
#[derive(Debug)]
pub(crate) struct Relay {
    outgoing: mpsc::Receiver<ClientMessage>,
    incoming: mpsc::Sender<Result<ServerMessage, Lost>>,
    peer: PeerId,
}

impl Relay {
    /// A room with two places, both of them taken.
    pub(crate) fn open() -> Result<(Signaling, Joined, Self), NameError> {
        let (room, own_id, peer) = names()?;
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
            peers: vec![other],
            ice_servers: Vec::new(),
            resume: None,
            limits: Limits {
                message_bytes: MESSAGE_BYTES as u32,
                messages_per_second: MESSAGES_PER_SECOND,
                peers: 2,
            },
        };
        let signaling = Signaling::without_server(to_carrier, from_carrier, room);
        let relay = Self {
            outgoing,
            incoming,
            peer,
        };
        Ok((signaling, joined, relay))
    }

    /// The next record to carry; `None` when there will be no more.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        loop {
            match std::task::ready!(self.outgoing.poll_recv(cx)) {
                Some(ClientMessage::Sealed { data, .. }) => return Poll::Ready(Some(data)),
                Some(_) => {}
                None => return Poll::Ready(None),
            }
        }
    }

    /// A record came. It is dropped when too many wait.
    pub(crate) fn deliver(&self, data: String) {
        let from = self.peer.clone();
        let _ = self
            .incoming
            .try_send(Ok(ServerMessage::Sealed { from, data }));
    }
}

fn names() -> Result<(RoomName, PeerId, PeerId), NameError> {
    Ok(("pair".parse()?, "self".parse()?, "other".parse()?))
}
