//! What the hub does when it is one of several. Who is in a room is decided in Redis then; what is here is
//! what this node's members are, and what they are told.

use super::{
    Hub,
    presence::is_seated,
    relaying::{bytes, deliver},
};
use crate::{
    closing::Closing,
    cluster::{Answer, Claim, Cluster, Leaver, Out, Record, Restoration},
    mailbox::{Fit, Frame},
    room::Delivery,
    rooms::Rooms,
    session::Session,
};
use signaling_protocol::{LeaveReason, PeerId, RoomName, ServerMessage};
use std::sync::Arc;

impl Hub {
    /// The cluster that this is a node of.
    pub(crate) fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.cluster.as_ref()
    }

    /// Whether everything that happens in a room is written down in Redis.
    pub(super) fn is_shared(&self, room: &RoomName) -> bool {
        let cluster = self.cluster.as_ref();
        cluster.is_some_and(|cluster| !cluster.goes_alone(room))
    }

    /// Has the cluster look at a room soon.
    pub(crate) fn look_at(&self, room: &RoomName) {
        if let Some(cluster) = &self.cluster {
            cluster.look_at(room);
        }
    }

    /// Tells those who are here, unless Redis tells them.
    pub(super) fn deliver(&self, room: &RoomName, delivery: &Delivery<Arc<Session>>) {
        if !self.is_shared(room) {
            deliver(delivery);
        }
    }

    /// A member that was here is out of its room.
    pub(super) fn report_left(
        &self,
        rooms: &Rooms<Arc<Session>>,
        session: &Session,
        reason: LeaveReason,
    ) {
        let Some((cluster, name)) = self.cluster.as_ref().zip(session.name()) else {
            return;
        };
        if rooms.get(&session.room).is_none() {
            cluster.forget(&session.room);
        }
        cluster.leave(Leaver {
            room: session.room.clone(),
            id: session.id.clone(),
            session: name.to_owned(),
            reason,
        });
    }

    /// What a script says to this node. `frame` is the message that was given to it.
    pub(crate) fn take_in(&self, room: &RoomName, answer: Answer, frame: Option<&Frame>) {
        let mut gap = false;
        if !answer.told.is_empty() {
            let rooms = self.lock_rooms();
            for told in answer.told {
                let Some(session) = rooms.find(room, &told.0) else {
                    continue;
                };
                let frame = match (told.2, frame) {
                    (Some(text), _) => self.equip(session, text),
                    (None, Some(frame)) => frame.clone(),
                    (None, None) => continue,
                };
                let length = frame.len();
                match session.mailbox.push_as(told.1, frame) {
                    Fit::Next => {
                        self.metrics.bytes.inc_by(bytes(length));
                    }
                    Fit::Known => {}
                    Fit::Gap => gap = true,
                }
            }
        }
        self.put_out(room, answer.out);
        if gap {
            self.look_at(room);
        }
    }

    /// Who hears that somebody came gets fresh credentials with it.
    fn equip(&self, session: &Session, text: String) -> Frame {
        if self.minter.can_mint()
            && text.contains("\"peer-joined\"")
            && let Ok(ServerMessage::PeerJoined { peer, .. }) = ServerMessage::parse(&text)
        {
            let ice_servers = self.ice_servers(&session.room, &session.id);
            return Frame::new(&ServerMessage::PeerJoined { peer, ice_servers });
        }
        Frame::from_json(text)
    }

    /// Members that are out of their room, or somewhere else, as Redis says.
    pub(crate) fn put_out(&self, room: &RoomName, out: Vec<Out>) {
        for Out(id, name, why) in out {
            let session = self.with_rooms(|rooms| rooms.find(room, &id).cloned());
            let session = session.filter(|session| session.name() == Some(&*name));
            let Some(session) = session else { continue };
            let closing = match why.as_str() {
                "slow" => {
                    self.metrics.slow.inc();
                    Closing::slow()
                }
                "moved" => {
                    if let Some(cluster) = &self.cluster {
                        cluster.gave_over();
                    }
                    Closing::moved()
                }
                _ => Closing::gone(),
            };
            self.unseat(&session, closing);
        }
    }

    /// Takes members out that have lost their place.
    pub(crate) fn dismiss<'a>(
        &self,
        room: &RoomName,
        ids: impl IntoIterator<Item = &'a PeerId>,
        closing: &Closing,
    ) {
        for id in ids {
            let session = self.with_rooms(|rooms| rooms.find(room, id).cloned());
            if let Some(session) = session {
                self.unseat(&session, closing.clone());
            }
        }
    }

    pub(super) fn unseat(&self, session: &Session, closing: Closing) {
        session.mailbox.end(closing);
        let mut rooms = self.lock_rooms();
        if is_seated(&rooms, session)
            && rooms
                .leave(&session.room, &session.id, LeaveReason::Lost)
                .is_some()
        {
            if session.is_resumable() {
                self.lock_sources().give_place_back(session.source);
            }
            if let Some(cluster) = &self.cluster
                && rooms.get(&session.room).is_none()
            {
                cluster.forget(&session.room);
            }
        }
    }

    /// Ends the connections of members whose room has others elsewhere: from another node they reach them.
    pub(crate) fn part(&self) {
        let Some(cluster) = &self.cluster else { return };
        let rooms = self.lock_rooms();
        for (name, room) in rooms.iter() {
            if !cluster.is_alone(name) {
                for member in room.members() {
                    member.handle.mailbox.dismiss(Closing::draining());
                }
            }
        }
    }

    /// The members of a room that are here.
    pub(crate) fn claims(&self, room: &RoomName) -> Vec<Claim> {
        let rooms = self.lock_rooms();
        let members = rooms.get(room).into_iter().flat_map(|room| room.members());
        members
            .filter_map(|member| {
                let (done, after) = member.handle.mailbox.progress();
                Some(Claim {
                    id: member.info.id.clone(),
                    session: member.handle.name()?.to_owned(),
                    done,
                    after,
                    away: member.info.away,
                })
            })
            .collect()
    }

    /// All that there is of members that are here.
    pub(crate) fn records(&self, room: &RoomName, ids: &[PeerId]) -> Vec<Record> {
        records(&self.lock_rooms(), room, |id| ids.contains(id))
    }

    /// What went on in a room without Redis, if it did. From here on it goes on with Redis.
    pub(crate) fn begin_restoring(
        &self,
        cluster: &Arc<Cluster>,
        room: &RoomName,
    ) -> Option<(Vec<Record>, Restoration)> {
        // Nobody passes anything on meanwhile.
        let rooms = self.lock_rooms();
        let restoration = cluster.begin_restoring(room)?;
        Some((records(&rooms, room, |_| true), restoration))
    }
}

fn records(
    rooms: &Rooms<Arc<Session>>,
    room: &RoomName,
    wanted: impl Fn(&PeerId) -> bool,
) -> Vec<Record> {
    let members = rooms.get(room).into_iter().flat_map(|room| room.members());
    members
        .enumerate()
        .filter(|(_, member)| wanted(&member.info.id))
        .filter_map(|(order, member)| {
            let session = member.handle;
            let (first, texts) = session.mailbox.unfinished();
            Some(Record {
                id: member.info.id.clone(),
                order,
                session: session.name()?.to_owned(),
                secret: session.digest(),
                name: member.info.name.clone(),
                plain: session.plain,
                away: member.info.away,
                received: session.written(),
                first,
                texts,
            })
        })
        .collect()
}
