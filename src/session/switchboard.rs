//! One place in a room, shared by the sessions with everybody else in there.
//!
//! A task owns the membership. Each guest that begins to pair becomes a [`Caller`] with a [`Signaling`] of its
//! own, in which nobody else is heard. The task ends, and leaves the room, when the switchboard and all that
//! came from it are dropped.

use crate::pairing::{Record, RecordError};
use crate::signaling::{Lost, Signaling};
use signaling_protocol::{ClientMessage, IceServer, Joined, PeerId, PeerInfo, ServerMessage};
use tokio::sync::mpsc;

/// Messages that wait for one session. A session reads at once; one whose queue is full is cut off from the
/// server, as a member that does not read would be.
const INBOX: usize = 64;

/// Messages of all sessions that wait for the server; sessions wait when there are more.
const OUTBOX: usize = 64;

/// Guests that wait to be answered. Rooms have no more places; others get no answer.
const CALLERS: usize = 16;

/// Sessions at a time, those included that have lost their guest.
const LINES: usize = 64;

/// A guest that has begun to pair.
#[derive(Debug)]
pub struct Caller {
    /// The conversation with it.
    pub signaling: Signaling,
    /// The room as if nobody else were in it.
    pub joined: Joined,
}

/// Tells the guests of a room apart.
#[derive(Debug)]
pub struct Switchboard {
    callers: mpsc::Receiver<Result<Caller, Lost>>,
}

impl Switchboard {
    /// Takes over a place in a room, as the one whom everybody else comes to see.
    pub fn new(signaling: Signaling, joined: Joined) -> Self {
        let (to_owner, callers) = mpsc::channel(CALLERS);
        let (outgoing, to_send) = mpsc::channel(OUTBOX);
        let operator = Operator {
            signaling,
            joined,
            lines: Vec::new(),
            callers: to_owner,
            outgoing: outgoing.downgrade(),
        };
        tokio::spawn(operator.run(outgoing, to_send));
        Self { callers }
    }

    /// The next guest; an error when there can be none any more, because the server is gone. Cancelled, it
    /// has lost none.
    pub async fn next(&mut self) -> Result<Caller, Lost> {
        self.callers.recv().await.unwrap_or(Err(Lost::Closed))
    }
}

struct Operator {
    signaling: Signaling,
    joined: Joined,
    lines: Vec<Line>,
    callers: mpsc::Sender<Result<Caller, Lost>>,
    outgoing: mpsc::WeakSender<ClientMessage>,
}

struct Line {
    /// Who is heard; nobody, once that one has left: it may come back as anybody.
    peer: Option<PeerId>,
    inbox: mpsc::Sender<Result<ServerMessage, Lost>>,
}

impl Operator {
    async fn run(
        mut self,
        outgoing: mpsc::Sender<ClientMessage>,
        mut to_send: mpsc::Receiver<ClientMessage>,
    ) {
        // Lives as long as new sessions may begin; each of them has one of its own.
        let mut open = Some(outgoing);
        loop {
            tokio::select! {
                message = to_send.recv() => match message {
                    Some(message) => {
                        // A server that is gone is reported by `next`.
                        let _ = self.signaling.send(message).await;
                    }
                    None => return self.signaling.leave().await,
                },
                message = self.signaling.next() => match message {
                    Ok(message) => self.take(&message),
                    Err(lost) => {
                        for line in self.lines.drain(..) {
                            let _ = line.inbox.try_send(Err(lost.clone()));
                        }
                        let _ = self.callers.try_send(Err(lost));
                        return;
                    }
                },
                () = self.callers.closed(), if open.is_some() => open = None,
            }
        }
    }

    fn take(&mut self, message: &ServerMessage) {
        match message {
            ServerMessage::Sealed { from, data } => {
                let (from, known) = (from.clone(), self.is_known(from));
                match Record::decode(data) {
                    Ok(Record::ShareGuest { .. }) | Err(RecordError::Version(_)) if !known => {
                        self.call(from, message);
                    }
                    _ => self.tell(&from, message),
                }
            }
            ServerMessage::PeerLeft { peer, .. } => {
                let peer = peer.clone();
                self.tell(&peer, message);
                for line in &mut self.lines {
                    line.peer.take_if(|id| *id == peer);
                }
            }
            ServerMessage::PeerAway { peer } | ServerMessage::PeerBack { peer } => {
                self.tell(&peer.clone(), message);
            }
            ServerMessage::PeerJoined { ice_servers, .. } => self.fresh(ice_servers),
            // The room was entered anew: everybody has another id, and shows who it is.
            ServerMessage::Joined(joined) => {
                let joined = Joined {
                    peers: Vec::new(),
                    ..joined.clone()
                };
                self.fresh(&joined.ice_servers);
                for line in &mut self.lines {
                    line.peer = None;
                }
                let alone = ServerMessage::Joined(joined);
                self.lines.retain(|line| give(line, &alone));
            }
            other => tracing::trace!(?other, "ignored"),
        }
    }

    fn is_known(&self, peer: &PeerId) -> bool {
        let is = |line: &Line| line.peer.as_ref() == Some(peer);
        self.lines.iter().any(is)
    }

    /// To the session with this peer; if there is none, to those whose peer it may be.
    fn tell(&mut self, from: &PeerId, message: &ServerMessage) {
        let known = self.is_known(from).then(|| from.clone());
        let meant = |line: &Line| line.peer == known;
        self.lines
            .retain(|line| !meant(line) || give(line, message));
    }

    fn fresh(&mut self, ice_servers: &[IceServer]) {
        if !ice_servers.is_empty() {
            self.joined.ice_servers = ice_servers.to_vec();
        }
    }

    fn call(&mut self, from: PeerId, share: &ServerMessage) {
        self.lines.retain(|line| !line.inbox.is_closed());
        let Some(outgoing) = self.outgoing.upgrade() else {
            return;
        };
        if self.lines.len() >= LINES {
            tracing::info!("too many guests");
            return;
        }
        let (inbox, incoming) = mpsc::channel(INBOX);
        let guest = PeerInfo {
            id: from.clone(),
            name: None,
            plain: false,
            away: false,
        };
        let caller = Caller {
            signaling: self.signaling.part(outgoing, incoming),
            joined: Joined {
                peers: vec![guest],
                ..self.joined.clone()
            },
        };
        let line = Line {
            peer: Some(from),
            inbox,
        };
        // overflow: it gets no answer.
        if give(&line, share) && self.callers.try_send(Ok(caller)).is_ok() {
            self.lines.push(line);
        }
    }
}

/// Whether the session is still there to hear it.
fn give(line: &Line, message: &ServerMessage) -> bool {
    line.inbox.try_send(Ok(message.clone())).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signaling::memory::Server;
    use signaling_protocol::Join;

    async fn member(server: &Server, room: Option<&Joined>) -> (Signaling, Joined) {
        let join = Join {
            room: room.map(|joined| joined.room.clone()),
            create: Some(room.is_none()),
            ..Join::default()
        };
        server.join(join).await.unwrap()
    }

    fn sealed(to: &Joined, record: &Record) -> ClientMessage {
        ClientMessage::Sealed {
            to: to.own_id.clone(),
            data: record.encode(),
        }
    }

    const SHARE: Record = Record::ShareGuest {
        sid: [0; 16],
        share: [0; 32],
    };

    fn secret(byte: u8) -> Record {
        Record::Sealed {
            counter: 0,
            ciphertext: vec![byte; 16],
        }
    }

    async fn heard(signaling: &mut Signaling) -> Record {
        loop {
            if let ServerMessage::Sealed { data, .. } = signaling.next().await.unwrap() {
                return Record::decode(&data).unwrap();
            }
        }
    }

    #[tokio::test]
    async fn everybody_has_a_line_of_its_own() {
        let server = Server::new();
        let (signaling, host) = member(&server, None).await;
        let mut board = Switchboard::new(signaling, host.clone());
        let mut guests = Vec::new();
        for _ in 0..3 {
            let (guest, joined) = member(&server, Some(&host)).await;
            // Says nothing yet, or nothing that begins a pairing: nobody is called.
            guest.send(sealed(&host, &secret(9))).await.unwrap();
            guest.send(sealed(&host, &SHARE)).await.unwrap();
            let caller = board.next().await.unwrap();
            assert_eq!(caller.joined.peers[0].id, joined.own_id);
            guests.push((guest, joined, caller.signaling));
        }
        for (number, (guest, joined, line)) in (0..).zip(&mut guests) {
            assert_eq!(heard(line).await, SHARE);
            guest.send(sealed(&host, &secret(number))).await.unwrap();
            assert_eq!(heard(line).await, secret(number));
            line.send(sealed(joined, &secret(7))).await.unwrap();
            assert_eq!(heard(guest).await, secret(7));
        }
        // One leaves and comes back as somebody else: only who has lost somebody hears it.
        let (guest, _, mut lost) = guests.remove(0);
        guest.leave().await;
        assert!(matches!(
            lost.next().await,
            Ok(ServerMessage::PeerLeft { .. })
        ));
        let (again, _) = member(&server, Some(&host)).await;
        again.send(sealed(&host, &secret(3))).await.unwrap();
        assert_eq!(heard(&mut lost).await, secret(3));
        let (guest, ..) = &guests[1];
        guest.send(sealed(&host, &secret(4))).await.unwrap();
        let (_, _, right) = &mut guests[1];
        assert_eq!(heard(right).await, secret(4));
        let (first, ..) = &guests[0];
        first.send(sealed(&host, &secret(5))).await.unwrap();
        let (_, _, other) = &mut guests[0];
        assert_eq!(heard(other).await, secret(5));
    }

    #[tokio::test]
    async fn the_room_is_left_with_the_last_session() {
        let server = Server::new();
        let (signaling, host) = member(&server, None).await;
        let mut board = Switchboard::new(signaling, host.clone());
        let (mut guest, _) = member(&server, Some(&host)).await;
        guest.send(sealed(&host, &SHARE)).await.unwrap();
        let caller = board.next().await.unwrap();
        drop(board);
        let mut line = caller.signaling;
        guest.send(sealed(&host, &secret(1))).await.unwrap();
        assert_eq!(heard(&mut line).await, SHARE);
        assert_eq!(heard(&mut line).await, secret(1));
        drop(line);
        let left = guest.next().await.unwrap();
        assert!(matches!(left, ServerMessage::PeerLeft { .. }), "{left:?}");
    }

    #[tokio::test]
    async fn a_server_that_is_gone_is_gone_for_all() {
        let server = Server::new();
        let (signaling, host) = member(&server, None).await;
        let mut board = Switchboard::new(signaling, host.clone());
        let (guest, _) = member(&server, Some(&host)).await;
        guest.send(sealed(&host, &SHARE)).await.unwrap();
        let mut caller = board.next().await.unwrap();
        assert_eq!(heard(&mut caller.signaling).await, SHARE);
        server.stop();
        assert!(board.next().await.is_err());
        assert!(caller.signaling.next().await.is_err());
    }
}
