//! The sealed conversation with one peer through the signaling server.

use crate::pairing::{AbortReason, Opener, Record, SealError, SealedMessage, Sealer};
use crate::signaling::Signaling;
use signaling_protocol::{ClientMessage, PeerId, ServerMessage};

/// What comes from the peer, or happens to the way to it.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// An authentic message.
    Message(SealedMessage),
    /// Something that the peer did not say in this order: the server interferes.
    Tampered(&'static str),
    /// The peer left the room.
    PeerLeft,
    /// The peer's own connection to the server broke; it may come back.
    PeerAway,
    /// The server is gone.
    Lost,
}

/// Signaling with one paired peer.
#[derive(Debug)]
pub(crate) struct Link {
    signaling: Signaling,
    peer: PeerId,
    sealer: Sealer,
    opener: Opener,
    usable: bool,
}

impl Link {
    pub(crate) fn new(signaling: Signaling, peer: PeerId, sealer: Sealer, opener: Opener) -> Self {
        Self {
            signaling,
            peer,
            sealer,
            opener,
            usable: true,
        }
    }

    /// Whether messages can still reach the peer this way.
    pub(crate) fn is_usable(&self) -> bool {
        self.usable && self.signaling.trouble().is_none()
    }

    /// Seals and sends. A server that is gone is reported by [`next`](Self::next), not here.
    pub(crate) async fn send(&mut self, message: &SealedMessage) -> Result<(), SealError> {
        if self.usable {
            let record = self.sealer.seal(message)?;
            self.send_record(&record).await;
        }
        Ok(())
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
        let message = ClientMessage::Sealed {
            to: self.peer.clone(),
            data: record.encode(),
        };
        if self.signaling.send(message).await.is_err() {
            self.usable = false;
        }
    }

    /// The next event; pending for ever once the link is not usable. Cancelled, it has lost none.
    pub(crate) async fn next(&mut self) -> LinkEvent {
        loop {
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
            match message {
                ServerMessage::Sealed { from, data } if from == self.peer => {
                    return self.open(&data);
                }
                ServerMessage::PeerLeft { peer, .. } if peer == self.peer => {
                    return LinkEvent::PeerLeft;
                }
                ServerMessage::PeerAway { peer } if peer == self.peer => {
                    return LinkEvent::PeerAway;
                }
                // Anybody else in the room has nothing to do with this session.
                other => tracing::trace!(?other, "ignored"),
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
