//! Several servers as one service. What they share is in Redis: who is in which room, and of each member a
//! stream of what it has not acknowledged. Every operation on a room is one script, so that nodes need no
//! locks and see the same order; a node that is told of news reads the streams of its members.
//!
//! The rest of the server knows this as [`Cluster`]. It decides nothing about rooms: that is done by the
//! scripts (in `lua/`), and while Redis cannot be reached by the hub, as on a server of its own.

mod apart;
mod call;
mod keeper;
mod standing;
mod store;

pub(crate) use apart::Restoration;
pub(crate) use call::{Answer, Claim, Entry, Joining, Out, Owed, Posting, Record};
pub(crate) use keeper::keep;
pub(crate) use store::Script;

use crate::{config::Limits, metrics::ClusterMetrics};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use call::{Call, Leaving, Restoring, Resuming, Touching};
use rand::RngExt;
use signaling_protocol::{LeaveReason, PeerId, RoomName, Secret, limits::OUTBOX_BYTES};
use standing::{Standing, Standings};
use std::{
    collections::{BTreeSet, HashSet},
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};
use store::Store;
use tokio::sync::{Notify, mpsc};

/// How long an operation may take: those that wait for it are told within two seconds.
const CALL_LIMIT: Duration = Duration::from_millis(1500);

/// How long a member counts as there without a word from its node, which speaks every [`SWEEP`]. A node
/// that dies is noticed earlier, by its own lease.
const MEMBER_LEASE: Duration = Duration::from_secs(75);

/// How often a node speaks for its members of one room.
const SWEEP: Duration = Duration::from_secs(20);

/// How long a room that Redis has lost waits for the members of other nodes: they notice within a second, or
/// when they have connected again.
const PATIENCE_MS: u64 = 6000;

/// Members that leave, and wait to be reported. One that finds no place here is lost by its lease.
const LEAVERS: usize = 4096;

/// How much more a member's stream may hold than the member may have unacknowledged, because nodes pass
/// acknowledgements on to Redis only when half of this has come together, or with the next [`SWEEP`].
pub(crate) const ACK_SLACK_BYTES: usize = 64 * 1024;

/// Redis cannot be reached, or does not do what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unavailable;

/// A member that leaves.
#[derive(Debug)]
pub(crate) struct Leaver {
    pub(crate) room: RoomName,
    pub(crate) id: PeerId,
    pub(crate) session: String,
    pub(crate) reason: LeaveReason,
}

/// This server as one of several.
#[derive(Debug)]
pub(crate) struct Cluster {
    node: String,
    store: Store,
    window: Duration,
    hold: Duration,
    joins_per_minute: u32,
    standings: Mutex<Standings>,
    leavers: mpsc::Sender<Leaver>,
    /// For the keeper, which takes it when it begins.
    leaving: Mutex<Option<mpsc::Receiver<Leaver>>>,
    /// Rooms to look at.
    due: Mutex<BTreeSet<RoomName>>,
    news: Notify,
    /// A room is in Redis again.
    restored: Notify,
    metrics: ClusterMetrics,
}

impl Cluster {
    /// A node of the service that meets at this Redis.
    pub(crate) fn new(
        url: &Secret,
        limits: &Limits,
        metrics: ClusterMetrics,
    ) -> Result<Self, String> {
        let node: [u8; 9] = rand::rng().random();
        let (leavers, leaving) = mpsc::channel(LEAVERS);
        Ok(Self {
            node: BASE64_URL_SAFE_NO_PAD.encode(node),
            store: Store::new(url, metrics.clone())?,
            window: limits.resume_window,
            hold: limits.place_hold,
            joins_per_minute: limits.room_joins_per_minute,
            standings: Mutex::default(),
            leavers,
            leaving: Mutex::new(Some(leaving)),
            due: Mutex::default(),
            news: Notify::new(),
            restored: Notify::new(),
            metrics,
        })
    }

    /// Whether new members can be let in.
    pub(crate) fn is_up(&self) -> bool {
        self.store.is_up()
    }

    /// A member that was at another node is here now.
    pub(crate) fn took_over(&self) {
        self.metrics.taken.inc();
    }

    /// A member that was here is at another node now.
    pub(crate) fn gave_over(&self) {
        self.metrics.given.inc();
    }

    /// Whether all members of a room are here, as far as this node knows.
    pub(crate) fn is_alone(&self, room: &RoomName) -> bool {
        let standings = self.standings();
        standings
            .get(room)
            .is_some_and(|standing| !standing.elsewhere)
    }

    /// A name for a session that no other one has.
    pub(crate) fn session_name() -> String {
        let name: [u8; 12] = rand::rng().random();
        BASE64_URL_SAFE_NO_PAD.encode(name)
    }

    pub(crate) async fn join(
        &self,
        room: &RoomName,
        joining: Joining<'_>,
    ) -> Result<Answer, Unavailable> {
        self.call(Script::Join, room, joining, None).await
    }

    pub(crate) async fn post(
        &self,
        room: &RoomName,
        posting: Posting<'_>,
        frame: &str,
    ) -> Result<Answer, Unavailable> {
        self.call(Script::Post, room, posting, Some(frame)).await
    }

    pub(crate) async fn resume(
        &self,
        room: &RoomName,
        id: &PeerId,
        secret: &str,
        ack: Option<u64>,
        session: &str,
    ) -> Result<Answer, Unavailable> {
        let resuming = Resuming {
            id: id.as_str(),
            secret,
            ack,
            session,
        };
        self.call(Script::Resume, room, resuming, None).await
    }

    /// Reports a member that is out here already. Never waits.
    pub(crate) fn leave(&self, leaver: Leaver) {
        // Without a place in the queue, the member is lost when its lease ends.
        let _ = self.leavers.try_send(leaver);
    }

    async fn left(&self, leaver: &Leaver) -> Result<Answer, Unavailable> {
        let leaving = Leaving {
            id: leaver.id.as_str(),
            session: &leaver.session,
            reason: leaver.reason,
        };
        self.call(Script::Leave, &leaver.room, leaving, None).await
    }

    async fn touch(
        &self,
        room: &RoomName,
        members: &[Claim],
        dead: &[String],
    ) -> Result<Answer, Unavailable> {
        let touching = Touching { members, dead };
        self.call(Script::Touch, room, touching, None).await
    }

    async fn restore(
        &self,
        room: &RoomName,
        members: &[Record],
        standing: &Standing,
        alone: bool,
    ) -> Result<Answer, Unavailable> {
        let restoring = Restoring {
            members,
            epoch: &standing.epoch,
            capacity: standing.capacity,
            open: standing.open,
            alone,
            nodes: &standing.nodes,
            patience: PATIENCE_MS,
        };
        self.call(Script::Restore, room, restoring, None).await
    }

    /// Makes the keeper look at a room soon.
    pub(crate) fn look_at(&self, room: &RoomName) {
        self.due().insert(room.clone());
        self.news.notify_one();
    }

    /// What is known of a room in which this node has a member now.
    pub(crate) fn note(&self, room: &RoomName, answer: &Answer) {
        self.standings().add(room, answer, self.store.era());
    }

    /// This node has nobody in that room any more.
    pub(crate) fn forget(&self, room: &RoomName) {
        self.standings().remove(room);
        self.due().remove(room);
    }

    /// The first room that is due and not being looked at.
    fn next_due(&self, busy: &HashSet<RoomName>) -> Option<RoomName> {
        let mut due = self.due();
        let room = due.iter().find(|room| !busy.contains(*room))?.clone();
        due.remove(&room);
        Some(room)
    }

    /// Says good-bye to the other nodes.
    pub(crate) async fn resign(&self) {
        self.store.resign(&self.node).await;
    }

    async fn call<T: serde::Serialize>(
        &self,
        script: Script,
        room: &RoomName,
        what: T,
        frame: Option<&str>,
    ) -> Result<Answer, Unavailable> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let call = Call {
            node: &self.node,
            room: room.as_str(),
            channel: store::WAKE,
            window: millis(self.window),
            hold: millis(self.hold),
            lease: millis(MEMBER_LEASE),
            outbox: OUTBOX_BYTES + ACK_SLACK_BYTES,
            joins_per_minute: self.joins_per_minute,
            until: self.store.time(Instant::now() + CALL_LIMIT),
            expire: self.store.is_settled(store::NODE_LEASE),
            what,
        };
        let text = serde_json::to_string(&call).map_err(|_| Unavailable)?;
        let era = self.store.era();
        let answer = self.store.run(script, room, &text, frame).await?;
        let answer: Answer = serde_json::from_str(&answer).map_err(|error| {
            tracing::warn!(%error, "Redis answered something else");
            Unavailable
        })?;
        self.store.set_time(Instant::now(), answer.now);
        // Whether the members that are here are there.
        let found = match script {
            Script::Post | Script::Restore => answer.error.is_none(),
            Script::Touch => answer.missing.is_empty(),
            Script::Join | Script::Leave | Script::Resume => false,
        };
        let era = found.then_some(era);
        self.standings().learn(room, &answer, era);
        Ok(answer)
    }

    fn standings(&self) -> MutexGuard<'_, Standings> {
        self.standings
            .lock()
            .expect("nothing panics while it holds the standings")
    }

    fn due(&self) -> MutexGuard<'_, BTreeSet<RoomName>> {
        self.due
            .lock()
            .expect("nothing panics while it holds what is due")
    }
}
