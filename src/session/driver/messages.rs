//! What the peer says: over the control channel, and sealed over the server.

use super::super::control::ControlMessage;
use super::super::link::LinkEvent;
use super::super::negotiation::{Input, Numbered};
use super::super::{Bye, SessionError};
use super::Driver;
use super::ways::Way;
use crate::channel::Message;
use crate::net::packet::Packets;
use crate::pairing::{AbortReason, ByeCode, SealedMessage};

impl Driver {
    pub(super) async fn control_message(&mut self, message: Message) -> Result<(), SessionError> {
        let message = match message {
            Message::Text(text) => ControlMessage::parse(&text),
            Message::Binary(_) => None,
        };
        let message =
            message.ok_or(SessionError::Protocol("its control message makes no sense"))?;
        match message {
            ControlMessage::Hello(hello) => return self.verify(hello).await,
            ControlMessage::Bye(bye) => return Err(SessionError::Bye(bye)),
            _ if !self.is_verified() => {
                return Err(SessionError::Protocol("it spoke before its hello"));
            }
            ControlMessage::Ping { id } => self.pinged(id)?,
            ControlMessage::Offer { id, sdp } => {
                let offer = Input::Offer(Numbered { id, sdp });
                self.described(offer, Way::InBand).await?;
            }
            ControlMessage::Answer { id, sdp } => {
                let answer = Input::Answer(Numbered { id, sdp });
                self.described(answer, Way::InBand).await?;
            }
            ControlMessage::IceCandidate { candidate } => self.remote_candidate(candidate).await,
            ControlMessage::LaneOffer {
                lane,
                packet,
                repair,
                sdp,
            } => {
                let packets = Packets {
                    size: packet,
                    repaired: repair,
                };
                if let Some(refusal) = self.lanes.offered(lane, packets, sdp)? {
                    self.control.send(&refusal)?;
                }
            }
            ControlMessage::LaneAnswer { lane, repair, sdp } => {
                self.lanes.answered(lane, repair, sdp);
            }
            ControlMessage::LaneCandidate { lane, candidate } => {
                self.lanes.candidate(lane, candidate);
            }
            ControlMessage::LaneClose { lane } => self.lanes.closed(lane),
            ControlMessage::Pong { id } => self.ponged(id).await,
            ControlMessage::Unknown => {}
        }
        Ok(())
    }

    pub(super) async fn link_event(&mut self, event: LinkEvent) -> Result<(), SessionError> {
        match event {
            LinkEvent::Message(message) => {
                self.watchdog.peer_present();
                self.sealed_message(message).await
            }
            // The line itself is authenticated, so a server that misbehaves later is only left alone.
            LinkEvent::Tampered(what) if self.is_verified() => {
                tracing::warn!(
                    what,
                    "the signaling server interferes; it is not used any more"
                );
                self.link.abort(AbortReason::Tampered).await;
                Ok(())
            }
            LinkEvent::Tampered(what) => {
                self.link.abort(AbortReason::Tampered).await;
                Err(SessionError::Tampered(what))
            }
            LinkEvent::PeerLeft if !self.is_verified() => Err(SessionError::PeerLeft),
            LinkEvent::PeerLeft => self.peer_missed(true),
            LinkEvent::PeerAway => self.peer_missed(false),
            LinkEvent::PeerBack => {
                self.watchdog.peer_present();
                Ok(())
            }
            LinkEvent::PeerAnew => self.peer_anew().await,
            // Descriptions are exchanged: the connection may well come up without the server.
            LinkEvent::Lost => Ok(()),
        }
    }

    async fn sealed_message(&mut self, message: SealedMessage) -> Result<(), SessionError> {
        match message {
            SealedMessage::Offer {
                id, sdp, engine, ..
            } => {
                self.meet(engine);
                let offer = Input::Offer(Numbered { id, sdp });
                self.described(offer, Way::Server).await
            }
            SealedMessage::Answer {
                id, sdp, engine, ..
            } => {
                self.meet(engine);
                let answer = Input::Answer(Numbered { id, sdp });
                self.described(answer, Way::Server).await
            }
            SealedMessage::IceCandidate { candidate } => {
                self.remote_candidate(candidate).await;
                Ok(())
            }
            // It waited for the same thing in vain.
            SealedMessage::Bye {
                code: ByeCode::Timeout,
                ..
            } if !self.is_verified() => Err(SessionError::Timeout(self.watchdog.waiting_for())),
            SealedMessage::Bye { code, message } => Err(SessionError::Bye(Bye { code, message })),
        }
    }
}
