//! The one task that owns a room: who is in it, what they send, and what has to go to whom.

use super::claims::Claims;
use super::visitors::Callers;
use super::{Event, Tapped, Totals};
use crate::forward::forwarding::Forwarding;
use crate::forward::member::{Call, Order, Part, Report};
use crate::forward::outside::Outside;
use crate::forward::relay::Counts;
use crate::forward::roster::{Change, MemberKey, Roster, TrackKey};
use crate::forward::speaker::Speakers;
use crate::media::track::{Form, IncomingPackets};
use crate::session::{Member, News, OpenRoom, SessionConfig};
use crate::signaling::Signaling;
use signaling_protocol::{Joined, PeerId, PeerInfo};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// What members' tasks have to say; they wait.
const REPORTS: usize = 256;

/// What a member's task has to do: the tracks of a full room, added and removed a few times. A member that is further
/// behind than this is hung up on.
const ORDERS: usize = 512;

/// How long hanging up on everybody may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(4);

/// Levels of sound that wait; 20 ms of a full room.
const LEVELS: usize = 256;

/// A member, and how its task is told what to do.
pub(super) struct Connected {
    pub(super) info: PeerInfo,
    orders: mpsc::Sender<Order>,
}

/// A track, and whose it is.
pub(super) struct Published {
    pub(super) member: MemberKey,
    pub(super) forwarding: Forwarding,
}

/// What comes from members, both ends.
pub(super) type Queue<T> = (mpsc::Sender<(MemberKey, T)>, mpsc::Receiver<(MemberKey, T)>);

/// The room as its task has it.
pub(super) struct Hub {
    /// Ours.
    pub(super) own_id: PeerId,
    room: OpenRoom,
    pub(super) config: SessionConfig,
    pub(super) roster: Roster,
    pub(super) members: HashMap<MemberKey, Connected>,
    claims: Claims,
    pub(super) tracks: HashMap<TrackKey, Published>,
    next: u64,
    pub(super) tasks: JoinSet<()>,
    speakers: Speakers<MemberKey>,
    events: mpsc::Sender<Event>,
    pub(super) reports: Queue<Report>,
    levels: Queue<u8>,
    /// Of tracks that have ended.
    past: Counts,
    tapped: Option<mpsc::Sender<Tapped>>,
    totals: watch::Sender<Totals>,
    pub(super) callers: Callers,
}

impl Hub {
    pub(super) fn new(
        (signaling, joined): (Signaling, Joined),
        config: SessionConfig,
        (events, totals): (mpsc::Sender<Event>, watch::Sender<Totals>),
        tapped: Option<mpsc::Sender<Tapped>>,
    ) -> Self {
        let servers = config.usable_ice_servers(&joined.ice_servers);
        let (reports_tx, reports) = mpsc::channel(REPORTS);
        let (levels_tx, levels) = mpsc::channel(LEVELS);
        Self {
            own_id: joined.own_id.clone(),
            room: OpenRoom::new(signaling, joined),
            config: SessionConfig {
                form: Form::Packets,
                ..config
            },
            roster: Roster::default(),
            members: HashMap::new(),
            claims: Claims::default(),
            tracks: HashMap::new(),
            next: 0,
            tasks: JoinSet::new(),
            speakers: Speakers::default(),
            events,
            reports: (reports_tx, reports),
            levels: (levels_tx, levels),
            past: Counts::default(),
            tapped,
            totals,
            callers: Callers::new(servers),
        }
    }

    /// Until it is stopped.
    pub(super) async fn run(mut self, mut stopped: mpsc::Receiver<()>, outside: Outside) {
        self.open_outside(outside);
        let mut second = tokio::time::interval(Duration::from_secs(1));
        let mut server_is_there = true;
        loop {
            tokio::select! {
                _ = stopped.recv() => break,
                news = self.room.next(), if server_is_there => match news {
                    Ok(News::Came(member)) => self.meet(*member),
                    Ok(News::Was { id, before }) => self.claimed(&id, before),
                    Err(lost) => {
                        server_is_there = false;
                        self.tell(Event::Lost(lost));
                    }
                },
                Some((member, report)) = self.reports.1.recv() => self.reported(member, report),
                Some((member, level)) = self.levels.1.recv() => self.heard(member, level),
                Some(visitor) = self.callers.visitors.1.recv() => self.visited(visitor),
                Some(trouble) = self.callers.troubles.1.recv() => self.tell(trouble.into()),
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
            callers,
            ..
        } = self;
        // Each member's task hangs up when it has no orders to wait for; nobody hears their reports.
        drop((members, tracks, reports, callers.visitors));
        let all = async { while tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(CLOSE_LIMIT, all).await;
        drop(tasks);
        room.close().await;
    }

    fn tap(&self, tapped: Tapped) {
        // overflow: its owner takes nothing any more, and this goes nowhere else.
        if let Some(tap) = &self.tapped
            && tap.try_send(tapped).is_err()
        {
            tracing::warn!("somebody is not recorded as they should");
        }
    }

    pub(super) fn tell(&self, event: Event) {
        // overflow: dropped; an owner that is so far behind has no use for it.
        let _ = self.events.try_send(event);
    }

    fn key(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Gives somebody a place.
    pub(super) fn admit(&mut self, info: PeerInfo) -> (MemberKey, mpsc::Receiver<Order>) {
        let key = self.key();
        let (orders, queue) = mpsc::channel(ORDERS);
        self.members.insert(key, Connected { info, orders });
        (key, queue)
    }

    fn meet(&mut self, member: Member) {
        let fresh = self.config.usable_ice_servers(&member.joined.ice_servers);
        self.callers.servers.send_replace(fresh);
        let (key, orders) = self.admit(member.info.clone());
        let call = Call {
            key,
            reports: self.reports.0.clone(),
            orders,
            part: Part::Everything,
        };
        self.tasks.spawn(call.run(member, self.config.clone()));
    }

    /// A member says who it was.
    fn claimed(&mut self, id: &PeerId, before: Vec<PeerId>) {
        self.claims.made(id.clone(), before);
        let members = self.members.iter();
        let mut calls = members.filter(|(_, known)| known.info.id == *id);
        let connected = calls.find(|(key, _)| self.roster.has(**key));
        if let Some(key) = connected.map(|(key, _)| *key) {
            self.succeed(key, id);
        }
        self.forget();
    }

    /// A member is connected: hangs up on who it was.
    fn succeed(&mut self, by: MemberKey, id: &PeerId) {
        let before = self.claims.taken(id);
        let former = self.members.iter();
        let former = former.filter(|(key, known)| **key != by && before.contains(&known.info.id));
        let former: Vec<_> = former.map(|(key, _)| *key).collect();
        for key in former {
            self.reported(key, Report::Gone);
        }
    }

    /// Somebody may be gone whom others claim to have been.
    fn forget(&mut self) {
        let here = self.members.values().map(|known| &known.info.id);
        self.claims.keep(&here.collect());
    }

    fn reported(&mut self, member: MemberKey, report: Report) {
        let Some(id) = self.members.get(&member).map(|known| known.info.id.clone()) else {
            return;
        };
        match report {
            Report::Connected => {
                let info = self.members[&member].info.clone();
                self.tell(Event::Joined(info));
                // Nobody shall see and hear themselves.
                self.succeed(member, &id);
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
                self.forget();
                self.tell(Event::Failed(id, why));
            }
            Report::Unmet => drop(self.members.remove(&member)),
            Report::Gone => {
                let was_connected = self.roster.has(member);
                let changes = self.roster.left(member);
                self.perform(changes);
                self.members.remove(&member);
                self.forget();
                if !was_connected {
                    return;
                }
                self.speakers.left(&member);
                self.tap(Tapped::Left(id.clone()));
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
        if self.tapped.is_some()
            && let Some(frames) = forwarding.tap()
        {
            let member = self.members[&member].info.clone();
            self.tap(Tapped::Track { member, frames });
        }
        let published = Published { member, forwarding };
        self.tracks.insert(track, published);
        self.callers.published.send_replace(track);
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
