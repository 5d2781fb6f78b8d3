//! One place in a room, whatever carries its messages.

mod carrier;
mod said;
mod shared;

pub(crate) use carrier::{Carrier, Medium};

use crate::{
    bucket::TokenBucket,
    closing::Closing,
    cluster::{Entry, Owed},
    config::Limits,
    hub::{Hub, Relayed},
    mailbox::{Frame, Mailbox},
    refusal::Refusal,
    sources::Source,
    token::{ResumeSecret, ResumeToken},
};
use said::Said;
use shared::Shared;
use signaling_protocol::{
    ClientMessage, ErrorCode, PeerId, RoomName, ServerMessage,
    limits::{ACK_BYTES, ACK_MESSAGES, MESSAGE_BYTES},
    seq_of,
};
use std::{
    ops::ControlFlow,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

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

    /// One that was somewhere else: what came there was up to `received`, what it may lack begins with
    /// `first`.
    pub(crate) fn continued(mut self, received: u64, first: u64) -> Self {
        self.mailbox = Mailbox::from(self.secret.is_some(), first.max(1));
        self.lock().received = received;
        self
    }

    /// What opens its place, as others may know it.
    pub(crate) fn digest(&self) -> Option<String> {
        self.secret.as_ref().map(ResumeSecret::digest)
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
            return match Said::parse(text) {
                Ok(said) => self.handle(hub, said, None),
                Err(error) => self.refuse(&error.into(), None),
            };
        }
        // Held to the end: of two connections that send the same message, one has to wait and see.
        let mut intake = self.lock();
        let (seq, parsed) = match Said::parse_numbered(text) {
            Ok((seq, said)) => (seq, Ok(said)),
            Err(error) => (seq_of(text), Err(Refusal::from(error))),
        };
        let numbered = match &parsed {
            Ok(said) => said.is_numbered(),
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
            Ok(said) => self.handle(hub, said, seq),
            Err(refusal) => self.refuse(&refusal, seq),
        };
        if self.shared.is_none() {
            self.acknowledge(&mut intake);
        }
        flow
    }

    fn handle(&self, hub: &Hub, said: Said<'_>, seq: Option<u64>) -> ControlFlow<Closing> {
        let result = match said {
            Said::Opaque(message) => hub.relay(self, Relayed::opaque(message, &self.id), seq),
            Said::Read(message) => match self.take(hub, message, seq) {
                ControlFlow::Continue(result) => result,
                ControlFlow::Break(closing) => return ControlFlow::Break(closing),
            },
        };
        match result {
            Ok(()) => ControlFlow::Continue(()),
            Err(refusal) => self.refuse(&refusal, seq),
        }
    }

    fn take(
        &self,
        hub: &Hub,
        message: ClientMessage,
        seq: Option<u64>,
    ) -> ControlFlow<Closing, Result<(), Refusal>> {
        ControlFlow::Continue(match message {
            ClientMessage::Leave => return ControlFlow::Break(Closing::normal()),
            ClientMessage::Join(_) => Err(Refusal::new(
                ErrorCode::AlreadyJoined,
                "one connection is in one room; open another one",
            )),
            ClientMessage::Ping => {
                self.mailbox.push_aside(&ServerMessage::Pong);
                Ok(())
            }
            ClientMessage::Path { kind } => {
                hub.metrics().path(kind);
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
            message => match Relayed::new(message, &self.id) {
                Some(relayed) => hub.relay(self, relayed, seq),
                // For the server itself, which has done with it.
                None => Ok(()),
            },
        })
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
