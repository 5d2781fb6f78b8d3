//! One place in a room, whatever carries its messages, and the connections that carry them.

use crate::{
    bucket::TokenBucket,
    closing::Closing,
    cluster::{Entry, LAZY_BYTES, Owed},
    config::Limits,
    hub::Hub,
    mailbox::{CarrierId, Frame, Mailbox, Outgoing},
    refusal::Refusal,
    sources::Source,
    token::{ResumeSecret, ResumeToken},
};
use signaling_protocol::{
    ClientMessage, ErrorCode, LeaveReason, Numbered, PeerId, RoomName, ServerMessage,
    limits::{ACK_BYTES, ACK_MESSAGES, MESSAGE_BYTES},
    seq_of,
};
use std::{
    collections::VecDeque,
    ops::ControlFlow,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How a member's messages travel, as far as it says when the member is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Medium {
    /// A connection that lasts: its end is news.
    Socket,
    /// Requests, with pauses between them.
    Requests,
}

/// A member: what it may send, and what waits for it. It has no way to the hub, which owns it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) room: RoomName,
    pub(crate) id: PeerId,
    pub(crate) source: Source,
    pub(crate) plain: bool,
    pub(crate) since: Instant,
    pub(crate) mailbox: Mailbox,
    /// Of those who may come back.
    secret: Option<ResumeSecret>,
    intake: Mutex<Intake>,
    absence: Mutex<Absence>,
    /// In a cluster.
    shared: Option<Box<Shared>>,
}

/// What a member of a cluster has besides.
#[derive(Debug)]
struct Shared {
    /// Which of those that carried this member this is.
    name: String,
    /// What came from it and is not written down yet. Whoever reads from it waits in
    /// [`Session::settle`] before it reads more, so that there is hardly ever more than one.
    owed: Mutex<VecDeque<Owed>>,
    /// The number of the last message that is written down.
    written: AtomicU64,
    /// Held by the one that writes it down.
    turn: tokio::sync::Mutex<()>,
}

/// What came from a member.
#[derive(Debug)]
struct Intake {
    messages: TokenBucket,
    /// The number of its last message.
    received: u64,
    since_ack: u32,
    bytes_since_ack: usize,
}

/// Since when nothing carries a member's messages.
#[derive(Debug, Default)]
pub(crate) struct Absence {
    pub(crate) since: Option<Instant>,
    /// Whether the others know.
    pub(crate) announced: bool,
    /// Whether the clock will look at this member again.
    pub(crate) watched: bool,
}

impl Session {
    pub(crate) fn new(
        room: RoomName,
        id: PeerId,
        source: Source,
        plain: bool,
        secret: Option<ResumeSecret>,
        messages: TokenBucket,
        since: Instant,
    ) -> Self {
        Self {
            room,
            id,
            source,
            plain,
            since,
            mailbox: Mailbox::new(secret.is_some()),
            secret,
            intake: Mutex::new(Intake {
                messages,
                received: 0,
                since_ack: 0,
                bytes_since_ack: 0,
            }),
            absence: Mutex::default(),
            shared: None,
        }
    }

    /// The same in a cluster, where the name tells apart those who carry one member.
    pub(crate) fn shared(mut self, name: String) -> Self {
        self.shared = Some(Box::new(Shared {
            name,
            owed: Mutex::default(),
            written: AtomicU64::new(self.received()),
            turn: tokio::sync::Mutex::default(),
        }));
        self
    }

    /// One that was somewhere else: what came there was up to `received`, what it may lack begins with
    /// `first`.
    pub(crate) fn continued(mut self, received: u64, first: u64) -> Self {
        self.mailbox = Mailbox::from(self.secret.is_some(), first.max(1));
        self.lock().received = received;
        self
    }

    /// Remembers that a message is written down, or passed on without that.
    pub(crate) fn wrote(&self, seq: Option<u64>) {
        if let Some((shared, seq)) = self.shared.as_ref().zip(seq) {
            shared.written.fetch_max(seq, Ordering::Relaxed);
        }
    }

    /// The number of the last message for which that is true.
    pub(crate) fn written(&self) -> u64 {
        let shared = self.shared.as_ref();
        shared.map_or(0, |shared| shared.written.load(Ordering::Relaxed))
    }

    /// Its name in a cluster.
    pub(crate) fn name(&self) -> Option<&str> {
        self.shared.as_ref().map(|shared| shared.name.as_str())
    }

    /// What opens its place, as others may know it.
    pub(crate) fn digest(&self) -> Option<String> {
        self.secret.as_ref().map(ResumeSecret::digest)
    }

    /// Keeps something to be written down.
    pub(crate) fn owe(&self, owed: Owed) {
        if let Some(shared) = &self.shared {
            shared.lock().push_back(owed);
        }
    }

    /// Waits until what came so far is written down, where that takes time. Cancelled, the rest is left for
    /// the next one; what is written down twice is passed on once.
    pub(crate) async fn settle(&self, hub: &Hub) {
        let Some(shared) = &self.shared else {
            return;
        };
        let _turn = shared.turn.lock().await;
        loop {
            let first = shared.lock().front().cloned();
            let Some(owed) = first else { break };
            hub.write_down(self, &owed).await;
            self.wrote(owed.seq);
            shared.lock().pop_front();
        }
        self.acknowledge(&mut self.lock());
    }

    /// Whether [`Session::settle`] has something to do.
    pub(crate) fn is_unsettled(&self) -> bool {
        let shared = self.shared.as_ref();
        shared.is_some_and(|shared| !shared.lock().is_empty())
    }

    /// Says how much has come, if it is time.
    fn acknowledge(&self, intake: &mut Intake) {
        if intake.since_ack >= ACK_MESSAGES || intake.bytes_since_ack >= ACK_BYTES {
            (intake.since_ack, intake.bytes_since_ack) = (0, 0);
            let seq = intake.received;
            self.mailbox.push_aside(&ServerMessage::Ack { seq });
        }
    }

    pub(crate) fn is_resumable(&self) -> bool {
        self.secret.is_some()
    }

    /// What this member comes back with.
    pub(crate) fn token(&self) -> Option<ResumeToken> {
        let secret = self.secret.as_ref()?.clone();
        Some(ResumeToken {
            secret,
            id: self.id.clone(),
            room: self.room.clone(),
        })
    }

    pub(crate) fn is_opened_by(&self, secret: &ResumeSecret) -> bool {
        self.secret.as_ref().is_some_and(|own| own.matches(secret))
    }

    /// The number of the last message that came, which acknowledges everything up to it.
    pub(crate) fn received(&self) -> u64 {
        let mut intake = self.lock();
        (intake.since_ack, intake.bytes_since_ack) = (0, 0);
        intake.received
    }

    pub(crate) fn absence(&self) -> MutexGuard<'_, Absence> {
        self.absence
            .lock()
            .expect("nothing panics while it holds an absence")
    }

    /// Counts something that costs work.
    pub(crate) fn count(&self, limits: &Limits, now: Instant) -> Result<(), Refusal> {
        match self.lock().messages.take(now) {
            true => Ok(()),
            false => Err(too_fast(limits)),
        }
    }

    /// Takes one message from this member. What is refused without ending the membership is answered
    /// through the mailbox.
    pub(crate) fn receive(&self, hub: &Hub, text: &str) -> ControlFlow<Closing> {
        if text.len() > MESSAGE_BYTES {
            return self.refuse(&too_large(MESSAGE_BYTES), None);
        }
        if !self.is_resumable() {
            return match ClientMessage::parse(text) {
                Ok(message) => self.handle(hub, message, None),
                Err(error) => self.refuse(&error.into(), None),
            };
        }
        // Held to the end: of two connections that send the same message, one has to wait and see.
        let mut intake = self.lock();
        let (seq, parsed) = match Numbered::<ClientMessage>::parse(text) {
            Ok(Numbered { seq, message }) => (seq, Ok(message)),
            Err(error) => (seq_of(text), Err(Refusal::from(error))),
        };
        let numbered = match &parsed {
            Ok(message) => message.is_numbered(),
            // Of a newer version; whether it has a number is for its sender to know.
            Err(_) => seq.is_some(),
        };
        if numbered {
            match seq {
                Some(seq) if seq <= intake.received => return ControlFlow::Continue(()),
                Some(seq) if seq == intake.received + 1 => intake.received = seq,
                Some(_) | None => {
                    let next = intake.received + 1;
                    let message = format!("`seq` has to be {next}");
                    return self.refuse(&Refusal::new(ErrorCode::BadMessage, message), None);
                }
            }
            intake.since_ack += 1;
            intake.bytes_since_ack += text.len();
        }
        let seq = seq.filter(|_| numbered);
        let flow = match parsed {
            Ok(message) => self.handle(hub, message, seq),
            Err(refusal) => self.refuse(&refusal, seq),
        };
        if self.shared.is_none() {
            self.acknowledge(&mut intake);
        }
        flow
    }

    fn handle(&self, hub: &Hub, message: ClientMessage, seq: Option<u64>) -> ControlFlow<Closing> {
        let result = match message {
            ClientMessage::Leave => return ControlFlow::Break(Closing::normal()),
            ClientMessage::Join(_) => Err(Refusal::new(
                ErrorCode::AlreadyJoined,
                "one connection is in one room; open another one",
            )),
            ClientMessage::Ping => {
                self.mailbox.push_aside(&ServerMessage::Pong);
                Ok(())
            }
            ClientMessage::Ack { seq } if self.is_resumable() => self.mailbox.acknowledge(seq),
            ClientMessage::Ack { .. } => Err(Refusal::new(
                ErrorCode::BadMessage,
                "`ack` is for those who joined with `resumable`",
            )),
            ClientMessage::Sealed { .. } if self.plain => Err(Refusal::new(
                ErrorCode::NotJoined,
                "only peers that sent `join` as their first message can be paired",
            )),
            message => hub.relay(self, message, seq),
        };
        match result {
            Ok(()) => ControlFlow::Continue(()),
            Err(refusal) => self.refuse(&refusal, seq),
        }
    }

    fn refuse(&self, refusal: &Refusal, seq: Option<u64>) -> ControlFlow<Closing> {
        if refusal.code.is_fatal() {
            return ControlFlow::Break(Closing::refused(refusal));
        }
        let frame = Frame::new(&refusal.to_message());
        if self.shared.is_some() {
            let entry = Entry::Answer;
            self.owe(Owed { seq, frame, entry });
        } else {
            self.mailbox.push(frame);
        }
        ControlFlow::Continue(())
    }

    fn lock(&self) -> MutexGuard<'_, Intake> {
        self.intake
            .lock()
            .expect("nothing panics while it holds an intake")
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Owed>> {
        self.owed
            .lock()
            .expect("nothing panics while it holds what is owed")
    }
}

pub(crate) fn too_fast(limits: &Limits) -> Refusal {
    let rate = limits.messages_per_second;
    Refusal::new(
        ErrorCode::RateLimited,
        format!("more than {rate} messages a second"),
    )
}

pub(crate) fn too_large(limit: usize) -> Refusal {
    Refusal::new(ErrorCode::TooLarge, format!("more than {limit} bytes"))
}

/// The bucket of one peer's messages.
pub(crate) fn message_bucket(limits: &Limits, now: Instant) -> TokenBucket {
    TokenBucket::new(
        limits.messages_per_second,
        Duration::from_secs(1),
        limits.message_burst,
        now,
    )
}

/// What carries a member's messages now. Dropped, the member is away, or gone if it cannot come back.
#[derive(Debug)]
pub(crate) struct Carrier {
    hub: Arc<Hub>,
    session: Arc<Session>,
    id: CarrierId,
    medium: Medium,
    reason: LeaveReason,
}

impl Carrier {
    pub(crate) fn new(hub: Arc<Hub>, session: Arc<Session>, id: CarrierId, medium: Medium) -> Self {
        Self {
            hub,
            session,
            id,
            medium,
            reason: LeaveReason::Lost,
        }
    }

    /// The WebSocket on which a member came. Its mailbox has served nobody else yet, and what is in it
    /// already is for this one.
    pub(crate) fn first(hub: Arc<Hub>, session: Arc<Session>) -> Self {
        Self::new(hub, session, 0, Medium::Socket)
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    pub(crate) fn medium(&self) -> Medium {
        self.medium
    }

    /// Whether no other connection has taken its place.
    pub(crate) fn is_current(&self) -> bool {
        self.session.mailbox.is_carried_by(self.id)
    }

    /// Takes one message.
    pub(crate) fn receive(&self, text: &str) -> ControlFlow<Closing> {
        self.session.receive(&self.hub, text)
    }

    /// The next frame, as soon as there is one. Cancelled, it has taken nothing.
    pub(crate) async fn next(&self) -> Result<Outgoing, Closing> {
        let next = self.session.mailbox.next(self.id).await;
        self.report();
        next
    }

    /// Waits until what came is written down, where that takes time.
    pub(crate) async fn settle(&self) {
        self.session.settle(&self.hub).await;
        self.report();
    }

    /// Has the cluster forget what the member has for sure, now and then.
    fn report(&self) {
        if self.session.shared.is_some() && self.session.mailbox.done_bytes() > LAZY_BYTES / 2 {
            self.hub.look_at(&self.session.room);
        }
    }

    /// The next frame, if there is one.
    pub(crate) fn take(&self) -> Option<Result<Outgoing, Closing>> {
        self.session.mailbox.take(self.id)
    }

    /// Waits until there is nothing more to carry.
    pub(crate) async fn over(&self) -> Closing {
        self.session.mailbox.over(self.id).await
    }

    /// Stops carrying. With anything but `lost` the member is gone, and the others are told so.
    pub(crate) fn leave(mut self, reason: LeaveReason) {
        self.reason = reason;
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.hub.detach(self, self.reason);
    }
}
