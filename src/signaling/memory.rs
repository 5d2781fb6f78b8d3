//! Rooms inside a process: the rules of a signaling server without its sockets, for tests and examples.
//!
//! [`Server::with_tap`] makes it hostile: the tap sees every message that one member sends to another and
//! decides what arrives, and where.

use super::client::Signaling;
use super::error::{Lost, SignalingError};
use super::transport::{Incoming, Transport};
use signaling_protocol::limits::{MESSAGE_BYTES, MESSAGES_PER_SECOND, PEERS_PER_ROOM};
use signaling_protocol::{
    ClientMessage, ErrorCode, Join, Joined, LeaveReason, Limits, PeerId, PeerInfo, RoomName,
    ServerMessage,
};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::mpsc;

/// Messages that wait for one member. A member that lets them fill up is thrown out, as on a real server.
const INBOX: usize = 256;

/// A message on its way from one member to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Relayed {
    /// Who sent it. What the receiver is told is in `message`.
    pub from: PeerId,
    /// Who will get it.
    pub to: PeerId,
    /// What will arrive.
    pub message: ServerMessage,
}

type Tap = Box<dyn FnMut(Relayed) -> Vec<Relayed> + Send>;

/// A signaling server without a network. Clones are the same server.
#[derive(Clone)]
pub struct Server(Arc<Mutex<Rooms>>);

struct Rooms {
    rooms: BTreeMap<RoomName, Room>,
    joined: u64,
    tap: Tap,
}

struct Room {
    members: Vec<Member>,
    capacity: u16,
}

struct Member {
    info: PeerInfo,
    inbox: mpsc::Sender<ServerMessage>,
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// An honest server.
    pub fn new() -> Self {
        Self::with_tap(|message| vec![message])
    }

    /// A server that passes every relayed message through `tap`. Returning nothing drops it; returning several
    /// repeats it or makes up others, to any member of the room; the tap may keep messages for later.
    pub fn with_tap(tap: impl FnMut(Relayed) -> Vec<Relayed> + Send + 'static) -> Self {
        let tap = Box::new(tap);
        Self(Arc::new(Mutex::new(Rooms {
            rooms: BTreeMap::new(),
            joined: 0,
            tap,
        })))
    }

    /// Enters a room.
    pub async fn join(&self, join: Join) -> Result<(Signaling, Joined), SignalingError> {
        Signaling::enter(Link::new(self.clone()), join).await
    }

    /// Throws everybody out, as a server that is killed does.
    pub fn stop(&self) {
        self.lock().rooms.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Rooms> {
        // A tap that panicked fails its test by that; the rooms are still whole.
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.lock()
                    .rooms
                    .iter()
                    .map(|(name, room)| (name, room.members.len())),
            )
            .finish()
    }
}

impl Rooms {
    fn enter(
        &mut self,
        join: &Join,
        inbox: mpsc::Sender<ServerMessage>,
    ) -> Result<(RoomName, PeerId), ErrorCode> {
        let name = self.name(join)?;
        let peers = self.rooms.get(&name).map_or(0, |room| room.members.len());
        match join.create {
            Some(true) if peers > 0 => return Err(ErrorCode::RoomTaken),
            Some(false) if peers == 0 => return Err(ErrorCode::NoSuchRoom),
            _ => {}
        }
        let capacity = join
            .capacity
            .unwrap_or(PEERS_PER_ROOM)
            .clamp(2, PEERS_PER_ROOM);
        let room = self.rooms.entry(name.clone()).or_insert_with(|| Room {
            members: Vec::new(),
            capacity,
        });
        if peers >= usize::from(room.capacity) {
            return Err(ErrorCode::RoomFull);
        }
        self.joined += 1;
        let id: PeerId = format!("p{}", self.joined)
            .parse()
            .expect("p and a number is an id");
        let info = PeerInfo {
            id: id.clone(),
            name: join.name.clone(),
            plain: false,
            away: false,
        };
        let joined = Joined {
            room: name.clone(),
            own_id: id.clone(),
            peers: room
                .members
                .iter()
                .map(|member| member.info.clone())
                .collect(),
            ice_servers: Vec::new(),
            resume: None,
            limits: Limits {
                message_bytes: MESSAGE_BYTES as u32,
                messages_per_second: MESSAGES_PER_SECOND,
                peers: room.capacity.into(),
            },
        };
        room.members.push(Member {
            info: info.clone(),
            inbox,
        });
        self.deliver(&name, &id, ServerMessage::Joined(joined));
        let joined = ServerMessage::PeerJoined {
            peer: info,
            ice_servers: Vec::new(),
        };
        self.tell_others(&name, &id, &joined);
        Ok((name, id))
    }

    fn name(&self, join: &Join) -> Result<RoomName, ErrorCode> {
        match (&join.room, join.create) {
            (Some(name), _) => Ok(name.clone()),
            (None, Some(true)) => (1..)
                .map(|n: u64| n.to_string().parse().expect("a number is a room name"))
                .find(|name| !self.rooms.contains_key(name))
                .ok_or(ErrorCode::ServerFull),
            (None, _) => Err(ErrorCode::BadMessage),
        }
    }

    fn leave(&mut self, name: &RoomName, id: &PeerId, reason: LeaveReason) {
        let Some(room) = self.rooms.get_mut(name) else {
            return;
        };
        let before = room.members.len();
        room.members.retain(|member| member.info.id != *id);
        if room.members.len() == before {
            return;
        }
        if room.members.is_empty() {
            self.rooms.remove(name);
        } else {
            self.tell_others(
                name,
                id,
                &ServerMessage::PeerLeft {
                    peer: id.clone(),
                    reason,
                },
            );
        }
    }

    fn relay(&mut self, name: &RoomName, from: &PeerId, message: &ClientMessage) {
        let Some(relayed) = message.clone().into_relayed(from.clone()) else {
            return;
        };
        let others: Vec<PeerId> = self.others(name, from);
        let receivers = match message.to() {
            None => others,
            Some(to) if others.contains(to) => vec![to.clone()],
            Some(_) => {
                let error = ServerMessage::error(ErrorCode::NoSuchPeer, "nobody has this id");
                return self.deliver(name, from, error);
            }
        };
        for to in receivers {
            let letter = Relayed {
                from: from.clone(),
                to,
                message: relayed.clone(),
            };
            for Relayed { to, message, .. } in (self.tap)(letter) {
                self.deliver(name, &to, message);
            }
        }
    }

    fn tell_others(&mut self, name: &RoomName, but: &PeerId, message: &ServerMessage) {
        for id in self.others(name, but) {
            self.deliver(name, &id, message.clone());
        }
    }

    fn others(&self, name: &RoomName, but: &PeerId) -> Vec<PeerId> {
        let members = self.rooms.get(name).map_or(&[][..], |room| &room.members);
        members
            .iter()
            .map(|member| &member.info.id)
            .filter(|id| *id != but)
            .cloned()
            .collect()
    }

    fn deliver(&mut self, name: &RoomName, to: &PeerId, message: ServerMessage) {
        let members = self.rooms.get(name).map_or(&[][..], |room| &room.members);
        let Some(member) = members.iter().find(|member| member.info.id == *to) else {
            return;
        };
        if member.inbox.try_send(message).is_err() {
            self.leave(name, to, LeaveReason::Kicked);
        }
    }
}

/// One connection to the server.
struct Link {
    server: Server,
    place: Place,
    received: mpsc::Receiver<ServerMessage>,
}

enum Place {
    Outside { inbox: mpsc::Sender<ServerMessage> },
    Inside { room: RoomName, id: PeerId },
    Gone,
}

impl Link {
    fn new(server: Server) -> Self {
        let (inbox, received) = mpsc::channel(INBOX);
        Self {
            server,
            place: Place::Outside { inbox },
            received,
        }
    }

    fn leave(&mut self, reason: LeaveReason) {
        if let Place::Inside { room, id } = std::mem::replace(&mut self.place, Place::Gone) {
            self.server.lock().leave(&room, &id, reason);
        }
    }
}

impl Transport for Link {
    async fn send(&mut self, _: Option<u64>, message: &ClientMessage) -> Result<(), Lost> {
        match (&self.place, message) {
            (Place::Outside { inbox }, ClientMessage::Join(join)) => {
                let inbox = inbox.clone();
                match self.server.lock().enter(join, inbox.clone()) {
                    Ok((room, id)) => self.place = Place::Inside { room, id },
                    Err(code) => {
                        // The inbox is empty, so this cannot fail.
                        let _ = inbox.try_send(ServerMessage::error(code, "refused"));
                        self.place = Place::Gone;
                    }
                }
            }
            (Place::Inside { .. }, ClientMessage::Leave) => self.leave(LeaveReason::Left),
            (Place::Inside { room, id }, ClientMessage::Ping) => {
                self.server.lock().deliver(room, id, ServerMessage::Pong);
            }
            (Place::Inside { room, id }, message) => self.server.lock().relay(room, id, message),
            (Place::Outside { .. } | Place::Gone, _) => return Err(Lost::Closed),
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<Incoming, Lost> {
        self.received
            .recv()
            .await
            .map(Incoming::from)
            .ok_or(Lost::Closed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.leave(LeaveReason::Lost);
    }
}
