//! The lanes of one session: which there are, and how large their packets may be.
//!
//! Owned by the driver, which routes control messages here and says what the lanes want said.

use super::control::{ControlMessage, Hello};
use super::driver::Side;
use super::lane::{self, Common, FromLane, ToLane};
use super::{EngineKind, SessionConfig, SessionError};
use crate::channel::Channel;
use crate::channel::port::Activity;
use crate::net::packet::{self, Packets, ProbeKey, Prober, SIZES, trial};
use crate::net::repair::{self, Repair, RepairKey, Way};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use signaling_protocol::{IceCandidate, IceServer};
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

/// Extra connections that each side may open at a time.
pub(crate) const MAX_LANES: u16 = 16;

/// What waits for a lane: an answer and its candidates. More is a peer that floods, and is dropped.
const INBOX: usize = 72;

/// What lanes have for the driver; they wait while it is full.
const OUTBOX: usize = 64;

/// How long a session that ends waits for its lanes to close their connections.
const CLOSING: Duration = Duration::from_secs(1);

/// Searches for the packet size, of 0.7 s each, until one is answered. A peer whose hello was lost answers none until
/// SCTP has repeated that, a second or two later.
const SEARCHES: u32 = 5;

/// Bytes that each side contributes to the key for probes.
const NONCE: usize = 16;

/// What a caller of [`Lanes::open`] waits for.
pub(super) type Reply = oneshot::Sender<Result<Channel, SessionError>>;

pub(super) struct Lanes {
    /// What every lane needs, once the peer is verified.
    common: Option<Common>,
    prober: Prober,
    /// That of the session's own connection, and the key for our records, if the peer takes them.
    repair: Repair,
    repair_key: Option<RepairKey>,
    ours: [u8; NONCE],
    side: Side,
    /// What the peer takes.
    allowed: u16,
    next: u32,
    open: HashMap<u32, Handle>,
    outbox: mpsc::Sender<FromLane>,
    events: mpsc::Receiver<FromLane>,
    /// The packets of new lanes; `None` while their size is looked for.
    packets: watch::Sender<Option<Packets>>,
    searching: Option<AbortOnDropHandle<()>>,
    /// The size that the next lane to a browser tries.
    trial: watch::Sender<Option<u16>>,
    pongs: watch::Sender<u64>,
}

struct Handle {
    inbox: mpsc::Sender<ToLane>,
    task: AbortOnDropHandle<()>,
}

impl Lanes {
    pub(super) fn new(side: Side, prober: Prober, repair: Repair) -> Self {
        let (outbox, events) = mpsc::channel(OUTBOX);
        Self {
            common: None,
            prober,
            repair,
            repair_key: None,
            ours: rand::random(),
            side,
            allowed: 0,
            // Each side has its own numbers.
            next: match side {
                Side::Offerer => 0,
                Side::Answerer => 1,
            },
            open: HashMap::new(),
            outbox,
            events,
            packets: watch::Sender::new(Some(Packets::EVERYWHERE)),
            searching: None,
            trial: watch::Sender::new(None),
            pongs: watch::Sender::new(0),
        }
    }

    /// Our part of the key for probes, for our hello.
    pub(super) fn nonce(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.ours)
    }

    /// The packets of new lanes; `None` while their size is looked for.
    pub(super) fn packets(&self) -> watch::Receiver<Option<Packets>> {
        self.packets.subscribe()
    }

    /// The peer is verified: lanes may be opened, and the size of their packets is looked for.
    pub(super) fn verified(
        &mut self,
        hello: &Hello,
        config: &SessionConfig,
        servers: &[IceServer],
        activity: &Activity,
    ) {
        let theirs = hello
            .probe
            .as_deref()
            .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        // A browser answers no probes, and Chromium's connection dies above some 2,000 bytes.
        let key = theirs
            .filter(|theirs| theirs.len() == NONCE && hello.engine == EngineKind::Native)
            .map(|theirs| match self.side {
                Side::Offerer => ProbeKey::new(&self.ours, &theirs),
                Side::Answerer => ProbeKey::new(&theirs, &self.ours),
            });
        self.allowed = hello.lanes.min(MAX_LANES);
        self.common = Some(Common {
            config: SessionConfig {
                codecs: Vec::new(),
                ..config.clone()
            },
            servers: servers.to_vec(),
            browser: hello.engine == EngineKind::Browser,
            key: key.clone(),
            trial: self.trial.subscribe(),
            pongs: self.pongs.subscribe(),
            activity: activity.clone(),
            outbox: self.outbox.clone(),
        });
        if let Some(key) = key {
            let (ours, theirs) = match self.side {
                Side::Offerer => (Way::Offerer, Way::Answerer),
                Side::Answerer => (Way::Answerer, Way::Offerer),
            };
            self.repair.receive(key.repair(theirs));
            self.repair_key = hello.repair.then(|| key.repair(ours));
            self.prober.start(key);
            self.search(SIZES[0]);
        }
    }

    /// A browser on a direct path takes larger packets than every path carries: the next lane tries them.
    pub(super) fn may_try(&mut self, hello: &Hello) {
        if let (Some(takes), Some(destination)) = (hello.packet, self.prober.destination()) {
            let first = trial::first(takes, destination);
            tracing::info!(first, "packets for lanes to this browser");
            self.trial.send_replace(first);
        }
    }

    /// Looks for the largest packet up to `limit` on the session's own path, and repairs that if it is long.
    fn search(&mut self, limit: u16) {
        self.packets.send_replace(None);
        let (prober, packets) = (self.prober.clone(), self.packets.clone());
        let (repair, mut key) = (self.repair.clone(), self.repair_key.take());
        let search = async move {
            let mut start = || {
                if let Some(key) = key.take() {
                    tracing::info!("the path is long: what it loses is repaired");
                    repair.send(key);
                }
            };
            let mut found = Packets::EVERYWHERE;
            for _ in 0..SEARCHES {
                // Before the size is known, which takes half a second where the largest are not answered.
                let Some(long) = prober.takes(repair::LONG).await else {
                    continue;
                };
                if long {
                    start();
                }
                if let Some((size, round_trip)) = prober.search(limit).await {
                    let repaired = long && round_trip >= repair::LONG;
                    if long && !repaired {
                        repair.stop();
                    }
                    found = Packets { size, repaired };
                    break;
                }
            }
            tracing::info!(?found, "the path's packets");
            packets.send_replace(Some(found));
        };
        self.searching = Some(AbortOnDropHandle::new(tokio::spawn(search)));
    }

    /// Opens a lane with a channel on it, in datagrams of at most `most` bytes.
    pub(super) fn open(&mut self, name: (String, String), most: Option<u16>, reply: Reply) {
        let parity = self.next % 2;
        let ours = self.open.keys().filter(|id| *id % 2 == parity).count();
        let Some(common) = self.common.clone().filter(|_| ours < self.allowed.into()) else {
            let _ = reply.send(Err(SessionError::Protocol("it takes no more lanes")));
            return;
        };
        let id = self.next;
        self.next += 2;
        let (inbox, messages) = mpsc::channel(INBOX);
        let mut found = self.packets.subscribe();
        let task = async move {
            let found = found.wait_for(Option::is_some).await.ok();
            let mut packets = found
                .and_then(|found| *found)
                .unwrap_or(Packets::EVERYWHERE);
            packets.size = common.trial.borrow().unwrap_or(packets.size);
            if let Some(most) = most {
                packets.size = packets.size.min(most).max(packet::BASE);
            }
            lane::open(id, packets, common, messages, name, reply).await;
        };
        self.start(id, inbox, task);
    }

    fn start(
        &mut self,
        id: u32,
        inbox: mpsc::Sender<ToLane>,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = AbortOnDropHandle::new(tokio::spawn(task));
        self.open.insert(id, Handle { inbox, task });
    }

    /// The peer opens a lane; what to answer at once, if it may not.
    pub(super) fn offered(
        &mut self,
        id: u32,
        mut packets: Packets,
        sdp: String,
    ) -> Result<Option<ControlMessage>, SessionError> {
        let theirs = |id: &u32| id % 2 != self.next % 2;
        if !theirs(&id) || self.open.contains_key(&id) {
            return Err(SessionError::Protocol("it used the number of another lane"));
        }
        let full = self.open.keys().filter(|id| theirs(id)).count() >= MAX_LANES.into();
        let Some(common) = self.common.clone().filter(|_| !full) else {
            return Ok(Some(ControlMessage::LaneClose { lane: id }));
        };
        // It names a size for its own packets only; ours are acknowledgements.
        packets.size = packets.size.clamp(packet::BASE, SIZES[0]);
        packets.repaired &= common.key.is_some();
        let (inbox, messages) = mpsc::channel(INBOX);
        self.start(id, inbox, lane::answer(id, packets, common, messages, sdp));
        Ok(None)
    }

    pub(super) fn answered(&mut self, id: u32, repair: bool, sdp: String) {
        self.route(id, ToLane::Answer { repair, sdp });
    }

    pub(super) fn candidate(&mut self, id: u32, candidate: Option<IceCandidate>) {
        self.route(id, ToLane::Candidate(candidate));
    }

    /// The peer closed a lane, or refuses it.
    pub(super) fn closed(&mut self, id: u32) {
        if let Some(handle) = self.open.get_mut(&id)
            && handle.inbox.try_send(ToLane::Close).is_err()
        {
            // overflow: its task ends with its inbox, and delivers no more.
            handle.inbox = mpsc::channel(1).0;
        }
    }

    fn route(&self, id: u32, message: ToLane) {
        // A lane that has just ended may still get candidates; one that is flooded loses some.
        if let Some(handle) = self.open.get(&id) {
            let _ = handle.inbox.try_send(message);
        }
    }

    /// What a lane has for the driver. Cancelled, it has lost nothing.
    pub(super) async fn next(&mut self) -> FromLane {
        match self.events.recv().await {
            Some(event) => event,
            // We keep a sender ourselves.
            None => std::future::pending().await,
        }
    }

    /// Takes note of what concerns the lanes themselves.
    pub(super) fn heard(&mut self, event: &FromLane) {
        match event {
            FromLane::Ended(id) => drop(self.open.remove(id)),
            FromLane::Swallowed(size) => {
                tracing::info!(packet = size, "packets of this size do not get through");
                self.trial.send_if_modified(|trial| {
                    let fails = trial.is_some_and(|trial| trial >= *size);
                    if fails {
                        *trial = trial::after(*size);
                    }
                    fails
                });
                let known = *self.packets.borrow();
                if known.is_some_and(|known| known.size == *size) {
                    self.search(size - 1);
                }
            }
            FromLane::Say(_) | FromLane::Accepted(_) | FromLane::Ping => {}
        }
    }

    /// The peer has answered a ping.
    pub(super) fn ponged(&self) {
        self.pongs.send_modify(|pongs| *pongs += 1);
    }

    /// Ends all lanes and waits until their connections are closed.
    pub(super) async fn close(&mut self) {
        self.searching = None;
        let tasks: Vec<_> = self.open.drain().map(|(_, handle)| handle.task).collect();
        let all = async {
            for task in tasks {
                let _ = task.await;
            }
        };
        // They may have something to say, which nobody wants to hear any more.
        let hear = async { while self.events.recv().await.is_some() {} };
        tokio::select! {
            () = all => {}
            () = hear => {}
            () = tokio::time::sleep(CLOSING) => {}
        }
    }
}
