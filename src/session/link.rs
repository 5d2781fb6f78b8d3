//! The sealed conversation with one peer through the signaling server.

use crate::pairing::{AbortReason, Opener, Record, SealError, SealedMessage, Sealer};
use crate::signaling::Signaling;
use signaling_protocol::{ClientMessage, Joined, LeaveReason, PathKind, PeerId, ServerMessage};
use std::time::Instant;

/// Others in a room of whom one may be the peer. Rooms have 16 places.
const MAX_OTHERS: usize = 16;

/// What comes from the peer, or happens to the way to it.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// An authentic message.
    Message(SealedMessage),
    /// Something that the peer did not say in this order: the server interferes.
    Tampered(&'static str),
    /// The peer left the room, on purpose.
    PeerLeft,
    /// The peer's own connection to the server broke, or its place was given away; it may come back.
    PeerAway,
    /// It came back, and what it was sent meanwhile reached it.
    PeerBack,
    /// Somebody is in the room who may be the peer. What was on its way between the two is lost.
    PeerAnew,
    /// The server is gone.
    Lost,
}

/// Signaling with one paired peer.
#[derive(Debug)]
pub(crate) struct Link {
    signaling: Signaling,
    peer: Peer,
    sealer: Sealer,
    opener: Opener,
    usable: bool,
    /// What comes next.
    pending: Option<LinkEvent>,
    /// When it was asked whether the server is there.
    asked: Instant,
}

/// Who in the room is the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Peer {
    /// Nobody, for now.
    Absent,
    /// One of these, if a record of its opens.
    Perhaps(Vec<PeerId>),
    /// This one.
    Known(PeerId),
    /// This one, whose connection to the server is broken.
    Away(PeerId),
}

impl Peer {
    /// Who may be meant.
    fn ids(&self) -> &[PeerId] {
        match self {
            Self::Absent => &[],
            Self::Perhaps(ids) => ids,
            Self::Known(id) | Self::Away(id) => std::slice::from_ref(id),
        }
    }
}

impl Link {
    pub(crate) fn new(signaling: Signaling, peer: PeerId, sealer: Sealer, opener: Opener) -> Self {
        Self {
            signaling,
            peer: Peer::Known(peer),
            sealer,
            opener,
            usable: true,
            pending: None,
            asked: Instant::now(),
        }
    }

    /// Whether messages can still reach the peer this way.
    pub(crate) fn is_usable(&self) -> bool {
        self.usable && self.signaling.trouble().is_none()
    }

    /// The peer is verified: from now on the way to it is to be had again whatever becomes of the server.
    pub(crate) fn outlive_server(&self) {
        self.signaling.outlive_server();
    }

    /// Asks the server for a sign of life.
    pub(crate) fn check(&mut self) {
        self.asked = Instant::now();
        self.signaling.check();
    }

    /// Whether what is said now reaches somebody soon: the server has answered since it was asked, and the
    /// peer is there.
    pub(crate) fn is_heard(&self) -> bool {
        let alive = self.is_usable() && self.signaling.heard() > self.asked;
        alive && !matches!(self.peer, Peer::Away(_)) && !self.peer.ids().is_empty()
    }

    /// Whether there is no connection to the server now, and one is being looked for.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.usable && self.signaling.trouble().is_some()
    }

    /// A connection to the server is needed soon, if there is none.
    pub(crate) fn hasten(&self) {
        if self.is_cut_off() {
            self.signaling.check();
        }
    }

    /// Seals and sends. A server that is gone is reported by [`next`](Self::next), not here.
    pub(crate) async fn send(&mut self, message: &SealedMessage) -> Result<(), SealError> {
        if self.usable && !self.peer.ids().is_empty() {
            let record = self.sealer.seal(message)?;
            self.send_record(&record).await;
        }
        Ok(())
    }

    /// Tells the server which way packets go, for its figures.
    pub(crate) async fn report(&mut self, kind: PathKind) {
        if self.usable {
            // A server that is gone is reported by `next`, and this is not worth saying again.
            let _ = self.signaling.send(ClientMessage::Path { kind }).await;
        }
    }

    /// Tells the peer that it stops here because somebody interferes, and never uses the server again.
    pub(crate) async fn abort(&mut self, reason: AbortReason) {
        if self.usable {
            self.send_record(&Record::Abort(reason)).await;
            self.usable = false;
        }
    }

    /// Leaves the room.
    pub(crate) async fn leave(self) {
        self.signaling.leave().await;
    }

    async fn send_record(&mut self, record: &Record) {
        for to in self.peer.ids() {
            let message = ClientMessage::Sealed {
                to: to.clone(),
                data: record.encode(),
            };
            if self.signaling.send(message).await.is_err() {
                self.usable = false;
            }
        }
    }

    /// The next event; pending for ever once the link is not usable. Cancelled, it has lost none.
    pub(crate) async fn next(&mut self) -> LinkEvent {
        loop {
            if let Some(event) = self.pending.take() {
                return event;
            }
            if !self.usable {
                std::future::pending::<()>().await;
            }
            let message = match self.signaling.next().await {
                Ok(message) => message,
                Err(error) => {
                    tracing::info!(%error, "signaling was lost");
                    self.usable = false;
                    return LinkEvent::Lost;
                }
            };
            if let Some(event) = self.take(message) {
                return event;
            }
        }
    }

    fn take(&mut self, message: ServerMessage) -> Option<LinkEvent> {
        match message {
            ServerMessage::Sealed { from, data } => match &self.peer {
                Peer::Known(id) | Peer::Away(id) => (*id == from).then(|| self.open(&data)),
                Peer::Absent | Peer::Perhaps(_) => self.prove(from, &data),
            },
            ServerMessage::PeerLeft { peer, reason } if self.peer.ids().contains(&peer) => {
                if let Peer::Perhaps(ids) = &mut self.peer {
                    // That a stranger left means nothing.
                    ids.retain(|id| *id != peer);
                    return None;
                }
                self.peer = Peer::Absent;
                Some(match reason {
                    LeaveReason::Lost => LinkEvent::PeerAway,
                    LeaveReason::Left | LeaveReason::Kicked => LinkEvent::PeerLeft,
                })
            }
            ServerMessage::PeerAway { peer } if self.peer == Peer::Known(peer.clone()) => {
                self.peer = Peer::Away(peer);
                Some(LinkEvent::PeerAway)
            }
            ServerMessage::PeerBack { peer } if self.peer == Peer::Away(peer.clone()) => {
                self.peer = Peer::Known(peer);
                Some(LinkEvent::PeerBack)
            }
            // The room was entered anew.
            ServerMessage::Joined(Joined { peers, .. }) => {
                let others = peers.into_iter().map(|peer| peer.id);
                self.peer = Peer::Perhaps(others.take(MAX_OTHERS).collect());
                (!self.peer.ids().is_empty()).then_some(LinkEvent::PeerAnew)
            }
            ServerMessage::PeerJoined { peer, .. } => match &mut self.peer {
                Peer::Absent => {
                    self.peer = Peer::Perhaps(vec![peer.id]);
                    Some(LinkEvent::PeerAnew)
                }
                Peer::Perhaps(ids) if ids.len() < MAX_OTHERS => {
                    ids.push(peer.id);
                    Some(LinkEvent::PeerAnew)
                }
                _ => None,
            },
            // Anybody else in the room has nothing to do with this session.
            other => {
                tracing::trace!(?other, "ignored");
                None
            }
        }
    }

    /// Whoever it is proves it with a record that opens, and can do nothing with any other.
    fn prove(&mut self, from: PeerId, data: &str) -> Option<LinkEvent> {
        let Ok(Record::Sealed {
            counter,
            ciphertext,
        }) = Record::decode(data)
        else {
            return None;
        };
        match self.opener.open_ahead(counter, &ciphertext) {
            Ok(message) => {
                let expected = self.peer.ids().contains(&from);
                self.peer = Peer::Known(from);
                let message = LinkEvent::Message(message);
                if expected {
                    return Some(message);
                }
                self.pending = Some(message);
                Some(LinkEvent::PeerAnew)
            }
            Err(error) => {
                tracing::debug!(%error, "somebody in the room is not the peer");
                None
            }
        }
    }

    fn open(&mut self, data: &str) -> LinkEvent {
        match Record::decode(data) {
            Ok(Record::Sealed {
                counter,
                ciphertext,
            }) => match self.opener.open(counter, &ciphertext) {
                Ok(message) => LinkEvent::Message(message),
                Err(error) => {
                    tracing::info!(%error, "a sealed message was refused");
                    LinkEvent::Tampered(
                        "a sealed message was changed, repeated, missing or out of order",
                    )
                }
            },
            Ok(Record::Abort(AbortReason::Cancelled)) => LinkEvent::PeerLeft,
            Ok(Record::Abort(_)) => {
                LinkEvent::Tampered("the other side received messages that we did not send")
            }
            Ok(_) | Err(_) => LinkEvent::Tampered("a pairing record came after pairing"),
        }
    }
}
