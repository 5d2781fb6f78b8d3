//! The seam between the client and what carries its messages.

use super::error::{Lost, Unreachable};
use signaling_protocol::{ClientMessage, Join, RoomName, Secret, ServerMessage};

/// One way to a server.
pub(super) trait Transport: Send + 'static {
    /// Hands a message to the connection. Waits while the connection is full.
    fn send(
        &mut self,
        seq: Option<u64>,
        message: &ClientMessage,
    ) -> impl Future<Output = Result<(), Lost>> + Send;

    /// The next sign of life. Cancelled, it has taken nothing.
    fn receive(&mut self) -> impl Future<Output = Result<Incoming, Lost>> + Send;

    /// Connects again after a loss; the caller then sends a `join` that resumes.
    fn reconnect(&mut self) -> impl Future<Output = Result<(), Unreachable>> + Send {
        std::future::ready(Err(Unreachable::Refused))
    }
}

/// A sign of life from the server.
#[derive(Debug)]
pub(super) enum Incoming {
    Message {
        seq: Option<u64>,
        /// Length of its text.
        bytes: usize,
        message: ServerMessage,
    },
    /// A numbered message of a type that this version does not know.
    Unknown { seq: u64 },
    /// Something without a message in it, as a WebSocket ping.
    Alive,
}

impl From<ServerMessage> for Incoming {
    fn from(message: ServerMessage) -> Self {
        Self::Message {
            seq: None,
            bytes: 0,
            message,
        }
    }
}

/// A room, to be had again on a server that has forgotten it.
#[derive(Debug, Clone)]
pub(super) struct OldRoom {
    pub(super) room: RoomName,
    pub(super) capacity: u16,
}

/// How to get a room again.
pub(super) struct Anew {
    pub(super) old: OldRoom,
    /// Make it; else enter it, since the other side may have made it already.
    pub(super) create: bool,
}

/// The `join` with which a client comes back, as whom it was. A server that has forgotten the place takes it as one that
/// enters or makes a room, if it names one.
pub(super) fn resuming(join: &Join, token: &Secret, got: u64, anew: Option<Anew>) -> Join {
    let (room, create, capacity) = match anew {
        // Whoever comes first makes an open room, now as before.
        Some(Anew { old, .. }) if join.create.is_none() => (Some(old.room), None, join.capacity),
        Some(Anew { old, create }) => (Some(old.room), Some(create), Some(old.capacity)),
        None => (None, None, None),
    };
    Join {
        token: join.token.clone(),
        name: join.name.clone(),
        room,
        create,
        capacity,
        resumable: true,
        resume: Some(token.clone()),
        ack: Some(got),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_had_again_as_it_was_entered() {
        let room: RoomName = "talk".parse().unwrap();
        let token = Secret::new("t");
        let entered = |create| Join {
            room: Some(room.clone()),
            name: Some("Ada".parse().unwrap()),
            create,
            ..Join::default()
        };
        for (as_it_was, wanted, create, capacity) in [
            (None, false, None, None),
            (None, true, None, None),
            (Some(true), false, Some(false), Some(2)),
            (Some(false), true, Some(true), Some(2)),
        ] {
            let old = OldRoom {
                room: room.clone(),
                capacity: 2,
            };
            let anew = Anew {
                old,
                create: wanted,
            };
            let expected = Join {
                create,
                capacity,
                resumable: true,
                resume: Some(token.clone()),
                ack: Some(7),
                ..entered(None)
            };
            let join = resuming(&entered(as_it_was), &token, 7, Some(anew));
            assert_eq!(join, expected);
        }
        let join = resuming(&entered(None), &token, 7, None);
        assert_eq!((join.room, join.ack), (None, Some(7)));
    }
}
