//! What members of a cluster say: written down in Redis, or passed on without it.

use super::Hub;
use crate::{
    cluster::{Entry, Owed, Posting},
    mailbox::Frame,
    refusal::Refusal,
    room::Audience,
    session::Session,
};
use signaling_protocol::{ErrorCode, ServerMessage};
use std::time::{Duration, Instant};

/// How long something may wait to be written down before its sender is told to try again.
pub(super) const WRITE_LIMIT: Duration = Duration::from_millis(1800);

impl Hub {
    /// Writes down what came from a member, and hands it to those who are here. What cannot be written down
    /// in time goes on without Redis, if all members are here, and is refused otherwise.
    pub(crate) async fn write_down(&self, from: &Session, owed: &Owed) {
        let Some((cluster, name)) = self.cluster.as_ref().zip(from.name()) else {
            return;
        };
        let room = &from.room;
        let (to, joined_only, public) = match &owed.entry {
            Entry::Message {
                to,
                joined_only,
                public,
            } => (to.as_ref(), *joined_only, *public),
            Entry::Answer => (Some(&from.id), false, false),
        };
        let posting = Posting {
            from: from.id.as_str(),
            session: name,
            to,
            seq: owed.seq,
            joined_only,
            echo: matches!(owed.entry, Entry::Answer),
        };
        let until = Instant::now() + WRITE_LIMIT;
        while !from.mailbox.has_ended() {
            if cluster.is_restoring(room) && Instant::now() < until {
                cluster.restoration().await;
                continue;
            }
            if cluster.goes_alone(room) && self.go_on_alone(from, owed) {
                return;
            }
            let Ok(answer) = cluster
                .post(room, posting.clone(), owed.frame.as_str())
                .await
            else {
                if self.go_on_alone(from, owed) {
                    return;
                }
                break;
            };
            let error = answer.error.clone();
            self.take_in(room, answer, Some(&owed.frame));
            match error.as_deref() {
                None => {
                    self.publish(&self.lock_rooms(), from, &owed.frame, public);
                    return;
                }
                Some("gone") if Instant::now() < until => {
                    cluster.look_at(room);
                    cluster.restoration().await;
                }
                Some("no-such-peer") => {
                    let refusal = no_such_peer();
                    let frame = Frame::new(&refusal.to_message());
                    let answer = Owed {
                        seq: None,
                        frame,
                        entry: Entry::Answer,
                    };
                    return Box::pin(self.write_down(from, &answer)).await;
                }
                Some(_) => break,
            }
        }
        // Without a number: there is nothing that could give it one.
        from.mailbox.push_aside(&ServerMessage::Error {
            code: ErrorCode::NoSuchPeer,
            message: "the others cannot be reached now: try again".to_owned(),
            retry: true,
        });
    }

    /// Passes something on without Redis, if that can be.
    fn go_on_alone(&self, from: &Session, owed: &Owed) -> bool {
        let mut rooms = self.lock_rooms();
        let cluster = self.cluster.as_ref();
        if !cluster.is_some_and(|cluster| cluster.go_alone(&from.room)) {
            return false;
        }
        from.wrote(owed.seq);
        let Entry::Message {
            to,
            joined_only,
            public,
        } = &owed.entry
        else {
            from.mailbox.push(owed.frame.clone());
            return true;
        };
        let audience = match joined_only {
            true => Audience::Joined,
            false => Audience::Everyone,
        };
        match rooms.recipients(&from.room, &from.id, to.as_ref(), audience) {
            Ok(to) => {
                self.pass_on(&mut rooms, to, &owed.frame);
                self.publish(&rooms, from, &owed.frame, *public);
            }
            Err(refusal) => {
                from.mailbox.push(Frame::new(&refusal.to_message()));
            }
        }
        true
    }
}

fn no_such_peer() -> Refusal {
    let message = "nobody in this room has that id, or it is a plain peer";
    Refusal::new(ErrorCode::NoSuchPeer, message)
}
