//! A room whose members see and hear each other through one of them.
//!
//! One task, the `hub`, owns it all: `Roster` says what has to go where, a `Forwarding` for each track moves its packets, and
//! each member has a task with its call, which adds and takes back tracks one after the other, so that a slow member makes
//! nobody wait. `visitors` are those who are no peers: programs that speak RTP, and those who come by HTTP.

mod claims;
mod hub;
mod visitors;

use self::hub::Hub;
use super::outside::Outside;
use super::relay::Counts;
use crate::media::{Codec, IncomingTrack};
use crate::session::SessionConfig;
use crate::signaling::{Lost, Signaling};
use signaling_protocol::{Joined, PeerId, PeerInfo};
use tokio::sync::{mpsc, watch};

/// Events that wait for the owner.
const EVENTS: usize = 256;

/// Tracks that wait for whoever takes their frames.
const TAPPED: usize = 64;

/// What happens in the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A member is connected.
    Joined(PeerInfo),
    /// It is not any more.
    Left(PeerId),
    /// A member could not be connected.
    Failed(PeerId, String),
    /// A member sends a track, which everybody else gets.
    Started(PeerId, Codec),
    /// It sends it no more.
    Ended(PeerId, Codec),
    /// This member is speaking from now on.
    Speaker(PeerId),
    /// What programs outside the room are told to expect, as a session description; it may change.
    Output(String),
    /// Somebody else's WHIP or WHEP server refuses, and is not asked again if this is final.
    Refused {
        /// Its address.
        remote: String,
        /// What it said.
        why: String,
        /// Whether it is asked again.
        is_final: bool,
    },
    /// The server is gone, and nobody can come or change any more.
    Lost(Lost),
}

/// What somebody takes who wants every track as frames, in the order in which it happened: a member that was lost may
/// come again under the same id, and its new tracks are not those of before.
#[derive(Debug)]
pub enum Tapped {
    /// A track has begun.
    Track {
        /// Whose it is.
        member: PeerInfo,
        /// The largest layer, if there are several.
        frames: IncomingTrack,
    },
    /// This member has left; its tracks have ended, or are about to.
    Left(PeerId),
}

/// How much was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Members that are connected.
    pub members: usize,
    /// Tracks that are forwarded.
    pub tracks: usize,
    /// Of all tracks, those that have ended as well.
    pub counts: Counts,
}

/// The room. Dropping it hangs up on everybody in the background.
#[derive(Debug)]
pub struct ForwardedRoom {
    events: mpsc::Receiver<Event>,
    stop: mpsc::Sender<()>,
    totals: watch::Receiver<Totals>,
    task: tokio::task::JoinHandle<()>,
}

impl ForwardedRoom {
    /// Forwards in a room that was joined as [`FORWARDER`](crate::session::FORWARDER).
    pub fn open(signaling: Signaling, joined: Joined, config: SessionConfig) -> Self {
        Self::open_with(signaling, joined, config, None, Outside::default())
    }

    /// As [`open`](Self::open), with programs outside the room in the part of a member.
    pub fn open_outside(
        signaling: Signaling,
        joined: Joined,
        config: SessionConfig,
        outside: Outside,
    ) -> Self {
        Self::open_with(signaling, joined, config, None, outside)
    }

    /// As [`open`](Self::open), and gives away every track as frames as well.
    pub fn open_tapped(
        signaling: Signaling,
        joined: Joined,
        config: SessionConfig,
    ) -> (Self, mpsc::Receiver<Tapped>) {
        let (tapped, tracks) = mpsc::channel(TAPPED);
        let outside = Outside::default();
        let room = Self::open_with(signaling, joined, config, Some(tapped), outside);
        (room, tracks)
    }

    fn open_with(
        signaling: Signaling,
        joined: Joined,
        config: SessionConfig,
        tapped: Option<mpsc::Sender<Tapped>>,
        outside: Outside,
    ) -> Self {
        let (events_tx, events) = mpsc::channel(EVENTS);
        let (stop, stopped) = mpsc::channel(1);
        let (totals_tx, totals) = watch::channel(Totals::default());
        let hub = Hub::new((signaling, joined), config, (events_tx, totals_tx), tapped);
        let task = tokio::spawn(hub.run(stopped, outside));
        Self {
            events,
            stop,
            totals,
            task,
        }
    }

    /// What happens next; `None` once it is over.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// How much was done, of about a second ago.
    pub fn totals(&self) -> Totals {
        *self.totals.borrow()
    }

    /// Hangs up on everybody and leaves the room. Returns what was done.
    pub async fn close(self) -> Totals {
        let Self {
            events,
            stop,
            totals,
            task,
        } = self;
        drop((events, stop));
        let _ = task.await;
        *totals.borrow()
    }
}
