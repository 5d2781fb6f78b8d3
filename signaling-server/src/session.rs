//! One place in a room, whatever carries its messages, and the connections that carry them.

use crate::{
    bucket::TokenBucket,
    closing::Closing,
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
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard},
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
            return self.refuse(&too_large(MESSAGE_BYTES));
        }
        if !self.is_resumable() {
            return match ClientMessage::parse(text) {
                Ok(message) => self.handle(hub, message),
                Err(error) => self.refuse(&error.into()),
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
                    return self.refuse(&Refusal::new(ErrorCode::BadMessage, message));
                }
            }
            intake.since_ack += 1;
            intake.bytes_since_ack += text.len();
        }
        let flow = match parsed {
            Ok(message) => self.handle(hub, message),
            Err(refusal) => self.refuse(&refusal),
        };
        if intake.since_ack >= ACK_MESSAGES || intake.bytes_since_ack >= ACK_BYTES {
            (intake.since_ack, intake.bytes_since_ack) = (0, 0);
            let seq = intake.received;
            self.mailbox.push_aside(&ServerMessage::Ack { seq });
        }
        flow
    }

    fn handle(&self, hub: &Hub, message: ClientMessage) -> ControlFlow<Closing> {
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
            message => hub.relay(self, message),
        };
        match result {
            Ok(()) => ControlFlow::Continue(()),
            Err(refusal) => self.refuse(&refusal),
        }
    }

    fn refuse(&self, refusal: &Refusal) -> ControlFlow<Closing> {
        if refusal.code.is_fatal() {
            return ControlFlow::Break(Closing::refused(refusal));
        }
        self.mailbox.push(Frame::new(&refusal.to_message()));
        ControlFlow::Continue(())
    }

    fn lock(&self) -> MutexGuard<'_, Intake> {
        self.intake
            .lock()
            .expect("nothing panics while it holds an intake")
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
        self.session.mailbox.next(self.id).await
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
