//! What a [`Session`](crate::session::Session) asks of its driver, and how it is done.

use super::super::lanes;
use super::super::{Bye, Path, SessionError};
use super::Driver;
use crate::channel::{Channel, Delivery};
use crate::media::track::{FeedbackSink, OutgoingPackets};
use crate::media::{Codec, OutgoingTrack};
use crate::pairing::ByeCode;
use tokio::sync::oneshot;

/// One wish.
#[derive(Debug)]
pub(crate) enum Command {
    Open {
        label: String,
        protocol: String,
        delivery: Delivery,
        reply: oneshot::Sender<Result<Channel, SessionError>>,
    },
    OpenLane {
        label: String,
        protocol: String,
        /// The largest datagrams that it may use, whatever the path carries.
        most: Option<u16>,
        reply: lanes::Reply,
    },
    AddTrack {
        codec: Codec,
        reply: oneshot::Sender<Result<OutgoingTrack, SessionError>>,
    },
    RelayTrack {
        codec: Codec,
        /// What the track is called together with others, such as sound and pictures of one publisher.
        stream: String,
        feedback: FeedbackSink,
        reply: oneshot::Sender<Result<OutgoingPackets, SessionError>>,
    },
    RemoveTrack {
        id: u64,
        reply: oneshot::Sender<Result<(), SessionError>>,
    },
    Path(oneshot::Sender<Option<Path>>),
    Close(Bye),
}

impl Driver {
    pub(super) async fn command(&mut self, command: Option<Command>) -> Result<(), SessionError> {
        match command {
            Some(open @ Command::Open { .. }) if self.ports.must_wait() => {
                // Bounded by its senders, each of which waits for its reply.
                self.delayed.push_back(open);
                Ok(())
            }
            Some(Command::Open {
                label,
                protocol,
                delivery,
                reply,
            }) => {
                match self.open_channel(&label, &protocol, delivery).await {
                    Ok(Some(channel)) => drop(reply.send(Ok(channel))),
                    Ok(None) => self.delayed.push_back(Command::Open {
                        label,
                        protocol,
                        delivery,
                        reply,
                    }),
                    Err(error) => drop(reply.send(Err(error))),
                }
                Ok(())
            }
            Some(open @ Command::OpenLane { .. }) if self.watchdog.interruption().is_some() => {
                self.parked.push(open);
                Ok(())
            }
            Some(Command::OpenLane {
                label,
                protocol,
                most,
                reply,
            }) => {
                self.lanes.open((label, protocol), most, reply);
                Ok(())
            }
            Some(Command::AddTrack { codec, reply }) => self.add_track(codec, reply).await,
            // Only calls in open rooms are forwarded; whoever asks sees the reply dropped.
            Some(Command::RelayTrack { .. }) => Ok(()),
            Some(Command::RemoveTrack { id, reply }) => self.remove_track(id, reply).await,
            Some(Command::Path(reply)) => {
                let _ = reply.send(self.engine.path().await);
                Ok(())
            }
            Some(Command::Close(bye)) => {
                self.ports.flush().await;
                self.say_goodbye(bye).await;
                Err(SessionError::Closed)
            }
            None => {
                self.say_goodbye(Bye::new(ByeCode::Cancelled, "the session was dropped"))
                    .await;
                Err(SessionError::Closed)
            }
        }
    }

    /// `None` if one of ours has begun to close since it was asked whether it must wait.
    async fn open_channel(
        &mut self,
        label: &str,
        protocol: &str,
        delivery: Delivery,
    ) -> Result<Option<Channel>, SessionError> {
        self.ports.make_room()?;
        if delivery == Delivery::Datagram {
            self.engine.repair().stop();
        }
        let (name, numbers) = ((label, protocol), self.ports.numbers());
        let data_channel = self
            .engine
            .open_unless_resting(name, delivery, numbers)
            .await?;
        Ok(data_channel.map(|data_channel| self.ports.opened(label, data_channel)))
    }
}
