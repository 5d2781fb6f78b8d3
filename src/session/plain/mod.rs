//! A call in an open room, without a code: with a page of anybody's that speaks the few messages of every
//! WebRTC tutorial (protocol 1.4), or with another program like this one.
//!
//! Nothing is sealed here: the server is trusted, and says who the other side is. There is no control channel
//! either, so every negotiation goes through the server, which must stay. One task owns it all; it ends when
//! either side hangs up, leaves the room or cannot be reached any more.
//!
//! Whoever joined later offers (protocol 3.1), but never to a plain peer: such a page calls by itself. If there is a
//! [forwarder](is_forwarder) in the room, it is the only one who is called, unless it is away.

mod actor;
mod forwarders;

use self::actor::Actor;
use self::forwarders::Forwarders;
use super::candidates::Candidates;
use super::descriptions::Descriptions;
use super::driver::Command;
use super::engine::Engine;
use super::negotiation::{Manners, Negotiation};
use super::{IncomingTracks, Path, SessionConfig, SessionError, Tracks};
use crate::media::track::{
    Board, FeedbackSink, Form, IncomingPackets, MAX_TRACKS, OutgoingPackets, Outlet,
};
use crate::media::{Codec, IncomingTrack, OutgoingTrack};
use crate::net::packet::Packets;
use crate::pairing::Phrase;
use crate::signaling::Signaling;
use signaling_protocol::{Joined, PeerInfo};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// What a member of an open room calls itself that forwards everybody's tracks to everybody else.
pub const FORWARDER: &str = "peerline-forwarder";

/// Whether a member says that it forwards.
pub fn is_forwarder(peer: &PeerInfo) -> bool {
    let name = peer.name.as_ref().map(|name| name.as_str());
    name == Some(FORWARDER) && !peer.plain
}

/// A call that is connected. Dropping it hangs up.
#[derive(Debug)]
pub struct PlainSession {
    commands: mpsc::Sender<Command>,
    tracks: mpsc::Receiver<IncomingTrack>,
    packets: mpsc::Receiver<IncomingPackets>,
    forwarding: watch::Receiver<Forwarding>,
    phrase: Phrase,
    ended: watch::Receiver<Option<Arc<SessionError>>>,
}

/// What there is of forwarders in the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forwarding {
    /// None that the server can reach.
    No,
    /// One that is not the other side of this call, and newer if that is one as well.
    Elsewhere,
    /// The other side of this call is one.
    Here,
}

/// What is different about a call whose messages are carried by HTTP ([`crate::whip`]).
#[derive(Debug, Default)]
pub(crate) struct Terms {
    /// Tracks of others that are passed on from the beginning: the codec, the name of the stream, and who is told what the
    /// other side says.
    pub(crate) relayed: Vec<(Codec, String, FeedbackSink)>,
    /// Whoever calls does not offer to receive what it does not send.
    pub(crate) sends_only: bool,
    /// The other side is told when there are no more candidates.
    pub(crate) tells_end: bool,
    /// A path that is lost is looked for anew; elsewhere the other side does that.
    pub(crate) restarts: bool,
}

impl PlainSession {
    /// Waits in a room until somebody calls or answers, and connects. `sent` are the tracks that are sent from
    /// the beginning.
    ///
    /// # Errors
    /// Anything of [`SessionError`]; the room has then been left.
    pub async fn meet(
        signaling: Signaling,
        joined: &Joined,
        config: SessionConfig,
        sent: &[Codec],
    ) -> Result<(Self, Vec<OutgoingTrack>), SessionError> {
        let terms = Terms::default();
        let (session, tracks, _) = Self::meet_on(signaling, joined, config, sent, terms).await?;
        Ok((session, tracks))
    }

    /// As [`meet`](Self::meet), on other terms.
    pub(crate) async fn meet_on(
        signaling: Signaling,
        joined: &Joined,
        config: SessionConfig,
        sent: &[Codec],
        terms: Terms,
    ) -> Result<(Self, Vec<OutgoingTrack>, Vec<OutgoingPackets>), SessionError> {
        config.check_relay(&joined.ice_servers)?;
        let servers = config.usable_ice_servers(&joined.ice_servers);
        let (commands, queue) = mpsc::channel(super::connect::COMMAND_QUEUE);
        let (tracks_tx, tracks) = mpsc::channel(MAX_TRACKS);
        let (packets_tx, packets) = mpsc::channel(MAX_TRACKS);
        let outlet = match config.form {
            Form::Frames => Outlet::Frames(tracks_tx),
            Form::Packets => Outlet::Packets(packets_tx),
        };
        let forwarders = Forwarders::among(&joined.peers);
        let others = joined.peers.iter();
        let others = others.filter(|peer| !peer.plain && !is_forwarder(peer));
        // A forwarder that is away may have died; with it the others are met as if it had left.
        let callee = forwarders.callee().cloned().or_else(|| {
            let other = others.min_by_key(|peer| peer.away);
            other.map(|peer| peer.id.clone())
        });
        let (forwarding_tx, forwarding) = watch::channel(Forwarding::No);
        let (ended_tx, ended) = watch::channel(None);
        let (ready, connected) = oneshot::channel();
        let engine = Engine::new(&config, &servers, Packets::EVERYWHERE).await?;
        let mut actor = Actor {
            descriptions: Descriptions::new(
                Negotiation::new(Manners::Polite),
                Candidates::new(config.candidate_rules()),
            ),
            board: Board::new(&config.codecs, outlet, engine.estimate()),
            engine,
            signaling,
            server_is_there: true,
            config,
            partner: None,
            forwarders,
            forwarding: forwarding_tx,
            early: Vec::new(),
            offered_first: false,
            sends_only: terms.sends_only,
            tells_end: terms.tells_end,
            restarts: terms.restarts,
            commands: queue,
            ready: Some(ready),
            connected: false,
            lost: None,
        };
        let mut outgoing = Vec::new();
        for codec in sent {
            outgoing.push(actor.board.add(actor.engine.connection(), *codec).await?);
        }
        let mut relayed = Vec::new();
        for (codec, stream, feedback) in terms.relayed {
            let connection = actor.engine.connection();
            let added = actor.board.relay(connection, codec, &stream, feedback);
            relayed.push(added.await?);
        }
        // Owned by its command queue.
        tokio::spawn(actor.run(callee, ended_tx));
        let phrase = connected.await.map_err(|_| SessionError::Closed)??;
        let session = Self {
            commands,
            tracks,
            packets,
            forwarding,
            phrase,
            ended,
        };
        Ok((session, outgoing, relayed))
    }

    /// Words that are the same on both sides unless the server is in the middle.
    pub fn phrase(&self) -> &Phrase {
        &self.phrase
    }

    /// The path in use now.
    pub async fn path(&self) -> Option<Path> {
        let (reply, path) = oneshot::channel();
        self.commands.send(Command::Path(reply)).await.ok()?;
        path.await.ok()?
    }

    /// Adds and removes tracks of ours, as long as the call lives.
    pub fn tracks(&self) -> Tracks {
        Tracks::new(self.commands.downgrade())
    }

    /// Takes over the tracks that the other side sends. The second time there are none.
    pub fn incoming_tracks(&mut self) -> IncomingTracks {
        let (_, empty) = mpsc::channel(1);
        IncomingTracks::new(std::mem::replace(&mut self.tracks, empty))
    }

    /// As [`incoming_tracks`](Self::incoming_tracks), if [`SessionConfig::form`] is packets.
    pub(crate) fn incoming_packets(&mut self) -> mpsc::Receiver<IncomingPackets> {
        let (_, empty) = mpsc::channel(1);
        std::mem::replace(&mut self.packets, empty)
    }

    /// Whether the other side forwards, so that its tracks are those of several.
    pub fn is_forwarded(&self) -> bool {
        *self.forwarding.borrow() == Forwarding::Here
    }

    /// Whether the room has a forwarder, here or elsewhere: if the other side leaves, others are still to be met.
    pub fn room_goes_on(&self) -> bool {
        *self.forwarding.borrow() != Forwarding::No
    }

    /// Waits until there is a forwarder in the room that is not the other side. The room should then be met
    /// anew, as its other members do.
    pub async fn forwarder_came(&self) {
        let mut forwarding = self.forwarding.clone();
        let came = forwarding.wait_for(|forwarding| *forwarding == Forwarding::Elsewhere);
        if came.await.is_err() {
            std::future::pending().await
        }
    }

    /// Waits for the end and says why.
    pub async fn ended(&self) -> Arc<SessionError> {
        let mut ended = self.ended.clone();
        let end = ended.wait_for(Option::is_some).await;
        let end = end.ok().and_then(|end| end.clone());
        end.unwrap_or_else(|| Arc::new(SessionError::Closed))
    }

    /// Hangs up and leaves the room.
    pub async fn close(self) {
        let Self {
            commands,
            mut ended,
            ..
        } = self;
        drop(commands);
        let _ = ended.wait_for(Option::is_some).await;
    }
}
