//! Offers, answers and candidates, and what the engine has to be told so that they come out right.

use super::super::description::Part;
use super::super::{PathPolicy, description, privacy};
use super::Engine;
use super::layered::Layered;
use crate::media::engine::rtp_kind;
use rtc::peer_connection::configuration::RTCOfferOptions;
use signaling_protocol::IceCandidate;
use std::sync::{MutexGuard, PoisonError};
use webrtc::error::Error;
use webrtc::peer_connection::{RTCIceCandidateInit, RTCSessionDescription};
use webrtc::rtp_transceiver::RTCRtpTransceiverDirection;

impl Engine {
    /// What the peer is told of us in a description.
    fn told(&self, sdp: &str) -> String {
        match self.policy {
            PathPolicy::RelayOnly => privacy::description(sdp),
            _ => sdp.to_owned(),
        }
    }

    /// Creates an offer and applies it.
    pub(crate) async fn make_offer(&self, restart: bool) -> Result<String, Error> {
        self.clock.check();
        // Always ready to receive. Otherwise a peer that wants to send could not in its answer, and need not offer
        // (RFC 9429 section 5.3.1); and an engine that is offered `inactive` stops the section for good.
        for transceiver in self.connection.get_transceivers().await {
            let willing = match transceiver.direction().await? {
                RTCRtpTransceiverDirection::Sendonly => RTCRtpTransceiverDirection::Sendrecv,
                RTCRtpTransceiverDirection::Inactive => RTCRtpTransceiverDirection::Recvonly,
                _ => continue,
            };
            transceiver.set_direction(willing).await?;
        }
        let options = restart.then_some(RTCOfferOptions { ice_restart: true });
        let offer = self.connection.create_offer(options).await?;
        let sdp = self.told(&offer.sdp);
        self.connection.set_local_description(offer).await?;
        Ok(sdp)
    }

    /// Rolls our offer back.
    pub(crate) async fn rollback(&self) -> Result<(), Error> {
        self.connection
            .set_local_description(RTCSessionDescription::rollback(None)?)
            .await
    }

    /// Applies the peer's offer.
    pub(crate) async fn apply_offer(&self, sdp: String) -> Result<(), Error> {
        self.clock.check();
        self.prepare_to_receive(&sdp).await?;
        let idle = description::idle_sections(&sdp);
        let told = self.layers().told(&sdp);
        self.connection
            .set_remote_description(RTCSessionDescription::offer(told)?)
            .await?;
        if idle.is_empty() {
            return Ok(());
        }
        // The second time that a section is `inactive` the engine would answer `recvonly`, which browsers
        // refuse.
        for transceiver in self.connection.get_transceivers().await {
            let mid = transceiver.mid().await?;
            if mid.is_some_and(|mid| idle.contains(&mid)) {
                transceiver
                    .set_direction(RTCRtpTransceiverDirection::Inactive)
                    .await?;
            }
        }
        Ok(())
    }

    /// A section that the engine makes for an offer of `recvonly` has no receiver, and never gets one: when the peer sends
    /// in it later, as it may, all that comes is dropped. So the sections of such an offer are made here, in the order in
    /// which the engine looks for them.
    async fn prepare_to_receive(&self, sdp: &str) -> Result<(), Error> {
        use RTCRtpTransceiverDirection::{Recvonly, Sendonly, Sendrecv};
        let (mut known, mut free) = (Vec::new(), Vec::new());
        let mut transceivers = self.connection.get_transceivers().await;
        transceivers.sort_by_key(|transceiver| transceiver.id());
        for transceiver in transceivers {
            if let Some(mid) = transceiver.mid().await? {
                known.push(mid);
            } else if let Some(sender) = transceiver.sender().await? {
                let kind = sender.track().kind().await;
                free.push((kind, transceiver.direction().await?));
            }
        }
        let offered = description::wishes(sdp).sections.into_iter();
        let new: Vec<_> = offered
            .filter(|wish| !known.contains(&wish.mid) && (wish.sends || wish.receives))
            .collect();
        if new.iter().all(|wish| wish.sends) {
            return Ok(());
        }
        for wish in new {
            let kind = rtp_kind(wish.kind);
            let fitting = match (wish.sends, wish.receives) {
                (true, true) => [Recvonly, Sendrecv],
                (true, false) => [Recvonly, Recvonly],
                _ => [Sendonly, Sendrecv],
            };
            let found = fitting
                .iter()
                .find_map(|direction| free.iter().position(|spare| *spare == (kind, *direction)));
            if let Some(found) = found {
                free.remove(found);
                continue;
            }
            let made = self.receive(wish.kind).await?;
            if !wish.sends {
                made.set_direction(Sendrecv).await?;
            }
        }
        Ok(())
    }

    /// Creates an answer and applies it.
    pub(crate) async fn make_answer(&self) -> Result<String, Error> {
        let answer = self.connection.create_answer(None).await?;
        let sdp = self.told(&answer.sdp);
        self.connection.set_local_description(answer).await?;
        // Whoever offered first and is offered something later answers with the engine's favourite part, whatever was
        // settled; browsers refuse that. DTLS itself keeps its part.
        match self.part.get() {
            Some(part) => Ok(part.put_into(&sdp)),
            None => {
                self.settled(Part::of(&sdp));
                Ok(sdp)
            }
        }
    }

    /// Applies the peer's answer.
    pub(crate) async fn apply_answer(&self, sdp: String) -> Result<(), Error> {
        self.clock.check();
        let theirs = Part::of(&sdp);
        let told = self.layers().told(&sdp);
        self.connection
            .set_remote_description(RTCSessionDescription::answer(told)?)
            .await?;
        self.settled(theirs.map(Part::other));
        Ok(())
    }

    fn layers(&self) -> MutexGuard<'_, Layered> {
        self.layered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settled(&self, ours: Option<Part>) {
        if let Some(ours) = ours {
            // The first one stays.
            let _ = self.part.set(ours);
        }
    }

    /// Adds a remote candidate of the current generation.
    pub(crate) async fn add_candidate(&self, candidate: IceCandidate) -> Result<(), Error> {
        let init = RTCIceCandidateInit {
            candidate: candidate.candidate,
            sdp_mid: candidate.sdp_mid,
            sdp_mline_index: candidate.sdp_m_line_index,
            username_fragment: candidate.username_fragment,
            url: None,
        };
        self.connection.add_ice_candidate(init).await
    }
}
