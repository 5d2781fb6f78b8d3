//! One place in an open room, for a call with each of the others.
//!
//! A task owns the membership. Each other member becomes a [`Member`] with a [`Signaling`] of its own, in which nobody else
//! is heard. The task ends, and leaves the room, when the room and all that came from it are dropped.

use super::description::fingerprint;
use super::former::Former;
use super::plain::is_forwarder;
use crate::pairing::Fingerprint;
use crate::signaling::{Lost, Signaling};
use signaling_protocol::{
    ClientMessage, IceServer, Joined, LeaveReason, PeerId, PeerInfo, ServerMessage,
};
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Messages that wait for one call, which reads at once: candidates come in bursts.
const INBOX: usize = 128;

/// Messages of all calls that wait for the server; calls wait when there are more.
const OUTBOX: usize = 64;

/// What happens in the room and waits to be taken. Rooms have half as many places, and two things happen with each.
const NEWS: usize = 512;

/// How long leaving may take.
const LEAVE_LIMIT: Duration = Duration::from_secs(4);

/// Somebody else in the room.
#[derive(Debug)]
pub struct Member {
    /// Who it is, as far as it says.
    pub info: PeerInfo,
    /// The conversation with it. It is over when the member leaves.
    pub signaling: Signaling,
    /// The room as if only this member were in it, and nobody if it is the member who calls.
    pub joined: Joined,
}

/// What happens in the room.
#[derive(Debug)]
pub enum News {
    /// Somebody is there to talk to.
    Came(Box<Member>),
    /// The server had forgotten the room, and somebody in it says who they were before.
    Was {
        /// Who they are now.
        id: PeerId,
        /// Members of before, who are not in the room under that name.
        before: Vec<PeerId>,
    },
}

/// The room.
#[derive(Debug)]
pub struct OpenRoom {
    news: mpsc::Receiver<Result<News, Lost>>,
    outgoing: mpsc::Sender<ClientMessage>,
    trouble: watch::Receiver<Option<Lost>>,
    task: JoinHandle<()>,
}

impl OpenRoom {
    /// Takes over a place in a room. Members that are there are called; those who come later call. When the server forgets
    /// the room, because it was restarted, calls go on as they are, and the room is entered again: whoever is there again
    /// is a new member.
    pub fn new(signaling: Signaling, joined: Joined) -> Self {
        signaling.outlive_server();
        let trouble = signaling.troubles();
        let (to_owner, news) = mpsc::channel(NEWS);
        let (outgoing, to_send) = mpsc::channel(OUTBOX);
        let porter = Porter {
            signaling,
            joined,
            peers: HashMap::new(),
            former: Former::default(),
            news: to_owner,
            outgoing: outgoing.downgrade(),
        };
        // Owned by its outbox.
        let task = tokio::spawn(porter.run(to_send));
        Self {
            news,
            outgoing,
            trouble,
            task,
        }
    }

    /// Tells everybody in the room; nobody while the server is away, when it would be old news before it arrives, and take
    /// the place of what calls have to say.
    pub fn say(&self, payload: serde_json::Value) {
        if self.trouble.borrow().is_some() {
            return;
        }
        // overflow: not said; what is said here is repeated or of no consequence.
        let _ = self
            .outgoing
            .try_send(ClientMessage::Message { to: None, payload });
    }

    /// Leaves the room, once every call is over that came from it.
    pub async fn close(self) {
        let Self { outgoing, task, .. } = self;
        drop(outgoing);
        let _ = timeout(LEAVE_LIMIT, task).await;
    }

    /// What happens next; an error when nothing can any more, because the server is gone. Cancelled, it has lost nothing.
    pub async fn next(&mut self) -> Result<News, Lost> {
        self.news.recv().await.unwrap_or(Err(Lost::Closed))
    }
}

struct Porter {
    signaling: Signaling,
    joined: Joined,
    /// Everybody else in the room.
    peers: HashMap<PeerId, Peer>,
    former: Former,
    news: mpsc::Sender<Result<News, Lost>>,
    outgoing: mpsc::WeakSender<ClientMessage>,
}

type Inbox = mpsc::Sender<Result<ServerMessage, Lost>>;

/// Somebody else in the room, and the call with them.
struct Peer {
    info: PeerInfo,
    /// Closed once the call is over, or it does not read.
    inbox: Option<Inbox>,
    /// Of what they described in it: another one is another call.
    certificate: Option<Fingerprint>,
    /// They have said who they were.
    was: bool,
}

/// Who begins a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Us,
    Them,
}

impl Porter {
    async fn run(mut self, mut to_send: mpsc::Receiver<ClientMessage>) {
        self.call_everybody();
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
                    Ok(message) => self.take(message),
                    Err(lost) => {
                        for inbox in self.peers.values().filter_map(|peer| peer.inbox.as_ref()) {
                            let _ = inbox.try_send(Err(lost.clone()));
                        }
                        let _ = self.news.try_send(Err(lost));
                        return;
                    }
                },
            }
        }
    }

    fn call_everybody(&mut self) {
        for peer in self.joined.peers.clone() {
            // Plain peers call by themselves, and two forwarders have nothing to tell each other.
            let caller = if peer.plain { Caller::Them } else { Caller::Us };
            self.begin(peer, caller);
        }
    }

    fn take(&mut self, message: ServerMessage) {
        match message {
            ServerMessage::PeerJoined { peer, ice_servers } => {
                self.fresh(ice_servers);
                self.begin(peer, Caller::Them);
            }
            // The room was entered anew: everybody has another id. Calls that are connected do without the server from now
            // on, until those who made them hang up, because they are connected anew.
            ServerMessage::Joined(joined) => {
                self.joined = joined;
                for (id, peer) in std::mem::take(&mut self.peers) {
                    // Only we were forgotten, and who is still there has hung up on us.
                    if self.joined.peers.iter().any(|known| known.id == id) {
                        hang_up(id, peer.inbox);
                    } else {
                        self.former.forgotten(id);
                    }
                }
                self.call_everybody();
            }
            ServerMessage::PeerLeft { ref peer, .. } => {
                if let Some(Peer {
                    inbox: Some(inbox), ..
                }) = self.peers.remove(peer)
                {
                    // overflow: its end says the same.
                    let _ = inbox.try_send(Ok(message));
                }
            }
            ServerMessage::Offer { ref from, ref sdp } => {
                let from = from.clone();
                self.begin_anew(&from, sdp);
                self.tell(&from, message);
            }
            ServerMessage::Answer { ref from, ref sdp } => {
                let from = from.clone();
                if let Some(peer) = self.peers.get_mut(&from) {
                    peer.certificate = peer.certificate.or_else(|| fingerprint(sdp));
                }
                self.tell(&from, message);
            }
            ServerMessage::IceCandidate { ref from, .. } => {
                let from = from.clone();
                self.tell(&from, message);
            }
            ServerMessage::Message { from, payload } => self.told(from, &payload),
            other => tracing::trace!(?other, "ignored"),
        }
    }

    fn tell(&mut self, to: &PeerId, message: ServerMessage) {
        let Some(peer) = self.peers.get_mut(to) else {
            return;
        };
        // overflow: a call that does not read is cut off.
        if let Some(inbox) = &peer.inbox
            && inbox.try_send(Ok(message)).is_err()
        {
            peer.inbox = None;
        }
    }

    /// Somebody offers: in the call with them, or because that has broken down, which we may have noticed or not.
    fn begin_anew(&mut self, from: &PeerId, sdp: &str) {
        let Some(peer) = self.peers.get_mut(from) else {
            return;
        };
        let certificate = fingerprint(sdp);
        let is_another =
            peer.certificate.is_some() && certificate.is_some() && peer.certificate != certificate;
        let is_open = peer.inbox.as_ref().is_some_and(|inbox| !inbox.is_closed());
        if is_open && !is_another {
            peer.certificate = peer.certificate.or(certificate);
            return;
        }
        hang_up(from.clone(), peer.inbox.take());
        let (info, was) = (peer.info.clone(), peer.was);
        self.begin(info, Caller::Them);
        if let Some(peer) = self.peers.get_mut(from) {
            peer.certificate = certificate;
            peer.was = was;
        }
    }

    fn told(&mut self, from: PeerId, payload: &serde_json::Value) {
        let Some(peer) = self.peers.get_mut(&from).filter(|peer| !peer.was) else {
            return;
        };
        let before = self.former.claimed(payload);
        if before.is_empty() {
            return;
        }
        peer.was = true;
        // overflow: their connections end when they break.
        let _ = self.news.try_send(Ok(News::Was { id: from, before }));
    }

    fn fresh(&mut self, ice_servers: Vec<IceServer>) {
        if !ice_servers.is_empty() {
            self.joined.ice_servers = ice_servers;
        }
    }

    fn begin(&mut self, peer: PeerInfo, caller: Caller) {
        let Some(outgoing) = self.outgoing.upgrade() else {
            return;
        };
        if is_forwarder(&peer) {
            return;
        }
        let (inbox, incoming) = mpsc::channel(INBOX);
        let callee = (caller == Caller::Us).then(|| peer.clone());
        let known = Peer {
            info: peer.clone(),
            inbox: Some(inbox),
            certificate: None,
            was: false,
        };
        let member = Member {
            signaling: self.signaling.part(outgoing, incoming),
            joined: Joined {
                peers: callee.into_iter().collect(),
                ..self.joined.clone()
            },
            info: peer.clone(),
        };
        // overflow: it is not called; rooms have fewer places.
        if self.news.try_send(Ok(News::Came(Box::new(member)))).is_ok() {
            self.peers.insert(peer.id, known);
        }
    }
}

/// A call hears that the other side is not in it any more.
fn hang_up(id: PeerId, inbox: Option<Inbox>) {
    let left = ServerMessage::PeerLeft {
        peer: id,
        reason: LeaveReason::Lost,
    };
    if let Some(inbox) = inbox {
        // overflow: its end says the same.
        let _ = inbox.try_send(Ok(left));
    }
}
