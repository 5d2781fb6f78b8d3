//! Descriptions and candidates on their way to and from the peer: over the connection itself where that is up, and else
//! sealed over the server.

use super::{Driver, Input, Manners, Side};
use crate::pairing::{Engine as EngineKind, SealedMessage};
use crate::session::SessionError;
use crate::session::control::ControlMessage;
use crate::session::descriptions::{Negotiated, Outgoing};
use crate::session::engine::EngineState;
use crate::session::watchdog::Wait;
use signaling_protocol::IceCandidate;
use std::time::Instant;

impl Driver {
    /// The peer said what it is: a browser cannot roll back as well as we can, so we are polite to it.
    pub(super) fn meet(&mut self, engine: EngineKind) {
        if engine == EngineKind::Browser {
            self.engine.peer_is_browser();
        }
        let polite = engine == EngineKind::Browser || self.side == Side::Answerer;
        self.watchdog.set_polite(polite);
        self.descriptions.set_manners(if polite {
            Manners::Polite
        } else {
            Manners::Impolite
        });
    }

    pub(super) async fn negotiate(&mut self, input: Input) -> Result<(), SessionError> {
        let Negotiated {
            outgoing,
            described,
        } = self
            .descriptions
            .negotiate(input, &self.engine, &mut self.board)
            .await?;
        if described {
            self.watchdog.reached(Instant::now(), Wait::Ice);
        }
        for description in outgoing {
            self.send_description(description).await?;
        }
        Ok(())
    }

    pub(super) async fn remote_candidate(&mut self, candidate: Option<IceCandidate>) {
        if let Some(candidate) = candidate {
            self.descriptions.trickled(candidate, &self.engine).await;
        }
    }

    /// Whether the peer can be reached over the connection itself.
    pub(super) fn in_band(&self) -> bool {
        let interrupted = self.watchdog.interruption().is_some();
        self.is_verified() && self.state == EngineState::Connected && !interrupted
    }

    /// An answer, and candidates of either side, take the way of the offer. Whoever offers by way of the server finds the path
    /// lost, though this side may not yet: what it said in-band would wait for the path that it is to mend, and come when
    /// nobody expects it any more.
    async fn send_description(&mut self, description: Outgoing) -> Result<(), SessionError> {
        if matches!(description, Outgoing::Offer(_)) {
            self.by_server = !self.in_band();
            self.sealed_offer = self.by_server.then(Instant::now);
        }
        let in_band = self.in_band() && !self.by_server;
        if in_band {
            return self.control.send(&match description {
                Outgoing::Offer(sdp) => ControlMessage::Offer { sdp },
                Outgoing::Answer(sdp) => ControlMessage::Answer { sdp },
            });
        }
        let (agent, engine) = (self.config.agent.clone(), EngineKind::Native);
        self.send_sealed(&match description {
            Outgoing::Offer(sdp) => SealedMessage::Offer { sdp, agent, engine },
            Outgoing::Answer(sdp) => SealedMessage::Answer { sdp, agent, engine },
        })
        .await
    }

    pub(super) async fn send_candidate(
        &mut self,
        candidate: IceCandidate,
    ) -> Result<(), SessionError> {
        let candidate = Some(candidate);
        if self.in_band() && !self.by_server {
            return self
                .control
                .send(&ControlMessage::IceCandidate { candidate });
        }
        self.send_sealed(&SealedMessage::IceCandidate { candidate })
            .await
    }

    pub(super) async fn send_sealed(
        &mut self,
        message: &SealedMessage,
    ) -> Result<(), SessionError> {
        self.link
            .send(message)
            .await
            .map_err(|error| SessionError::Engine(error.to_string()))
    }
}
