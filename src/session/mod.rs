//! One peer connection from join to close.
//!
//! [`Session::guest`] and [`Session::host`] pair with the peer that knows the same code, connect to it
//! and verify it; nothing of the application is sent or read before. A [`Session`] then opens and
//! accepts [channels](crate::channel). It heals interruptions of its path by ICE restarts, so that its
//! channels only stand still ([`Session::connectivity`] says so), and it ends by
//! [`Session::close`], by the peer's goodbye, or with a [`SessionError`] that says whose fault it was.
//!
//! | part | kind | what it decides |
//! |---|---|---|
//! | `introduce`, `link` | edge | sealed conversation through the signaling server |
//! | `description`, `candidates`, `privacy` | pure | what of the peer's words reaches the engine, and of ours the peer |
//! | `negotiation` | pure | offers, answers and glare |
//! | `watchdog`, `healing` | pure | every limit in time, and when to restart ICE |
//! | `lanes`, `lane` | task each | extra connections for bulk |
//! | `driver` | task | performs the decisions |
//! | `engine` | edge | the `webrtc` crate |

mod candidates;
mod control;
mod control_line;
mod description;
mod driver;
mod engine;
mod error;
mod healing;
mod introduce;
mod lane;
mod lanes;
mod link;
mod negotiation;
mod path;
mod ports;
mod privacy;
mod watchdog;

pub use crate::pairing::{ByeCode, Engine as EngineKind, Phrase};
pub use control::{Bye, Hello, Intent};
pub use description::DescriptionError;
pub use error::{Fault, SessionError};
pub use healing::{Cause, Connectivity, Healing, Interruption};
pub use path::{Path, PathKind, PathPolicy, RelayTransport};
pub use watchdog::Wait;

use crate::channel::{Channel, Delivery};
use crate::net::{Network, packet};
use crate::pairing::{Code, SealedMessage};
use crate::signaling::Signaling;
use candidates::CandidateRules;
use driver::{Command, Driver, Outlets, Parts, Side};
use engine::Engine;
use negotiation::{Manners, Negotiation};
use signaling_protocol::{IceServer, Joined};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Commands that wait for the driver. It answers at once, so callers hardly ever wait.
const COMMAND_QUEUE: usize = 16;

/// How a session connects.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Program and version, for the peer: up to 64 characters.
    pub agent: String,
    /// What this side comes for.
    pub intent: Intent,
    /// STUN and TURN servers besides those that the signaling server names.
    pub ice_servers: Vec<IceServer>,
    /// Which paths may be taken.
    pub policy: PathPolicy,
    /// Whether the peer may be on this machine: loopback addresses are then used as well.
    pub loopback: bool,
    /// How long an interruption may last, and what is done about it.
    pub healing: Healing,
    /// The network under the session.
    pub network: Network,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            agent: concat!("peerline/", env!("CARGO_PKG_VERSION")).into(),
            intent: Intent::Any,
            ice_servers: Vec::new(),
            policy: PathPolicy::Any,
            loopback: false,
            healing: Healing::default(),
            network: Network::Real,
        }
    }
}

impl SessionConfig {
    fn candidate_rules(&self) -> CandidateRules {
        CandidateRules {
            loopback: self.loopback,
            policy: self.policy,
        }
    }

    /// Fails at once if there must be a relay and none is known.
    fn check_relay(&self, named: &[IceServer]) -> Result<(), SessionError> {
        let none = self.usable_ice_servers(named).is_empty();
        match self.policy {
            PathPolicy::RelayOnly if none => Err(SessionError::NoRelay),
            _ => Ok(()),
        }
    }

    /// The servers that may be used, of those that the signaling server named and our own: no TURN server
    /// if relaying is excluded, and nothing else if there must be a relay.
    fn usable_ice_servers(&self, named: &[IceServer]) -> Vec<IceServer> {
        let is_turn = |url: &str| {
            let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
            scheme.eq_ignore_ascii_case("turn") || scheme.eq_ignore_ascii_case("turns")
        };
        let usable = |url: &String| match self.policy {
            PathPolicy::Any => true,
            PathPolicy::DirectOnly => !is_turn(url),
            PathPolicy::RelayOnly => is_turn(url),
        };
        let mut servers = [named, &self.ice_servers].concat();
        for server in &mut servers {
            server.urls.retain(usable);
        }
        servers.retain(|server| !server.urls.is_empty());
        servers
    }
}

/// A channel that the peer opened.
#[derive(Debug)]
pub struct IncomingChannel {
    /// The channel.
    pub channel: Channel,
    /// What it speaks.
    pub protocol: String,
}

/// The channels that the peer of a session opens.
#[derive(Debug)]
pub struct Incoming(mpsc::Receiver<IncomingChannel>);

impl Incoming {
    /// The next one, or `None` when the session has ended.
    pub async fn next(&mut self) -> Option<IncomingChannel> {
        self.0.recv().await
    }
}

/// Opens lanes of a session: connections of their own, each with one channel, which the peer accepts like
/// any other. It does not keep the session alive.
#[derive(Debug, Clone)]
pub struct LaneOpener {
    commands: mpsc::WeakSender<Command>,
    most: u16,
}

impl LaneOpener {
    /// How many the peer takes at a time.
    pub fn most(&self) -> u16 {
        self.most
    }

    /// Opens a lane with a reliable channel on it, in the largest packets that the path was proved to
    /// carry. Dropping the channel closes the lane.
    ///
    /// # Errors
    /// The session has ended, the peer takes no more lanes, or the connection did not come up.
    pub async fn open(
        &self,
        label: impl Into<String>,
        protocol: impl Into<String>,
    ) -> Result<Channel, SessionError> {
        let (reply, opened) = oneshot::channel();
        let command = Command::OpenLane {
            label: label.into(),
            protocol: protocol.into(),
            reply,
        };
        let commands = self.commands.upgrade().ok_or(SessionError::Closed)?;
        commands
            .send(command)
            .await
            .map_err(|_| SessionError::Closed)?;
        drop(commands);
        opened.await.map_err(|_| SessionError::Closed)?
    }
}

/// Tells the path of a session. It does not keep the session alive.
#[derive(Debug, Clone)]
pub struct Paths(mpsc::WeakSender<Command>);

impl Paths {
    /// The path in use now; `None` if there is none, or the session has ended.
    pub async fn now(&self) -> Option<Path> {
        let (reply, path) = oneshot::channel();
        self.0.upgrade()?.send(Command::Path(reply)).await.ok()?;
        path.await.ok()?
    }
}

/// A verified connection to one peer. Dropping it hangs up in the background; [`close`](Self::close)
/// waits until that is done.
#[derive(Debug)]
pub struct Session {
    peer: Hello,
    phrase: Phrase,
    path: Option<Path>,
    commands: mpsc::Sender<Command>,
    channels: mpsc::Receiver<IncomingChannel>,
    connectivity: watch::Receiver<Connectivity>,
    ended: watch::Receiver<Option<Arc<SessionError>>>,
}

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
        config.check_relay(&joined.ice_servers)?;
        let servers = config.usable_ice_servers(&joined.ice_servers);
        // Before pairing, so that the offer can travel together with the proof of the code.
        let engine = Engine::new(&config, &servers, packet::BASE).await?;
        let prepared = async {
            let control = engine
                .open_channel(control::LABEL, control::PROTOCOL, Delivery::Reliable)
                .await?;
            Ok::<_, SessionError>((control, engine.make_offer(false).await?))
        };
        let paired = match prepared.await {
            Ok((control, sdp)) => {
                let offer = SealedMessage::Offer {
                    sdp: sdp.clone(),
                    agent: config.agent.clone(),
                    engine: EngineKind::Native,
                };
                let introduced = introduce::guest(signaling, joined, code, &offer).await;
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
        // Credentials expire while a host waits: with each guest come fresh ones.
        config.check_relay(&joined.ice_servers)?;
        let mut named = joined.ice_servers.clone();
        let introduced = introduce::host(signaling, code, arrived, &mut named).await?;
        let introduce::Introduced {
            link,
            certificates,
            phrase,
        } = introduced;
        let servers = config.usable_ice_servers(&named);
        let engine = Engine::new(&config, &servers, packet::BASE).await?;
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
            negotiation,
            offer: None,
        };
        Self::start(parts, phrase).await
    }

    async fn start(parts: Parts, phrase: Phrase) -> Result<Self, SessionError> {
        tracing::info!("paired");
        let (commands, command_queue) = mpsc::channel(COMMAND_QUEUE);
        let (channels_tx, channels) = mpsc::channel(engine::MAX_CHANNELS);
        let (ended_tx, ended) = watch::channel(None);
        let (connectivity_tx, connectivity) = watch::channel(Connectivity::Connected);
        let (ready_tx, ready) = oneshot::channel();
        let outlets = Outlets {
            channels: channels_tx,
            connectivity: connectivity_tx,
            ended: ended_tx,
        };
        let driver = Driver::new(parts, command_queue, outlets, ready_tx)?;
        // Owned by its command queue: it ends when this side's handle, or this future, is dropped.
        tokio::spawn(driver.run());
        let driver::Ready { hello, path } = ready.await.map_err(|_| SessionError::Closed)??;
        Ok(Self {
            peer: hello,
            phrase,
            path,
            commands,
            channels,
            connectivity,
            ended,
        })
    }

    /// How the peer introduced itself.
    pub fn peer(&self) -> &Hello {
        &self.peer
    }

    /// Words that are the same on both sides unless somebody is in the middle.
    pub fn phrase(&self) -> &Phrase {
        &self.phrase
    }

    /// The path that was found when the session was connected.
    pub fn first_path(&self) -> Option<&Path> {
        self.path.as_ref()
    }

    /// The path in use now.
    pub async fn path(&self) -> Option<Path> {
        self.paths().now().await
    }

    /// Tells the path, for a task of its own.
    pub fn paths(&self) -> Paths {
        Paths(self.commands.downgrade())
    }

    /// Whether the peer can be reached now, and each change of that. While it cannot, channels stand still
    /// and lose nothing. The sender is gone when the session has ended.
    pub fn connectivity(&self) -> watch::Receiver<Connectivity> {
        self.connectivity.clone()
    }

    /// Opens a channel. It may be used at once: what is sent waits until it is open.
    ///
    /// # Errors
    /// The session has ended, or 64 channels are open.
    pub async fn open(
        &self,
        label: impl Into<String>,
        protocol: impl Into<String>,
        delivery: Delivery,
    ) -> Result<Channel, SessionError> {
        let (reply, opened) = oneshot::channel();
        let command = Command::Open {
            label: label.into(),
            protocol: protocol.into(),
            delivery,
            reply,
        };
        self.commands
            .send(command)
            .await
            .map_err(|_| SessionError::Closed)?;
        opened.await.map_err(|_| SessionError::Closed)?
    }

    /// The next channel that the peer opens, or `None` when the session has ended.
    pub async fn accept(&mut self) -> Option<IncomingChannel> {
        self.channels.recv().await
    }

    /// Takes over what [`accept`](Self::accept) would return, for a task of its own.
    pub fn incoming(&mut self) -> Incoming {
        let (_, empty) = mpsc::channel(1);
        Incoming(std::mem::replace(&mut self.channels, empty))
    }

    /// Opens lanes, as long as the session lives.
    pub fn lanes(&self) -> LaneOpener {
        LaneOpener {
            commands: self.commands.downgrade(),
            most: self.peer.lanes.min(lanes::MAX_LANES),
        }
    }

    /// Waits for the end and says why.
    pub async fn ended(&self) -> Arc<SessionError> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(end) => end
                .clone()
                .unwrap_or_else(|| Arc::new(SessionError::Closed)),
            Err(_) => Arc::new(SessionError::Closed),
        }
    }

    /// Says goodbye and hangs up.
    pub async fn close(self, bye: Bye) {
        if self.commands.send(Command::Close(bye)).await.is_ok() {
            self.ended().await;
        }
    }
}
