//! From a room to a verified session: as the one who waits or the one who comes, with a code or as a device that
//! is known.

use super::control;
use super::driver::{self, Driver, Outlets, Parts, Side};
use super::engine::{self, Engine};
use super::introduce;
use super::negotiation::{Manners, Negotiation};
use super::{Connectivity, EngineKind, Phrase, Session, SessionConfig, SessionError};
use crate::channel::Delivery;
use crate::device::{Awaiting, Calling, Known};
use crate::media::track::MAX_TRACKS;
use crate::net::packet::Packets;
use crate::pairing::{Code, Guest, Host, Record, Role, SealedMessage, SharedCode, SharedHost};
use crate::signaling::Signaling;
use signaling_protocol::{Joined, PeerId};
use tokio::sync::{mpsc, oneshot, watch};

/// Commands that wait for the driver. It answers at once, so callers hardly ever wait.
pub(super) const COMMAND_QUEUE: usize = 16;

impl Session {
    /// Pairs and connects as the one who was given the code. `signaling` has joined the code's room.
    ///
    /// # Errors
    /// Anything of [`SessionError`]; the room has then been left.
    pub async fn guest(
        signaling: Signaling,
        joined: &Joined,
        code: &Code,
        config: SessionConfig,
    ) -> Result<Self, SessionError> {
        Self::visit(signaling, joined, Guest::start(code), None, config).await
    }

    /// As [`guest`](Self::guest), to a device that is known. `signaling` has joined the room in which it waits.
    ///
    /// # Errors
    /// Anything of [`SessionError`]; the room has then been left.
    pub async fn guest_known(
        signaling: Signaling,
        joined: &Joined,
        calling: Calling,
        config: SessionConfig,
    ) -> Result<Self, SessionError> {
        let Calling {
            password, known, ..
        } = calling;
        let guest = Guest::start_known(&password);
        Self::visit(signaling, joined, guest, Some(known), config).await
    }

    /// Pairs and connects as the guest, with whoever has the same password and is `known`.
    pub(crate) async fn visit(
        signaling: Signaling,
        joined: &Joined,
        guest: (Guest, Record),
        known: Option<Known>,
        config: SessionConfig,
    ) -> Result<Self, SessionError> {
        config.check_relay(&joined.ice_servers)?;
        let servers = config.usable_ice_servers(&joined.ice_servers);
        // Before pairing, so that the offer can travel together with the proof of the code.
        let engine = Engine::new(&config, &servers, Packets::SESSION).await?;
        let prepared = async {
            let control = engine
                .open_channel(control::LABEL, control::PROTOCOL, Delivery::Reliable)
                .await?;
            Ok::<_, SessionError>((control, engine.make_offer(false).await?))
        };
        let paired = match prepared.await {
            Ok((control, sdp)) => {
                let offer = SealedMessage::Offer {
                    id: None,
                    sdp: sdp.clone(),
                    agent: config.agent.clone(),
                    engine: EngineKind::Native,
                };
                let introduced = introduce::guest(signaling, joined, guest, &offer).await;
                introduced.map(|introduced| (introduced, control, sdp))
            }
            Err(error) => Err(error),
        };
        let (introduced, control, sdp) = match paired {
            Ok(paired) => paired,
            Err(error) => {
                engine.close().await;
                return Err(error);
            }
        };
        let negotiation = Negotiation::offered();
        let introduce::Introduced {
            link,
            certificates,
            phrase,
            ..
        } = introduced;
        let side = Side::Offerer;
        let (control, offer) = (Some(control), Some(sdp));
        let parts = Parts {
            side,
            config,
            servers,
            engine,
            control,
            link,
            certificates,
            known,
            negotiation,
            offer,
        };
        Self::start(parts, phrase).await
    }

    /// Waits for the guest that knows the code, pairs and connects. `signaling` has created the code's
    /// room; `arrived` is called when a guest has begun to pair.
    ///
    /// # Errors
    /// Anything of [`SessionError`]; the room has then been left and the code must not be used again.
    pub async fn host(
        signaling: Signaling,
        joined: &Joined,
        code: Code,
        config: SessionConfig,
        arrived: impl FnMut(),
    ) -> Result<Self, SessionError> {
        let host = Host::new(code).into();
        let attends = begun(arrived);
        Self::receive(signaling, joined, host, Vec::new(), config, attends).await
    }

    /// As [`host`](Self::host), for one of several guests that know the same code; `signaling` is what the
    /// [`Switchboard`](super::Switchboard) has for this one.
    ///
    /// # Errors
    /// Anything of [`SessionError`]. What [`SharedCode::over`] says has then become of the code.
    pub async fn host_one(
        signaling: Signaling,
        joined: &Joined,
        code: SharedCode,
        config: SessionConfig,
        arrived: impl FnMut(),
    ) -> Result<Self, SessionError> {
        let host = SharedHost::new(code);
        let attends = begun(arrived);
        Self::receive(signaling, joined, host, Vec::new(), config, attends).await
    }

    /// As [`host`](Self::host), for devices that are known. `signaling` has created the room in which they
    /// expect this one; [`device`](Self::device) says which of them has come. A device that is not expected
    /// is turned away, and the next one can come. `attends` is called with `true` when one has begun to pair, and
    /// with `false` when it has gone or was turned away.
    ///
    /// # Errors
    /// Anything of [`SessionError`]; the room has then been left.
    pub async fn host_known(
        signaling: Signaling,
        joined: &Joined,
        awaiting: Awaiting,
        config: SessionConfig,
        attends: impl FnMut(bool),
    ) -> Result<Self, SessionError> {
        let (passwords, known) = awaiting.devices.into_iter().unzip();
        let host = Host::for_devices(passwords).into();
        Self::receive(signaling, joined, host, known, config, attends).await
    }

    /// Pairs and connects as the host; the device of the password that fits must be the one of `known` in the
    /// same place.
    pub(crate) async fn receive(
        signaling: Signaling,
        joined: &Joined,
        host: SharedHost<PeerId>,
        mut known: Vec<Known>,
        config: SessionConfig,
        attends: impl FnMut(bool),
    ) -> Result<Self, SessionError> {
        // Credentials expire while a host waits: with each guest come fresh ones.
        config.check_relay(&joined.ice_servers)?;
        let mut named = joined.ice_servers.clone();
        let introduced = introduce::host(signaling, host, attends, &mut named).await?;
        let introduce::Introduced {
            link,
            certificates,
            phrase,
            device,
        } = introduced;
        let known = (device < known.len()).then(|| known.swap_remove(device));
        let servers = config.usable_ice_servers(&named);
        let engine = Engine::new(&config, &servers, Packets::SESSION).await?;
        let side = Side::Answerer;
        let negotiation = Negotiation::new(Manners::Polite);
        let parts = Parts {
            side,
            config,
            servers,
            engine,
            control: None,
            link,
            certificates,
            known,
            negotiation,
            offer: None,
        };
        Self::start(parts, phrase).await
    }

    async fn start(parts: Parts, phrase: Phrase) -> Result<Self, SessionError> {
        tracing::info!("paired");
        let config = SessionConfig {
            ice_servers: parts.servers.clone(),
            ..parts.config.clone()
        };
        let role = match parts.side {
            Side::Offerer => Role::Guest,
            Side::Answerer => Role::Host,
        };
        let device = parts.known.as_ref().map(Known::peer);
        let (commands, command_queue) = mpsc::channel(COMMAND_QUEUE);
        let (channels_tx, channels) = mpsc::channel(engine::MAX_CHANNELS);
        let (tracks_tx, tracks) = mpsc::channel(MAX_TRACKS);
        let (ended_tx, ended) = watch::channel(None);
        let (connectivity_tx, connectivity) = watch::channel(Connectivity::Connected);
        let (ready_tx, ready) = oneshot::channel();
        let outlets = Outlets {
            channels: channels_tx,
            tracks: tracks_tx,
            connectivity: connectivity_tx,
            ended: ended_tx,
        };
        let driver = Driver::new(parts, command_queue, outlets, ready_tx)?;
        // Owned by its command queue: it ends when this side's handle, or this future, is dropped.
        tokio::spawn(driver.run());
        let ready = ready.await.map_err(|_| SessionError::Closed)??;
        let driver::Ready {
            hello,
            path,
            binding,
            packets,
        } = ready;
        Ok(Self {
            role,
            peer: hello,
            device,
            phrase,
            binding,
            path,
            config,
            commands,
            channels,
            tracks,
            connectivity,
            packets,
            ended,
        })
    }
}

/// For who wants to know only that a guest is there.
fn begun(mut arrived: impl FnMut()) -> impl FnMut(bool) {
    move |attends| {
        if attends {
            arrived();
        }
    }
}
