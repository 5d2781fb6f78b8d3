//! The handle to a room.

use super::actor::{Actor, Ends, QUEUE};
use super::error::{Lost, Refusal, SendError, SignalingError, Unreachable};
use super::line::Line;
use super::server_url::ServerUrl;
use super::transport::{Incoming, OldRoom, Transport};
use signaling_protocol::limits::MESSAGE_BYTES;
use signaling_protocol::{ClientMessage, Join, Joined, RoomName, ServerMessage};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time;

/// Time for everything from the look-up of the name to the server's answer to `join`. Longer than three
/// lost SYNs (1, 3 and 7 s), shorter than the patience of somebody who looks at a prompt.
pub(super) const JOIN_LIMIT: Duration = Duration::from_secs(10);

/// A membership in a room.
///
/// A task of its own moves the messages. Dropping the handle makes that task send what was queued, leave
/// the room and end, within two seconds; [`leave`](Self::leave) waits for it.
#[derive(Debug)]
pub struct Signaling {
    outgoing: mpsc::Sender<ClientMessage>,
    incoming: mpsc::Receiver<Result<ServerMessage, Lost>>,
    lost: Option<Lost>,
    trouble: watch::Receiver<Option<Lost>>,
    wishes: Arc<Wishes>,
    room: OldRoom,
    heard: watch::Receiver<Instant>,
    /// Bytes in the largest message that the server takes.
    limit: usize,
    /// Unless somebody else carries the messages.
    task: Option<JoinHandle<()>>,
}

/// What the handle wants of its task besides sending.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// Find out now whether the server is there.
    pub(super) check: Notify,
    /// The room to enter again on a server that has forgotten us.
    pub(super) room: OnceLock<OldRoom>,
}

impl Signaling {
    /// Connects to a server and enters a room, within 10 seconds.
    pub async fn join(server: &ServerUrl, join: Join) -> Result<(Self, Joined), SignalingError> {
        let unreachable = |cause| SignalingError::Unreachable {
            server: server.clone(),
            cause,
        };
        let entered = async {
            let mut line = Line::connect(server).await.map_err(unreachable)?;
            let joined = match ask(&mut line, join.clone()).await {
                // A proxy may let a WebSocket open and then cut it.
                Err(SignalingError::Lost(lost)) if lost.is_passing() => {
                    match line.fall_back().await {
                        true => ask(&mut line, join.clone()).await?,
                        false => return Err(SignalingError::Lost(lost)),
                    }
                }
                joined => joined?,
            };
            Ok(Self::start(line, join, joined))
        };
        time::timeout(JOIN_LIMIT, entered)
            .await
            .unwrap_or_else(|_| Err(unreachable(Unreachable::Timeout)))
    }

    /// Enters a room over an open connection.
    pub(super) async fn enter(
        mut transport: impl Transport,
        join: Join,
    ) -> Result<(Self, Joined), SignalingError> {
        let joined = ask(&mut transport, join.clone()).await?;
        Ok(Self::start(transport, join, joined))
    }

    fn start(transport: impl Transport, join: Join, joined: Joined) -> (Self, Joined) {
        let (outgoing, to_send) = mpsc::channel(QUEUE);
        let (received, incoming) = mpsc::channel(QUEUE);
        let (troubled, trouble) = watch::channel(None);
        let (hearing, heard) = watch::channel(Instant::now());
        let wishes = Arc::<Wishes>::default();
        let ends = Ends {
            to_send,
            received,
            trouble: troubled,
            heard: hearing,
            wishes: wishes.clone(),
        };
        let place = joined.resume.clone().map(|token| (join, token));
        let task = tokio::spawn(Actor::new(transport, ends, place).run());
        let limit = joined.limits.message_bytes as usize;
        let signaling = Self {
            outgoing,
            incoming,
            lost: None,
            trouble,
            wishes,
            room: OldRoom {
                room: joined.room.clone(),
                // A server that says otherwise than the protocol has one more chance to refuse.
                capacity: joined.limits.peers.try_into().unwrap_or(u16::MAX),
            },
            heard,
            limit,
            task: Some(task),
        };
        (signaling, joined)
    }

    /// A part of this membership: a handle whose messages somebody else takes from `outgoing` and puts into
    /// `incoming`. It is in trouble when this one is.
    pub(crate) fn part(
        &self,
        outgoing: mpsc::Sender<ClientMessage>,
        incoming: mpsc::Receiver<Result<ServerMessage, Lost>>,
    ) -> Self {
        Self {
            outgoing,
            incoming,
            lost: None,
            trouble: self.trouble.clone(),
            wishes: self.wishes.clone(),
            room: self.room.clone(),
            heard: self.heard.clone(),
            limit: self.limit,
            task: None,
        }
    }

    /// A handle without a server: somebody else takes its messages and brings others.
    pub(super) fn without_server(
        outgoing: mpsc::Sender<ClientMessage>,
        incoming: mpsc::Receiver<Result<ServerMessage, Lost>>,
        room: RoomName,
    ) -> Self {
        // A closed `trouble` keeps its value: none.
        let (_, trouble) = watch::channel(None);
        let (_, heard) = watch::channel(Instant::now());
        Self {
            outgoing,
            incoming,
            lost: None,
            trouble,
            wishes: Arc::default(),
            room: OldRoom { room, capacity: 2 },
            heard,
            limit: MESSAGE_BYTES,
            task: None,
        }
    }

    /// Why there is no connection to the server now; it is being restored, unless [`next`](Self::next) has
    /// said that it is lost for good. `None` while there is one.
    pub fn trouble(&self) -> Option<Lost> {
        self.trouble.borrow().clone()
    }

    /// As [`trouble`](Self::trouble), for who outlives the handle.
    pub(crate) fn troubles(&self) -> watch::Receiver<Option<Lost>> {
        self.trouble.clone()
    }

    /// Finds out now whether the server is there: without an answer within 5 s it is connected to again.
    pub fn check(&self) {
        self.wishes.check.notify_one();
    }

    /// When the server last gave a sign of life.
    pub fn heard(&self) -> Instant {
        *self.heard.borrow()
    }

    /// From now on the place is not lost when the server is restarted or cannot be reached for long: the same
    /// room is entered again, or made, whenever that can be done. [`next`](Self::next) then gives
    /// [`ServerMessage::Joined`]; ids have changed, and what was on its way is lost.
    pub fn outlive_server(&self) {
        let _ = self.wishes.room.set(self.room.clone());
    }

    /// Ends when the place in the room was given back, or its time to do so is over: two seconds after this
    /// handle is dropped. A process that ends earlier leaves its place taken until the server misses it.
    pub fn left(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut trouble = self.trouble.clone();
        // The sender is the task's.
        async move { while trouble.changed().await.is_ok() {} }
    }

    /// Sends a message; waits while the queue is full. Cancelled, it has sent nothing. Messages are sent in
    /// order, and again if the connection breaks under them; that one was sent does not mean that anybody got
    /// it.
    pub async fn send(&self, message: ClientMessage) -> Result<(), SendError> {
        let size = message.to_json().len();
        if size > self.limit {
            return Err(SendError::TooLarge {
                size,
                limit: self.limit,
            });
        }
        self.outgoing
            .send(message)
            .await
            .map_err(|_| SendError::Lost)
    }

    /// The next message from the server, or why there will be none any more. Cancelled, it has taken
    /// nothing. It must be called for as long as the handle is kept: a member that does not read is
    /// thrown out by its server.
    pub async fn next(&mut self) -> Result<ServerMessage, Lost> {
        if let Some(lost) = &self.lost {
            return Err(lost.clone());
        }
        // Without a last word the task was cut off, as when its runtime shuts down.
        let next = self.incoming.recv().await.unwrap_or(Err(Lost::Closed));
        if let Err(lost) = &next {
            self.lost = Some(lost.clone());
        }
        next
    }

    /// Sends what was queued, leaves the room and closes the connection, within two seconds.
    pub async fn leave(self) {
        let Self {
            outgoing,
            incoming,
            task,
            ..
        } = self;
        drop((outgoing, incoming));
        if let Some(task) = task {
            // An error means that the task was cut off, so there is nothing left to wait for.
            let _ = task.await;
        }
    }
}

/// Asks to be let in, as one who may come back.
pub(super) async fn ask(
    transport: &mut impl Transport,
    mut join: Join,
) -> Result<Joined, SignalingError> {
    join.resumable = true;
    transport
        .send(None, &ClientMessage::Join(join))
        .await
        .map_err(SignalingError::Lost)?;
    loop {
        match transport.receive().await.map_err(SignalingError::Lost)? {
            Incoming::Message { message, .. } => match message {
                ServerMessage::Joined(joined) => return Ok(joined),
                ServerMessage::Error {
                    code,
                    message,
                    retry,
                } => {
                    return Err(SignalingError::Refused(Refusal::new(code, &message, retry)));
                }
                ServerMessage::Draining { .. } => {}
                _ => {
                    let early = "a message came before the answer to join".to_owned();
                    return Err(SignalingError::Lost(Lost::Protocol(early)));
                }
            },
            Incoming::Alive | Incoming::Unknown { .. } => {}
        }
    }
}
