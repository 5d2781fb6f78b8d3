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
//! | `switchboard` | task | one place in a room for a conversation with each of the others |
//! | `description`, `candidates`, `privacy` | pure | what of the peer's words reaches the engine, and of ours the peer |
//! | `negotiation` | pure | offers, answers and glare |
//! | `descriptions` | edge | performs both with the engine |
//! | `watchdog`, `absence`, `healing` | pure | every limit in time, and when to restart ICE |
//! | `lanes`, `lane` | task each | extra connections for bulk, which `lane_opener` asks for |
//! | `plain` | task | a call in an open room, without a code |
//! | `open_room` | task | one place in an open room for a call with each of the others |
//! | `tracks` | handles | sound and pictures of a session |
//! | `driver` | task | performs the decisions |
//! | `engine` | edge | the `webrtc` crate |

mod absence;
mod candidates;
mod connect;
mod control;
mod control_line;
mod description;
mod descriptions;
mod driver;
mod engine;
mod error;
mod former;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod healing;
mod introduce;
mod lane;
mod lane_opener;
mod lanes;
mod link;
mod negotiation;
mod open_room;
mod path;
mod plain;
mod ports;
mod privacy;
mod sections;
mod switchboard;
mod tracks;
mod trial;
mod watchdog;

pub use crate::pairing::{ByeCode, Engine as EngineKind, Phrase};
pub use control::{Bye, Hello, Intent};
pub use description::DescriptionError;
pub(crate) use description::{MAX_SDP, SectionWish, offered};
pub use error::{Fault, SessionError};
pub use healing::{Cause, Connectivity, Healing, Interruption};
pub use lane_opener::{LaneOpener, OpenLane};
pub use open_room::{Member, News, OpenRoom};
pub use path::{Path, PathKind, PathPolicy, RelayTransport};
pub(crate) use plain::Terms;
pub use plain::{FORWARDER, PlainSession, is_forwarder};
pub use switchboard::{Caller, Switchboard};
pub use tracks::{IncomingTracks, Tracks};
pub use watchdog::Wait;

use crate::channel::{Channel, Delivery};
use crate::device::PublicKey;
use crate::media::track::Form;
use crate::media::{Codec, IncomingTrack};
use crate::net::Network;
use crate::net::packet::Packets;
use crate::pairing::{Binding, Role};
use candidates::CandidateRules;
use driver::Command;
use signaling_protocol::IceServer;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

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
    /// What is understood of sound and pictures. Without any, the session has no tracks and takes none.
    pub codecs: Vec<Codec>,
    /// Whether tracks are exchanged as frames, or packet by packet to be passed on.
    pub form: Form,
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
            codecs: Vec::new(),
            form: Form::Frames,
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
    pub(crate) fn usable_ice_servers(&self, named: &[IceServer]) -> Vec<IceServer> {
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
    role: Role,
    peer: Hello,
    device: Option<PublicKey>,
    phrase: Phrase,
    binding: Binding,
    path: Option<Path>,
    config: SessionConfig,
    commands: mpsc::Sender<Command>,
    channels: mpsc::Receiver<IncomingChannel>,
    tracks: mpsc::Receiver<IncomingTrack>,
    connectivity: watch::Receiver<Connectivity>,
    packets: watch::Receiver<Option<Packets>>,
    ended: watch::Receiver<Option<Arc<SessionError>>>,
}

impl Session {
    /// How the peer introduced itself.
    pub fn peer(&self) -> &Hello {
        &self.peer
    }

    /// Which side of the room this one is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Which known device the peer has proved to be; none if it came with a code.
    pub fn device(&self) -> Option<PublicKey> {
        self.device
    }

    /// What binds other things to this session.
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// How it was connected, with the STUN and TURN servers that it could use: those that its signaling server
    /// named, and its own.
    pub fn config(&self) -> &SessionConfig {
        &self.config
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

    /// Adds and removes tracks of ours, as long as the session lives. It needs codecs in its configuration.
    pub fn tracks(&self) -> Tracks {
        Tracks::new(self.commands.downgrade())
    }

    /// Takes over the tracks that the peer sends, those that it sends already as well. The second time there
    /// are none.
    pub fn incoming_tracks(&mut self) -> IncomingTracks {
        let (_, empty) = mpsc::channel(1);
        IncomingTracks::new(std::mem::replace(&mut self.tracks, empty))
    }

    /// Opens lanes, as long as the session lives.
    pub fn lanes(&self) -> LaneOpener {
        LaneOpener {
            commands: self.commands.downgrade(),
            most: self.peer.lanes.min(lanes::MAX_LANES),
            packets: self.packets.clone(),
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
