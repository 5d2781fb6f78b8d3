//! A room whose members see and hear each other through one of them.
//!
//! One task owns it all: `Roster` says what has to go where, a `Forwarding` for each track moves its packets, and each
//! member has a task with its call, which adds and takes back tracks one after the other, so that a slow member makes
//! nobody wait.

use super::forwarding::Forwarding;
use super::member::{Call, Order, Part, Report};
use super::outside::{self, Outside};
use super::relay::Counts;
use super::remote::{Keeper, Trouble};
use super::roster::{Change, MemberKey, Roster, TrackKey};
use super::speaker::Speakers;
use super::viewer::{self, Viewer};
use crate::media::track::{Form, IncomingPackets};
use crate::media::{Codec, IncomingTrack};
use crate::session::{Member, OpenRoom, SessionConfig};
use crate::signaling::{Lost, Signaling};
use crate::whip::{Refusal, Role, Visitor, Way};
use signaling_protocol::{IceServer, Joined, PeerId, PeerInfo, PeerName};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// Events that wait for the owner.
const EVENTS: usize = 256;

/// What members' tasks have to say; they wait.
const REPORTS: usize = 256;

/// What a member's task has to do: the tracks of a full room, added and removed a few times. A member that is further
/// behind than this is hung up on.
const ORDERS: usize = 512;

/// Tracks that wait for whoever takes their frames.
const TAPPED: usize = 64;

/// How long hanging up on everybody may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(4);

/// Levels of sound that wait; 20 ms of a full room.
const LEVELS: usize = 256;

/// Those who come by HTTP and wait to be taken, which happens at once; others are told to come back.
const VISITORS: usize = 32;

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

/// A track as frames.
#[derive(Debug)]
pub struct Tapped {
    /// Whose it is.
    pub member: PeerInfo,
    /// The largest layer, if there are several.
    pub frames: IncomingTrack,
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
        let own_id = joined.own_id.clone();
        let (visitors_tx, visitors) = mpsc::channel(VISITORS);
        let (troubles_tx, troubles) = mpsc::channel(VISITORS);
        let servers = watch::Sender::new(config.usable_ice_servers(&joined.ice_servers));
        let (events_tx, events) = mpsc::channel(EVENTS);
        let (stop, stopped) = mpsc::channel(1);
        let (reports_tx, reports) = mpsc::channel(REPORTS);
        let (levels_tx, levels) = mpsc::channel(LEVELS);
        let (totals_tx, totals) = watch::channel(Totals::default());
        let mut hub = Hub {
            room: OpenRoom::new(signaling, joined),
            config: SessionConfig {
                form: Form::Packets,
                ..config
            },
            roster: Roster::default(),
            members: HashMap::new(),
            tracks: HashMap::new(),
            next: 0,
            tasks: JoinSet::new(),
            speakers: Speakers::default(),
            events: events_tx,
            reports: (reports_tx, reports),
            levels: (levels_tx, levels),
            past: Counts::default(),
            tapped,
            totals: totals_tx,
            servers,
            visitors,
            troubles,
            published: watch::Sender::new(0),
            by_http: Vec::new(),
        };
        hub.open_outside(own_id, outside, &visitors_tx, &troubles_tx);
        let task = tokio::spawn(hub.run(stopped));
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

struct Connected {
    info: PeerInfo,
    orders: mpsc::Sender<Order>,
}

struct Published {
    member: MemberKey,
    forwarding: Forwarding,
}

/// What comes from members, both ends.
type Queue<T> = (mpsc::Sender<(MemberKey, T)>, mpsc::Receiver<(MemberKey, T)>);

struct Hub {
    room: OpenRoom,
    config: SessionConfig,
    roster: Roster,
    members: HashMap<MemberKey, Connected>,
    tracks: HashMap<TrackKey, Published>,
    next: u64,
    tasks: JoinSet<()>,
    speakers: Speakers<MemberKey>,
    events: mpsc::Sender<Event>,
    reports: Queue<Report>,
    levels: Queue<u8>,
    /// Of tracks that have ended.
    past: Counts,
    tapped: Option<mpsc::Sender<Tapped>>,
    totals: watch::Sender<Totals>,
    /// What those who come by HTTP are told to use.
    servers: watch::Sender<Vec<IceServer>>,
    visitors: mpsc::Receiver<Visitor>,
    troubles: mpsc::Receiver<Trouble>,
    /// The newest track.
    published: watch::Sender<TrackKey>,
    /// The server and the clients of WHIP and WHEP.
    by_http: Vec<AbortOnDropHandle<()>>,
}

impl Hub {
    async fn run(mut self, mut stopped: mpsc::Receiver<()>) {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        let mut server_is_there = true;
        loop {
            tokio::select! {
                _ = stopped.recv() => break,
                member = self.room.next(), if server_is_there => match member {
                    Ok(member) => self.meet(member),
                    Err(lost) => {
                        server_is_there = false;
                        self.tell(Event::Lost(lost));
                    }
                },
                Some((member, report)) = self.reports.1.recv() => self.reported(member, report),
                Some((member, level)) = self.levels.1.recv() => self.heard(member, level),
                Some(visitor) = self.visitors.recv() => self.visited(visitor),
                Some(Trouble { remote, why, is_final }) = self.troubles.recv() => {
                    self.tell(Event::Refused { remote, why, is_final });
                }
                Some(_) = self.tasks.join_next() => {}
                _ = second.tick() => self.count(),
            }
        }
        self.count();
        self.close().await;
    }

    async fn close(self) {
        let Self {
            room,
            members,
            tracks,
            reports,
            mut tasks,
            visitors,
            ..
        } = self;
        // Each member's task hangs up when it has no orders to wait for; nobody hears their reports.
        drop((members, tracks, reports, visitors));
        let all = async { while tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(CLOSE_LIMIT, all).await;
        drop(tasks);
        room.close().await;
    }

    fn tell(&self, event: Event) {
        // overflow: dropped; an owner that is so far behind has no use for it.
        let _ = self.events.try_send(event);
    }

    fn key(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Members that are no peers.
    fn open_outside(
        &mut self,
        id: PeerId,
        outside: Outside,
        visitors: &mpsc::Sender<Visitor>,
        troubles: &mpsc::Sender<Trouble>,
    ) {
        let Outside {
            inputs,
            output,
            web,
            publish,
            play,
        } = outside;
        if output.is_some() || !inputs.is_empty() {
            let (key, orders) = self.admit(PeerInfo {
                id,
                name: None,
                plain: false,
                away: false,
            });
            // Nothing is published yet.
            self.roster.joined(key);
            let member = outside::Member {
                key,
                inputs,
                output,
                reports: self.reports.0.clone(),
                orders,
            };
            self.tasks.spawn(member.run());
        }
        if let Some(server) = web {
            let serving = server.run(visitors.clone(), self.servers.subscribe());
            let task = tokio::spawn(serving);
            self.by_http.push(AbortOnDropHandle::new(task));
        }
        let publish = publish.into_iter().map(|remote| (remote, Way::Out));
        for (remote, way) in publish.chain(play.into_iter().map(|remote| (remote, Way::In))) {
            let keeper = Keeper {
                remote,
                way,
                visitors: visitors.clone(),
                servers: self.servers.subscribe(),
                troubles: troubles.clone(),
                tracks: self.published.subscribe(),
            };
            let task = tokio::spawn(keeper.run());
            self.by_http.push(AbortOnDropHandle::new(task));
        }
    }

    /// Gives somebody a place.
    fn admit(&mut self, info: PeerInfo) -> (MemberKey, mpsc::Receiver<Order>) {
        let key = self.key();
        let (orders, queue) = mpsc::channel(ORDERS);
        self.members.insert(key, Connected { info, orders });
        (key, queue)
    }

    fn meet(&mut self, member: Member) {
        let fresh = self.config.usable_ice_servers(&member.joined.ice_servers);
        self.servers.send_replace(fresh);
        let (key, orders) = self.admit(member.info.clone());
        let call = Call {
            key,
            reports: self.reports.0.clone(),
            orders,
            part: Part::Everything,
        };
        self.tasks.spawn(call.run(member, self.config.clone()));
    }

    /// Somebody comes by HTTP.
    fn visited(&mut self, visitor: Visitor) {
        let Visitor {
            role,
            name,
            sections,
            signaling,
            joined,
            is_local,
            refusal,
        } = visitor;
        let config = SessionConfig {
            loopback: self.config.loopback || is_local,
            ..self.config.clone()
        };
        // Whoever is called has said nothing yet.
        let calls = !joined.peers.is_empty();
        let Ok(id) = format!("http-{:08x}", rand::random::<u32>()).parse() else {
            return;
        };
        let info = PeerInfo {
            id,
            name: name.clone().filter(|_| role == Role::Publish),
            plain: false,
            away: false,
        };
        match role {
            Role::Publish => {
                let (key, orders) = self.admit(info.clone());
                let call = Call {
                    key,
                    reports: self.reports.0.clone(),
                    orders,
                    part: Part::Publisher { calls },
                };
                let member = Member {
                    info,
                    signaling,
                    joined,
                };
                self.tasks.spawn(call.run(member, config));
            }
            Role::Play => {
                let Some(sections) = viewer::assign(&sections, &self.codecs_of(name.as_ref()))
                else {
                    let _ = refusal.send(Refusal::NothingToPlay);
                    return;
                };
                let (key, orders) = self.admit(info);
                let viewer = Viewer {
                    key,
                    reports: self.reports.0.clone(),
                    orders,
                    of: name,
                    sections,
                    calls,
                };
                let place = (signaling, joined);
                self.tasks.spawn(viewer.run(place, config));
            }
        }
    }

    /// What there is to play of those who are called so, the oldest first.
    fn codecs_of(&self, name: Option<&PeerName>) -> Vec<Codec> {
        let mut tracks: Vec<_> = self.tracks.iter().collect();
        tracks.sort_by_key(|(key, _)| **key);
        let is_meant = |published: &&Published| {
            let member = self.members.get(&published.member);
            name.is_none() || member.is_some_and(|member| member.info.name.as_ref() == name)
        };
        let tracks = tracks.into_iter().map(|(_, published)| published);
        tracks
            .filter(is_meant)
            .map(|published| published.forwarding.codec())
            .collect()
    }

    fn reported(&mut self, member: MemberKey, report: Report) {
        let Some(id) = self.members.get(&member).map(|known| known.info.id.clone()) else {
            return;
        };
        match report {
            Report::Connected => {
                let info = self.members[&member].info.clone();
                self.tell(Event::Joined(info));
                let changes = self.roster.joined(member);
                self.perform(changes);
            }
            Report::Published(incoming) => self.publish(member, id, incoming),
            Report::Unpublished(track) => {
                let changes = self.roster.unpublished(member, track);
                self.perform(changes);
            }
            Report::Output(sdp) => self.tell(Event::Output(sdp)),
            Report::Failed(why) => {
                self.members.remove(&member);
                self.tell(Event::Failed(id, why));
            }
            Report::Unmet => drop(self.members.remove(&member)),
            Report::Gone => {
                let changes = self.roster.left(member);
                self.perform(changes);
                self.members.remove(&member);
                self.speakers.left(&member);
                self.tell(Event::Left(id));
            }
        }
    }

    fn publish(&mut self, member: MemberKey, id: PeerId, incoming: IncomingPackets) {
        if !self.roster.may_publish(member) {
            tracing::warn!(member = %id, "a track too many is not forwarded");
            return;
        }
        let track = self.key();
        let codec = incoming.codec();
        let (levels_tx, mut levels) = mpsc::channel(LEVELS);
        let forwarding = Forwarding::start(incoming, levels_tx);
        let (all, reports, ended) = (
            self.levels.0.clone(),
            self.reports.0.clone(),
            forwarding.ended(),
        );
        self.tasks.spawn(async move {
            // Both end with the track.
            let heard = async {
                while let Some(level) = levels.recv().await {
                    let _ = all.try_send((member, level));
                }
            };
            tokio::join!(heard, ended);
            let _ = reports.send((member, Report::Unpublished(track))).await;
        });
        if let Some(tapped) = &self.tapped
            && let Some(frames) = forwarding.tap()
        {
            let member = self.members[&member].info.clone();
            // overflow: its owner takes no more tracks; this one goes nowhere else.
            if tapped.try_send(Tapped { member, frames }).is_err() {
                tracing::warn!("a track is not recorded");
            }
        }
        let published = Published { member, forwarding };
        self.tracks.insert(track, published);
        self.published.send_replace(track);
        self.tell(Event::Started(id, codec));
        let changes = self.roster.published(member, track);
        self.perform(changes);
    }

    fn perform(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Carry { track, to } => {
                    let Some(published) = self.tracks.get(&track) else {
                        continue;
                    };
                    let Some(publisher) = self.members.get(&published.member) else {
                        continue;
                    };
                    let order = Order::Carry {
                        track,
                        codec: published.forwarding.codec(),
                        from: publisher.info.clone(),
                        way: published.forwarding.way(),
                    };
                    self.order(to, order);
                }
                Change::Drop { track, to } => self.order(to, Order::Drop { track }),
                Change::End { track } => self.end(track),
            }
        }
    }

    fn order(&mut self, to: MemberKey, order: Order) {
        let Some(member) = self.members.get(&to) else {
            return;
        };
        // overflow: without orders to wait for, its task hangs up.
        if member.orders.try_send(order).is_err() {
            self.reported(to, Report::Gone);
        }
    }

    fn end(&mut self, track: TrackKey) {
        let Some(published) = self.tracks.remove(&track) else {
            return;
        };
        let Published { member, forwarding } = published;
        self.past = sum(self.past, forwarding.counts());
        if let Some(member) = self.members.get(&member) {
            self.tell(Event::Ended(member.info.id.clone(), forwarding.codec()));
        }
    }

    fn heard(&mut self, member: MemberKey, level: u8) {
        let Some(speaker) = self.speakers.heard(Instant::now(), &member, level) else {
            return;
        };
        if let Some(member) = self.members.get(&speaker) {
            let id = member.info.id.clone();
            self.room
                .say(serde_json::json!({ "type": "speaker", "peer": id }));
            self.tell(Event::Speaker(id));
        }
    }

    fn count(&self) {
        let alive = self.tracks.values().map(|track| track.forwarding.counts());
        self.totals.send_replace(Totals {
            members: self.members.len(),
            tracks: self.tracks.len(),
            counts: alive.fold(self.past, sum),
        });
    }
}

fn sum(a: Counts, b: Counts) -> Counts {
    Counts {
        received: a.received + b.received,
        late: a.late + b.late,
        sent: a.sent + b.sent,
        resent: a.resent + b.resent,
        key_requests: a.key_requests + b.key_requests,
        switches: a.switches + b.switches,
        dropped: a.dropped + b.dropped,
    }
}
